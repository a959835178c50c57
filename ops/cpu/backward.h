// Backward: gradients of value, coordinates and weights, from the inputs alone.
#pragma once

#include "walk.h"

namespace detr_kit::DETR_KIT_ISA {

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

}  // namespace detr_kit::DETR_KIT_ISA
