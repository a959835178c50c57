// The CPU side of the operators: tensors in, a Problem for the kernels, torch's own threads to run it.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "problem.h"

namespace detr_kit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::new_empty;
using torch::stable::new_zeros;
using torch::stable::Tensor;
using Shapes = std::vector<int64_t>;

// ---- the instruction set ----

std::vector<const Kernels*> supported_kernels() {
  std::vector<const Kernels*> kernels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Every processor with AVX2 and FMA converts half precision too (F16C is older than both).
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) kernels.push_back(&kAvx512Kernels);
  if (avx2) kernels.push_back(&kAvx2Kernels);
#endif
  kernels.push_back(&kBaselineKernels);
  return kernels;
}

const Kernels*& active_kernels() {
  static const Kernels* active = supported_kernels().front();
  return active;
}

// Name of the kernels in use, after switching to `select` unless that is empty ("best": what the processor
// allows). For tests, benchmarks and reports.
std::string cpu_instruction_set(std::string select) {
  if (!select.empty()) {
    const auto kernels = supported_kernels();
    const Kernels* found = select == "best" ? kernels.front() : nullptr;
    for (const Kernels* k : kernels)
      if (select == k->name) found = k;
    STD_TORCH_CHECK(found != nullptr, "this processor cannot run the instruction set \"", select,
                    "\"; it must be one of best, avx512, avx2, baseline that the processor has");
    active_kernels() = found;
  }
  return active_kernels()->name;
}

// ---- tensors ----

Type type_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return Type::kFloat;
    case ScalarType::Double: return Type::kDouble;
    case ScalarType::BFloat16: return Type::kBFloat16;
    case ScalarType::Half: return Type::kHalf;
    default: STD_TORCH_CHECK(false, "ms_deform_attn takes float32, float64, float16 and bfloat16 tensors only");
  }
}

Array array(const Tensor& tensor) { return {tensor.data_ptr(), type_of(tensor)}; }

Type compute_type(Type value) { return value == Type::kDouble ? Type::kDouble : Type::kFloat; }

ScalarType scalar_type(Type type) { return type == Type::kDouble ? ScalarType::Double : ScalarType::Float; }

Shapes read_shapes(Shapes list, const std::optional<Tensor>& tensor) {
  if (!tensor.has_value()) return list;
  const Tensor host = torch::stable::contiguous(*tensor);
  STD_TORCH_CHECK(host.is_cpu() && host.scalar_type() == ScalarType::Long && host.dim() == 2 && host.size(1) == 2,
                  "spatial_shapes_tensor must be an int64 tensor (L, 2) on the CPU");
  const int64_t* data = static_cast<const int64_t*>(host.const_data_ptr());
  return Shapes(data, data + host.numel());
}

// ---- a call ----

// Owns what a Problem points to. The checks are those that memory safety needs; the Python entries check
// first and explain better.
class Call {
 public:
  Problem problem{};

  Call(const Tensor& value, const Shapes& shapes, const std::optional<Tensor>& shapes_tensor,
       const Tensor* reference, const Tensor& coordinates, const Tensor& weights)
      : shapes_(read_shapes(shapes, shapes_tensor)) {
    STD_TORCH_CHECK(value.dim() == 4, "value must be (B, S, M, D)");
    STD_TORCH_CHECK(coordinates.dim() == 6, "sampling locations or offsets must be (B, Q, M, L, P, 2)");
    Problem& p = problem;
    p.batch = value.size(0), p.rows = value.size(1), p.heads = value.size(2), p.head_dim = value.size(3);
    p.queries = coordinates.size(1), p.levels = coordinates.size(3), p.points = coordinates.size(4);
    require(coordinates, {p.batch, p.queries, p.heads, p.levels, p.points, 2});
    require(weights, {p.batch, p.queries, p.heads, p.levels, p.points});
    p.value = keep(by_head() ? torch::stable::transpose(value, 1, 2) : value);
    p.row_stride = by_head() ? p.head_dim : p.heads * p.head_dim;
    p.head_stride = by_head() ? p.rows * p.head_dim : p.head_dim;
    // As given, the heads of a pixel are neighbours in memory, so a query's heads stay together.
    p.query_group = by_head() ? 256 : 1;
    p.coordinates = keep(coordinates);
    p.weights = keep(weights);
    if (reference != nullptr) {
      p.reference_dim = reference->dim() == 4 ? int(reference->size(3)) : 0;
      STD_TORCH_CHECK(p.reference_dim == 2 || p.reference_dim == 4, "reference_points must end in 2 or 4");
      require(*reference, {p.batch, p.queries, p.levels, p.reference_dim});
      STD_TORCH_CHECK(type_of(*reference) == compute_type(p.value.type),
                      "reference_points must be float32, or float64 for a float64 value");
      p.reference = keep(*reference);
    }
    set_levels();
  }

