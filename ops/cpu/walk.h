// The walk over the work that forward and backward share: what comes next, where it samples, and fetching it.
//
// A work item is one (query, head). Its points come in blocks; for each block the corners are located and
// both they and the gradient rows are prefetched kAhead blocks before they are used, because the rows lie all
// over the map and the processor cannot guess them.
#pragma once

#include <stdlib.h>

#include "sampling.h"

namespace detr_kit::DETR_KIT_ISA {

constexpr int kAhead = 5;             // blocks between locating and using
constexpr int64_t kInputsAhead = 12;  // queries between prefetching an item's own rows and using them
constexpr int kCacheLine = 64;

// Zeroed memory on a cache line, for one thread.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t size) {
    const size_t bytes = (size_t(size) * sizeof(T) + kCacheLine) / kCacheLine * kCacheLine;
    data_ = static_cast<T*>(aligned_alloc(kCacheLine, bytes));
    if (data_ == nullptr) abort();
    memset(static_cast<void*>(data_), 0, bytes);
  }
  ~Scratch() { free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  operator T*() const { return data_; }

 private:
  T* data_;
};

// Walks the (query, head, block) of queries [begin, end) of B · Q: groups of queries outside, then heads, then
// the group's queries, then blocks. Neighbouring queries read the same rows of a head, and find them in the
// first-level cache while no other head comes between; the group keeps their locations in the second.
class Cursor {
 public:
  int64_t query, head, first, image;

  Cursor(const Problem& p, int64_t begin, int64_t end, int64_t head_begin, int64_t head_end, int64_t point_begin,
         int64_t point_end)
      : head(head_begin),
        first(point_begin),
        queries_(p.queries),
        group_(p.query_group),
        end_(end),
        head_begin_(head_begin),
        head_end_(head_end),
        point_begin_(point_begin),
        point_end_(point_end) {
    start_group(begin);
  }

  int points() const { return int(point_end_ - first < kBlock ? point_end_ - first : kBlock); }
  bool at_last_block() const { return first + kBlock >= point_end_; }

  void advance() {
    if ((first += kBlock) < point_end_) return;
    first = point_begin_;
    if (++query < group_end_) return;
    query = group_begin_;
    if (++head < head_end_) return;
    head = head_begin_;
    start_group(group_end_);
  }

 private:
  void start_group(int64_t begin) {
    query = group_begin_ = begin;
    image = begin / queries_;
    const int64_t limit = end_ < (image + 1) * queries_ ? end_ : (image + 1) * queries_;
    group_end_ = begin + group_ < limit ? begin + group_ : limit;
  }

  int64_t queries_, group_, end_, head_begin_, head_end_, point_begin_, point_end_, group_begin_, group_end_;
};

template <class A, class C>
struct Slot {
  C corners;
  int64_t item, head, first;
  bool last_block;
};

// Locates blocks in the order of the walk; keeps what the heads of a query share.
template <class T, class A, bool kBackward>
class Locator {
 public:
  Locator(const Problem& p, const T* zero_row) : p_(p), zero_row_(zero_row), attention_weights_(p) {}

  template <class S>
  DETR_KIT_INLINE const T* locate_block(const Cursor& at, S& slot) {
    const bool framed = first_ == at.first && (query_ == at.query || p_.reference_dim == 0);
    if (!framed) frame_.set(p_, at.query, at.first, at.points());
    query_ = at.query;
    first_ = at.first;
    const T* value = static_cast<const T*>(p_.value.data) + at.image * p_.rows * p_.heads * p_.head_dim +
                     at.head * p_.head_stride;
    slot.item = at.query * p_.heads + at.head;
    slot.head = at.head;
    slot.first = at.first;
    slot.last_block = at.at_last_block();
    prefetch_item(slot.item + kInputsAhead * p_.heads, at.first);
    alignas(64) A attention[kBlock];
    attention_weights_.load(slot.item, at.first, at.points(), attention);
    const int64_t zero_offset = (intptr_t(zero_row_) - intptr_t(value)) / int64_t(sizeof(T));
    locate<kBackward>(p_, frame_, attention, slot.item, at.first, at.points(), zero_offset, slot.corners);
    return value;
  }

