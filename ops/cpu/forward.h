// Forward: blend the corner rows of an item's points.
#pragma once

#include "walk.h"

namespace detr_kit::DETR_KIT_ISA {

// Adds the weighted rows of a block to kWidth channels of `sum`.
template <int kWidth, class T, class A>
DETR_KIT_INLINE void gather(const Corners<A>& corners, const T* value, A* sum) {
  constexpr int N = kWidth < kLanes<A> ? kWidth : kLanes<A>, kVectors = kWidth / N;
  constexpr int kChains = kVectors <= 2 ? 4 : kVectors <= 4 ? 2 : 1;  // independent sums hide the latency
  Vector<A, N> chain[kChains][kVectors] = {};
  for (int k = 0; k < corners.points; ++k) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const T* row = value + corners.offset[c][k];
      const A weight = corners.weight[c][k];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) chain[c % kChains][v] += weight * load<N>(row + v * N);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
    for (int i = 1; i < kChains; ++i) chain[0][v] += chain[i][v];
    store(sum + v * N, load<N>(sum + v * N) + chain[0][v]);
  }
}

// The same for 32 channels of bfloat16 in AVX-512: one load holds them all. Those at even places are shifted
// up to be floats, those at odd places are floats with a tail to cut off; the two are interleaved at the end.
#if defined(__AVX512F__)
template <int kWidth>
DETR_KIT_INLINE std::enable_if_t<kWidth == 32> gather(const Corners<float>& corners, const BFloat16* value,
                                                      float* sum) {
  using Floats = Vector<float, 16>;
  Floats even[4] = {}, odd[4] = {};
  for (int k = 0; k < corners.points; ++k) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      Vector<uint32_t, 16> pairs;
      memcpy(&pairs, value + corners.offset[c][k], sizeof(pairs));
      even[c] += corners.weight[c][k] * bit_cast<Floats>(pairs << 16);
      odd[c] += corners.weight[c][k] * bit_cast<Floats>(pairs & 0xffff0000u);
    }
  }
  const Floats evens = (even[0] + even[1]) + (even[2] + even[3]), odds = (odd[0] + odd[1]) + (odd[2] + odd[3]);
  for (int i = 0; i < 16; ++i) {
    sum[2 * i] += evens[i];
    sum[2 * i + 1] += odds[i];
  }
}
#endif

template <class T>
void forward(const Problem& p, int64_t begin, int64_t end) {
  using A = Compute<T>;
  const int64_t head_dim = p.head_dim, total = p.levels * p.points;
  const int64_t blocks = (total + kBlock - 1) / kBlock * p.heads * (end - begin);
  const Scratch<T> zero_row(head_dim);
  const Scratch<A> sum(head_dim);
  Slot<A, Corners<A>> ring[kAhead];
  const T* values[kAhead];
  Locator<T, A, false> locator(p, zero_row);
  Cursor next(p, begin, end, 0, p.heads, 0, total);
  for (int64_t i = 0; i < blocks + kAhead; ++i) {
    auto& slot = ring[i % kAhead];
    const T*& value = values[i % kAhead];
    if (i >= kAhead) {
      for_each_strip(head_dim, [&](auto width, int64_t c) {
        gather<decltype(width)::value>(slot.corners, value + c, sum + c);
      });
      if (slot.last_block) {
        store_row<A>(sum, p.output, slot.item * head_dim, head_dim);
        memset(static_cast<void*>(sum), 0, size_t(head_dim) * sizeof(A));
      }
    }
    if (i < blocks) {
      value = locator.locate_block(next, slot);
      prefetch_rows<false>(slot.corners, value, head_dim);
      next.advance();
    }
  }
}

}  // namespace detr_kit::DETR_KIT_ISA