  // Whether value and its gradient are brought into (B, M, S, D) order first. As given, the rows of a head lie
  // M · D numbers apart, commonly a power of two, and fall into a few sets of the caches: most of the cache is
  // then out of reach. The copy pays once there are queries enough.
  bool by_head() const { return problem.queries >= problem.rows / 4 && problem.heads > 1; }

  Array keep(const Tensor& tensor) {
    kept_.push_back(torch::stable::contiguous(tensor));
    return array(kept_.back());
  }

  void require(const Tensor& tensor, const std::vector<int64_t>& size) const {
    const auto actual = tensor.sizes();
    STD_TORCH_CHECK(tensor.is_cpu() && std::equal(actual.begin(), actual.end(), size.begin(), size.end()),
                    "ms_deform_attn: a tensor's shape or device does not fit the others");
  }

  bool empty() const {
    const Problem& p = problem;
    return p.batch * p.queries * p.heads * p.head_dim * p.rows * p.levels * p.points == 0;
  }

 private:
  void set_levels() {
    Problem& p = problem;
    constexpr int64_t limit = std::numeric_limits<int32_t>::max();
    STD_TORCH_CHECK(int64_t(shapes_.size()) == 2 * p.levels, "spatial_shapes must have a pair for each level");
    STD_TORCH_CHECK(p.rows < limit && p.heads * p.head_dim < limit && p.queries < limit,
                    "ms_deform_attn: S, Q and M · D must each be below 2^31");
    const size_t padded = size_t((p.levels * p.points + kBlock - 1) / kBlock + 1) * kBlock;
    for (auto* column : {&width_, &height_, &start_}) column->assign(padded, 0);
    int64_t start = 0;
    for (int64_t level = 0; level < p.levels; ++level) {
      const int64_t height = shapes_[2 * level], width = shapes_[2 * level + 1];
      STD_TORCH_CHECK(height >= 0 && width >= 0 && height < limit && width < limit,
                      "spatial_shapes holds a size outside [0, 2^31)");
      for (int64_t point = level * p.points; point < (level + 1) * p.points; ++point)
        width_[point] = int32_t(width), height_[point] = int32_t(height), start_[point] = int32_t(start);
      start += height * width;
      STD_TORCH_CHECK(start <= p.rows, "spatial_shapes describes more rows than value has");
    }
    STD_TORCH_CHECK(start == p.rows, "spatial_shapes describes ", start, " rows, value has ", p.rows);
    p.point_width = width_.data(), p.point_height = height_.data(), p.point_start = start_.data();
  }

  Shapes shapes_;
  std::vector<int32_t> width_, height_, start_;
  std::vector<Tensor> kept_;
};

// ---- forward ----

Tensor run_forward(Call& call, const Tensor& value) {
  Problem& p = call.problem;
  const std::vector<int64_t> size = {p.batch, p.queries, p.heads * p.head_dim};
  if (call.empty()) return new_zeros(value, size);
  Tensor output = new_empty(value, size);
  p.output = array(output);
  const Kernels& kernels = *active_kernels();
  torch::stable::parallel_for(0, p.batch * p.queries, 16,
                              [&](int64_t begin, int64_t end) { kernels.forward(p, begin, end); });
  return output;
}

Tensor ms_deform_attn(Tensor value, Shapes shapes, std::optional<Tensor> shapes_tensor, Tensor locations,
                      Tensor weights) {
  Call call(value, shapes, shapes_tensor, nullptr, locations, weights);
  return run_forward(call, value);
}

Tensor ms_deform_attn_fused(Tensor value, Shapes shapes, std::optional<Tensor> shapes_tensor, Tensor reference,
                            Tensor offsets, Tensor logits) {
  Call call(value, shapes, shapes_tensor, &reference, offsets, logits);
  return run_forward(call, value);
}

// ---- backward ----

// Splits a backward pass into tasks: groups of heads of an image, so that the rows of one query stay together
// in the cache, and single levels of single heads once there are more threads than B · M.
std::vector<BackwardTask> split_backward(const Problem& p, int64_t threads) {
  int64_t head_groups = p.heads, level_groups = 1;
  if (threads > p.batch * p.heads) {
    level_groups = p.levels;
  } else {
    double least = std::numeric_limits<double>::infinity();
    for (int64_t groups = 1; groups <= p.heads; ++groups) {  // the fewest groups that load the threads evenly
      const int64_t rounds = (p.batch * groups + threads - 1) / threads;
      const int64_t largest = (p.heads + groups - 1) / groups;
      if (double(rounds * largest) < least) least = double(rounds * largest), head_groups = groups;
    }
  }
  std::vector<BackwardTask> tasks;
  for (int64_t image = 0; image < p.batch; ++image)
    for (int64_t h = 0; h < head_groups; ++h)
      for (int64_t l = 0; l < level_groups; ++l)
        tasks.push_back({image, h * p.heads / head_groups, (h + 1) * p.heads / head_groups,
                         l * p.levels / level_groups, (l + 1) * p.levels / level_groups,
                         level_groups > 1 && p.reference_dim != 0});
  return tasks;
}

