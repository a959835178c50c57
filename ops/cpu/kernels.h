// The forward and backward loops. Included once for each instruction set, see kernels_*.cpp.
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

// ---- forward ----

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

// ---- backward ----

// Products of the output's gradient with the rows of a block (added to `products`), and the rows' gradient,
// for kWidth channels. Points go outside corners, so that a row always receives its terms in the same order.
template <int kWidth, class T, class A>
DETR_KIT_INLINE void scatter(const Corners<A>& corners, const T* value, const T* grad_output, A* grad_value,
                             A (*products)[kBlock]) {
  constexpr int N = kWidth < kLanes<A> ? kWidth : kLanes<A>, kVectors = kWidth / N;
  Vector<A, N> gradient[kVectors], product[4][kBlock];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) gradient[v] = load<N>(grad_output + v * N);
  for (int k = 0; k < corners.points; ++k) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const T* row = value + corners.offset[c][k];
      A* grad_row = grad_value + corners.offset[c][k];
      const A weight = corners.weight[c][k];
      Vector<A, N> sum = gradient[0] * load<N>(row);
#pragma GCC unroll 8
      for (int v = 1; v < kVectors; ++v) sum += gradient[v] * load<N>(row + v * N);
      product[c][k] = sum;
      // A corner outside the map points at row 0, which may be another task's: adding a zero there would
      // undo what that task adds at the same moment.
      if (weight != 0) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
          store(grad_row + v * N, load<N>(grad_row + v * N) + weight * gradient[v]);
      }
    }
  }
  for (int c = 0; c < 4; ++c) {
    if constexpr (N == 1) {
      for (int k = 0; k < corners.points; ++k) products[c][k] += product[c][k];
    } else {
      for (int k = corners.points; k < kBlock; ++k) product[c][k] = Vector<A, N>{};
      for (int k = 0; k < kBlock; k += N)
        store(products[c] + k, load<N>(products[c] + k) + row_sums<A, N>(product[c] + k));
    }
  }
}

// Gradients of the attention weight and of the pixel position of each point, from the products.
template <class A>
DETR_KIT_INLINE void differentiate(const BackwardCorners<A>& corners, const A (*products)[kBlock],
                                   A* grad_attention, A* grad_x, A* grad_y) {
#pragma omp simd
  for (int k = 0; k < kBlock; ++k) {
    const A x = corners.x[k], y = corners.y[k], attention = corners.attention[k];
    const A top_left = corners.inside[0][k] ? products[0][k] : A(0);
    const A top_right = corners.inside[1][k] ? products[1][k] : A(0);
    const A bottom_left = corners.inside[2][k] ? products[2][k] : A(0);
    const A bottom_right = corners.inside[3][k] ? products[3][k] : A(0);
    // On a pixel's very column or row the neighbour has no weight, and its NaN no say in the sample.
    const A top = (1 - x) * top_left + (x != 0 ? x * top_right : A(0));
    const A bottom = (1 - x) * bottom_left + (x != 0 ? x * bottom_right : A(0));
    grad_attention[k] = (1 - y) * top + (y != 0 ? y * bottom : A(0));
    const A slope_x = (1 - y) * (top_right - top_left) + y * (bottom_right - bottom_left);
    const A slope_y = bottom - top;
    grad_x[k] = attention != 0 ? attention * slope_x : A(0);
    grad_y[k] = attention != 0 ? attention * slope_y : A(0);
  }
}

// Softmax backward: logits' gradient = weight · (weight's gradient - their weighted mean). Never inlined, so
// that its rounding is the same wherever it is called from.
template <class A>
__attribute__((noinline)) void softmax_backward(const A* attention, A* gradient, int64_t n) {
  A mean = 0;
  for (int64_t k = 0; k < n; ++k) mean += attention[k] != 0 ? attention[k] * gradient[k] : A(0);
  for (int64_t k = 0; k < n; ++k) gradient[k] = attention[k] != 0 ? attention[k] * (gradient[k] - mean) : A(0);
}

// The gradient of the reference points of one block, added to the item's own sums.
template <class A>
void add_reference_gradient(const Problem& p, const Slot<A, BackwardCorners<A>>& slot, const A* grad_x,
                            const A* grad_y) {
  const int n = slot.corners.points;
  A coordinates[2 * kBlock];
  load_row(p.coordinates, 2 * (slot.item * p.levels * p.points + slot.first), 2 * n, coordinates);
  for (int k = 0; k < n; ++k) {
    const int64_t point = slot.first + k, level = point / p.points;
    const A width = A(p.point_width[point]), height = A(p.point_height[point]);
    A* gradient =
        static_cast<A*>(p.grad_reference.data) + (slot.item * p.levels + level) * p.reference_dim;
    gradient[0] += grad_x[k] * width;
    gradient[1] += grad_y[k] * height;
    if (p.reference_dim == 4) {
      gradient[2] += grad_x[k] * coordinates[2 * k] * width / A(2 * p.points);
      gradient[3] += grad_y[k] * coordinates[2 * k + 1] * height / A(2 * p.points);
    }
  }
}

