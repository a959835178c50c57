// From a problem to a kernel: what the tensor side calls, free of torch and of CUDA's headers.
#pragma once

#include "problem.h"

namespace detr_kit::gpu {

// Each starts the kernel of value's type on `stream` (a cudaStream_t) and returns at once. The result is null,
// or CUDA's message why it could not be started.
const char* launch_forward(Problem problem, void* stream);
// In order: the gradient of value is the same to the bit each time, and takes many times longer.
const char* launch_backward(Problem problem, bool in_order, void* stream);

// The version of CUDA that compiled the kernels, as "13.0".
const char* toolkit();

}  // namespace detr_kit::gpu
