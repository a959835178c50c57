// Backward: gradients of value, coordinates, weights and reference points, from the inputs alone.
#pragma once

#include "sampling.h"

namespace detr_kit::gpu {

// Sums four numbers over the lanes of a group in 2 + 1 + 1 + … shuffles instead of four times log2: at each step
// a lane gives away the half that its neighbour goes on with. Returns the sum of v[corner], `corner` being the
// lane's own: channel / (kGroup / 4).
template <int kGroup, class A>
DETR_KIT_GPU A sum_quad_over_group(A (&v)[4], int channel) {
  const bool lower = channel & kGroup / 2, odd = channel & kGroup / 4;
  DETR_KIT_UNROLL(2)
  for (int i = 0; i < 2; ++i) {
    const A give = lower ? v[i] : v[i + 2], keep = lower ? v[i + 2] : v[i];
    v[i] = keep + from_lane_xor(give, kGroup / 2);
  }
  const A give = odd ? v[0] : v[1], keep = odd ? v[1] : v[0];
  A sum = keep + from_lane_xor(give, kGroup / 4);
  DETR_KIT_UNROLL(3)
  for (int mask = kGroup / 8; mask > 0; mask /= 2) sum += from_lane_xor(sum, mask);
  return sum;
}

// Products of an item's corner rows with the gradient of its output, and the gradient of those rows.
template <class T, int kVector, int kGroup, int kSplit, class A>
DETR_KIT_GPU void scatter(const Problem& p, const Unit& unit, const Item& item, const Lane<kGroup, kSplit>& lane,
                          const Points<A, true>& points) {
  constexpr bool kOneStrip = kVector > 1 && kGroup < kWarp;
  const int total = p.levels * p.points;
  const uint32_t row_size = uint32_t(p.heads * p.head_dim);
  const bool adds = p.grad_value.data != nullptr;
  const int64_t slice = unit.image * p.rows * row_size + int64_t(unit.head) * p.head_dim;
  const T* value = static_cast<const T*>(p.value.data) + slice;
  const T* grad_output = static_cast<const T*>(p.grad_output.data) + item.index * p.head_dim;
  A* grad_value = static_cast<A*>(p.grad_value.data) + slice;

  const int own = lane.channel * kVector;
  A gradient[kVector] = {};
  if (kOneStrip && own < p.head_dim) unpack(load_packed<T, kVector>(grad_output + own), gradient);
  const bool deals = kOneStrip && !adds_four();
  const Dealt<T, kGroup> dealt(grad_output, lane.channel, deals ? p.head_dim : 0);
  // Every lane makes the same number of turns, for the shuffles.
  DETR_KIT_UNROLL(2)
  for (int first = 0; first < total; first += kSplit) {
    const int k = first + lane.part;
    A product[4] = {};
    if (kSplit == 1 || k < total) {
      const Quad<int32_t> rows = points.rows[k];
      const Quad<A> weights = points.weights[k];
      for (int channel = own; channel < p.head_dim; channel += kGroup * kVector) {
        Packed<T, kVector> packed[4];
        DETR_KIT_UNROLL(4)
        for (int c = 0; c < 4; ++c)
          packed[c] = load_packed<T, kVector>(row_at(value + channel, rows.at[c], row_size * uint32_t(sizeof(T))));
        if (!kOneStrip) unpack(load_packed<T, kVector>(grad_output + channel), gradient);
        DETR_KIT_UNROLL(4)
        for (int c = 0; c < 4; ++c) {
          A row[kVector];
          unpack(packed[c], row);
          DETR_KIT_UNROLL(8)
          for (int i = 0; i < kVector; ++i) product[c] += gradient[i] * row[i];
          if (!deals)
            add_row(adds && weights.at[c] != 0, row_at(grad_value + channel, rows.at[c], row_size * uint32_t(sizeof(A))),
                    weights.at[c], gradient);
        }
        if (kOneStrip) break;
      }
      if constexpr (kOneStrip) {
        if (deals) {
          A* to = grad_value + lane.channel * dealt.kNumbers;
          DETR_KIT_UNROLL(4)
          for (int c = 0; c < 4; ++c)
            dealt.add(adds && weights.at[c] != 0, row_at(to, rows.at[c], row_size * uint32_t(sizeof(A))), weights.at[c]);
        }
      }
    }
    const A sum = sum_quad_over_group<kGroup>(product, lane.channel);
    if (points.kInPlace) sync_warp();  // all have read the rows
    if (lane.channel % (kGroup / 4) == 0 && (kSplit == 1 || k < total))
      points.set_product(k, lane.channel / (kGroup / 4), sum);
  }
}

// From the products: the gradients of the attention weight and of the pixel position of a point.
template <class A>
struct Slopes {
  A attention, x, y;

