// The CUDA side of the operators: tensors in, a Problem for the kernels, started on torch's current stream.
// Nothing here waits for the device or copies from it.
#include <dlfcn.h>
#include <stdint.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "launch.h"

namespace detr_kit::gpu {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::new_empty;
using torch::stable::new_zeros;
using torch::stable::Tensor;
using Shapes = std::vector<int64_t>;

// ---- the stream ----

// The function lives in libtorch_cuda, which a CPU-only torch lacks and which is loaded wherever this runs.
// Looking it up here instead of linking it lets one build of the extension load in either torch.
void* current_stream(int32_t device) {
  using Function = AOTITorchError (*)(int32_t, void**);
  static const Function function = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return library ? reinterpret_cast<Function>(dlsym(library, "aoti_torch_get_current_cuda_stream")) : nullptr;
  }();
  void* stream = nullptr;
  STD_TORCH_CHECK(function != nullptr && function(device, &stream) == TORCH_SUCCESS,
                  "ms_deform_attn cannot ask libtorch_cuda.so for the current stream");
  return stream;
}

void check_launch(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "ms_deform_attn could not start its CUDA kernel: ", error ? error : "");
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
      : device_(value.get_device_index()), guard_(device_) {
    STD_TORCH_CHECK(value.dim() == 4, "value must be (B, S, M, D)");
    STD_TORCH_CHECK(coordinates.dim() == 6, "sampling locations or offsets must be (B, Q, M, L, P, 2)");
    const int64_t heads = value.size(2), head_dim = value.size(3);
    const int64_t levels = coordinates.size(3), points = coordinates.size(4);
    constexpr int64_t limit = std::numeric_limits<int32_t>::max();
    Problem& p = problem;
    p.batch = value.size(0), p.rows = value.size(1), p.queries = coordinates.size(1);
    STD_TORCH_CHECK(p.rows < limit && p.queries < limit && heads * head_dim < limit / 8,
                    "ms_deform_attn: S and Q must be below 2^31 and M · D below 2^28");
    STD_TORCH_CHECK(levels <= kMaxLevels && levels * points <= kMaxPoints, "ms_deform_attn on CUDA takes up to ",
                    kMaxLevels, " levels and ", kMaxPoints, " points over all levels");
    p.heads = int32_t(heads), p.head_dim = int32_t(head_dim);
    p.levels = int32_t(levels), p.points = int32_t(points);
    require(coordinates, {p.batch, p.queries, heads, levels, points, 2});
    require(weights, {p.batch, p.queries, heads, levels, points});
    p.value = keep(value);
    p.coordinates = keep(coordinates);
    p.weights = keep(weights);
    if (reference != nullptr) {
      p.reference_dim = reference->dim() == 4 ? int32_t(reference->size(3)) : 0;
      STD_TORCH_CHECK(p.reference_dim == 2 || p.reference_dim == 4, "reference_points must end in 2 or 4");
      require(*reference, {p.batch, p.queries, levels, p.reference_dim});
      STD_TORCH_CHECK(type_of(*reference) == compute_type(p.value.type),
                      "reference_points must be float32, or float64 for a float64 value");
      p.reference = keep(*reference);
    }
    set_levels(read_shapes(shapes, shapes_tensor));
  }

  // Contiguous and at a multiple of 16 bytes, which a slice of a larger tensor need not be.
  Array keep(const Tensor& tensor) {
    Tensor kept = torch::stable::contiguous(tensor);
    if (reinterpret_cast<uintptr_t>(kept.data_ptr()) % 16 != 0) kept = torch::stable::clone(kept);
    kept_.push_back(kept);
    return array(kept);
  }

  void require(const Tensor& tensor, const std::vector<int64_t>& size) const {
    const auto actual = tensor.sizes();
    STD_TORCH_CHECK(tensor.is_cuda() && tensor.get_device_index() == device_ &&
                        std::equal(actual.begin(), actual.end(), size.begin(), size.end()),
                    "ms_deform_attn: a tensor's shape or device does not fit the others");
  }

  bool empty() const {
    const Problem& p = problem;
    return p.batch * p.queries * p.heads * p.head_dim * p.rows * p.levels * p.points == 0;
  }

  Place place() const { return {device_, current_stream(device_)}; }

 private:
  void set_levels(const Shapes& shapes) {
    Problem& p = problem;
    constexpr int64_t limit = std::numeric_limits<int32_t>::max();
    STD_TORCH_CHECK(int64_t(shapes.size()) == 2 * int64_t(p.levels),
                    "spatial_shapes must have a pair for each level");
    int64_t start = 0;
    for (int l = 0; l < p.levels; ++l) {
      const int64_t height = shapes[2 * l], width = shapes[2 * l + 1];
      STD_TORCH_CHECK(height >= 0 && width >= 0 && height < limit && width < limit,
                      "spatial_shapes holds a size outside [0, 2^31)");
      p.level[l] = {int32_t(width), int32_t(height), int32_t(start), 0, 0};
      start += height * width;
      STD_TORCH_CHECK(start <= p.rows, "spatial_shapes describes more rows than value has");
    }
    STD_TORCH_CHECK(start == p.rows, "spatial_shapes describes ", start, " rows, value has ", p.rows);
  }

  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
  std::vector<Tensor> kept_;
};

