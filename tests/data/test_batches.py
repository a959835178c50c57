"""Images of unequal sizes become one padded batch, with the like beside the like."""

import math

import numpy as np
import torch
from torch.utils.data import SequentialSampler

from detr_kit.data import (
    AspectRatioBatchSampler,
    CocoDataset,
    pad_collate,
)
from detr_kit.data.normalize import drop_mask_without_padding, normalize_batch


def test_collate_pads_right_and_below(shapes):
    dataset = CocoDataset("train.json", "train", data_root=str(shapes), transforms=[
        dict(type="RandomSizeCrop", min_size=30, max_size=60)
    ])  # fmt: skip
    samples = [dataset[i] for i in range(4)]
    batch = pad_collate(samples)
    normalised = normalize_batch(batch)
    for i, sample in enumerate(samples):
        h, w = sample.image.shape[-2:]
        assert torch.equal(batch.images[i, :, :h, :w], sample.image)
        assert batch.padding_mask[i].sum() == batch.padding_mask[i].numel() - h * w
        assert not batch.padding_mask[i, :h, :w].any()
        assert normalised.images[i, :, h:].abs().sum() == 0  # exactly zero, not (0 − mean) / std
    assert drop_mask_without_padding(batch) is batch.padding_mask
    assert drop_mask_without_padding(pad_collate(samples[:1])) is None


def test_batches_keep_portrait_and_landscape_apart():
    class Shapes:
        aspect_ratios = np.array([1.5, 0.5] * 10 + [2.0])

        def __len__(self):
            return len(self.aspect_ratios)

    class Sampler(SequentialSampler):
        dataset = Shapes()

    batches = list(AspectRatioBatchSampler(Sampler(Shapes()), batch_size=4))
    assert sorted(i for b in batches for i in b) == list(range(21))
    assert len(batches) == len(AspectRatioBatchSampler(Sampler(Shapes()), batch_size=4)) == math.ceil(21 / 4)
    whole = list(AspectRatioBatchSampler(Sampler(Shapes()), batch_size=4, drop_last=True))
    assert len(whole) == len(AspectRatioBatchSampler(Sampler(Shapes()), 4, drop_last=True)) == 5
    mixed = [b for b in batches if len({Shapes.aspect_ratios[i] < 1 for i in b}) == 2]
    assert len(mixed) <= 1  # only what is left over at the end
