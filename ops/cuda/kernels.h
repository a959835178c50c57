// Starting the kernels of one element type; each type is a translation unit of its own, to compile side by side.
#pragma once

#include <cuda_runtime.h>

#include "dispatch.h"

namespace detr_kit::gpu {

template <class T>
struct Forward {
  const Problem& problem;
  const Plan& plan;
  cudaStream_t stream;
  template <int kVector, int kGroup, int kSplit>
  void operator()() const {
    forward<T, kVector, kGroup, kSplit><<<plan.blocks, plan.threads, plan.shared_bytes, stream>>>(problem, plan);
  }
};

template <class T>
struct Backward {
  const Problem& problem;
  const Plan& plan;
  cudaStream_t stream;
  template <int kVector, int kGroup, int kSplit>
  void operator()() const {
    backward<T, kVector, kGroup, kSplit><<<plan.blocks, plan.threads, plan.shared_bytes, stream>>>(problem, plan);
  }
};

template <class T>
void start_forward(const Problem& problem, const Plan& plan, cudaStream_t stream) {
  with_division<T>(plan, Forward<T>{problem, plan, stream});
}

template <class T>
void start_backward(const Problem& problem, const Plan& plan, cudaStream_t stream) {
  with_division<T>(plan, Backward<T>{problem, plan, stream});
}

template <class T>
void start_ordered(const Problem& problem, const OrderedPlan& plan, cudaStream_t stream) {
  collect_in_order<T><<<plan.blocks, plan.threads, plan.shared_bytes, stream>>>(problem, plan);
}

#define DETR_KIT_KERNELS(T, declared)                                                  \
  declared template void start_forward<T>(const Problem&, const Plan&, cudaStream_t);  \
  declared template void start_backward<T>(const Problem&, const Plan&, cudaStream_t); \
  declared template void start_ordered<T>(const Problem&, const OrderedPlan&, cudaStream_t);

}  // namespace detr_kit::gpu
