// Where the points of an item sample and with what weight. Each point is set up once, by one lane, and left in
// shared memory for all.
#pragma once

#include "plan.h"
#include "storage.h"

namespace detr_kit::gpu {

template <class N>
struct alignas(16) Quad {
  N at[4];
};

// What a lane is to its item: groups of kGroup lanes share the channels of a row, kSplit groups the points.
template <int kGroup, int kSplit>
struct Lane {
  static constexpr int kTeam = kGroup * kSplit;
  int team;     // of the block's teams, one to an item
  int member;   // of the team
  int channel;  // of the group
  int part;     // of the split

  DETR_KIT_GPU Lane() {
    const int thread = thread_index();
    team = thread / kTeam;
    member = thread % kTeam;
    channel = member % kGroup;
    part = member / kGroup;
  }
};

// The item that a team is at. Lanes without one go through the motions with item 0 and no weight, since all
// lanes of a warp take part in its shuffles.
struct Item {
  int64_t query;  // counted over the batch: image · Q + query
  int64_t index;  // (image · Q + query) · M + head
  bool exists;
};

DETR_KIT_GPU Item item_at(const Problem& p, const Plan& plan, const Unit& unit, int slot) {
  const int64_t query = query_at(p, plan, unit, slot);
  Item item;
  item.exists = query >= 0;
  item.query = unit.image * p.queries + (item.exists ? query : 0);
  item.index = item.query * p.heads + unit.head;
  return item;
}

// An item's points in shared memory. The four corners: top left, top right, bottom left, bottom right.
template <class A, bool kBackward>
struct Points {
  static constexpr bool kInPlace = products_replace_rows(sizeof(A));
  Quad<int32_t>* rows;  // rows of value; row 0 where a corner lies outside the map
  Quad<A>* weights;     // attention times bilinear weight, zero outside the map
  // Backward only.
  Quad<A>* details;   // fraction of a pixel right of and below the top left, attention, corners inside (bits)
  Quad<A>* products;  // of the corner rows with the gradient of the output; in float they take the place of the rows

  DETR_KIT_GPU Points(const Problem& p, int team, int teams) {
    const int stride = int(points_stride(p.levels * p.points)), all = teams * stride;
    rows = reinterpret_cast<Quad<int32_t>*>(shared_memory()) + team * stride;
    weights = reinterpret_cast<Quad<A>*>(shared_memory() + all * int(sizeof(Quad<int32_t>))) + team * stride;
    details = weights + all;
    products = details + all;
  }

  // In place only when every lane of the team has read the rows of point k.
  DETR_KIT_GPU void set_product(int k, int corner, A x) const {
    if constexpr (kInPlace) rows[k].at[corner] = int32_t(bits_of(x));
    else products[k].at[corner] = x;
  }
  DETR_KIT_GPU A product(int k, int corner) const {
    if constexpr (kInPlace) return float_of(uint32_t(rows[k].at[corner]));
    else return products[k].at[corner];
  }
};

template <int kTeam, class A>
DETR_KIT_GPU A sum_over_team(A x) {
  DETR_KIT_UNROLL(5)
  for (int mask = kTeam / 2; mask > 0; mask /= 2) x += from_lane_xor(x, mask);
  return x;
}

template <int kTeam, class A>
DETR_KIT_GPU A maximum_over_team(A x) {
  DETR_KIT_UNROLL(5)
  for (int mask = kTeam / 2; mask > 0; mask /= 2) {
    const A other = from_lane_xor(x, mask);
    x = other > x ? other : x;
  }
  return x;
}

// All entries are one affine map from what is given to pixels: pixel = anchor + step · coordinate. A location in
// [0, 1] spans the map; an offset counts pixels from a point, or half boxes divided by P from a box's centre.
template <class A>
struct Frame {
  A anchor_x, anchor_y, step_x, step_y;

