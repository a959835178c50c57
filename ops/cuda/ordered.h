// The gradient of value with every sum in a fixed order, for torch.use_deterministic_algorithms.
//
// A warp owns a band of rows of one head of one image and nobody else writes there, so no atomics are needed. It
// looks at all queries in turn and takes from each the corners that fall into its band. The warps of a block set
// up one item each and then look at all of them.
#pragma once

#include "sampling.h"

namespace detr_kit::gpu {

struct OrderedPlan {
  int64_t band;          // rows
  int64_t bands;         // groups of bands, one to a block, of a head
  int64_t units;         // in all
  int32_t threads, blocks, shared_bytes;
};

inline OrderedPlan make_ordered_plan(Problem& p, const Limits& limits = {}) {
  prepare(p);
  const int compute_bytes = p.value.type == Type::kDouble ? 8 : 4;
  const int64_t item_bytes = shared_bytes_of_item(int64_t(p.levels) * p.points, compute_bytes, false);
  int warps = kThreads / kWarp;
  while (warps > 1 && warps * item_bytes > limits.shared) warps /= 2;
  OrderedPlan plan{};
  const int64_t slices = p.batch * p.heads;
  plan.band = ceil_div(p.rows, ceil_div(limits.ordered_warps, slices));
  plan.bands = ceil_div(p.rows, plan.band * warps);
  plan.units = slices * plan.bands;
  plan.threads = warps * kWarp;
  plan.blocks = int32_t(plan.units < limits.blocks ? plan.units : limits.blocks);
  plan.shared_bytes = int32_t(warps * item_bytes);
  return plan;
}

template <class T>
DETR_KIT_KERNEL(kThreads, 3)
collect_in_order(DETR_KIT_PARAMETER Problem p, DETR_KIT_PARAMETER OrderedPlan plan) {
  using A = Compute<T>;
  const Lane<kWarp, 1> lane;
  const int warps = plan.threads / kWarp, total = p.levels * p.points;
  const Points<A, false> own(p, lane.team, warps);
  const int32_t row_size = p.heads * p.head_dim;
  for (int64_t index = block_index(); index < plan.units; index += block_count()) {
    const int64_t slice = index / plan.bands;
    const int64_t image = slice / p.heads, head = slice % p.heads;
    const int64_t begin = (index % plan.bands * warps + lane.team) * plan.band, end = begin + plan.band;
    A* grad_value = static_cast<A*>(p.grad_value.data) + image * p.rows * row_size + head * p.head_dim;
    for (int64_t first = 0; first < p.queries; first += warps) {
      const bool exists = first + lane.team < p.queries;
      const int64_t query = image * p.queries + (exists ? first + lane.team : 0);
      set_up<kWarp>(p, Item{query, query * p.heads + head, exists}, lane.member, own);
      sync_block();
      for (int other = 0; other < warps && first + other < p.queries; ++other) {
        const Points<A, false> points(p, other, warps);
        const T* grad_output = static_cast<const T*>(p.grad_output.data) +
                               ((image * p.queries + first + other) * p.heads + head) * p.head_dim;
        for (int base = 0; base < total; base += kWarp) {
          for (int c = 0; c < 4; ++c) {
            const int k = base + lane.member;
            const bool hit = k < total && points.weights[k].at[c] != 0 && points.rows[k].at[c] >= begin &&
                             points.rows[k].at[c] < end;
            for (unsigned hits = ballot(hit); hits != 0; hits &= hits - 1) {
              const int at = base + lowest_bit(hits);
              A* row = grad_value + int64_t(points.rows[at].at[c]) * row_size;
              const A weight = points.weights[at].at[c];
              for (int i = lane.member; i < p.head_dim; i += kWarp) row[i] += weight * widen(grad_output[i]);
            }
          }
        }
      }
      sync_block();  // before the next items take over the shared memory
    }
  }
}

}  // namespace detr_kit::gpu
