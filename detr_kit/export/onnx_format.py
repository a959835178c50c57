"""ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..errors import InputError
from .metadata import KEY, ExportMetadata

if TYPE_CHECKING:
    import onnx
    import onnxruntime

SCOPES = "pkg.torch.onnx.name_scopes"
LAYERS_KEY = "detr_kit_layers"


def require_onnx() -> None:
    """Raises InputError where the extra is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"{error}: ONNX needs pip install 'detr-kit[onnx]'") from error


def to_onnx(
    program: ExportedProgram, metadata: ExportMetadata, layers: Sequence[str], opset: int
) -> onnx.ModelProto:
    """An ONNX model of a program whose last outputs are its layers'; those stay inside, under their names."""
    names = [*metadata.output_names, *layers]
    exported = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=opset,
        input_names=metadata.input_names,
        output_names=names,
        custom_translation_table={torch.ops.aten.sort.stable: _sort_stable},
        verbose=False,
    )
    assert exported is not None
    model = exported.model_proto
    del model.graph.output[len(metadata.output_names) :]
    for node in model.graph.node:
        # Stack traces carry the paths of the machine; the module's name is all that is of use.
        kept = [prop for prop in node.metadata_props if prop.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    del model.graph.value_info[:]
    set_metadata(model, metadata, layers)
    return model


def _sort_stable(self: Any, stable: bool, dim: int = -1, descending: bool = False) -> Any:
    """aten.sort.stable, which torch's exporter lacks up to 2.14: of equal values TopK takes the first first.

    Its arguments are an operator's, and named as there.
    """
    from onnxscript import opset18

    length = opset18.Shape(self, start=dim, end=None if dim == -1 else dim + 1)
    return opset18.TopK(self, length, axis=dim, largest=int(descending), sorted=1)


def set_metadata(model: onnx.ModelProto, metadata: ExportMetadata, layers: Sequence[str]) -> None:
    """Store the metadata and the names of the layers that can be looked at."""
    del model.metadata_props[:]
    for key, value in ((KEY, metadata.to_json()), (LAYERS_KEY, "\n".join(layers))):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """onnxruntime on the CPU; where there is CUDA, on that."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=providers)


class OnnxFile:
    """An .onnx file."""

    def __init__(self, path: Path) -> None:
        require_onnx()
        self.path = path
        self._session = session(path)
        stored = self._session.get_modelmeta().custom_metadata_map
        self.metadata = ExportMetadata.from_json(stored.get(KEY), path)
        self._layers = stored.get(LAYERS_KEY, "").splitlines()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The file's outputs for its inputs, in the order of the metadata's names."""
        return tuple(_run(self._session, self.metadata.input_names, self.metadata.output_names, inputs))

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Output of every layer, under the names of `record_layers`: a run with more outputs."""
        import onnx

        model = onnx.load(self.path)
        made = {name for node in model.graph.node for name in node.output}
        values = layer_values(self._layers, made)
        if not values:
            return {}
        model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values.values())
        opened = session(model.SerializeToString())
        results = _run(opened, self.metadata.input_names, list(values.values()), inputs)
        return dict(zip(values, results, strict=True))


def layer_values(layers: Sequence[str], known: Container[str]) -> dict[str, str]:
    """Layer -> the value in the graph that is its output; in INT8 files what its 8 bits stand for."""
    values = {name: f"{name}_DequantizeLinear_Output" for name in layers}
    values = {name: value if value in known else name for name, value in values.items()}
    return {name: value for name, value in values.items() if value in known}


def _run(
    opened: onnxruntime.InferenceSession,
    names: Sequence[str],
    outputs: Sequence[str],
    inputs: Sequence[Tensor],
) -> list[Tensor]:
    feeds = {name: np.ascontiguousarray(t.cpu().numpy()) for name, t in zip(names, inputs, strict=True)}
    return [torch.from_numpy(array) for array in opened.run(list(outputs), feeds)]
