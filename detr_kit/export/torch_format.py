"""torch.export programs (.pt2) and AOTInductor packages (.aoti)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from ..errors import InputError
from ..ops import use_backend
from .graph import DetectionGraph, GraphInputs
from .layer_record import numbered
from .metadata import KEY, ExportMetadata

_LAYER_OPERATORS = {
    torch.ops.aten.conv2d.default,
    torch.ops.aten.linear.default,
    torch.ops.aten.layer_norm.default,
    torch.ops.aten.group_norm.default,
}


def trace(graph: DetectionGraph, inputs: GraphInputs, op: str = "reference") -> ExportedProgram:
    """torch.export of a graph; `op` is "reference" (plain PyTorch) or "native" (one node an attention).

    Raises:
        InputError: the native operator is not built.
    """
    with use_backend(op), torch.no_grad():
        try:
            return torch.export.export(
                graph, inputs.tensors, dynamic_shapes=inputs.dynamic_shapes, strict=False
            )
        except RuntimeError as error:
            if op == "native" and "backend is 'native'" in str(error):
                raise InputError(f"export with op=native: {error}") from error
            raise


def write_program(program: ExportedProgram, path: Path, metadata: ExportMetadata) -> None:
    """Save as .pt2."""
    torch.export.save(program, path, extra_files={KEY: metadata.to_json()})


def write_aoti(program: ExportedProgram, path: Path, metadata: ExportMetadata) -> None:
    """Compile to machine code of this kind of CPU and save; needs a C++ compiler and takes minutes.

    Raises:
        InputError: it does not compile.
    """
    from torch._inductor import aoti_compile_and_package

    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "model.pt2"  # the only ending that torch takes
        try:
            aoti_compile_and_package(
                program,
                package_path=str(package),
                inductor_configs={"aot_inductor.metadata": {KEY: metadata.to_json()}},
            )
        except Exception as error:
            raise InputError(
                f"{path}: AOTInductor cannot compile this network: {type(error).__name__}: {error}; "
                "a C++ compiler is needed, and --format torch-export works without"
            ) from error
        shutil.move(package, path)


class TorchProgram:
    """A .pt2 file, run by PyTorch."""

    def __init__(self, path: Path) -> None:
        extra: dict[str, Any] = {KEY: ""}
        program = torch.export.load(path, extra_files=extra)
        self.metadata = ExportMetadata.from_json(extra[KEY], path)
        self._module = program.module()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The file's outputs for its inputs, in the order of the metadata's names."""
        return tuple(self._module(*inputs))

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Output of every layer, under the names of `record_layers`."""
        recorder = _Recorder(self._module)
        recorder.run(*inputs)
        return recorder.record


class AotiPackage:
    """An .aoti file, run by the machine code in it."""

    layers = None  # nothing can be seen between its ends

    def __init__(self, path: Path) -> None:
        from torch._inductor import aoti_load_package

        with tempfile.TemporaryDirectory() as folder:
            package = Path(shutil.copy(path, Path(folder) / "model.pt2"))
            self._package: Any = aoti_load_package(str(package))
        self.metadata = ExportMetadata.from_json(self._package.get_metadata().get(KEY), path)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The file's outputs for its inputs, in the order of the metadata's names."""
        return tuple(self._package(*inputs))


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.record: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.target in _LAYER_OPERATORS:
            path = list(n.meta["nn_module_stack"].values())[-1][0]
            self.record[numbered(path.removeprefix("network."), self.record)] = result
        return result