  DETR_KIT_GPU Slopes(const Points<A, true>& points, int k) {
    const Quad<A> details = points.details[k];
    const A right = details.at[0], down = details.at[1], weight = details.at[2];
    const int inside = int(details.at[3]);
    A row[4];
    DETR_KIT_UNROLL(4)
    for (int c = 0; c < 4; ++c) row[c] = inside >> c & 1 ? points.product(k, c) : A(0);
    // On a pixel's very column or row the neighbour has no weight, and its NaN no say in the sample.
    const A top = (1 - right) * row[0] + (right != 0 ? right * row[1] : A(0));
    const A bottom = (1 - right) * row[2] + (right != 0 ? right * row[3] : A(0));
    attention = (1 - down) * top + (down != 0 ? down * bottom : A(0));
    x = weight != 0 ? weight * ((1 - down) * (row[1] - row[0]) + down * (row[3] - row[2])) : A(0);
    y = weight != 0 ? weight * (bottom - top) : A(0);
  }
};

// Writes the gradients of an item's coordinates, weights and reference points.
template <int kTeam, class A>
DETR_KIT_GPU void differentiate(const Problem& p, const Item& item, int member, const Points<A, true>& points) {
  const int total = p.levels * p.points;
  const int64_t first = item.index * total;
  const bool fused = p.reference_dim != 0, reference = p.grad_reference.data != nullptr;
  A mean = 0;
  for (int k = member; k < total; k += kTeam) {
    const A attention = points.details[k].at[2];
    const Slopes<A> slope(points, k);
    const int l = level_of(p.level_of_point, k);
    const Level& level = p.level[l];
    const Frame<A> frame(p, level, item.query, l);
    if (item.exists) store_pair(p.grad_coordinates, first + k, slope.x * frame.step_x, slope.y * frame.step_y);
    if (!fused && item.exists) store(p.grad_weights, first + k, slope.attention);
    if (fused) {
      points.weights[k].at[0] = slope.attention;  // the weights have served
      mean += attention != 0 ? attention * slope.attention : A(0);
    }
    if (reference) {
      const Pair<A> given = load_pair<A>(p.coordinates, first + k);
      const A x = slope.x * A(level.width), y = slope.y * A(level.height), scale = A(p.box_step);
      points.set_product(k, 0, x), points.set_product(k, 1, y);
      points.set_product(k, 2, x * given.x * scale), points.set_product(k, 3, y * given.y * scale);
    }
  }
  if (fused) {
    mean = sum_over_team<kTeam>(mean);
    for (int k = member; k < total && item.exists; k += kTeam) {
      const A attention = points.details[k].at[2];
      store(p.grad_weights, first + k, attention != 0 ? attention * (points.weights[k].at[0] - mean) : A(0));
    }
  }
  if (!reference) return;
  sync_warp();
  A* grad_reference = static_cast<A*>(p.grad_reference.data) + item.index * p.levels * p.reference_dim;
  for (int i = member; i < p.levels * p.reference_dim && item.exists; i += kTeam) {
    const int l = i / p.reference_dim, part = i % p.reference_dim;
    A sum = 0;
    for (int k = l * p.points; k < (l + 1) * p.points; ++k) sum += points.product(k, part);
    grad_reference[i] = sum;
  }
}

template <class T, int kVector, int kGroup, int kSplit>
DETR_KIT_KERNEL(kThreads, kResident<kSplit>)
backward(DETR_KIT_PARAMETER Problem p, DETR_KIT_PARAMETER Plan plan) {
  using A = Compute<T>;
  const Lane<kGroup, kSplit> lane;
  const int teams = plan.threads / lane.kTeam;
  const Points<A, true> points(p, lane.team, teams);
  for (int64_t index = block_index(); index < plan.units; index += block_count()) {
    const Unit unit = unit_at(p, plan, index);
    for (int first = 0; first < plan.unit_queries; first += teams) {
      const Item item = item_at(p, plan, unit, first + lane.team);
      if (ballot(item.exists) == 0) continue;
      set_up<lane.kTeam>(p, item, lane.member, points);
      scatter<T, kVector>(p, unit, item, lane, points);
      sync_warp();
      differentiate<lane.kTeam>(p, item, lane.member, points);
      sync_warp();  // before the next item takes over the shared memory
    }
  }
}

}  // namespace detr_kit::gpu
