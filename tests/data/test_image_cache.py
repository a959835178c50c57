"""Images kept in memory are those of the files, up to the limit."""

import torch

from detr_kit.data import CocoDataset


class TestCache:
    def test_cached_images_are_the_files(self, shapes):
        plain = CocoDataset("train.json", "train", data_root=str(shapes))
        cached = CocoDataset("train.json", "train", data_root=str(shapes), cache_gb=1)
        assert len(cached._cache.pixels) == 24
        for i in (0, 23):
            cached[i].image.zero_()  # what a transform writes stays out of the cache
            assert torch.equal(plain[i].image, cached[i].image)

    def test_the_limit_holds(self, shapes):
        one = 64 * 64 * 3
        cached = CocoDataset("train.json", "train", data_root=str(shapes), cache_gb=5.5 * one / 1e9)
        assert len(cached._cache.pixels) == 5
        assert cached._cache.num_bytes <= 5.5 * one
        assert cached[23].image.shape == (3, 64, 64)
