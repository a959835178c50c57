"""Several processes draw what one draws; epochs differ and repeat."""

from detr_kit.data import CocoDataset, EpochSampler


class TestSampler:
    def test_processes_together_draw_what_one_draws(self, shapes):
        dataset = CocoDataset("train.json", "train", data_root=str(shapes))
        alone = EpochSampler(dataset, seed=3)
        alone.set_epoch(5)
        parts = [EpochSampler(dataset, seed=3) for _ in range(5)]
        for rank, part in enumerate(parts):
            part.rank, part.world_size, part.epoch = rank, 5, 5
        draws = [list(part) for part in parts]
        assert {len(part) for part in draws} == {5}  # 24 images: the last process draws one of them again
        assert {draw.image for part in draws for draw in part} == set(range(24))
        together = [draw for step in zip(*draws, strict=True) for draw in step]
        assert together[:24] == list(alone)

    def test_epochs_differ_and_repeat(self, shapes):
        dataset = CocoDataset("train.json", "train", data_root=str(shapes))
        sampler = EpochSampler(dataset, seed=3)
        first = list(sampler)
        sampler.set_epoch(1)
        second = list(sampler)
        sampler.set_epoch(0)
        assert list(sampler) == first
        assert [d.image for d in first] != [d.image for d in second]
        assert len({d.seed for d in first + second}) == 48
        assert {d.epoch for d in first} == {0}
        assert {d.epoch for d in second} == {1}