// ---- forward ----

Tensor run_forward(Call& call, const Tensor& value) {
  Problem& p = call.problem;
  const std::vector<int64_t> size = {p.batch, p.queries, int64_t(p.heads) * p.head_dim};
  if (call.empty()) return new_zeros(value, size);
  Tensor output = new_empty(value, size);
  p.output = array(output);
  check_launch(launch_forward(p, call.place()));
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

struct Gradients {
  Tensor value, reference, coordinates, weights;
};

Gradients run_backward(Call& call, const Tensor& grad_output, const Tensor& value, const Tensor& coordinates,
                       const Tensor& weights, bool reference_gradient, bool deterministic) {
  Problem& p = call.problem;
  const ScalarType compute = scalar_type(compute_type(p.value.type));
  const std::vector<int64_t> item_size = {p.batch, p.queries, p.heads, p.levels, p.points};
  const std::vector<int64_t> point_size = {p.batch, p.queries, p.heads, p.levels, p.points, 2};
  std::vector<int64_t> reference_size = {0};
  if (reference_gradient) reference_size = {p.batch, p.queries, p.heads, p.levels, p.reference_dim};
  call.require(grad_output, {p.batch, p.queries, int64_t(p.heads) * p.head_dim});
  STD_TORCH_CHECK(type_of(grad_output) == p.value.type, "grad_output must have value's dtype");

  const std::vector<int64_t> value_size = {p.batch, p.rows, p.heads, p.head_dim};
  Gradients gradients;
  gradients.value = new_zeros(value, value_size, compute);
  gradients.reference = new_zeros(value, reference_size, compute);
  if (call.empty()) {
    gradients.coordinates = new_zeros(coordinates, point_size);
    gradients.weights = new_zeros(weights, item_size);
  } else {
    gradients.coordinates = new_empty(coordinates, point_size);
    gradients.weights = new_empty(weights, item_size);
    p.grad_output = call.keep(grad_output);
    p.grad_value = array(gradients.value);
    p.grad_coordinates = array(gradients.coordinates);
    p.grad_weights = array(gradients.weights);
    if (reference_gradient) p.grad_reference = array(gradients.reference);
    check_launch(launch_backward(p, deterministic, call.place()));
  }
  if (compute != value.scalar_type()) gradients.value = torch::stable::to(gradients.value, value.scalar_type());
  if (reference_gradient) {
    const std::vector<int64_t> over_heads = {2};
    gradients.reference = torch::stable::sum(gradients.reference, over_heads);
  }
  return gradients;
}

std::tuple<Tensor, Tensor, Tensor> ms_deform_attn_backward(Tensor grad_output, Tensor value, Shapes shapes,
                                                           std::optional<Tensor> shapes_tensor,
                                                           Tensor locations, Tensor weights,
                                                           bool deterministic) {
  Call call(value, shapes, shapes_tensor, nullptr, locations, weights);
  const Gradients g = run_backward(call, grad_output, value, locations, weights, false, deterministic);
  return {g.value, g.coordinates, g.weights};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> ms_deform_attn_fused_backward(
    Tensor grad_output, Tensor value, Shapes shapes, std::optional<Tensor> shapes_tensor, Tensor reference,
    Tensor offsets, Tensor logits, bool reference_gradient, bool deterministic) {
  Call call(value, shapes, shapes_tensor, &reference, offsets, logits);
  const Gradients g = run_backward(call, grad_output, value, offsets, logits, reference_gradient, deterministic);
  return {g.value, g.reference, g.coordinates, g.weights};
}

// What setup.py compiled the kernels with: "architectures" as in TORCH_CUDA_ARCH_LIST, or "toolkit".
std::string cuda_build(std::string what) { return what == "toolkit" ? toolkit() : DETR_KIT_ARCHITECTURES; }

}  // namespace
}  // namespace detr_kit::gpu

STABLE_TORCH_LIBRARY_IMPL(detr_kit, CUDA, m) {
  m.impl("ms_deform_attn", TORCH_BOX(&detr_kit::gpu::ms_deform_attn));
  m.impl("ms_deform_attn_backward", TORCH_BOX(&detr_kit::gpu::ms_deform_attn_backward));
  m.impl("ms_deform_attn_fused", TORCH_BOX(&detr_kit::gpu::ms_deform_attn_fused));
  m.impl("ms_deform_attn_fused_backward", TORCH_BOX(&detr_kit::gpu::ms_deform_attn_fused_backward));
}

STABLE_TORCH_LIBRARY_IMPL(detr_kit, CompositeExplicitAutograd, m) {
  m.impl("cuda_build", TORCH_BOX(&detr_kit::gpu::cuda_build));
}
