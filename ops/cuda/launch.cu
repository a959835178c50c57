#include "launch.h"

#include "kernels.h"

namespace detr_kit::gpu {

DETR_KIT_KERNELS(float, extern)
DETR_KIT_KERNELS(double, extern)
DETR_KIT_KERNELS(BFloat16, extern)
DETR_KIT_KERNELS(Half, extern)

namespace {

const char* message(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

const char* outcome() { return message(cudaGetLastError()); }

}  // namespace

const char* launch_forward(Problem problem, Place place) {
  if (const char* error = message(cudaSetDevice(place.device))) return error;
  const Plan plan = make_plan(problem, false);
  const auto s = static_cast<cudaStream_t>(place.stream);
  switch (problem.value.type) {
    case Type::kFloat: start_forward<float>(problem, plan, s); break;
    case Type::kDouble: start_forward<double>(problem, plan, s); break;
    case Type::kBFloat16: start_forward<BFloat16>(problem, plan, s); break;
    case Type::kHalf: start_forward<Half>(problem, plan, s); break;
  }
  return outcome();
}

const char* launch_backward(Problem problem, bool in_order, Place place) {
  if (const char* error = message(cudaSetDevice(place.device))) return error;
  const auto s = static_cast<cudaStream_t>(place.stream);
  const Array grad_value = problem.grad_value;
  if (in_order) problem.grad_value.data = nullptr;
  const Plan plan = make_plan(problem, true);
  switch (problem.value.type) {
    case Type::kFloat: start_backward<float>(problem, plan, s); break;
    case Type::kDouble: start_backward<double>(problem, plan, s); break;
    case Type::kBFloat16: start_backward<BFloat16>(problem, plan, s); break;
    case Type::kHalf: start_backward<Half>(problem, plan, s); break;
  }
  if (!in_order) return outcome();
  problem.grad_value = grad_value;
  const OrderedPlan ordered = make_ordered_plan(problem);
  switch (problem.value.type) {
    case Type::kFloat: start_ordered<float>(problem, ordered, s); break;
    case Type::kDouble: start_ordered<double>(problem, ordered, s); break;
    case Type::kBFloat16: start_ordered<BFloat16>(problem, ordered, s); break;
    case Type::kHalf: start_ordered<Half>(problem, ordered, s); break;
  }
  return outcome();
}

#define DETR_KIT_TEXT(x) DETR_KIT_TEXT_OF(x)
#define DETR_KIT_TEXT_OF(x) #x

const char* toolkit() {
  return DETR_KIT_TEXT(__CUDACC_VER_MAJOR__) "." DETR_KIT_TEXT(__CUDACC_VER_MINOR__);
}

}  // namespace detr_kit::gpu
