// Numbers in memory: the four element types, one at a time or sixteen bytes at once.
#pragma once

#include "device.h"
#include "problem.h"

namespace detr_kit::gpu {

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

template <class T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

DETR_KIT_GPU float widen(float x) { return x; }
DETR_KIT_GPU double widen(double x) { return x; }
DETR_KIT_GPU float widen(BFloat16 x) { return float_of(uint32_t(x.bits) << 16); }
DETR_KIT_GPU float widen(Half x) { return half_to_float(x.bits); }

template <class A>
DETR_KIT_GPU void narrow(A x, float& to) { to = float(x); }
template <class A>
DETR_KIT_GPU void narrow(A x, double& to) { to = double(x); }
template <class A>
DETR_KIT_GPU void narrow(A x, BFloat16& to) { to.bits = float_to_bfloat16(float(x)); }
template <class A>
DETR_KIT_GPU void narrow(A x, Half& to) { to.bits = float_to_half(float(x)); }

// ---- elements of an array of run-time type: the branch is the same for every lane ----

template <class A>
DETR_KIT_GPU A load(const Array& from, int64_t i) {
  switch (from.type) {
    case Type::kFloat: return A(static_cast<const float*>(from.data)[i]);
    case Type::kBFloat16: return A(widen(static_cast<const BFloat16*>(from.data)[i]));
    case Type::kHalf: return A(widen(static_cast<const Half*>(from.data)[i]));
    default: return A(static_cast<const double*>(from.data)[i]);
  }
}

template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T x, y;
};

template <class A, class T>
DETR_KIT_GPU Pair<A> load_pair_of(const void* from, int64_t i) {
  const Pair<T> pair = static_cast<const Pair<T>*>(from)[i];
  return {A(widen(pair.x)), A(widen(pair.y))};
}

template <class A>
DETR_KIT_GPU Pair<A> load_pair(const Array& from, int64_t i) {
  switch (from.type) {
    case Type::kFloat: return load_pair_of<A, float>(from.data, i);
    case Type::kBFloat16: return load_pair_of<A, BFloat16>(from.data, i);
    case Type::kHalf: return load_pair_of<A, Half>(from.data, i);
    default: return load_pair_of<A, double>(from.data, i);
  }
}

template <class A, class T>
DETR_KIT_GPU void store_as(void* to, int64_t i, A x) {
  narrow(x, static_cast<T*>(to)[i]);
}

template <class A>
DETR_KIT_GPU void store(const Array& to, int64_t i, A x) {
  switch (to.type) {
    case Type::kFloat: return store_as<A, float>(to.data, i, x);
    case Type::kBFloat16: return store_as<A, BFloat16>(to.data, i, x);
    case Type::kHalf: return store_as<A, Half>(to.data, i, x);
    default: return store_as<A, double>(to.data, i, x);
  }
}

template <class A, class T>
DETR_KIT_GPU void store_pair_as(void* to, int64_t i, A x, A y) {
  Pair<T> pair;
  narrow(x, pair.x);
  narrow(y, pair.y);
  static_cast<Pair<T>*>(to)[i] = pair;
}

template <class A>
DETR_KIT_GPU void store_pair(const Array& to, int64_t i, A x, A y) {
  switch (to.type) {
    case Type::kFloat: return store_pair_as<A, float>(to.data, i, x, y);
    case Type::kBFloat16: return store_pair_as<A, BFloat16>(to.data, i, x, y);
    case Type::kHalf: return store_pair_as<A, Half>(to.data, i, x, y);
    default: return store_pair_as<A, double>(to.data, i, x, y);
  }
}

// ---- kVector channels of a row: one, or sixteen bytes ----

// As it lies in memory; kept like this until it is used, so that loads in flight hold few registers.
template <class T, int kVector>
struct Packed {
  uint4 bits;
};
template <class T>
struct Packed<T, 1> {
  T number;
};

template <class T, int kVector>
DETR_KIT_GPU Packed<T, kVector> load_packed(const void* address) {
  if constexpr (kVector == 1) return {*static_cast<const T*>(address)};
  else return {load_16(address)};
}

