// Forward: each item blends 4 · L · P rows of D channels.
#pragma once

#include "sampling.h"

namespace detr_kit::gpu {

// Adds this lane's part of the points, kVector channels of each row, to `sum`. Careful: a corner without weight
// is not read at all, so that NaN and Inf there cannot leak in as 0 · NaN.
template <bool kCareful, class T, int kVector, int kSplit, class A>
DETR_KIT_GPU void blend(const char* value, uint32_t row_bytes, int total, int part, const Points<A, false>& points,
                        A (&sum)[kVector]) {
  DETR_KIT_UNROLL(2)
  for (int k = part; k < total; k += kSplit) {
    const Quad<int32_t> rows = points.rows[k];
    const Quad<A> weights = points.weights[k];
    Packed<T, kVector> packed[4];
    DETR_KIT_UNROLL(4)
    for (int c = 0; c < 4; ++c)
      if (!kCareful || weights.at[c] != 0)
        packed[c] = load_packed<T, kVector>(row_at(value, rows.at[c], row_bytes));
    DETR_KIT_UNROLL(4)
    for (int c = 0; c < 4; ++c) {
      if (kCareful && weights.at[c] == 0) continue;
      A row[kVector];
      unpack(packed[c], row);
      DETR_KIT_UNROLL(8)
      for (int i = 0; i < kVector; ++i) sum[i] += weights.at[c] * row[i];
    }
  }
}

template <class T, int kVector, int kGroup, int kSplit>
DETR_KIT_KERNEL(kThreads, kResident<kSplit>)
forward(DETR_KIT_PARAMETER Problem p, DETR_KIT_PARAMETER Plan plan) {
  using A = Compute<T>;
  constexpr bool kOneStrip = kVector > 1 && kGroup < kWarp;  // a group spans the channels of a row
  const Lane<kGroup, kSplit> lane;
  const int total = p.levels * p.points, teams = plan.threads / lane.kTeam;
  const Points<A, false> points(p, lane.team, teams);
  const uint32_t row_bytes = uint32_t(p.heads * p.head_dim) * uint32_t(sizeof(T));
  for (int64_t index = block_index(); index < plan.units; index += block_count()) {
    const Unit unit = unit_at(p, plan, index);
    const char* value = static_cast<const char*>(p.value.data) + unit.image * p.rows * row_bytes;
    for (int first = 0; first < plan.unit_queries; first += teams) {
      const Item item = item_at(p, plan, unit, first + lane.team);
      if (ballot(item.exists) == 0) continue;
      set_up<lane.kTeam>(p, item, lane.member, points);
      for (int strip = 0; strip < (kOneStrip ? 1 : p.head_dim); strip += kGroup * kVector) {
        const int channel = strip + lane.channel * kVector;
        const bool mine = channel < p.head_dim;
        const char* column = value + (int64_t(unit.head) * p.head_dim + (mine ? channel : 0)) * int(sizeof(T));
        A sum[kVector] = {};
        blend<false, T, kVector, kSplit>(column, row_bytes, total, lane.part, points, sum);
        // Zero times NaN or Inf is NaN, so anything that leaked in shows; it is seldom.
        bool leaked = false;
        DETR_KIT_UNROLL(8)
        for (int i = 0; i < kVector; ++i) leaked |= sum[i] != sum[i];
        if (leaked) {
          DETR_KIT_UNROLL(8)
          for (int i = 0; i < kVector; ++i) sum[i] = 0;
          blend<true, T, kVector, kSplit>(column, row_bytes, total, lane.part, points, sum);
        }
        if constexpr (kSplit > 1) {
          sync_warp();
          DETR_KIT_UNROLL(8)
          for (int i = 0; i < kVector; ++i) {
            DETR_KIT_UNROLL(3)
            for (int mask = kGroup; mask < lane.kTeam; mask *= 2) sum[i] += from_lane_xor(sum[i], mask);
          }
        }
        if (item.exists && mine && lane.part == 0)
          store_row<T, kVector>(static_cast<T*>(p.output.data) + item.index * p.head_dim + channel, sum);
      }
      sync_warp();  // before the next item takes over the shared memory
    }
  }
}

}  // namespace detr_kit::gpu
