"""The Detector: a trained network ready for images."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.transforms import v2

from .categories import Categories
from .checkpoints import (
    CheckpointFile,
    categories_of,
    detect_format,
    load_state,
    read_checkpoint,
    strip_wrapper,
)
from .checkpoints.architecture import Architecture
from .config import read_config
from .data.image_io import decode_image, pil_to_rgb, read_image
from .data.normalize import normalize_batch
from .detections import Detections
from .errors import InputError
from .registry import MODELS, TRANSFORMS, build
from .structures import ImageBatch, Prediction
from .zoo import build_network

Source = str | Path | bytes | Image.Image | np.ndarray | Tensor


class Detector:
    """Finds objects in images.

    Args:
        model: a config's name or path, of the checkpoint's architecture. None finds it by the weights, where
            they are of one of the papers' variants (DC5 leaves no trace in weights and has to be named).
        checkpoint: .pth or .safetensors of any known format, or a transformers folder. Classes are read
            from it. "builtin" is the small one inside the package, which finds coloured shapes.
        device: "cpu", "cuda", …; by default a GPU where there is one.
        class_names: the classes, for a checkpoint that does not name them.

    Attributes:
        class_names: the class of each label.

    Raises:
        InputError: no such model or checkpoint, or the two do not belong together.
    """

    def __init__(
        self,
        model: str | Path | Config | None = None,
        checkpoint: str | Path = "",
        device: str | torch.device | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if not checkpoint:
            raise InputError("Detector: give a checkpoint; without one the network knows nothing")
        file = read_checkpoint(checkpoint)
        model = model or file.metadata.get("config")
        try:
            found = detect_format(strip_wrapper(file.state_dict)).architecture
            config = _config(model, found)
            network = _network(model, config, found, file)
        except InputError as error:
            raise InputError(f"checkpoint {checkpoint}: {error}") from error
        load_state(network, file, str(checkpoint), strict=True)
        self.network = network.eval().to(self.device)
        self.postprocessor = build(config.model.postprocessor.to_dict(), MODELS)
        self.transforms = _inference_transforms(config)
        self.categories = _categories(found.num_classes, file, class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class of each label."""
        return self.categories.names

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is a Sequence too
        self, source: Source, score_threshold: float = ..., *, batch_size: int = ..., bgr: bool = ...
    ) -> Detections: ...
    @overload
    def __call__(
        self,
        source: Sequence[Source],
        score_threshold: float = ...,
        *,
        batch_size: int = ...,
        bgr: bool = ...,
    ) -> list[Detections]: ...
    def __call__(
        self,
        source: Source | Sequence[Source],
        score_threshold: float = 0.3,
        *,
        batch_size: int = 8,
        bgr: bool = False,
    ) -> Detections | list[Detections]:
        """Detect objects.

        Images of equal size share a batch and nothing is ever padded, so an image's detections do not depend
        on its neighbours.

        Args:
            source: path, URL, encoded bytes, PIL image, array (H, W, 3) or (H, W), tensor (3, H, W); arrays
                and tensors uint8, or floating point in [0, 1]. A list gives a list.
            score_threshold: detections below are left out.
            batch_size: images of equal size to run at once.
            bgr: arrays are BGR, as OpenCV has them.

        Raises:
            InputError: not an image; the message names it.
        """
        single = isinstance(source, str | Path | bytes | Image.Image | np.ndarray | Tensor)
        sources = [source] if single else list(source)  # type: ignore[arg-type]
        images = [_to_array(item, bgr, f"source[{i}]") for i, item in enumerate(sources)]
        predictions = self._predict(images, batch_size)
        results = []
        for item, image, prediction in zip(sources, images, predictions, strict=True):
            keep = prediction.scores >= score_threshold
            scores, labels, boxes = (part[keep] for part in prediction)
            path = str(item) if isinstance(item, str | Path) else ""
            results.append(Detections(boxes, scores, labels, self.categories, image, path))
        return results[0] if single else results

    @torch.inference_mode()
    def _predict(self, images: Sequence[np.ndarray], batch_size: int) -> list[Prediction]:
        inputs = [self.transforms(torch.from_numpy(image).permute(2, 0, 1)) for image in images]
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for index, tensor in enumerate(inputs):
            by_shape[tensor.shape].append(index)
        predictions: dict[int, Prediction] = {}
        for indices in by_shape.values():
            for start in range(0, len(indices), batch_size):
                chunk = indices[start : start + batch_size]
                pixels = torch.stack([inputs[i] for i in chunk]).to(self.device)
                mask = torch.zeros(len(chunk), *pixels.shape[-2:], dtype=torch.bool, device=self.device)
                batch = normalize_batch(ImageBatch(pixels, mask))
                output = self.network(batch.images, None)
                sizes = [(images[i].shape[0], images[i].shape[1]) for i in chunk]
                for i, prediction in zip(chunk, self.postprocessor(output, sizes), strict=True):
                    predictions[i] = Prediction(*(part.cpu() for part in prediction))
        return [predictions[i] for i in range(len(images))]


