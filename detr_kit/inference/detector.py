"""The Detector: a trained network ready for images."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torchvision.transforms import v2

from ..categories import Categories
from ..checkpoints import (
    CheckpointFile,
    categories_of,
    detect_format,
    load_state,
    read_checkpoint,
    read_recipe,
    strip_wrapper,
)
from ..checkpoints.image_size import RESIZES
from ..checkpoints.location import default_checkpoint
from ..config import config_dir, config_names, read_config
from ..data.normalize import normalize_batch
from ..errors import InputError
from ..explain import Explanation, explain
from ..families import Architecture
from ..number_ranges import check_nms
from ..pixel_scale import pixel_scale_of
from ..registry import MODELS, TRANSFORMS, build
from ..sources import Source, load_image
from ..structures import ImageBatch, Prediction
from ..zoo import build_network
from .fast_dtype import fast_dtype
from .predictor import Predictor
from .ready_network import ready_network

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
AUTO = "auto"


class Detector(Predictor):
    """Finds objects in images.

    Args:
        model: a config's name or path, of the checkpoint's architecture. None finds it by the weights, where
            they are of one of the papers' variants (DC5 leaves no trace in weights and has to be named).
        checkpoint: .pth or .safetensors of any known format, or a transformers folder; or weights that are
            fetched once: an address, a model's id on the Hugging Face hub, a name of `detr-kit models`.
            Classes are read from it. "builtin" is the small one inside the package, which finds coloured
            shapes. By default the published weights of the model; without a model, those of a default one.
        device: "cpu", "cuda", "mps", …; by default a GPU where there is one.
        class_names: the classes, for a checkpoint that does not name them: in the order of the labels, or
            label: name.
        half: "bf16" or "fp16" runs the network in half precision; boxes and scores stay float32. "auto" is
            bf16 where a trial finds it faster, and float32 elsewhere.
        compile: compile the network with torch.compile; the first image of a shape then takes long.
        nms_iou_threshold: leave out detections that overlap a better one of their class by more than this
            IoU; by default as the model says.

    Attributes:
        network: the network, in evaluation mode.
        config: where the network's transforms and post-processing are described.
        class_names: the class of each label.
        architecture: what the weights say of the network.
        notes: what has to be said of the checkpoint, such as which of several sets of weights was taken.

    Raises:
        InputError: no such model or checkpoint, weights that cannot be fetched, the two do not belong
            together, weights that are not finite, or a number out of its range.
    """

    def __init__(
        self,
        model: str | Path | Config | None = None,
        checkpoint: str | Path = "",
        device: str | torch.device | None = None,
        class_names: Sequence[str] | Mapping[int, str] | None = None,
        *,
        half: str | None = None,
        compile: bool = False,
        nms_iou_threshold: float | None = None,
    ) -> None:
        if half not in (None, AUTO, *HALF):
            raise InputError(f"Detector: half={half!r}; it must be 'bf16', 'fp16' or None, or 'auto'")
        check_nms(nms_iou_threshold)
        self.device = choose_device(device)
        self.dtype = fast_dtype(self.device) if half == AUTO else HALF.get(half or "", torch.float32)
        checkpoint = checkpoint or default_checkpoint(model)
        file = read_checkpoint(checkpoint)
        try:
            model = model or _named_config(file) or _recipe(file)
            found = detect_format(strip_wrapper(file.state_dict)).architecture
            config = _config(model, found, file.metadata.get("resize"))
            network = _network(model, config, found, file)
        except InputError as error:
            raise InputError(f"checkpoint {checkpoint}: {error}") from error
        report = load_state(network, file, str(checkpoint), strict=True)
        self.checkpoint, self.architecture, self.notes = str(checkpoint), found, report.notes
        if nms_iou_threshold is not None:
            config = copy.deepcopy(config)  # it may be the caller's
            config.model.postprocessor.nms_iou_threshold = nms_iou_threshold
        self.config = config
        network = network.eval().to(self.device)
        ready = ready_network(network, self.dtype, keeps=not compile)
        self.network = network.to(self.dtype)
        self._run = torch.compile(ready) if compile else ready
        self.postprocessor = build(config.model.postprocessor.to_dict(), MODELS)
        self.transforms = _inference_transforms(config)
        self.categories = _categories(found.num_classes, file, class_names)

    def __repr__(self) -> str:
        names = self.class_names
        classes = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        return (
            f"Detector({self.architecture.config_name} of {self.checkpoint}, "
            f"{len(names)} classes: {classes}; {str(self.dtype).removeprefix('torch.')} on {self.device})"
        )

    def settings(self) -> dict[str, Any]:
        """See Predictor."""
        return {
            "weights": _digest(self.network.state_dict()),
            "half": str(self.dtype).removeprefix("torch."),
            "transforms": self.config.test_dataloader.dataset.to_dict().get("transforms") or [],
            "postprocessor": self.config.model.postprocessor.to_dict(),
            "class_names": list(self.class_names),
        }

    def predict_batch(self, pixels: Tensor, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """See Predictor."""
        return self.postprocessor(self._run(self.inputs(pixels), None), original_sizes)

    def inputs(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> what the network reads: on its pixel scale, in its dtype."""
        mask = torch.zeros(len(pixels), *pixels.shape[-2:], dtype=torch.bool, device=pixels.device)
        batch = normalize_batch(ImageBatch(pixels, mask), pixel_scale_of(self.network))
        return batch.images.to(self.dtype)

    def explain(
        self, source: Source, detection: int = 0, *, query: int | None = None, bgr: bool = False
    ) -> Explanation:
        """Where the network looked for a detection: `.save("why.png")` draws it.

        Args:
            source: one image, as in `__call__`.
            detection: which of `detector(source)`, 0 for the best.
            query: one of the decoder's queries instead.
            bgr: arrays are BGR.

        Raises:
            InputError: not an image, or no such detection or query.
        """
        image = load_image(source, bgr=bgr)
        pixels = self.transforms(torch.from_numpy(image).permute(2, 0, 1))[None].to(self.device)
        return explain(
            self.network,
            self.postprocessor,
            self.inputs(pixels),
            image,
            self.class_names,
            detection,
            query,
        )


