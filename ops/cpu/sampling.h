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

// kLanes<A> of the levels' int32 numbers, as integers of A's size.
template <class A>
DETR_KIT_INLINE Vector<Integer<A>, kLanes<A>> widen_integers(const int32_t* from) {
  Vector<int32_t, kLanes<A>> v;
  memcpy(&v, from, sizeof(v));
  return __builtin_convertvector(v, Vector<Integer<A>, kLanes<A>>);
}

// All entries are one affine map from what is given to pixels: pixel = anchor + step · coordinate.
template <class A>
struct alignas(64) Frame {
  A anchor_x[kBlock], anchor_y[kBlock], step_x[kBlock], step_y[kBlock];

  Frame() {
    for (int k = 0; k < kBlock; ++k) anchor_x[k] = anchor_y[k] = A(-0.5), step_x[k] = step_y[k] = A(1);
  }

  // For points [first, first + n) of `query`. A location in [0, 1] spans the map; an offset counts pixels from
  // a point, or half boxes divided by P from a box's centre.
  DETR_KIT_INLINE void set(const Problem& p, int64_t query, int64_t first, int n) {
    int64_t level = first == 0 ? 0 : first / p.points;
    const A* reference = static_cast<const A*>(p.reference.data) + query * p.levels * p.reference_dim;
    for (int64_t k = 0; k < n; ++level) {
      const int64_t level_end = (level + 1) * p.points - first;
      const int64_t end = level_end < n ? level_end : n;
      const A width = A(p.point_width[first + k]), height = A(p.point_height[first + k]);
      const A* at = reference + level * p.reference_dim;
      if (p.reference_dim == 0) {
        for (; k < end; ++k) step_x[k] = width, step_y[k] = height;
      } else if (p.reference_dim == 2) {
        const A x = at[0] * width - A(0.5), y = at[1] * height - A(0.5);
        for (; k < end; ++k) anchor_x[k] = x, anchor_y[k] = y;
      } else {
        const A x = at[0] * width - A(0.5), y = at[1] * height - A(0.5);
        const A right = at[2] * width / A(2 * p.points), down = at[3] * height / A(2 * p.points);
        for (; k < end; ++k) anchor_x[k] = x, anchor_y[k] = y, step_x[k] = right, step_y[k] = down;
      }
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
  Integer<A> inside[4][kBlock];  // 0 where the corner lies outside the map, else all bits
};

// Fills `corners` for points [first, first + n). A corner without weight points at `zero_offset`, a row of
// zeros, so that NaN or Inf in a value that does not count cannot leak in as 0 · NaN. Backward needs the true
// value next to a weight of zero (it is a slope) and masks what lies outside.
template <bool kBackward, class A, class C>
DETR_KIT_INLINE void locate(const Problem& p, const Frame<A>& frame, const A* attention, int64_t item,
                            int64_t first, int n, int64_t zero_offset, C& corners) {
  constexpr int N = kLanes<A>;
  using Real = Vector<A, N>;
  using Int = Vector<Integer<A>, N>;
  const auto to_int = [](const Real& v) { return __builtin_convertvector(v, Int); };
  const auto to_real = [](const Int& v) { return __builtin_convertvector(v, Real); };
  alignas(64) A coordinates[2 * kBlock];
  alignas(64) Integer<A> row[4][kBlock];
  load_block<2 * kBlock>(p.coordinates, 2 * (item * p.levels * p.points + first), 2 * n, coordinates);
  const int32_t *widths = p.point_width + first, *heights = p.point_height + first;
  const int32_t* starts = p.point_start + first;
  const int32_t row_stride = int32_t(p.row_stride);
  for (int k = 0; k < kBlock; k += N) {
    const Int width = widen_integers<A>(widths + k), height = widen_integers<A>(heights + k);
    const Real attended = load<N>(attention + k);
    Real x, y;
    deinterleave<N>(coordinates + 2 * k, x, y);
    x = load<N>(frame.anchor_x + k) + load<N>(frame.step_x + k) * x;
    y = load<N>(frame.anchor_y + k) + load<N>(frame.step_y + k) * y;
    const Int near = (x > -1) & (y > -1) & (x < to_real(width)) & (y < to_real(height));  // false for NaN
    x = near ? x : Real{};
    y = near ? y : Real{};
    // Comparisons give 0 or -1 in each lane. Floor: truncation, less one below zero (x > -1).
    const Int x0 = to_int(x) + (x < 0), y0 = to_int(y) + (y < 0);
    x -= to_real(x0);
    y -= to_real(y0);
    const Int left = near & (x0 >= 0), right = near & (x0 + 1 < width);
    const Int top = y0 >= 0, bottom = y0 + 1 < height;
    const Int inside[4] = {left & top, right & top, left & bottom, right & bottom};
    const Real above = attended * (1 - y), below = attended * y;
    const Real weight[4] = {above * (1 - x), above * x, below * (1 - x), below * x};
    const Int corner = widen_integers<A>(starts + k) + y0 * width + x0;
    const Int index[4] = {corner, corner + 1, corner + width, corner + width + 1};
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      store(corners.weight[c] + k, inside[c] ? weight[c] : Real{});
      store(row[c] + k, inside[c] & index[c]);
      if constexpr (kBackward) store(corners.inside[c] + k, inside[c]);
    }
    if constexpr (kBackward) {
      store(corners.attention + k, attended);
      store(corners.x + k, x);
      store(corners.y + k, y);
      store(corners.step_x + k, load<N>(frame.step_x + k));
      store(corners.step_y + k, load<N>(frame.step_y + k));
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
