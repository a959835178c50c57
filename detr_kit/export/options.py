"""What an export is asked for: judged before a network, or torch, is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..number_ranges import check_count

ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "aoti": ".aoti", "openvino": ".xml"}  # by format
# GridSample came in 16; from 20 its modes have the names that PyTorch's exporter writes.
SMALLEST_OPSET, DEFAULT_OPSET, LARGEST_OPSET = 18, 20, 23
# From 65 pixels on, the map of stride 64 has two rows and columns; torch.export takes one as fixed.
SMALLEST_SIDE, LARGEST_SIDE = 65, 8192
# Patterns of layer names; chosen by benchmarks/int8_sensitivity.py, whose table is in docs/export.md.
KEEP_FLOAT = ("sampling_offsets", "attention_weights", "box_head", "class_head", "reference_points")
TORCHSCRIPT = (
    "torchscript is not offered: PyTorch deprecated it in favour of torch.export, it records one image size "
    "unless the network is rewritten for its compiler, and every runtime that reads it reads one of the "
    "others; use torch-export (Python), aoti (C++) or onnx"
)


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        format: "onnx", "torch-export", "aoti" or "openvino".
        half: float16 inside; boxes and scores stay float32.
        int8: quantise to INT8 with images to calibrate on (onnx, openvino).
        keep_float: patterns of layers that INT8 leaves alone.
        opset: of ONNX.
        static_size: fix (height, width); images are then squeezed to it. The batch stays free.
        postprocess: end the graph with the post-processing; without, it gives logits and boxes.
        padding_mask: a second input for batches of padded images.
        op: "reference" or "native": how the torch formats compute deformable attention. A file with the
            native operator needs detr_kit where it runs.

    Raises:
        InputError: values that do not go together.
    """

    format: str
    half: bool = False
    int8: bool = False
    keep_float: Sequence[str] = KEEP_FLOAT
    opset: int = DEFAULT_OPSET
    static_size: tuple[int, int] | None = None
    postprocess: bool = True
    padding_mask: bool = False
    op: str = "reference"

    def __post_init__(self) -> None:
        if self.format == "torchscript":
            raise InputError(TORCHSCRIPT)
        if self.format not in ENDINGS:
            raise InputError(f"format {self.format!r}: it must be one of {', '.join(ENDINGS)}")
        onnx_based = self.format in ("onnx", "openvino")
        if self.int8 and not onnx_based:
            raise InputError(
                f"int8 with format {self.format}: INT8 is made by onnxruntime; use onnx or openvino"
            )
        if self.int8 and self.half:
            raise InputError("half and int8 exclude one another; choose one")
        if onnx_based and self.op != "reference":
            raise InputError(f"op={self.op} with format {self.format}: only torch-export and aoti know it")
        check_count(
            "opset", self.opset, least=SMALLEST_OPSET, most=LARGEST_OPSET, remark=", as PyTorch writes"
        )
        for side in self.static_size or ():
            check_count("static size: side", side, least=SMALLEST_SIDE, remark=", in pixels")

    @property
    def precision(self) -> str:
        """ "fp32", "fp16" or "int8"."""
        return "int8" if self.int8 else "fp16" if self.half else "fp32"


def check_export_path(path: Path, options: ExportOptions) -> None:
    """Whether a file of the format can be written there, and what it needs is installed; makes nothing.

    Raises:
        InputError: another ending, a place that cannot be written, or a missing package.
    """
    ending = ENDINGS[options.format]
    if path.suffix != ending:
        raise InputError(f"{path}: a file of format {options.format} ends in {ending}")
    if path.is_dir():
        raise InputError(f"{path}: it cannot be written: a folder of that name is there")
    there = next(place for place in path.absolute().parents if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{path}: it cannot be written: {there} is no folder that can be written to")
    if options.format in ("onnx", "openvino"):
        from .onnx_format import require_onnx

        require_onnx()
    if options.format == "openvino":
        from .openvino_format import require_openvino

        require_openvino()