  DETR_KIT_GPU Frame(const Problem& p, const Level& level, int64_t query, int l) {
    const A width = A(level.width), height = A(level.height);
    anchor_x = anchor_y = A(-0.5);
    step_x = width, step_y = height;
    if (p.reference_dim == 0) return;
    const A* at = static_cast<const A*>(p.reference.data) + (query * p.levels + l) * p.reference_dim;
    anchor_x += at[0] * width;
    anchor_y += at[1] * height;
    step_x = step_y = 1;
    if (p.reference_dim == 4) {
      step_x = at[2] * width * A(p.box_step);
      step_y = at[3] * height * A(p.box_step);
    }
  }
};

template <class A, bool kBackward>
DETR_KIT_GPU void set_up_point(const Problem& p, const Item& item, int k, A attention,
                               const Points<A, kBackward>& points) {
  const int l = level_of(p.level_of_point, k);
  const Level& level = p.level[l];
  const int32_t width = level.width, height = level.height;
  const Frame<A> frame(p, level, item.query, l);
  const Pair<A> given = load_pair<A>(p.coordinates, item.index * (p.levels * p.points) + k);
  A x = frame.anchor_x + frame.step_x * given.x, y = frame.anchor_y + frame.step_y * given.y;
  const bool near = x > A(-1) && y > A(-1) && x < A(width) && y < A(height);  // false for NaN
  x = near ? x : A(0);
  y = near ? y : A(0);
  const int32_t x0 = int32_t(x) - (x < 0), y0 = int32_t(y) - (y < 0);  // floor, as x > -1
  x -= A(x0);
  y -= A(y0);
  const bool left = near && x0 >= 0, right = near && x0 + 1 < width;
  const bool top = y0 >= 0, bottom = y0 + 1 < height;
  const bool inside[4] = {left && top, right && top, left && bottom, right && bottom};
  const A above = attention * (1 - y), below = attention * y;
  const A weight[4] = {above * (1 - x), above * x, below * (1 - x), below * x};
  const int32_t corner = level.start + y0 * width + x0;
  const int32_t row[4] = {corner, corner + 1, corner + width, corner + width + 1};
  Quad<int32_t> rows;
  Quad<A> weights;
  DETR_KIT_UNROLL(4)
  for (int c = 0; c < 4; ++c) {
    rows.at[c] = inside[c] ? row[c] : 0;
    weights.at[c] = inside[c] ? weight[c] : A(0);
  }
  points.rows[k] = rows;
  points.weights[k] = weights;
  if constexpr (kBackward) {
    const int mask = inside[0] | inside[1] << 1 | inside[2] << 2 | inside[3] << 3;
    points.details[k] = {{x, y, attention, A(mask)}};
  }
}

// Sets up all points of an item, the members of its team in turns.
template <int kTeam, class A, bool kBackward>
DETR_KIT_GPU void set_up(const Problem& p, const Item& item, int member, const Points<A, kBackward>& points) {
  const int total = p.levels * p.points;
  const int64_t first = item.index * total;
  if (p.reference_dim == 0) {
    for (int k = member; k < total; k += kTeam)
      set_up_point(p, item, k, item.exists ? load<A>(p.weights, first + k) : A(0), points);
  } else {
    // A member keeps its exponentials where it will put the weights: nobody else looks there before sync_warp.
    A maximum = A(-INFINITY), sum = 0;
    for (int k = member; k < total; k += kTeam) {
      const A logit = load<A>(p.weights, first + k);
      points.weights[k].at[0] = logit;
      maximum = logit > maximum ? logit : maximum;
    }
    maximum = maximum_over_team<kTeam>(maximum);
    for (int k = member; k < total; k += kTeam) {
      const A e = exponential(points.weights[k].at[0] - maximum);
      points.weights[k].at[0] = e;
      sum += e;
    }
    sum = sum_over_team<kTeam>(sum);
    const A scale = item.exists ? 1 / sum : A(0);
    for (int k = member; k < total; k += kTeam)
      set_up_point(p, item, k, scale * points.weights[k].at[0], points);
  }
  sync_warp();
}

}  // namespace detr_kit::gpu
