// Where a block of points samples and with what weight: the softmax, the locations and the bilinear
// interpolation, sixteen points at a time in loops that the compiler turns into vectors.
#pragma once

#include "problem.h"
#include "simd.h"

namespace detr_kit::DETR_KIT_ISA {

// ---- rows of run-time type ----

template <class From, class A>
DETR_KIT_INLINE void convert_row(const void* from, int64_t begin, int64_t n, A* to) {
  const From* row = static_cast<const From*>(from) + begin;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = A(widen(row[i]));
}

template <class To, class A>
DETR_KIT_INLINE void convert_row_back(const A* from, void* to, int64_t begin, int64_t n) {
  To* row = static_cast<To*>(to) + begin;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) narrow(from[i], row[i]);
}

// Elements [begin, begin + n) of an array in the compute type.
template <class A>
DETR_KIT_INLINE void load_row(const Array& from, int64_t begin, int64_t n, A* to) {
  switch (from.type) {
    case Type::kFloat: return convert_row<float>(from.data, begin, n, to);
    case Type::kDouble: return convert_row<double>(from.data, begin, n, to);
    case Type::kBFloat16: return convert_row<BFloat16>(from.data, begin, n, to);
    case Type::kHalf: return convert_row<Half>(from.data, begin, n, to);
  }
}

template <class A>
DETR_KIT_INLINE void store_row(const A* from, const Array& to, int64_t begin, int64_t n) {
  switch (to.type) {
    case Type::kFloat: return convert_row_back<float>(from, to.data, begin, n);
    case Type::kDouble: return convert_row_back<double>(from, to.data, begin, n);
    case Type::kBFloat16: return convert_row_back<BFloat16>(from, to.data, begin, n);
    case Type::kHalf: return convert_row_back<Half>(from, to.data, begin, n);
  }
}

// As load_row, padded with zeros to `width`, a constant that lets a full block be a few vector moves.
template <int kWidth, class A>
DETR_KIT_INLINE void load_block(const Array& from, int64_t begin, int n, A* to) {
  if (n == kWidth) return load_row(from, begin, kWidth, to);
  for (int i = 0; i < kWidth; ++i) to[i] = 0;
  load_row(from, begin, n, to);
}

// ---- softmax ----

DETR_KIT_INLINE double exponential(double x) { return __builtin_exp(x); }

// exp of x <= 0 to about one unit in the last place, and exactly zero where float's exponents end: a logit of
// minus infinity switches a point off. Range reduction by ln 2 in two parts, then Taylor to the sixth power.
DETR_KIT_INLINE float exponential(float x) {
  const float shifter = 0x1.8p23f;  // adding it rounds to an integer and leaves that in the low bits
  const float shifted = x * 1.44269504f + shifter;
  const float n = shifted - shifter;
  const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  float e = 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  const float power = bit_cast<float>((bit_cast<uint32_t>(shifted) + 127) << 23);
  return x < -87.0f ? 0.0f : e * power;
}

template <class A>
DETR_KIT_INLINE A maximum(const A* x, int n, A so_far) {
#pragma omp simd reduction(max : so_far)
  for (int k = 0; k < n; ++k) so_far = x[k] > so_far ? x[k] : so_far;
  return so_far;
}

// x becomes exp(x - shift); returns the sum.
template <class A>
DETR_KIT_INLINE A exponentiate(A* x, int n, A shift) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int k = 0; k < kBlock; ++k) {
    x[k] = k < n ? exponential(x[k] - shift) : A(0);
    sum += x[k];
  }
  return sum;
}

// The attention weights of an item, block by block.
template <class A>
class AttentionWeights {
 public:
  explicit AttentionWeights(const Problem& p)
      : p_(p), total_(p.levels * p.points), fused_(p.reference_dim != 0) {}

  // Weights of points [first, first + n) of `item`, padded with zeros to a block.
  DETR_KIT_INLINE void load(int64_t item, int64_t first, int n, A* to) {
    load_block<kBlock>(p_.weights, item * total_ + first, n, to);
    if (!fused_) return;
    A inverse_sum;
    if (n == total_) {
      inverse_sum = 1 / exponentiate(to, n, maximum(to, n, lowest()));
    } else {
      if (item != item_) measure(item);
      exponentiate(to, n, maximum_);
      inverse_sum = inverse_sum_;
    }
#pragma omp simd
    for (int k = 0; k < kBlock; ++k) to[k] *= inverse_sum;
  }

 private:
  static constexpr A lowest() { return -__builtin_inf(); }

  void measure(int64_t item) {
    A block[kBlock];
    A sum = 0;
    maximum_ = lowest();
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t first = 0; first < total_; first += kBlock) {
        const int n = int(total_ - first < kBlock ? total_ - first : kBlock);
        load_block<kBlock>(p_.weights, item * total_ + first, n, block);
        if (pass == 0) maximum_ = maximum(block, n, maximum_);
        if (pass == 1) sum += exponentiate(block, n, maximum_);
      }
    }
    inverse_sum_ = 1 / sum;
    item_ = item;
  }

  const Problem& p_;
  const int64_t total_;
  const bool fused_;
  int64_t item_ = -1;
  A maximum_ = 0, inverse_sum_ = 0;
};

// ---- locations ----

