"""A Detector becomes a file that runs without detr-kit's network code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from ..data.image_io import read_image
from ..data.normalize import normalize_batch
from ..errors import InputError
from ..inference import Detector
from ..pixel_scale import pixel_scale_of
from ..structures import ImageBatch
from .graph import DetectionGraph, GraphInputs, input_names
from .metadata import ExportMetadata
from .onnx_format import set_metadata, to_onnx
from .openvino_format import write_openvino
from .options import ExportOptions, check_export_path
from .quantize import quantize
from .torch_format import trace, write_aoti, write_program


def export_detector(
    detector: Detector,
    path: str | Path,
    options: ExportOptions,
    calibration: Iterable[str | Path] = (),
) -> Path:
    """Write a detector as one self-contained file (OpenVINO: .xml and .bin).

    Args:
        detector: a float32 one.
        path: with the ending of its format: .onnx, .pt2, .aoti, .xml.
        options: see ExportOptions.
        calibration: image files for INT8, some hundred of the kind that will be seen.

    Returns:
        The path.

    Raises:
        InputError: another ending, a place that cannot be written, a missing package, no images for INT8.
    """
    path = Path(path).expanduser()
    check_export_path(path, options)
    onnx_based = options.format in ("onnx", "openvino")
    graph = DetectionGraph(
        detector.network,
        detector.postprocessor if options.postprocess else None,
        torch.float16 if options.half else torch.float32,
        with_layers=onnx_based,
    ).eval()
    inputs = GraphInputs.of(options.static_size, options.padding_mask)
    metadata = _metadata(detector, graph, options)
    program = trace(graph, inputs, options.op)
    with _whole(path) as partial:
        if options.format == "torch-export":
            write_program(program, partial, metadata)
        elif options.format == "aoti":
            write_aoti(program, partial, metadata)
        else:
            layers = graph.layer_names(inputs.tensors)
            _write_onnx_based(program, layers, detector, partial, metadata, options, calibration)
    return path


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name in a hidden folder beside a file; what is written there (OpenVINO: two files) moves over."""
    made = [place for place in path.absolute().parents if not place.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    written = False
    try:
        with TemporaryDirectory(prefix=".partial.", dir=path.parent) as folder:
            yield Path(folder) / path.name
            for part in sorted(Path(folder).iterdir(), key=lambda part: part.name == path.name):
                os.replace(part, path.with_name(part.name))
        written = True
    except OSError as error:
        raise InputError(f"{path}: it cannot be written: {error}") from error
    finally:
        for place in made if not written else ():
            with suppress(OSError):  # not empty
                place.rmdir()


def _write_onnx_based(
    program: torch.export.ExportedProgram,
    layers: list[str],
    detector: Detector,
    path: Path,
    metadata: ExportMetadata,
    options: ExportOptions,
    calibration: Iterable[str | Path],
) -> None:
    import onnx

    model = to_onnx(program, metadata, layers, options.opset)
    if options.int8:
        batches = (network_inputs(detector, image, options) for image in calibration)
        model = quantize(model, batches, options.keep_float)
        set_metadata(model, metadata, layers)
    if options.format == "onnx":
        onnx.save(model, path)
    else:
        write_openvino(model, layers, path, metadata)


def network_inputs(
    detector: Detector, image: str | Path | np.ndarray, options: ExportOptions
) -> tuple[Tensor, ...]:
    """An image as the exported graph reads it, alone in its batch."""
    array = image if isinstance(image, np.ndarray) else read_image(image, apply_orientation=True)
    pixels = detector.transforms(torch.from_numpy(array).permute(2, 0, 1))
    if options.static_size is not None:
        pixels = v2.functional.resize(pixels, list(options.static_size), antialias=True)
    mask = torch.zeros(1, *pixels.shape[-2:], dtype=torch.bool)
    images = normalize_batch(ImageBatch(pixels[None], mask), pixel_scale_of(detector.network)).images
    return (images, mask) if options.padding_mask else (images,)


def _metadata(detector: Detector, graph: DetectionGraph, options: ExportOptions) -> ExportMetadata:
    transforms: list[dict[str, Any]] = (
        detector.config.test_dataloader.dataset.to_dict().get("transforms") or []
    )
    scale = pixel_scale_of(detector.network)
    return ExportMetadata(
        format=options.format,
        precision=options.precision,
        architecture=type(detector.network).__name__,
        classes=list(detector.categories.names),
        category_ids=list(detector.categories.ids),
        transforms=transforms,
        mean=list(scale.mean),
        std=list(scale.std),
        postprocess=options.postprocess,
        postprocessor=detector.config.model.postprocessor.to_dict(),
        padding_mask=options.padding_mask,
        static_size=None if options.static_size is None else list(options.static_size),
        input_names=input_names(options.padding_mask),
        output_names=list(graph.outputs),
    )
