// From a problem to a kernel: what the tensor side calls, free of torch and of CUDA's headers.
#pragma once

#include "problem.h"

namespace detr_kit::gpu {

// Where to start a kernel. The CUDA runtime here is linked statically and keeps a current device of its own, which
// torch's guard does not set: the device travels along with its stream (a cudaStream_t).
struct Place {
  int32_t device;
  void* stream;
};

// Each starts the kernel of value's type and returns at once. The result is null, or CUDA's message why it could
// not be started.
const char* launch_forward(Problem problem, Place place);
// In order: the gradient of value is the same to the bit each time, and takes many times longer.
const char* launch_backward(Problem problem, bool in_order, Place place);

// The version of CUDA that compiled the kernels, as "13.0".
const char* toolkit();

}  // namespace detr_kit::gpu