def picture_names(sources: Sequence[str]) -> list[str]:
    """A .png name for each source, numbered where files of several folders have the same name."""
    used: dict[str, int] = defaultdict(int)
    names = []
    for source in sources:
        stem = Path(source).stem
        used[stem] += 1
        names.append(f"{stem}.png" if used[stem] == 1 else f"{stem}_{used[stem]}.png")
    return names


def _inference_transforms(config: Config) -> v2.Transform:
    """The test pipeline of the config, so that the Detector sees images as the evaluation did."""
    transforms = config.test_dataloader.dataset.to_dict().get("transforms") or []
    return v2.Compose(build(list(transforms), TRANSFORMS) or [v2.Identity()])


def _config(model: str | Path | Config | None, found: Architecture) -> Config:
    if isinstance(model, Config):
        return model
    if model is not None:
        return read_config(model)
    # Any config of the same kind has the right transforms and postprocessor.
    return read_config("deformable_detr_r50" if found.kind == "deformable_detr" else "detr_r50")


def _network(
    model: str | Path | Config | None, config: Config, found: Architecture, file: CheckpointFile
) -> nn.Module:
    if model is not None:
        return build_network(config, num_classes=found.num_classes, num_queries=found.num_queries)
    return build(found.network_config(**file.network_hints), MODELS)


def _categories(num_classes: int, file: CheckpointFile, names: Sequence[str] | None) -> Categories:
    numbered = Categories.numbered(num_classes)
    if names is not None:
        if len(names) != num_classes:
            raise InputError(f"class_names: {len(names)} names for a checkpoint with {num_classes} classes")
        return Categories(tuple(names), numbered.ids)
    known = categories_of(file, num_classes) or numbered
    return Categories(known.names + numbered.names[len(known) :], known.ids + numbered.ids[len(known) :])


def _to_array(source: Any, bgr: bool, name: str) -> np.ndarray:
    """Any source -> (H, W, 3) uint8 RGB."""
    if isinstance(source, bytes):
        return decode_image(source, name, apply_orientation=True)
    if isinstance(source, str | Path):
        if str(source).startswith(("http://", "https://")):
            return decode_image(_download(str(source)), str(source), apply_orientation=True)
        if Path(source).is_dir():
            raise InputError(f"image {source}: a folder; give a list of the files in it")
        return read_image(source, apply_orientation=True)
    if isinstance(source, Image.Image):
        return pil_to_rgb(ImageOps.exif_transpose(source))
    if isinstance(source, Tensor):
        if source.dim() != 3 or source.shape[0] not in (1, 3):
            raise InputError(f"{name}: a tensor of shape {tuple(source.shape)}; it must be (3, H, W)")
        source = source.detach().cpu().permute(1, 2, 0).numpy()
    if isinstance(source, np.ndarray):
        return _array_to_rgb(source, bgr, name)
    raise InputError(f"{name}: a {type(source).__name__} is no path, bytes, PIL image, array or tensor")


def _array_to_rgb(array: np.ndarray, bgr: bool, name: str) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(
            f"{name}: an array of shape {array.shape}; it must be (H, W), (H, W, 3) or (H, W, 4)"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError(
                f"{name}: a {array.dtype} array with values outside [0, 1]; give uint8 in 0 … 255 or floats "
                "in 0 … 1, not normalised"
            )
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"{name}: a {array.dtype} array; it must be uint8, or floating point in [0, 1]")
    array = array.repeat(3, axis=2) if array.shape[2] == 1 else array[..., :3]
    return np.ascontiguousarray(array[..., ::-1] if bgr else array)


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.read()
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise InputError(f"image {url}: it cannot be fetched: {error}") from error
