// One call of multi-scale deformable attention on a GPU in plain pointers and sizes. It travels to the kernels
// by value, in constant memory: no level shape is ever copied to the device or read back.
#pragma once

#include "../array.h"

namespace detr_kit::gpu {

constexpr int kMaxLevels = 32;
constexpr int kMaxPoints = 400;  // of an item, over all levels

struct Level {
  int32_t width, height, start;       // start: the level's first row in value
  int32_t first_tile, tiles_across;  // where queries are tiled, see plan.h
};

// B images, Q queries, M heads of D channels, L levels of P points; S rows, the pixels of all levels.
// All arrays are contiguous and begin at a multiple of 16 bytes. The compute type is double where value is
// double, else float.
struct Problem {
  int64_t batch, rows, queries;
  int32_t heads, head_dim, levels, points;
  uint32_t level_of_point;  // multiply and shift instead of a division, see level_of
  double box_step;          // 1 / 2P: half a box divided by P
  Level level[kMaxLevels];

  Array value;        // (B, S, M, D)
  Array coordinates;  // (B, Q, M, L, P, 2): sampling locations in [0, 1], or sampling offsets with a reference
  Array weights;      // (B, Q, M, L, P): attention weights, or logits with a reference
  Array reference;    // (B, Q, L, 2 or 4) in the compute type; null for the classical entry
  int32_t reference_dim;  // 0 (classical), 2 (points) or 4 (cxcywh boxes)

  Array output;  // (B, Q, M, D) like value

  // Backward.
  Array grad_output;       // (B, Q, M, D) like value
  Array grad_value;        // as value, in the compute type, zeroed; null: leave it to the ordered kernel
  Array grad_coordinates;  // like coordinates
  Array grad_weights;      // like weights
  Array grad_reference;    // (B, Q, M, L, reference_dim) in the compute type, or null
};

}  // namespace detr_kit::gpu
