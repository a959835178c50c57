// The operators' schemas and the Python module. Kernels register themselves in the folder of their device;
// autograd, fake and autocast rules are Python (detr_kit/ops/registration.py).
//
// Level shapes come as the flat list H0, W0, H1, W1, … (which may be symbolic while tracing) or as an integer
// tensor (L, 2), which traces where reading its numbers would not.
#define Py_LIMITED_API 0x030A0000
#include <Python.h>

#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(detr_kit, m) {
  m.def(
      "ms_deform_attn(Tensor value, SymInt[] spatial_shapes, Tensor? spatial_shapes_tensor, "
      "Tensor sampling_locations, Tensor attention_weights) -> Tensor");
  m.def(
      "ms_deform_attn_backward(Tensor grad_output, Tensor value, SymInt[] spatial_shapes, "
      "Tensor? spatial_shapes_tensor, Tensor sampling_locations, Tensor attention_weights, "
      "bool deterministic=False) -> (Tensor, Tensor, Tensor)");
  m.def(
      "ms_deform_attn_fused(Tensor value, SymInt[] spatial_shapes, Tensor? spatial_shapes_tensor, "
      "Tensor reference_points, Tensor sampling_offsets, Tensor attention_logits) -> Tensor");
  m.def(
      "ms_deform_attn_fused_backward(Tensor grad_output, Tensor value, SymInt[] spatial_shapes, "
      "Tensor? spatial_shapes_tensor, Tensor reference_points, Tensor sampling_offsets, "
      "Tensor attention_logits, bool reference_gradient, bool deterministic=False) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
  m.def("cpu_instruction_set(str select) -> str");
  m.def("cuda_build(str what) -> str");
}

extern "C" __attribute__((visibility("default"))) PyObject* PyInit__C() {
  static PyModuleDef definition = {
      PyModuleDef_HEAD_INIT, "_C", "The native operators of detr_kit.", -1, nullptr, nullptr, nullptr, nullptr,
      nullptr};
  return PyModule_Create(&definition);
}
