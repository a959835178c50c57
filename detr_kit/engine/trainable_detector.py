"""The one model class that mmengine's Runner sees, for every architecture."""

from __future__ import annotations

import inspect
from collections import defaultdict
from typing import Any, cast

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel, MMDistributedDataParallel
from torch import nn

from ..data.normalize import drop_mask_without_padding, normalize_batch
from ..inference.ready_network import ready_network
from ..pixel_scale import IMAGENET, PixelScale, pixel_scale_of
from ..registry import MODELS, build
from ..structures import DetectorOutput, ImageBatch, Prediction
from .sharding import is_sharded


@MODELS.register_module()
class BatchPreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device and normalises it there: workers hand over bytes, a quarter of the size.

    Args:
        scale: what the network reads.
    """

    def __init__(self, scale: PixelScale = IMAGENET) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, data: ImageBatch, training: bool = False) -> dict[str, ImageBatch]:
        """uint8 batch -> {"batch": float32 batch}: the keyword under which TrainableDetector takes it."""
        return {"batch": normalize_batch(data.to(self.device), self.scale)}


@MODELS.register_module()
class TrainableDetector(BaseModel):
    """Joins a network, a criterion and a postprocessor for training and evaluation.

    Args:
        network: config of a network of detr_kit.models.
        criterion: config of its loss.
        postprocessor: config of what makes detections of its output.
        channels_last: train with each pixel's channels side by side in maps and weights, as inference always
            has them: sooner for networks of many small convolutions and batch norms (docs/performance.md),
            and equal up to rounding.
    """

    def __init__(
        self,
        network: dict[str, Any],
        criterion: dict[str, Any],
        postprocessor: dict[str, Any],
        channels_last: bool = False,
    ) -> None:
        built: nn.Module = build(network, MODELS)
        super().__init__(data_preprocessor=BatchPreprocessor(pixel_scale_of(built)))
        self._ready: tuple[Any, nn.Module] | None = None  # in a tuple: it is not a part of the model
        self.network = built
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        built.to(memory_format=self._memory_format)
        # A user's own network may be without; only denoising reads them.
        self._network_takes_targets = "targets" in inspect.signature(self.network.forward).parameters
        self.criterion = build(criterion, MODELS)
        self.postprocessor = build(postprocessor, MODELS)

    def forward(
        self, batch: ImageBatch, mode: str = "tensor"
    ) -> DetectorOutput | list[Prediction] | dict[str, torch.Tensor]:
        """Run the network.

        Args:
            batch: normalised images with targets.
            mode: "tensor" for the network's output, "predict" for detections, "loss" for weighted losses:
                those of the last decoder layer, the sums of the earlier layers' (`loss_auxiliary`), of the
                two-stage encoder's (`loss_encoder`) and of denoising queries' (`loss_denoising`), and the
                criterion's other figures.
        """
        if mode == "predict":
            return self._predict(batch)
        images = batch.images.contiguous(memory_format=self._memory_format)
        inputs: list[Any] = [images, drop_mask_without_padding(batch)]
        if mode == "loss" and self._network_takes_targets:
            inputs.append(batch.targets)
        output = self.network(*inputs)
        if mode == "tensor":
            return output
        losses = self.criterion(output, batch.targets)
        return _one_line(self.criterion.weighted(losses)) | {
            name: value for name, value in losses.items() if not name.startswith("loss_")
        }

    def _predict(self, batch: ImageBatch) -> list[Prediction]:
        """Detections of each image, run with others of exactly its size and without padding.

        Behind the first batch norm padding is no longer zero, and convolutions read it: detections, and with
        them AP, would depend on who shares the batch.
        """
        predictions: dict[int, Prediction] = {}
        network = self._ready_network()
        for (height, width), indices in groups_of_one_size(batch):
            output = network(batch.images[indices, :, :height, :width].contiguous(), None)
            sizes = [batch.targets[i].original_size for i in indices]
            predictions.update(zip(indices, self.postprocessor(output, sizes), strict=True))
        return [predictions[i] for i in range(len(batch))]

    def train(self, mode: bool = True) -> TrainableDetector:
        """Training or evaluation mode; weights may have changed in between."""
        self._ready = None
        return super().train(mode)

    def _ready_network(self) -> nn.Module:
        """The network as the Detector runs it, made anew where weights have changed since."""
        if self.training or is_sharded(self) or next(self.network.parameters()).dtype != torch.float32:
            return self.network
        versions = tuple(
            (tensor.data_ptr(), tensor._version)
            for tensor in (*self.network.parameters(), *self.network.buffers())
        )
        if self._ready is None or self._ready[0] != versions:
            self._ready = (versions, ready_network(self.network))
        return self._ready[1]


def unwrap(model: nn.Module) -> TrainableDetector:
    """The model inside DistributedDataParallel, or the model itself."""
    return cast(TrainableDetector, model.module if isinstance(model, MMDistributedDataParallel) else model)


def groups_of_one_size(batch: ImageBatch) -> list[tuple[tuple[int, int], list[int]]]:
    """((height, width), the images of that size); on a CPU, where a batch gains nothing, one image each.

    Images that run alone have results that are equal to the last bit.
    """
    if batch.images.device.type == "cpu":
        return [(target.size, [index]) for index, target in enumerate(batch.targets)]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, target in enumerate(batch.targets):
        groups[target.size].append(index)
    return list(groups.items())


def _one_line(weighted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Few enough losses for one line of the log: three of the last layer, and the sums of the others."""
    grouped: dict[str, torch.Tensor] = {}
    for name, value in weighted.items():
        last = name.rsplit("_", 1)[-1]
        key = "loss_encoder" if last == "enc" else "loss_auxiliary" if last.isdigit() else name
        key = "loss_denoising" if "_dn" in name else key
        grouped[key] = grouped[key] + value if key in grouped else value
    return grouped
