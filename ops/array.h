// An array whose element type is known at run time: how tensors reach the kernels of every device.
#pragma once

#include <stdint.h>

namespace detr_kit {

enum class Type : int { kFloat, kDouble, kBFloat16, kHalf };

inline constexpr int64_t bytes_of(Type type) {
  return type == Type::kDouble ? 8 : type == Type::kFloat ? 4 : 2;
}

// Row-major.
struct Array {
  void* data = nullptr;
  Type type = Type::kFloat;
};

}  // namespace detr_kit
