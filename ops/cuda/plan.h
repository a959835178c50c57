// How the work is cut into blocks: pure arithmetic on the host, and its counterpart inside the kernels.
//
// An item is one (image, query, head). A unit is what a block does in one go: one head of up to `unit_queries`
// queries of an image. Where the queries are the feature maps themselves (an encoder), a unit is a tile of
// kTileHeight × kTileWidth neighbouring pixels, which sample many rows in common; else it is a run of queries.
#pragma once

#include "device.h"
#include "problem.h"

namespace detr_kit::gpu {

constexpr int kTileHeight = 8, kTileWidth = 16;
constexpr int kWarp = 32;
constexpr int kThreads = 256;  // of a block, at most
// Blocks that shall fit on a multiprocessor at once: enough to hide the latency of gathers, with registers for
// eight rows in flight a lane. Where a whole warp serves an item there are too few blocks to fill the card.
template <int kSplit>
constexpr int kResident = kSplit > 1 ? 2 : 3;

struct Limits {
  int64_t few_items = 16384;       // below it a whole warp serves one item
  int64_t blocks = 1 << 30;        // a grid may have 2^31 - 1; beyond that blocks take several units
  int64_t shared = 48 * 1024;      // bytes that every block gets without asking
  int64_t ordered_warps = 2048;    // wanted where order matters: bands of rows are as narrow as it takes
};

struct Plan {
  int64_t units;
  int32_t tiles;         // units of one head of one image
  int32_t unit_queries;
  bool tiled;
  int32_t group;         // lanes that share a row of D channels
  int32_t split;         // groups that share an item, each with its part of the points
  int32_t vector;        // channels that a lane loads at once
  int32_t threads, blocks, shared_bytes;
};

struct Unit {
  int64_t image;
  int32_t head;
  int64_t first_query;         // of a run
  int32_t level, top, left;    // of a tile
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// k / points for 0 <= k < kMaxPoints as a multiplication and a shift: exact, as k · points < 2^20.
constexpr uint32_t level_multiplier(int32_t points) { return ((1u << 20) + points - 1) / points; }

DETR_KIT_BOTH int32_t level_of(uint32_t multiplier, int32_t k) { return int32_t((uint32_t(k) * multiplier) >> 20); }

// Quads of sixteen bytes from one team's points to the next team's: odd, so that neighbouring teams read from
// different banks.
DETR_KIT_BOTH constexpr int64_t points_stride(int64_t total_points) { return total_points | 1; }

// Whether the products of a point fit where its rows were, see Points in sampling.h.
DETR_KIT_BOTH constexpr bool products_replace_rows(int compute_bytes) { return compute_bytes == 4; }

// Bytes of shared memory that an item takes, see Points in sampling.h.
constexpr int64_t shared_bytes_of_item(int64_t total_points, int compute_bytes, bool backward) {
  const int quads = !backward ? 1 : products_replace_rows(compute_bytes) ? 2 : 3;
  return points_stride(total_points) * (16 + 4 * compute_bytes * quads);
}

// What saves the kernels divisions.
inline void prepare(Problem& p) {
  p.level_of_point = level_multiplier(p.points);
  p.box_step = 0.5 / p.points;
}

// Fills in the tiles of the levels and says how to launch.
inline Plan make_plan(Problem& p, bool backward, const Limits& limits = {}) {
  const bool exact = p.value.type == Type::kDouble;
  const int element = int(bytes_of(p.value.type));
  prepare(p);
  Plan plan{};
  // Sixteen bytes a lane where rows allow it; double serves as the yardstick and has the general kernel only.
  const int wide = 16 / element;
  plan.vector = !exact && p.head_dim % wide == 0 ? wide : 1;
  plan.group = kWarp;
  if (plan.vector > 1) {
    const int for_32 = 32 / plan.vector;  // lanes for the usual 32 channels; 64 have kernels too, 32 lanes do the rest
    plan.group = p.head_dim <= 32 ? for_32 : p.head_dim <= 64 ? 2 * for_32 : kWarp;
  }
  const int64_t items = p.batch * p.queries * p.heads;
  const int64_t total = int64_t(p.levels) * p.points;
  const int64_t item_bytes = shared_bytes_of_item(total, exact ? 8 : 4, backward);
  const bool whole_warp = items < limits.few_items || item_bytes * (kWarp / plan.group) > limits.shared;
  plan.split = whole_warp ? kWarp / plan.group : 1;
  plan.tiled = p.queries == p.rows && !whole_warp;

  const int items_per_warp = kWarp / (plan.group * plan.split);
  int warps = items < limits.few_items ? 4 : kThreads / kWarp;
  while (warps > 1 && warps * items_per_warp * item_bytes > limits.shared) warps /= 2;
  plan.threads = warps * kWarp;
  plan.shared_bytes = int32_t(warps * items_per_warp * item_bytes);

  plan.unit_queries = plan.tiled ? kTileHeight * kTileWidth : warps * items_per_warp;
  int64_t tiles = 0;
  if (plan.tiled) {
    for (int l = 0; l < p.levels; ++l) {
      Level& level = p.level[l];
      level.first_tile = int32_t(tiles);
      level.tiles_across = int32_t(ceil_div(level.width, kTileWidth));
      tiles += ceil_div(level.height, kTileHeight) * level.tiles_across;
    }
  } else {
    tiles = ceil_div(p.queries, plan.unit_queries);
  }
  plan.tiles = int32_t(tiles);
  plan.units = p.batch * tiles * p.heads;
  plan.blocks = int32_t(plan.units < limits.blocks ? plan.units : limits.blocks);
  return plan;
}

// The heads of a tile are neighbours in the order of units, as they are in memory.
DETR_KIT_BOTH Unit unit_at(const Problem& p, const Plan& plan, int64_t index) {
  Unit unit{};
  const int64_t place = index / p.heads;
  unit.head = int32_t(index - place * p.heads);
  unit.image = place / plan.tiles;
  int32_t tile = int32_t(place - unit.image * plan.tiles);
  if (!plan.tiled) {
    unit.first_query = int64_t(tile) * plan.unit_queries;
    return unit;
  }
  while (unit.level + 1 < p.levels && tile >= p.level[unit.level + 1].first_tile) ++unit.level;
  tile -= p.level[unit.level].first_tile;
  const int32_t across = p.level[unit.level].tiles_across;
  unit.top = tile / across * kTileHeight;
  unit.left = tile % across * kTileWidth;
  return unit;
}

// The query of place `slot` of a unit, or -1 where the unit hangs over the edge.
DETR_KIT_BOTH int64_t query_at(const Problem& p, const Plan& plan, const Unit& unit, int32_t slot) {
  if (slot >= plan.unit_queries) return -1;
  if (!plan.tiled) {
    const int64_t query = unit.first_query + slot;
    return query < p.queries ? query : -1;
  }
  const Level& level = p.level[unit.level];
  const int32_t y = unit.top + slot / kTileWidth, x = unit.left + slot % kTileWidth;
  return y < level.height && x < level.width ? level.start + int64_t(y) * level.width + x : -1;
}

}  // namespace detr_kit::gpu
