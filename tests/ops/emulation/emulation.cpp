// The CUDA kernels on the processor, and their plan, behind a C interface for ctypes.
#include <algorithm>
#include <iterator>

#include "cuda/dispatch.h"

using namespace detr_kit;
using namespace detr_kit::gpu;

namespace {

thread_local std::string message;

// Sizes: B, S, Q, M, D, L, P, reference_dim. Limits: few_items, blocks, shared; zero keeps the default.
Problem make_problem(const int64_t* sizes, const int64_t* shapes) {
  Problem p{};
  p.batch = sizes[0], p.rows = sizes[1], p.queries = sizes[2];
  p.heads = int32_t(sizes[3]), p.head_dim = int32_t(sizes[4]), p.levels = int32_t(sizes[5]);
  p.points = int32_t(sizes[6]), p.reference_dim = int32_t(sizes[7]);
  int64_t start = 0;
  for (int l = 0; l < p.levels; ++l) {
    p.level[l] = {int32_t(shapes[2 * l + 1]), int32_t(shapes[2 * l]), int32_t(start), 0, 0};
    start += shapes[2 * l] * shapes[2 * l + 1];
  }
  return p;
}

Limits make_limits(const int64_t* given) {
  Limits limits;
  if (given[0]) limits.few_items = given[0];
  if (given[1]) limits.blocks = given[1];
  if (given[2]) limits.shared = given[2];
  limits.ordered_warps = 60;  // keep small cases small
  return limits;
}

template <class Launch>
void run_blocks(const Launch& plan, int order, const std::function<void()>& body) {
  for (int64_t i = 0; i < plan.blocks; ++i) {
    Block block;
    block.index = i, block.count = plan.blocks;
    block.run(plan.threads, plan.shared_bytes, order, body);
  }
}

enum Pass { kForward, kBackwardPass, kOrderedPass };

template <class T>
struct Run {
  const Problem& problem;
  const Plan& plan;
  bool is_backward;
  int order;
  template <int kVector, int kGroup, int kSplit>
  void operator()() const {
    run_blocks(plan, order, [&] {
      if (is_backward) backward<T, kVector, kGroup, kSplit>(problem, plan);
      else forward<T, kVector, kGroup, kSplit>(problem, plan);
    });
  }
};

template <class T>
void run_pass(Problem p, const Limits& limits, int pass, int order) {
  if (pass == kOrderedPass) {
    const OrderedPlan plan = make_ordered_plan(p, limits);
    run_blocks(plan, order, [&] { collect_in_order<T>(p, plan); });
  } else {
    const Plan plan = make_plan(p, pass == kBackwardPass, limits);
    with_division<T>(plan, Run<T>{p, plan, pass == kBackwardPass, order});
  }
}

}  // namespace

extern "C" {

// Arrays: value, coordinates, weights, reference, output, grad_output, grad_value, grad_coordinates,
// grad_weights, grad_reference, each with its type (see array.h). Pass: see above. Returns null or what went wrong.
const char* run(const int64_t* sizes, const int64_t* shapes, const int64_t* limits, void** data, const int* types,
                int pass, int order, bool adds_four) {
  try {
    four_at_once = adds_four;
    Problem p = make_problem(sizes, shapes);
    Array* arrays[] = {&p.value,       &p.coordinates, &p.weights,          &p.reference,    &p.output,
                       &p.grad_output, &p.grad_value,  &p.grad_coordinates, &p.grad_weights, &p.grad_reference};
    for (int i = 0; i < 10; ++i) *arrays[i] = {data[i], Type(types[i])};
    switch (p.value.type) {
      case Type::kFloat: run_pass<float>(p, make_limits(limits), pass, order); break;
      case Type::kDouble: run_pass<double>(p, make_limits(limits), pass, order); break;
      case Type::kBFloat16: run_pass<BFloat16>(p, make_limits(limits), pass, order); break;
      case Type::kHalf: run_pass<Half>(p, make_limits(limits), pass, order); break;
    }
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

// units, tiles, unit_queries, tiled, group, split, vector, threads, blocks, shared_bytes
void plan_of(const int64_t* sizes, const int64_t* shapes, const int64_t* limits, int value_type, bool is_backward,
             int64_t* out) {
  Problem p = make_problem(sizes, shapes);
  p.value.type = Type(value_type);
  const Plan plan = make_plan(p, is_backward, make_limits(limits));
  const int64_t fields[] = {plan.units, plan.tiles,  plan.unit_queries, plan.tiled,  plan.group,
                            plan.split, plan.vector, plan.threads,      plan.blocks, plan.shared_bytes};
  std::copy(std::begin(fields), std::end(fields), out);
}

// For units [begin, begin + count): image, head and the query of each slot.
void places_of(const int64_t* sizes, const int64_t* shapes, const int64_t* limits, int value_type, int64_t begin,
               int64_t count, int64_t* image, int64_t* head, int64_t* queries) {
  Problem p = make_problem(sizes, shapes);
  p.value.type = Type(value_type);
  const Plan plan = make_plan(p, false, make_limits(limits));
  for (int64_t i = 0; i < count; ++i) {
    const Unit unit = unit_at(p, plan, begin + i);
    image[i] = unit.image, head[i] = unit.head;
    for (int32_t slot = 0; slot < plan.unit_queries; ++slot)
      queries[i * plan.unit_queries + slot] = query_at(p, plan, unit, slot);
  }
}

int level_of_point(int points, int k) { return level_of(level_multiplier(points), k); }
}