template <class A, class T>
DETR_KIT_GPU void unpack(const Packed<T, 1>& from, A (&to)[1]) {
  to[0] = widen(from.number);
}
DETR_KIT_GPU void unpack_word(float, uint32_t word, float (&to)[1]) { to[0] = float_of(word); }
DETR_KIT_GPU void unpack_word(BFloat16, uint32_t word, float (&to)[2]) {
  to[0] = float_of(word << 16), to[1] = float_of(word & 0xffff0000u);
}
DETR_KIT_GPU void unpack_word(Half, uint32_t word, float (&to)[2]) {
  to[0] = half_to_float(uint16_t(word)), to[1] = half_to_float(uint16_t(word >> 16));
}
DETR_KIT_GPU void unpack(const Packed<float, 4>& from, float (&to)[4]) {
  to[0] = float_of(from.bits.x), to[1] = float_of(from.bits.y);
  to[2] = float_of(from.bits.z), to[3] = float_of(from.bits.w);
}
DETR_KIT_GPU void unpack(const Packed<BFloat16, 8>& from, float (&to)[8]) {
  const uint32_t words[4] = {from.bits.x, from.bits.y, from.bits.z, from.bits.w};
  DETR_KIT_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = float_of(words[i] << 16);
    to[2 * i + 1] = float_of(words[i] & 0xffff0000u);
  }
}
DETR_KIT_GPU void unpack(const Packed<Half, 8>& from, float (&to)[8]) {
  const uint32_t words[4] = {from.bits.x, from.bits.y, from.bits.z, from.bits.w};
  DETR_KIT_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = half_to_float(uint16_t(words[i]));
    to[2 * i + 1] = half_to_float(uint16_t(words[i] >> 16));
  }
}

template <class T, int kVector, class A>
DETR_KIT_GPU void store_row(void* address, const A (&from)[kVector]) {
  if constexpr (kVector == 1) {
    narrow(from[0], *static_cast<T*>(address));
  } else if constexpr (sizeof(T) == 4) {
    store_16(address, {bits_of(from[0]), bits_of(from[1]), bits_of(from[2]), bits_of(from[3])});
  } else {
    uint32_t words[4];
    DETR_KIT_UNROLL(4)
    for (int i = 0; i < 4; ++i) {
      T low, high;
      narrow(from[2 * i], low);
      narrow(from[2 * i + 1], high);
      words[i] = low.bits | uint32_t(high.bits) << 16;
    }
    store_16(address, {words[0], words[1], words[2], words[3]});
  }
}

// Sixteen bytes of a row a lane, dealt out among the lanes of a group four bytes at a time: word u of a lane is the
// row's word u · kGroup + lane. Where numbers are added one by one, neighbouring lanes then add to neighbouring
// addresses, and an addition of a warp touches a quarter of the 32-byte sectors.
template <class T, int kGroup>
struct Dealt {
  static constexpr int kNumbers = sizeof(T) == 2 ? 2 : 1;  // in a word
  uint32_t words[4];
  int count;  // of words that the row has

  // `width`: numbers of the row from `row` on, whole words.
  DETR_KIT_GPU Dealt(const T* row, int lane, int width) {
    count = (width / kNumbers - lane + kGroup - 1) / kGroup;
    DETR_KIT_UNROLL(4)
    for (int u = 0; u < 4; ++u)
      words[u] = u < count ? reinterpret_cast<const uint32_t*>(row)[u * kGroup + lane] : 0;
  }

  // Where `wanted`: to[…] += weight · row[…], `to` being where this lane's first word goes.
  DETR_KIT_GPU void add(bool wanted, float* to, float weight) const {
    DETR_KIT_UNROLL(4)
    for (int u = 0; u < 4; ++u) {
      float numbers[kNumbers];
      unpack_word(T{}, words[u], numbers);
      DETR_KIT_UNROLL(2)
      for (int i = 0; i < kNumbers; ++i)
        gpu::add(wanted && u < count, to + u * kGroup * kNumbers + i, weight * numbers[i]);
    }
  }
};

// Where `wanted`: to[c] += weight · row[c], whoever else adds at the same time.
template <int kVector, class A>
DETR_KIT_GPU void add_row(bool wanted, A* to, A weight, const A (&row)[kVector]) {
  if constexpr (kVector == 1) {
    add(wanted, to, weight * row[0]);
  } else {
    DETR_KIT_UNROLL(2)
    for (int c = 0; c < kVector; c += 4)
      add_4(wanted, to + c, weight * row[c], weight * row[c + 1], weight * row[c + 2], weight * row[c + 3]);
  }
}

}  // namespace detr_kit::gpu