def _digest(state: Mapping[str, Tensor]) -> str:
    """A short name of weights: equal for equal ones, wherever they come from."""
    found = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(state.items()):
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The named device, or the fastest kind that the machine has: cuda, mps, cpu.

    Raises:
        InputError: torch knows no such device, or the machine has none.
    """
    if device is None:
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device}: {reason}; choose cpu, or leave it out") from error


def _inference_transforms(config: Config) -> v2.Transform:
    """The test pipeline of the config, so that the Detector sees images as the evaluation did."""
    transforms = config.test_dataloader.dataset.to_dict().get("transforms") or []
    return v2.Compose(build(list(transforms), TRANSFORMS) or [v2.Identity()])


def _named_config(file: CheckpointFile) -> Path | None:
    """The shipped config that a checkpoint names. Another's path would be Python of who knows whom."""
    name = file.metadata.get("config")
    if name is None:
        return None
    if name not in config_names():
        raise InputError(f"it names the config {name!r}, none of detr-kit's; name the model's config")
    return config_dir() / f"{name}.py"


def _recipe(file: CheckpointFile) -> Config | None:
    """What a training checkpoint says of its own model, as much of a config as the Detector reads."""
    recipe = read_recipe(file.metadata)
    if recipe is None:
        return None
    model = {part: recipe[part] for part in ("network", "postprocessor")}
    return Config(dict(model=model, test_dataloader=dict(dataset=dict(transforms=recipe["transforms"]))))


def _config(model: str | Path | Config | None, found: Architecture, resize: dict[str, Any] | None) -> Config:
    """The config that was given, or the family's, whose pictures are as large as the file says."""
    if isinstance(model, Config):
        return model
    if model is not None:
        return read_config(model)
    config = read_config(found.family.config)
    if resize is not None:
        pipeline = config.test_dataloader.dataset.transforms
        config.test_dataloader.dataset.transforms = [
            resize if step.type in RESIZES else step for step in pipeline
        ]
    return config


def _network(
    model: str | Path | Config | None, config: Config, found: Architecture, file: CheckpointFile
) -> nn.Module:
    if model is not None:
        return build_network(config, num_classes=found.num_classes, num_queries=found.num_queries)
    return build(found.network_config(**file.network_hints), MODELS)


def _categories(
    num_classes: int, file: CheckpointFile, names: Sequence[str] | Mapping[int, str] | None
) -> Categories:
    if names is not None:
        return Categories.named(names, num_classes)
    numbered = Categories.numbered(num_classes)
    known = categories_of(file, num_classes) or numbered
    return Categories(known.names + numbered.names[len(known) :], known.ids + numbered.ids[len(known) :])
