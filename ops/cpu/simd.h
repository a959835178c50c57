// Storage types and fixed-width vectors, for whichever instruction set the including file is compiled for.
//
// The vectors are those of GCC and Clang (`vector_size`), so arithmetic needs no intrinsics; the few
// conversions that the compilers do badly have them. Everything lives in a namespace named after the
// instruction set, and nothing here includes a header with inline functions: were two files to share an
// inline function, the linker could keep the AVX-512 copy for a machine that has none.
#pragma once

#include <stdint.h>
#include <string.h>

#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define DETR_KIT_INLINE inline __attribute__((always_inline))

namespace detr_kit::DETR_KIT_ISA {

struct BFloat16 {
  uint16_t bits;
};

struct Half {
  uint16_t bits;
};

// What a storage type is computed in.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class A>
constexpr int kLanes = kVectorBytes / int(sizeof(A));

template <class A, int N>
struct VectorOf {
  typedef A type __attribute__((vector_size(N * sizeof(A))));
};
template <class A>
struct VectorOf<A, 1> {
  typedef A type;
};
template <class A, int N>
using Vector = typename VectorOf<A, N>::type;

// The integer that comparisons of A's vectors give.
template <class A>
using Integer = std::conditional_t<sizeof(A) == 8, int64_t, int32_t>;

template <class To, class From>
DETR_KIT_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// ---- one number ----

DETR_KIT_INLINE float widen(float x) { return x; }
DETR_KIT_INLINE double widen(double x) { return x; }
DETR_KIT_INLINE float widen(BFloat16 x) { return bit_cast<float>(uint32_t(x.bits) << 16); }
DETR_KIT_INLINE float widen(Half x) {
  // Exponent and mantissa move into float's places and are scaled; infinities and NaN get float's exponent.
  const uint32_t magnitude = uint32_t(x.bits & 0x7fff) << 13;
  const float scaled = bit_cast<float>(magnitude) * 0x1p112f;
  const uint32_t bits = magnitude >= 0x0f800000u ? (magnitude | 0x7f800000u) : bit_cast<uint32_t>(scaled);
  return bit_cast<float>(bits | (uint32_t(x.bits & 0x8000) << 16));
}

DETR_KIT_INLINE void narrow(double x, float& to) { to = float(x); }
DETR_KIT_INLINE void narrow(double x, double& to) { to = x; }
DETR_KIT_INLINE void narrow(float x, BFloat16& to) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
  to.bits = uint16_t((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}
DETR_KIT_INLINE void narrow(double x, BFloat16& to) { narrow(float(x), to); }
DETR_KIT_INLINE void narrow(float x, Half& to) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  // Normal: rebias and round to nearest even. Subnormal: adding 0.5 makes the float adder do the rounding.
  const uint32_t normal = (magnitude - 0x38000000 + 0x0fff + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  uint32_t result = magnitude < 0x38800000 ? subnormal : normal;
  result = magnitude >= 0x47800000 ? 0x7c00 : result;
  to.bits = uint16_t(sign | (magnitude > 0x7f800000 ? 0x7e00 : result));
}
DETR_KIT_INLINE void narrow(double x, Half& to) { narrow(float(x), to); }

// ---- N numbers ----

template <int N>
DETR_KIT_INLINE Vector<float, N> load(const float* from) {
  Vector<float, N> v;
  memcpy(&v, from, sizeof(v));
  return v;
}

template <int N>
DETR_KIT_INLINE Vector<double, N> load(const double* from) {
  Vector<double, N> v;
  memcpy(&v, from, sizeof(v));
  return v;
}

template <int N>
DETR_KIT_INLINE Vector<float, N> load(const BFloat16* from) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return bit_cast<Vector<float, N>>(_mm512_slli_epi32(wide, 16));
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return bit_cast<Vector<float, N>>(_mm256_slli_epi32(wide, 16));
  }
#endif
  float wide[N];
  for (int i = 0; i < N; ++i) wide[i] = widen(from[i]);
  return load<N>(wide);
}

template <int N>
DETR_KIT_INLINE Vector<float, N> load(const Half* from) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return bit_cast<Vector<float, N>>(_mm512_cvtph_ps(raw));
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return bit_cast<Vector<float, N>>(_mm256_cvtph_ps(raw));
  }
#endif
  float wide[N];
  for (int i = 0; i < N; ++i) wide[i] = widen(from[i]);
  return load<N>(wide);
}

template <class V, class A>
DETR_KIT_INLINE void store(A* to, const V& v) {
  memcpy(to, &v, sizeof(v));
}

// Lane j of the result sums a's lanes j and j ^ W where bit W of j is clear, b's where it is set.
template <int W, class A, int N>
DETR_KIT_INLINE Vector<A, N> add_neighbours(const Vector<A, N>& a, const Vector<A, N>& b) {
  Vector<Integer<A>, N> same, other;
  for (int j = 0; j < N; ++j) {
    same[j] = (j & W) ? N + j : j;
    other[j] = (j & W) ? N + (j ^ W) : (j ^ W);
  }
#if defined(__clang__)
  Vector<A, N> sum;  // Clang folds this loop into the two shuffles that GCC has to be told about
  for (int j = 0; j < N; ++j) sum[j] = ((j & W) ? b[j] : a[j]) + ((j & W) ? b[j ^ W] : a[j ^ W]);
  return sum;
#else
  return __builtin_shuffle(a, b, same) + __builtin_shuffle(a, b, other);
#endif
}

// Splits 2 N numbers x0, y0, x1, y1, … into their x and their y.
template <int N, class A>
DETR_KIT_INLINE void deinterleave(const A* pairs, Vector<A, N>& x, Vector<A, N>& y) {
  const Vector<A, N> low = load<N>(pairs), high = load<N>(pairs + N);
#if defined(__clang__)
  for (int j = 0; j < N; ++j) x[j] = pairs[2 * j], y[j] = pairs[2 * j + 1];
#else
  Vector<Integer<A>, N> even, odd;
  for (int j = 0; j < N; ++j) even[j] = 2 * j, odd[j] = 2 * j + 1;
  x = __builtin_shuffle(low, high, even);
  y = __builtin_shuffle(low, high, odd);
#endif
}

// The sums over the lanes of N vectors, as one vector: a butterfly, in which every row is summed in the same
// order. `rows` is overwritten.
template <class A, int N, int W = 1>
DETR_KIT_INLINE Vector<A, N> row_sums(Vector<A, N>* rows) {
  if constexpr (W == N) {
    return rows[0];
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < N / W / 2; ++i) rows[i] = add_neighbours<W, A, N>(rows[2 * i], rows[2 * i + 1]);
    return row_sums<A, N, 2 * W>(rows);
  }
}

}  // namespace detr_kit::DETR_KIT_ISA