struct Gradients {
  Tensor value, reference, coordinates, weights;
};

Gradients run_backward(Call& call, const Tensor& grad_output, const Tensor& value, const Tensor& coordinates,
                       const Tensor& weights, bool reference_gradient) {
  Problem& p = call.problem;
  const ScalarType compute = scalar_type(compute_type(p.value.type));
  const std::vector<int64_t> value_size = {p.batch, p.rows, p.heads, p.head_dim};
  const std::vector<int64_t> by_head_size = {p.batch, p.heads, p.rows, p.head_dim};
  const std::vector<int64_t> item_size = {p.batch, p.queries, p.heads, p.levels, p.points};
  const std::vector<int64_t> point_size = {p.batch, p.queries, p.heads, p.levels, p.points, 2};
  std::vector<int64_t> reference_size = {0};
  if (reference_gradient) reference_size = {p.batch, p.queries, p.heads, p.levels, p.reference_dim};
  call.require(grad_output, {p.batch, p.queries, p.heads * p.head_dim});
  STD_TORCH_CHECK(type_of(grad_output) == p.value.type, "grad_output must have value's dtype");

  Gradients gradients;
  gradients.reference = new_zeros(value, reference_size, compute);
  if (call.empty()) {
    gradients.value = new_zeros(value, value_size);
    gradients.coordinates = new_zeros(coordinates, point_size);
    gradients.weights = new_zeros(weights, item_size);
  } else {
    gradients.value = new_empty(value, call.by_head() ? by_head_size : value_size, compute);
    gradients.coordinates = new_empty(coordinates, point_size);
    gradients.weights = new_empty(weights, item_size);
    const auto tasks = split_backward(p, int64_t(torch::stable::get_num_threads()));
    const bool pending = tasks[0].softmax_pending;
    const Tensor grad_softmax = pending ? new_empty(weights, item_size, compute) : gradients.weights;
    p.grad_output = call.keep(grad_output);
    p.grad_value = array(gradients.value);
    p.grad_coordinates = array(gradients.coordinates);
    p.grad_weights = array(grad_softmax);
    if (reference_gradient) p.grad_reference = array(gradients.reference);
    const Kernels& kernels = *active_kernels();
    torch::stable::parallel_for(0, int64_t(tasks.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) kernels.backward(p, tasks[i]);
    });
    if (pending) {
      p.grad_weights = array(gradients.weights);
      torch::stable::parallel_for(0, p.batch * p.queries * p.heads, 256, [&](int64_t begin, int64_t end) {
        kernels.finish_softmax(p, array(grad_softmax), begin, end);
      });
    }
    if (call.by_head()) gradients.value = torch::stable::contiguous(torch::stable::transpose(gradients.value, 1, 2));
    if (compute != value.scalar_type())
      gradients.value = torch::stable::to(gradients.value, value.scalar_type());
  }
  if (reference_gradient) {
    const std::vector<int64_t> over_heads = {2};
    gradients.reference = torch::stable::sum(gradients.reference, over_heads);
  }
  return gradients;
}

std::tuple<Tensor, Tensor, Tensor> ms_deform_attn_backward(Tensor grad_output, Tensor value, Shapes shapes,
                                                           std::optional<Tensor> shapes_tensor,
                                                           Tensor locations, Tensor weights,
                                                           bool /* deterministic: always */) {
  Call call(value, shapes, shapes_tensor, nullptr, locations, weights);
  const Gradients g = run_backward(call, grad_output, value, locations, weights, false);
  return {g.value, g.coordinates, g.weights};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> ms_deform_attn_fused_backward(
    Tensor grad_output, Tensor value, Shapes shapes, std::optional<Tensor> shapes_tensor, Tensor reference,
    Tensor offsets, Tensor logits, bool reference_gradient, bool /* deterministic: always */) {
  Call call(value, shapes, shapes_tensor, &reference, offsets, logits);
  const Gradients g = run_backward(call, grad_output, value, offsets, logits, reference_gradient);
  return {g.value, g.reference, g.coordinates, g.weights};
}

}  // namespace
}  // namespace detr_kit

STABLE_TORCH_LIBRARY_IMPL(detr_kit, CPU, m) {
  m.impl("ms_deform_attn", TORCH_BOX(&detr_kit::ms_deform_attn));
  m.impl("ms_deform_attn_backward", TORCH_BOX(&detr_kit::ms_deform_attn_backward));
  m.impl("ms_deform_attn_fused", TORCH_BOX(&detr_kit::ms_deform_attn_fused));
  m.impl("ms_deform_attn_fused_backward", TORCH_BOX(&detr_kit::ms_deform_attn_fused_backward));
}

STABLE_TORCH_LIBRARY_IMPL(detr_kit, CompositeExplicitAutograd, m) {
  m.impl("cpu_instruction_set", TORCH_BOX(&detr_kit::cpu_instruction_set));
}
