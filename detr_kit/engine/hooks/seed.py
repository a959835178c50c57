"""Seeds each epoch and each step, so that a resumed run draws what an uninterrupted one would."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from ...data.seeding import mix_seeds, seed_everything


class SeedHook(Hook):
    """Sampler and augmentation follow (seed, epoch, position); dropout follows (seed, rank, iteration)."""

    def before_train_epoch(self, runner: Any) -> None:
        """Give the sampler the run's seed; DistSamplerSeedHook tells it the epoch."""
        loader = runner.train_dataloader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
            if sampler is not None and hasattr(sampler, "seed"):
                sampler.seed = runner.common_seed

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed this process for one step."""
        seed_everything(mix_seeds(runner.seed, runner.iter))