template <class A>
void clear_gradient(const Problem& p, const BackwardTask& task) {
  const int64_t begin = p.point_start[task.level_begin * p.points];
  const int64_t end = task.level_end == p.levels ? p.rows : p.point_start[task.level_end * p.points];
  const int64_t heads = task.head_end - task.head_begin;
  A* rows = static_cast<A*>(p.grad_value.data) + task.image * p.rows * p.heads * p.head_dim +
            task.head_begin * p.head_stride;
  if (p.row_stride == p.head_dim) {  // (B, M, S, D): the rows of a head in one piece
    for (int64_t head = 0; head < heads; ++head)
      memset(rows + head * p.head_stride + begin * p.head_dim, 0, size_t((end - begin) * p.head_dim) * sizeof(A));
  } else {  // (B, S, M, D): the heads of a row
    for (int64_t row = begin; row < end; ++row)
      memset(rows + row * p.row_stride, 0, size_t(heads * p.head_dim) * sizeof(A));
  }
}

template <class T>
void backward(const Problem& p, const BackwardTask& task) {
  using A = Compute<T>;
  clear_gradient<A>(p, task);
  const int64_t head_dim = p.head_dim, total = p.levels * p.points;
  const int64_t point_begin = task.level_begin * p.points, point_end = task.level_end * p.points;
  const int64_t blocks = (point_end - point_begin + kBlock - 1) / kBlock *
                         (task.head_end - task.head_begin) * p.queries;
  const Scratch<A> attention(total + kBlock), grad_attention(total + kBlock);
  const T* const values =
      static_cast<const T*>(p.value.data) + task.image * p.rows * p.heads * head_dim;
  A* const grad_values = static_cast<A*>(p.grad_value.data) + task.image * p.rows * p.heads * head_dim;
  Slot<A, BackwardCorners<A>> ring[kAhead];
  Locator<T, A, true> locator(p, values);
  Cursor next(p, task.image * p.queries, (task.image + 1) * p.queries, task.head_begin, task.head_end,
              point_begin, point_end);
  for (int64_t i = 0; i < blocks + kAhead; ++i) {
    auto& slot = ring[i % kAhead];
    if (i >= kAhead) {
      const int n = slot.corners.points;
      alignas(64) A products[4][kBlock] = {}, grad_x[kBlock], grad_y[kBlock], grad_xy[2 * kBlock];
      const T* grad_output = static_cast<const T*>(p.grad_output.data) + slot.item * head_dim;
      for_each_strip(head_dim, [&](auto width, int64_t c) {
        const int64_t channel = slot.head * p.head_stride + c;
        scatter<decltype(width)::value>(slot.corners, values + channel, grad_output + c, grad_values + channel,
                                        products);
      });
      differentiate(slot.corners, products, grad_attention + slot.first, grad_x, grad_y);
      for (int k = 0; k < kBlock; ++k) {
        grad_xy[2 * k] = grad_x[k] * slot.corners.step_x[k];
        grad_xy[2 * k + 1] = grad_y[k] * slot.corners.step_y[k];
      }
      store_row(grad_xy, p.grad_coordinates, 2 * (slot.item * total + slot.first), 2 * n);
      if (p.grad_reference.data != nullptr) add_reference_gradient(p, slot, grad_x, grad_y);
      memcpy(attention + slot.first, slot.corners.attention, sizeof(slot.corners.attention));
      if (slot.last_block) {
        if (p.reference_dim != 0 && !task.softmax_pending)
          softmax_backward<A>(attention, grad_attention, total);
        store_row<A>(grad_attention + point_begin, p.grad_weights, slot.item * total + point_begin,
                     point_end - point_begin);
      }
    }
    if (i < blocks) {
      const T* value = locator.locate_block(next, slot);
      prefetch_rows<false>(slot.corners, value, head_dim);
      prefetch_rows<true>(slot.corners, grad_values + slot.head * p.head_stride, head_dim);
      next.advance();
    }
  }
}

template <class T>
void finish_softmax(const Problem& p, const Array& grad_softmax, int64_t begin, int64_t end) {
  using A = Compute<T>;
  const int64_t total = p.levels * p.points;
  const Scratch<A> attention(total + kBlock), gradient(total);
  AttentionWeights<A> weights(p);
  for (int64_t item = begin; item < end; ++item) {
    for (int64_t first = 0; first < total; first += kBlock)
      weights.load(item, first, int(total - first < kBlock ? total - first : kBlock), attention + first);
    load_row<A>(grad_softmax, item * total, total, gradient);
    softmax_backward<A>(attention, gradient, total);
    store_row<A>(gradient, p.grad_weights, item * total, total);
  }
}

// ---- the choice of type ----

template <class F>
void with_type(Type type, const F& call) {
  switch (type) {
    case Type::kFloat: return call(float{});
    case Type::kDouble: return call(double{});
    case Type::kBFloat16: return call(BFloat16{});
    case Type::kHalf: return call(Half{});
  }
}

inline void forward_any(const Problem& p, int64_t begin, int64_t end) {
  with_type(p.value.type, [&](auto type) { forward<decltype(type)>(p, begin, end); });
}

inline void backward_any(const Problem& p, const BackwardTask& task) {
  with_type(p.value.type, [&](auto type) { backward<decltype(type)>(p, task); });
}

inline void finish_softmax_any(const Problem& p, const Array& grad_softmax, int64_t begin, int64_t end) {
  with_type(p.value.type, [&](auto type) { finish_softmax<decltype(type)>(p, grad_softmax, begin, end); });
}

}  // namespace detr_kit::DETR_KIT_ISA
