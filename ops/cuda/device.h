// The few words of CUDA that the kernels use. Without nvcc they come from an emulator that runs a block's
// lanes in turns on the processor (tests/ops/emulation), so that the same kernels can be checked without a card.
#pragma once

#include <stdint.h>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define DETR_KIT_BOTH __host__ __device__ __forceinline__
#define DETR_KIT_GPU __device__ __forceinline__
// `blocks` of `threads` shall fit on a multiprocessor, which leaves each thread 65536 / (blocks · threads) registers.
#define DETR_KIT_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define DETR_KIT_PARAMETER const __grid_constant__
#define DETR_KIT_UNROLL(n) _Pragma(DETR_KIT_STRING(unroll n))
#define DETR_KIT_STRING(x) #x

namespace detr_kit::gpu {

constexpr unsigned kAllLanes = ~0u;

DETR_KIT_GPU char* shared_memory() {
  extern __shared__ __align__(16) char bytes[];
  return bytes;
}
DETR_KIT_GPU int thread_index() { return int(threadIdx.x); }
DETR_KIT_GPU int64_t block_index() { return blockIdx.x; }
DETR_KIT_GPU int64_t block_count() { return gridDim.x; }
DETR_KIT_GPU void sync_warp() { __syncwarp(); }
DETR_KIT_GPU void sync_block() { __syncthreads(); }
DETR_KIT_GPU unsigned ballot(bool condition) { return __ballot_sync(kAllLanes, condition); }
DETR_KIT_GPU int lowest_bit(unsigned bits) { return __ffs(int(bits)) - 1; }
template <class A>
DETR_KIT_GPU A from_lane_xor(A value, int mask) {
  return __shfl_xor_sync(kAllLanes, value, mask);
}
DETR_KIT_GPU float exponential(float x) { return __expf(x); }
DETR_KIT_GPU double exponential(double x) { return exp(x); }

// Sixteen bytes that no thread writes during the kernel.
DETR_KIT_GPU uint4 load_16(const void* address) { return __ldg(static_cast<const uint4*>(address)); }
DETR_KIT_GPU void store_16(void* address, uint4 bits) { *static_cast<uint4*>(address) = bits; }

// base + row · bytes in one instruction, which the compiler does not find by itself.
template <class T>
DETR_KIT_GPU T* row_at(T* base, int32_t row, uint32_t bytes) {
  uint64_t address;
  asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(address) : "r"(row), "r"(bytes), "l"(uint64_t(base)));
  return reinterpret_cast<T*>(address);
}

// Additions to global memory where `wanted`, whoever else adds at the same time. As predicated reductions: a branch
// for each corner costs more than the products, and atomicAdd on an address that came out of `row_at` would have to
// find out first whether it is shared memory, with a compare-and-swap loop for that case.
DETR_KIT_GPU void add(bool wanted, float* address, float x) {
  asm volatile("{ .reg .pred p; setp.ne.s32 p, %2, 0; @p red.global.add.f32 [%0], %1; }" ::"l"(address), "f"(x),
               "r"(int(wanted))
               : "memory");
}
DETR_KIT_GPU void add(bool wanted, double* address, double x) {
  asm volatile("{ .reg .pred p; setp.ne.s32 p, %2, 0; @p red.global.add.f64 [%0], %1; }" ::"l"(address), "d"(x),
               "r"(int(wanted))
               : "memory");
}
// Whether four neighbouring numbers are added by one instruction.
DETR_KIT_GPU constexpr bool adds_four() {
#if __CUDA_ARCH__ >= 900
  return true;
#else
  return false;
#endif
}
DETR_KIT_GPU void add_4(bool wanted, float* address, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .pred p; setp.ne.s32 p, %5, 0; @p red.global.add.v4.f32 [%0], {%1, %2, %3, %4}; }" ::"l"(address),
      "f"(a), "f"(b), "f"(c), "f"(d), "r"(int(wanted))
      : "memory");
#else
  add(wanted, address, a), add(wanted, address + 1, b), add(wanted, address + 2, c), add(wanted, address + 3, d);
#endif
}

DETR_KIT_GPU uint32_t bits_of(float x) { return __float_as_uint(x); }
DETR_KIT_GPU float float_of(uint32_t bits) { return __uint_as_float(bits); }
DETR_KIT_GPU float half_to_float(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
DETR_KIT_GPU uint16_t float_to_half(float x) { return __half_as_ushort(__float2half_rn(x)); }
DETR_KIT_GPU uint16_t float_to_bfloat16(float x) { return __bfloat16_as_ushort(__float2bfloat16_rn(x)); }

}  // namespace detr_kit::gpu
#else
#include "emulated_device.h"
#endif
