// The loops for every type of value. Included once for each instruction set, see kernels_*.cpp.
#pragma once

#include "backward.h"
#include "forward.h"

namespace detr_kit::DETR_KIT_ISA {

template <class F>
void with_type(Type type, const F& call) {
  switch (type) {
    case Type::kFloat: return call(float{});
    case Type::kDouble: return call(double{});
    case Type::kBFloat16: return call(BFloat16{});
    case Type::kHalf: return call(Half{});
  }
}

inline void forward_any(const Problem& p, int64_t begin, int64_t end) {
  with_type(p.value.type, [&](auto type) { forward<decltype(type)>(p, begin, end); });
}

inline void backward_any(const Problem& p, const BackwardTask& task) {
  with_type(p.value.type, [&](auto type) { backward<decltype(type)>(p, task); });
}

inline void finish_softmax_any(const Problem& p, const Array& grad_softmax, int64_t begin, int64_t end) {
  with_type(p.value.type, [&](auto type) { finish_softmax<decltype(type)>(p, grad_softmax, begin, end); });
}

}  // namespace detr_kit::DETR_KIT_ISA
