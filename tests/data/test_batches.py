"""Images of unequal sizes become one padded batch, with the like beside the like."""

import math

import numpy as np
import torch
from torch.utils.data import SequentialSampler

from detr_kit.data import (
    AspectRatioBatchSampler,
    CocoDataset,
    EpochSampler,
    multi_scale_collate,
    pad_collate,
)
from detr_kit.data.normalize import drop_mask_without_padding, normalize_batch
from detr_kit.pixel_scale import PIXEL_SCALES


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


class TestMultiScale:
    SIZES = (32, 48, 96)

    def draws(self, shapes, epoch=0):
        dataset = CocoDataset("train.json", "train", data_root=str(shapes))
        sampler = EpochSampler(dataset, seed=1)
        sampler.set_epoch(epoch)
        return dataset, list(sampler)

    def test_a_batch_has_one_of_the_sizes_and_its_draw_says_which(self, shapes):
        dataset, draws = self.draws(shapes)
        batches = [
            multi_scale_collate([dataset[d] for d in draws[i : i + 2]], self.SIZES) for i in range(0, 24, 2)
        ]
        sides = [batch.images.shape[-1] for batch in batches]
        assert set(sides) == set(self.SIZES)
        again = multi_scale_collate([dataset[d] for d in draws[:2]], self.SIZES)
        assert again.images.shape == batches[0].images.shape
        for batch, side in zip(batches, sides, strict=True):
            assert batch.images.shape == (2, 3, side, side)
            assert batch.images.dtype == torch.uint8
            assert all(target.size == (side, side) for target in batch.targets)
            assert drop_mask_without_padding(batch) is None

    def test_pixels_are_the_nearest_and_boxes_stay(self, shapes):
        dataset, draws = self.draws(shapes)
        samples = [dataset[d] for d in draws[:2]]
        batch = multi_scale_collate(samples, [32])
        assert torch.equal(batch.images, pad_collate(samples).images[:, :, ::2, ::2])
        for target, sample in zip(batch.targets, samples, strict=True):
            assert torch.equal(target.boxes, sample.target.boxes)

    def test_from_an_epoch_on_sizes_stay(self, shapes):
        for epoch, side in ((1, 32), (2, 64), (3, 64)):
            dataset, draws = self.draws(shapes, epoch)
            batch = multi_scale_collate([dataset[d] for d in draws[:2]], [32], until_epoch=2)
            assert batch.images.shape[-1] == side

    def test_images_that_are_not_drawn_stay(self, shapes):
        dataset, _ = self.draws(shapes)
        assert multi_scale_collate([dataset[0]], [32]).images.shape[-1] == 64

    def test_padding_is_resized_with_its_image(self, shapes):
        dataset, draws = self.draws(shapes)
        samples = [dataset[d] for d in draws[:2]]
        samples[0].image = samples[0].image[:, :32]
        samples[0].target.size = (32, 64)
        batch = multi_scale_collate(samples, [32])
        assert batch.targets[0].size == (16, 32)
        assert batch.padding_mask[0, 16:].all()
        assert not batch.padding_mask[0, :16].any()
        assert not batch.padding_mask[1].any()


def test_a_network_may_read_pixels_as_they_are(shapes):
    batch = pad_collate([CocoDataset("train.json", "train", data_root=str(shapes))[0]])
    images = normalize_batch(batch, PIXEL_SCALES["unit"]).images
    assert torch.equal(images, batch.images / 255)
