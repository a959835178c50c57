"""INT8 by onnxruntime's static quantisation: QDQ, calibrated on images, sensitive layers left in float."""

from __future__ import annotations

import ast
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..errors import InputError
from .onnx_format import SCOPES
from .options import KEEP_FLOAT

if TYPE_CHECKING:
    import onnx

_WEIGHTED = ("Conv", "MatMul", "Gemm")
# Between the backbone's convolutions, so that their activations stay 8 bits wide from one to the next.
_CONNECTING = ("Relu", "Add", "MaxPool")


def quantize(
    model: onnx.ModelProto, batches: Iterable[Sequence[Tensor]], keep_float: Sequence[str] = KEEP_FLOAT
) -> onnx.ModelProto:
    """An INT8 copy: convolutions and linear layers with per-channel weights; all else computes in float32.

    Args:
        model: as `to_onnx` makes it, in float32.
        batches: inputs to calibrate with, as the network reads them.
        keep_float: patterns (regular expressions, searched) of layers to leave alone.

    Raises:
        InputError: a pattern that is none, or that names no layer; or no batch.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    chosen = quantizable_nodes(model)
    layers = set(chosen.values())
    for pattern in keep_float:
        try:
            if pattern not in KEEP_FLOAT and not any(re.search(pattern, layer) for layer in layers):
                raise InputError(
                    f"keep-float {pattern!r}: no layer of this network has such a name; there are "
                    f"{', '.join(sorted(layers)[:3])}, …"
                )
        except re.error as error:
            raise InputError(f"keep-float {pattern!r}: not a regular expression: {error}") from error
    nodes = [n for n, layer in chosen.items() if not any(re.search(p, layer) for p in keep_float)]
    reader = _Reader(batches, [entry.name for entry in model.graph.input])
    if reader.next is None:
        raise InputError("calibration: no image; give a folder or an annotation file that has some")
    logging.getLogger().setLevel(max(logging.getLogger().level, logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            path,
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_WEIGHTED, *_CONNECTING],
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(path)


def quantizable_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Nodes that can compute in INT8 -> the layer that each belongs to."""
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = {}
    for node in model.graph.node:
        layer = layer_of(node)
        weighted = node.op_type in _WEIGHTED and node.input[1] in constants
        if weighted or (node.op_type in _CONNECTING and layer.startswith("backbone")):
            nodes[node.name] = layer
    return nodes


def layer_of(node: onnx.NodeProto) -> str:
    """Module path of the layer that a node was exported from, "" where it is none of the network's."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            modules = [scope for scope in ast.literal_eval(entry.value)[:-1] if scope.startswith("network.")]
            return modules[-1].removeprefix("network.") if modules else ""
    return ""


class _Reader:
    """onnxruntime's CalibrationDataReader over tensors."""

    def __init__(self, batches: Iterable[Sequence[Tensor]], names: Sequence[str]) -> None:
        self._batches: Iterator[Sequence[Tensor]] = iter(batches)
        self._names = names
        self.next = next(self._batches, None)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next inputs by name."""
        if (current := self.next) is None:
            return None
        self.next = next(self._batches, None)
        return {name: tensor.numpy() for name, tensor in zip(self._names, current, strict=True)}
