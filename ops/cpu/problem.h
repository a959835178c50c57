// One call of multi-scale deformable attention on the CPU in plain pointers and sizes: what the registration
// (which knows torch) hands to the kernels (which know the instruction set).
#pragma once

#include <stdint.h>

#include "../array.h"

namespace detr_kit {

// B images, Q queries, M heads of D channels, L levels of P points. All arrays are contiguous.
//
// The compute type is double where value is double, else float.
struct Problem {
  int64_t batch, queries, heads, head_dim, rows, levels, points;  // rows: S, the pixels of all levels

  // For each of the L · P points its level's width, height and first row, padded with zeros to whole blocks.
  const int32_t *point_width, *point_height, *point_start;

  Array value;                      // (B, S, M, D) or (B, M, S, D), as the strides say
  int64_t row_stride, head_stride;  // of value and grad_value, in elements
  int64_t query_group;              // queries that stay together, see Cursor in walk.h

  Array coordinates;  // (B, Q, M, L, P, 2): sampling locations in [0, 1], or sampling offsets with a reference
  Array weights;      // (B, Q, M, L, P): attention weights, or logits with a reference
  Array reference;    // (B, Q, L, 2 or 4) in the compute type; null for the classical entry
  int reference_dim;  // 0 (classical), 2 (points) or 4 (cxcywh boxes)

  Array output;  // (B, Q, M, D) like value

  // Backward.
  Array grad_output;       // (B, Q, M, D) like value
  Array grad_value;        // as value, in the compute type; zeroed by the kernel
  Array grad_coordinates;  // like coordinates
  Array grad_weights;      // like weights; in the compute type while the softmax is unfinished
  Array grad_reference;    // (B, Q, M, L, reference_dim) in the compute type, or null
};

// The part of a backward pass that one thread does alone: nobody else writes the gradient of these heads of
// this image at these levels, which is why neither atomics nor the number of threads matter to the result.
struct BackwardTask {
  int64_t image, head_begin, head_end, level_begin, level_end;
  bool softmax_pending;  // fused with split levels: leave the gradient of the weights to finish_softmax
};

struct Kernels {
  const char* name;
  // Queries [begin, end) of B · Q.
  void (*forward)(const Problem&, int64_t begin, int64_t end);
  void (*backward)(const Problem&, const BackwardTask&);
  // Gradient of the logits of items [begin, end) of B · Q · M, from the gradient of the weights.
  void (*finish_softmax)(const Problem&, const Array& grad_softmax, int64_t begin, int64_t end);
};

constexpr int kBlock = 16;  // points handled together

extern const Kernels kBaselineKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

}  // namespace detr_kit
