"""The random numbers with which the references of denoising were measured, in the order of each original."""

import numpy as np
import torch

from detr_kit.models.queries.denoising import Denoising, Noise

SEED = 13


def pin_noise(denoising: Denoising, layout: str, counts: list[int]) -> None:
    """Have `denoising` draw what the original code drew for images of `counts` objects.

    Args:
        layout: "flat": a number an object, no padding, images in turn within each copy, classes only for
            those that change (DINO; "flat, unsigned" for DN-DETR, whose boxes need no sign);
            "padded": a number a query, as ours (RT-DETR, D-FINE).
    """

    def draw(batch: int, count: int, num_classes: int, device: torch.device) -> Noise:
        r = np.random.default_rng(SEED)
        if layout == "padded":
            shape = (batch, count)
            change = r.random(shape)
            numbers = [change, r.integers(0, num_classes, shape)]
            numbers += [r.integers(0, 2, (*shape, 4)) * 2 - 1, r.random((*shape, 4))]
        else:
            copies = count // max(counts)
            slots = [
                (image, copy * max(counts) + n)
                for copy in range(copies)
                for image in range(batch)
                for n in range(counts[image])
            ]
            change = r.random(len(slots)).astype(np.float32)
            chosen = np.flatnonzero(change < np.float32(denoising.label_noise))
            label = np.zeros(len(slots), dtype=np.int64)
            label[chosen] = r.integers(0, num_classes, len(chosen))
            signed = layout == "flat"
            sign = r.integers(0, 2, (len(slots), 4)) * 2 - 1 if signed else np.ones((len(slots), 4))
            flat = [change, label, sign, r.random((len(slots), 4))]
            numbers = [np.zeros((batch, count, *part.shape[1:]), dtype=part.dtype) for part in flat]
            for part, values in zip(numbers, flat, strict=True):
                part[tuple(zip(*slots, strict=True))] = values
        change, label, sign, size = (torch.from_numpy(np.asarray(part)) for part in numbers)
        return Noise(change.float(), label, sign.float(), size.float())

    denoising.draw = draw
