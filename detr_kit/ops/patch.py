"""Our op inside other packages' models, in one line."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .ms_deform_attn import ms_deform_attn
from .reference import SpatialShapes

_ABSENT = object()


class patch:
    """Give a model of transformers, mmcv or the original code our op.

    Its weights, names and everything around the op stay as they are; outputs and gradients are equal up to
    rounding. Recognised are

    - transformers' `MultiScaleDeformableAttention` layers: Deformable DETR, RT-DETR, Grounding DINO,
      OmDet-Turbo, LW-DETR, RF-DETR, …;
    - transformers' functions `multi_scale_deformable_attention` (Mask2Former, OneFormer) and `…_v2`
      (RT-DETRv2, D-FINE), but not the "discrete" sampling of the latter, which is another function;
    - mmcv's `MultiScaleDeformableAttention`, the original `MSDeformAttn`, and modules that call the same
      functions by the same names.

    A plain call holds until `undo`; as a context manager it holds inside the block. Patch before
    `torch.compile`, and save state dicts, not modules.

    Args:
        model: any module; all modules within it are looked at.

    Attributes:
        modules: the names of those that have our op now.

    Raises:
        InputError: no module is recognised; nothing is changed then.
    """

    def __init__(self, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"patch: a {type(model).__name__} is no torch module; give the model itself")
        self.modules: list[str] = []
        self._before: list[tuple[nn.Module, str, Any]] = []
        for name, module in model.named_modules():
            for attribute, function in _replacements(module):
                self.modules.append(name)
                self._before.append((module, attribute, vars(module).get(attribute, _ABSENT)))
                setattr(module, attribute, function)
        if not self.modules:
            raise InputError(
                f"patch: {type(model).__name__} has no deformable attention that is known here, which is "
                "transformers' and mmcv's MultiScaleDeformableAttention and the original MSDeformAttn"
            )

    def undo(self) -> None:
        """Give the modules back what they had."""
        while self._before:
            module, attribute, before = self._before.pop()
            if before is _ABSENT:
                delattr(module, attribute)
            else:
                setattr(module, attribute, before)

    def __enter__(self) -> patch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"patch of {len(self.modules)} modules: {', '.join(self.modules)}"


def _layer(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_spatial_shapes_list: list[tuple[int, int]],
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """As transformers' `MultiScaleDeformableAttention.forward`."""
    return ms_deform_attn(value, value_spatial_shapes_list, None, sampling_locations, attention_weights)


def _function(
    value: Tensor, value_spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """As transformers' `multi_scale_deformable_attention`, mmcv's `multi_scale_deformable_attn_pytorch`."""
    return ms_deform_attn(value, value_spatial_shapes, None, sampling_locations, attention_weights)


def _function_v2(
    value: Tensor,
    value_spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    num_points_list: list[int],
    method: str = "default",
) -> Tensor:
    """As transformers' `multi_scale_deformable_attention_v2`: the points of all levels in one dimension.

    sampling_locations is (B, Q, M, sum of points, 2), attention_weights (B, Q, M, sum of points). A level
    with fewer points than another gets more of weight zero.
    """
    most = max(num_points_list)
    locations = [F.pad(t, (0, 0, 0, most - t.shape[3])) for t in sampling_locations.split(num_points_list, 3)]
    weights = [F.pad(t, (0, most - t.shape[3])) for t in attention_weights.split(num_points_list, 3)]
    return ms_deform_attn(
        value, value_spatial_shapes, None, torch.stack(locations, 3), torch.stack(weights, 3)
    )


class _Function:
    """As the autograd functions of mmcv and of the original code."""

    @staticmethod
    def apply(
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        im2col_step: int,
    ) -> Tensor:
        return ms_deform_attn(value, spatial_shapes, None, sampling_locations, attention_weights)


# What a forward calls by name, all of it: mmcv's on a GPU the one, elsewhere the other.
_CALLED: tuple[Mapping[str, Any], ...] = (
    {"multi_scale_deformable_attention": _function},
    {"multi_scale_deformable_attention_v2": _function_v2},
    {"MultiScaleDeformableAttnFunction": _Function, "multi_scale_deformable_attn_pytorch": _function},
    {"MSDeformAttnFunction": _Function},
)


def _replacements(module: nn.Module) -> Iterator[tuple[str, Callable[..., Any]]]:
    """What to set on the module: attribute and value."""
    forward = inspect.unwrap(inspect.getattr_static(type(module), "forward"))
    discrete = "discrete" in (getattr(module, "method", None), getattr(module, "decoder_method", None))
    if discrete or not inspect.isfunction(forward):
        return
    if _parameters(forward)[1:] == _parameters(_layer):
        yield "forward", _layer
    for names in _CALLED:
        if all(_calls(forward, name, ours) for name, ours in names.items()):
            yield "forward", types.MethodType(_with_globals(forward, names), module)
    for attribute, value in vars(module).items():  # D-FINE keeps the function on the module
        if _fits(value, _function_v2) and value.__name__ == "multi_scale_deformable_attention_v2":
            yield attribute, _function_v2


def _calls(forward: types.FunctionType, name: str, ours: Any) -> bool:
    """Whether a forward uses the global of this name, and ours can take its place."""
    return name in forward.__code__.co_names and _fits(forward.__globals__.get(name), ours)


def _fits(theirs: Any, ours: Any) -> bool:
    if inspect.isclass(ours):
        return inspect.isclass(theirs) and hasattr(theirs, "apply")
    return inspect.isfunction(theirs) and _parameters(theirs) == _parameters(ours)


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _with_globals(function: types.FunctionType, names: Mapping[str, Any]) -> types.FunctionType:
    """The same function, for which these names mean something else."""
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