// All entries are one affine map from what is given to pixels: pixel = anchor + step · coordinate.
template <class A>
struct alignas(64) Frame {
  A anchor_x[kBlock] = {}, anchor_y[kBlock] = {}, step_x[kBlock] = {}, step_y[kBlock] = {};

  void set(const Problem& p, int64_t query, int64_t first, int n) {
    int64_t level = first / p.points, point = first % p.points;
    for (int k = 0; k < n; ++k) {
      const A width = A(p.point_width[first + k]), height = A(p.point_height[first + k]);
      const A* reference =
          static_cast<const A*>(p.reference.data) + (query * p.levels + level) * p.reference_dim;
      const bool box = p.reference_dim == 4;
      // A location in [0, 1] spans the map, an offset is in pixels, or in half boxes divided by P.
      anchor_x[k] = p.reference_dim ? reference[0] * width - A(0.5) : A(-0.5);
      anchor_y[k] = p.reference_dim ? reference[1] * height - A(0.5) : A(-0.5);
      step_x[k] = !p.reference_dim ? width : box ? reference[2] * width / A(2 * p.points) : A(1);
      step_y[k] = !p.reference_dim ? height : box ? reference[3] * height / A(2 * p.points) : A(1);
      if (++point == p.points) point = 0, ++level;
    }
  }
};

// The four corners (top left, top right, bottom left, bottom right) that each point of a block blends.
template <class A>
struct alignas(64) Corners {
  A weight[4][kBlock];         // attention weight times bilinear weight, zero outside the map
  int64_t offset[4][kBlock];   // elements from the first row of the head
  int points;
};

// What the gradients need besides.
template <class A>
struct alignas(64) BackwardCorners : Corners<A> {
  A attention[kBlock], x[kBlock], y[kBlock];  // x, y: the fraction of a pixel right of and below the top left
  A step_x[kBlock], step_y[kBlock];
  int32_t inside[4][kBlock];  // whether the corner lies on the map
};

// Fills `corners` for points [first, first + n). A corner without weight points at `zero_offset`, a row of
// zeros, so that NaN or Inf in a value that does not count cannot leak in as 0 · NaN. Backward needs the true
// value next to a weight of zero (it is a slope) and masks what lies outside.
template <bool kBackward, class A, class C>
DETR_KIT_INLINE void locate(const Problem& p, const Frame<A>& frame, const A* attention, int64_t item,
                            int64_t first, int n, int64_t zero_offset, C& corners) {
  alignas(64) A coordinates[2 * kBlock];
  alignas(64) int32_t row[4][kBlock];
  load_block<2 * kBlock>(p.coordinates, 2 * (item * p.levels * p.points + first), 2 * n, coordinates);
  const int32_t *widths = p.point_width + first, *heights = p.point_height + first;
  const int32_t* starts = p.point_start + first;
  const int32_t row_stride = int32_t(p.heads * p.head_dim);
#pragma omp simd
  for (int k = 0; k < kBlock; ++k) {
    const int32_t width = widths[k], height = heights[k];
    A x = frame.anchor_x[k] + frame.step_x[k] * coordinates[2 * k];
    A y = frame.anchor_y[k] + frame.step_y[k] * coordinates[2 * k + 1];
    const bool near = (x > A(-1)) & (y > A(-1)) & (x < A(width)) & (y < A(height));  // false for NaN
    x = near ? x : A(0);
    y = near ? y : A(0);
    const int32_t x0 = int32_t(x) - (x < A(0) ? 1 : 0), y0 = int32_t(y) - (y < A(0) ? 1 : 0);  // floor: x > -1
    x -= A(x0);
    y -= A(y0);
    const int32_t left = near & (x0 >= 0), right = near & (x0 + 1 < width);
    const int32_t top = y0 >= 0, bottom = y0 + 1 < height;
    const int32_t corner = starts[k] + y0 * width + x0;
    const A above = attention[k] * (1 - y), below = attention[k] * y;
    corners.weight[0][k] = left & top ? above * (1 - x) : A(0);
    corners.weight[1][k] = right & top ? above * x : A(0);
    corners.weight[2][k] = left & bottom ? below * (1 - x) : A(0);
    corners.weight[3][k] = right & bottom ? below * x : A(0);
    row[0][k] = left & top ? corner : 0;
    row[1][k] = right & top ? corner + 1 : 0;
    row[2][k] = left & bottom ? corner + width : 0;
    row[3][k] = right & bottom ? corner + width + 1 : 0;
    if constexpr (kBackward) {
      corners.attention[k] = attention[k];
      corners.x[k] = x;
      corners.y[k] = y;
      corners.step_x[k] = frame.step_x[k];
      corners.step_y[k] = frame.step_y[k];
      corners.inside[0][k] = left & top;
      corners.inside[1][k] = right & top;
      corners.inside[2][k] = left & bottom;
      corners.inside[3][k] = right & bottom;
    }
  }
  for (int c = 0; c < 4; ++c) {
#pragma omp simd
    for (int k = 0; k < kBlock; ++k) {
      const int64_t offset = int64_t(row[c][k]) * row_stride;
      corners.offset[c][k] = kBackward || corners.weight[c][k] != 0 ? offset : zero_offset;
    }
  }
  corners.points = n;
}

}  // namespace detr_kit::DETR_KIT_ISA
