"""OpenVINO models (.xml with a .bin beside it), made from ONNX."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .metadata import KEY, ExportMetadata
from .onnx_format import LAYERS_KEY, layer_values

if TYPE_CHECKING:
    import onnx


def require_openvino() -> Any:
    """The module; InputError where the extra is missing."""
    try:
        import openvino
    except ImportError as error:
        raise InputError(f"{error}: OpenVINO needs pip install 'detr-kit[openvino]'") from error
    return openvino


def write_openvino(model: onnx.ModelProto, layers: list[str], path: Path, metadata: ExportMetadata) -> None:
    """Convert an ONNX model and write path (.xml) and the .bin beside it."""
    import onnx

    openvino = require_openvino()
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "model.onnx")
        converted = openvino.convert_model(Path(folder) / "model.onnx")
    converted.set_rt_info(metadata.to_json(), KEY)
    converted.set_rt_info("\n".join(layers), LAYERS_KEY)
    openvino.save_model(converted, path, compress_to_fp16=metadata.precision == "fp16")


class OpenVinoModel:
    """An .xml file."""

    def __init__(self, path: Path) -> None:
        openvino = require_openvino()
        self._core = openvino.Core()
        self._model = self._core.read_model(path)
        text = self._model.get_rt_info(KEY).astype(str) if self._model.has_rt_info(KEY) else None
        self.metadata = ExportMetadata.from_json(text, path)
        # Otherwise the CPU plugin computes in bfloat16 where the processor can, and boxes move.
        self._settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._compiled = self._core.compile_model(self._model, "CPU", self._settings)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The file's outputs for its inputs, in the order of the metadata's names."""
        return tuple(self._run(self._compiled, inputs, self.metadata.output_names).values())

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Output of the layers that conversion has left under their names."""
        model = self._model.clone()
        known = {name for node in model.get_ops() for port in node.outputs() for name in port.get_names()}
        wanted = model.get_rt_info(LAYERS_KEY).astype(str).split("\n")
        values = layer_values(wanted, known)
        model.add_outputs(list(values.values()))
        compiled = self._core.compile_model(model, "CPU", self._settings)
        results = self._run(compiled, inputs, list(values.values()))
        return {name: results[value] for name, value in values.items()}

    def _run(self, compiled: Any, inputs: tuple[Tensor, ...], names: list[str]) -> dict[str, Tensor]:
        feeds = {
            n: np.ascontiguousarray(t.cpu()) for n, t in zip(self.metadata.input_names, inputs, strict=True)
        }
        results = compiled(feeds)
        return {name: torch.from_numpy(np.array(results[name])) for name in names}
