"""`--batch-size auto`: memory is counted, and the effective batch stays what it was."""

import pytest
import torch

from detr_kit.config import read_config
from detr_kit.engine import batch_probe, prepare_config
from detr_kit.engine.batch_probe import fitting_batch, free_bytes, largest_picture
from detr_kit.errors import InputError
from detr_kit.fine_tune.run import write_fine_tune_config

from ..places import TINY


@pytest.mark.parametrize(("model", "size"), [
    ("deformable_detr_r50", (800, 1333)),
    ("rt_detr_r18", (800, 800)),  # of the batches that change their size
    ("d_fine_n", (640, 640)),
])  # fmt: skip
def test_the_largest_picture_is_read_off_the_config(model, size):
    height, width = largest_picture(read_config(model))
    assert (height, width) == size


def test_pictures_of_any_size_are_refused():
    config = read_config(TINY)  # flips alone
    with pytest.raises(InputError, match="--batch-size auto: the training pictures are of any size"):
        largest_picture(config)


@pytest.fixture(scope="module")
def tiny():
    resize = dict(type="Resize", size=[128, 128], antialias=True)
    return prepare_config(TINY, options={"train_dataloader.dataset.transforms": [resize]})


class TestFit:
    """An image's bytes are the limit's unit here: what a step takes is asked for once."""

    @pytest.fixture(scope="class")
    def need(self, tiny):
        model = batch_probe._model(tiny)
        fixed = 4 * sum(p.numel() * p.element_size() for p in model.parameters())
        return fixed, batch_probe._step_bytes(model, (128, 128), 5)

    @pytest.mark.parametrize(("images", "wanted", "expected"), [
        (1.5, 8, 1), (2.5, 8, 2), (3.9, 8, 2), (4.1, 8, 4), (100, 8, 8), (3.5, 6, 3), (2.5, 7, 1),
    ])  # fmt: skip
    def test_the_largest_divisor_that_fits(self, tiny, need, images, wanted, expected):
        fixed, an_image = need
        batch, why = fitting_batch(tiny, wanted, 5, limit=fixed + images * an_image)
        assert batch == expected
        assert f"{int(images)} would fit, {expected} of {wanted} a batch" in why

    def test_not_even_one(self, tiny, need):
        with pytest.raises(InputError, match="a picture of 128 × 128 takes"):
            fitting_batch(tiny, 4, 5, limit=sum(need) / 2)

    def test_memory_grows_with_the_picture(self, tiny, need):
        model = batch_probe._model(tiny)
        larger = batch_probe._step_bytes(model, (256, 128), 5)
        assert larger / need[1] == pytest.approx(2, rel=0.25)
        assert all(p.grad is None for p in model.parameters())

    def test_more_than_the_activations_of_the_backbone_are_counted(self, tiny, need):
        """The first convolution's output alone, at stride 2 with 64 channels in float32."""
        assert need[1] > 64 * 64 * 64 * 4


def test_free_memory_is_some():
    assert 0 < free_bytes(torch.device("cpu")) < 2**50


class TestWritten:
    def test_the_rest_is_accumulated(self, sets, tmp_path):
        options = dict(work_dir=tmp_path, preset="recipe", epochs=30, image_size=64, batch_size="auto")
        path = write_fine_tune_config(sets / "coco", TINY, **options)
        whole = prepare_config(path)
        assert whole.train_dataloader.batch_size == 10  # of 16 in the recipe: all pictures that there are
        assert "accumulative_counts" not in whole.optim_wrapper
        model = batch_probe._model(whole)
        fixed = 4 * sum(p.numel() * p.element_size() for p in model.parameters())
        limit = (fixed + 2.5 * batch_probe._step_bytes(model, largest_picture(whole), 5)) / 1e9
        text = write_fine_tune_config(sets / "coco", TINY, memory_gb=limit, **options).read_text()
        config = prepare_config(path)
        assert config.train_dataloader.batch_size == 2
        assert config.optim_wrapper.accumulative_counts == 5
        assert config.param_scheduler[0]["end"] == 3 * 5  # 3 of 30 steps, counted in batches
        assert "# 10 pictures a step: 5 batch(es) of 2" in text
        assert f"--batch-size auto --memory-gb {limit}" in text.replace("--image-size 64 ", "")

    @pytest.mark.parametrize(("options", "message"), [
        (dict(batch_size="much"), "--batch-size much: it must be a number, or auto"),
        (dict(memory_gb=4), "--memory-gb 4 goes with --batch-size auto"),
        (dict(batch_size="auto", accumulate=2), "auto finds what to accumulate"),
        (dict(batch_size="auto", memory_gb=0), "--memory-gb 0: it must be larger than 0"),
        (dict(batch_size="auto", launcher="pytorch"), "2 processes may each find another"),
    ])  # fmt: skip
    def test_mistakes(self, sets, tmp_path, monkeypatch, options, message):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(InputError, match=message):
            write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path, **options)
        assert not list(tmp_path.iterdir())