 private:
  // What the items to come read and write themselves: with the heads outside it lies in strides that the
  // processor does not foresee.
  DETR_KIT_INLINE void prefetch_item(int64_t item, int64_t first) const {
    const int64_t point = item * p_.levels * p_.points + first;
    prefetch<false>(p_.coordinates, 2 * point, 2 * kBlock, coordinate_bytes_);
    prefetch<false>(p_.weights, point, kBlock, weight_bytes_);
    if constexpr (kBackward) {
      prefetch<false>(p_.grad_output, item * p_.head_dim, p_.head_dim, sizeof(T));
      prefetch<true>(p_.grad_coordinates, 2 * point, 2 * kBlock, coordinate_bytes_);
      prefetch<true>(p_.grad_weights, point, kBlock, weight_bytes_);
    } else {
      prefetch<true>(p_.output, item * p_.head_dim, p_.head_dim, sizeof(T));
    }
  }

  template <bool kWrite>
  DETR_KIT_INLINE static void prefetch(const Array& array, int64_t begin, int64_t n, int64_t element_bytes) {
    // An integer, not a pointer: behind the last item it may lie outside the array, which a prefetch ignores.
    const uintptr_t from = reinterpret_cast<uintptr_t>(array.data) + uintptr_t(begin * element_bytes);
    for (int64_t byte = 0; byte < n * element_bytes; byte += kCacheLine)
      __builtin_prefetch(reinterpret_cast<const char*>(from + uintptr_t(byte)), kWrite, 3);
  }

  const Problem& p_;
  const T* zero_row_;
  const int64_t coordinate_bytes_ = bytes_of(p_.coordinates.type), weight_bytes_ = bytes_of(p_.weights.type);
  AttentionWeights<A> attention_weights_;
  Frame<A> frame_;
  int64_t query_ = -1, first_ = -1;
};

template <bool kWrite, int kLines, class T, class C>
DETR_KIT_INLINE void prefetch_lines(const C& corners, const T* rows, int lines) {
  for (int k = 0; k < corners.points; ++k) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const char* row = reinterpret_cast<const char*>(rows + corners.offset[c][k]);
#pragma GCC unroll 2
      for (int line = 0; line < (kLines ? kLines : lines); ++line)
        __builtin_prefetch(row + line * kCacheLine, kWrite, 3);
    }
  }
}

// Every cache line of every corner row.
template <bool kWrite, class T, class C>
DETR_KIT_INLINE void prefetch_rows(const C& corners, const T* rows, int64_t head_dim) {
  const int lines = int((head_dim * int64_t(sizeof(T)) + kCacheLine - 1) / kCacheLine);
  if (lines == 1) return prefetch_lines<kWrite, 1>(corners, rows, lines);
  if (lines == 2) return prefetch_lines<kWrite, 2>(corners, rows, lines);
  prefetch_lines<kWrite, 0>(corners, rows, lines);
}

// Calls strip(width, channel) for runs of 32, 16, 8 and single channels that cover head_dim.
template <class F>
DETR_KIT_INLINE void for_each_strip(int64_t head_dim, const F& strip) {
  int64_t c = 0;
  for (; c + 32 <= head_dim; c += 32) strip(std::integral_constant<int, 32>{}, c);
  for (; c + 16 <= head_dim; c += 16) strip(std::integral_constant<int, 16>{}, c);
  for (; c + 8 <= head_dim; c += 8) strip(std::integral_constant<int, 8>{}, c);
  for (; c < head_dim; ++c) strip(std::integral_constant<int, 1>{}, c);
}

}  // namespace detr_kit::DETR_KIT_ISA
