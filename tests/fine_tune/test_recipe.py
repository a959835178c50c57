"""`--recipe`: what it writes into the config, and that a run of it is one that can be resumed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detr_kit.cli import main
from detr_kit.engine import prepare_config, train
from detr_kit.errors import InputError
from detr_kit.fine_tune.recipe import AUGMENTATIONS, RECIPES, Recipe, choose_recipe
from detr_kit.fine_tune.run import write_fine_tune_config
from detr_kit.registry import MODELS, TRANSFORMS, build, find_type

from ..places import TINY, TINY_D_FINE, TINY_DETR


def written(sets, folder, recipe, model=TINY, **options):
    options = {"epochs": 20, "image_size": 48, **options}
    path = write_fine_tune_config(sets / "coco", model, work_dir=folder, recipe=recipe, **options)
    return prepare_config(path), path.read_text()


class TestWhatIsWritten:
    def test_without_one_all_is_as_it_was(self, sets, tmp_path):
        _, without = written(sets, tmp_path / "a", None)
        config, named = written(sets, tmp_path / "b", "steps")
        differing = [a for a, b in zip(without.splitlines(), named.splitlines(), strict=True) if a != b]
        assert all(line.startswith("#") for line in differing)  # the command, and the fingerprint
        assert "UntilEpoch" not in named
        assert config.param_scheduler[1].type == "MultiStepLR"

    def test_strong(self, sets, tmp_path):
        config, text = written(sets, tmp_path, "strong")
        assert "# recipe strong: mosaic, warp, mix-up and colours" in text
        strong, flip, resize = config.train_dataloader.dataset.transforms
        assert (strong.type, strong.epoch) == ("UntilEpoch", 17)
        assert [t.type for t in strong.transforms] == ["Mosaic", "RandomWarp", "MixUp", "HSVJitter"]
        assert strong.transforms[0]["size"] == 48
        assert (flip.type, resize.type) == ("RandomHorizontalFlip", "ResizeShortestSide")
        warm_up, cosine = config.param_scheduler
        assert (warm_up.type, cosine.type) == ("LinearLR", "CosineAnnealingLR")
        assert (cosine.begin, cosine.end, cosine.T_max) == (10, 20, 10)
        (average,) = [hook for hook in config.custom_hooks if hook["type"] == "EMAHook"]
        # 10 pictures, 2 a step, 20 epochs: 100 steps.
        assert (average["ema_type"], average["momentum"], average["gamma"]) == ("ExpMomentumEMA", 0.02, 5)
        assert [hook["type"] for hook in config.custom_hooks] == ["CurveHook", "EMAHook"]

    def test_gentle(self, sets, tmp_path):
        config, _ = written(sets, tmp_path, "gentle")
        (freeze,) = [hook for hook in config.custom_hooks if hook["type"] == "FreezeHook"]
        assert (freeze["module"], freeze["until_epoch"]) == ("network.backbone", 4)
        assert config.optim_wrapper.paramwise_cfg == dict(layer_decay=0.8)
        paper, _ = written(sets, tmp_path / "paper", "gentle", "deformable_detr_r50", image_size=400)
        assert paper.optim_wrapper.paramwise_cfg.layer_decay == 0.8
        assert paper.optim_wrapper.paramwise_cfg.custom_keys.backbone == dict(lr_mult=0.1)  # the model's stay
        assert not config.get("find_unused_parameters")

    def test_several_processes_do_not_wait_for_a_frozen_part(self, sets, tmp_path, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        for recipe, expected in (("gentle", True), ("strong", None)):
            config, _ = written(sets, tmp_path / recipe, recipe, launcher="pytorch")
            assert config.get("find_unused_parameters") == expected

    def test_balanced(self, sets, tmp_path):
        config, _ = written(sets, tmp_path, "balanced")
        assert config.train_dataloader.sampler == dict(type="EpochSampler", shuffle=True, class_balance=0.3)

    @pytest.mark.parametrize("model", [TINY, TINY_D_FINE, TINY_DETR], ids=lambda path: path.stem)
    def test_deims_loss_is_for_sigmoids(self, sets, tmp_path, model):
        config, text = written(sets, tmp_path, "deim", model)
        mosaic, mix_up, _ = config.train_dataloader.dataset.transforms[0].transforms
        assert mosaic.scale == (0.5, 0.5)
        assert mix_up.transforms[0].type == "Mosaic"
        name = next(recipe for recipe in RECIPES if recipe.name == "deim").classification
        is_there = find_type(name, MODELS) is not None and model != TINY_DETR
        assert (f'type="{name}"' in text) == is_there
        if is_there:
            assert config.model.criterion.classification == dict(type=name)

    def test_the_models_size_serves_where_none_is_given(self, sets, tmp_path):
        config, _ = written(sets, tmp_path, "strong", image_size=None)
        assert config.train_dataloader.dataset.transforms[0].transforms[0]["size"] == 128
        assert config.test_dataloader.dataset.transforms[0].sizes == [128]

    def test_short_runs(self, sets, tmp_path):
        config, _ = written(sets, tmp_path, "gentle", epochs=1)
        assert config.param_scheduler[1].T_max == 1
        assert all(hook["type"] != "FreezeHook" for hook in config.custom_hooks)

    def test_a_network_with_batch_statistics_keeps_their_average(self, sets, tmp_path):
        """D-FINE's own moving average has them; the recipe says otherwise of its length alone."""
        config, _ = written(sets, tmp_path, "strong", "d_fine_n", preset="recipe")
        (average,) = [hook for hook in config.custom_hooks if hook["type"] == "EMAHook"]
        assert average["update_buffers"]
        assert average["momentum"] > 1e-4

    def test_every_ingredient_is_a_transform(self):
        for name, transforms in AUGMENTATIONS.items():
            assert build(transforms(64), TRANSFORMS), name
        with pytest.raises(InputError, match="--recipe best: it must be one of steps, strong"):
            choose_recipe("best")


RECIPE = Recipe(
    "all of it",
    strong=("mosaic", "warp", "mix_up", "copy_paste", "cut_out", "colour"),
    strong_until=0.7,
    flat_cosine=True,
    ema=True,
    frozen=0.3,
    layer_decay=0.8,
    class_balance=0.3,
)


class TestARun:
    """Three epochs, the backbone frozen in the first, strong augmentation in the first two."""

    @pytest.fixture(scope="class")
    def config(self, sets, trained, tmp_path_factory):
        path = write_fine_tune_config(
            sets / "coco", TINY, checkpoint=trained[0] / "epoch_2.pth", epochs=3, batch_size=4,
            image_size=48, recipe=RECIPE, work_dir=tmp_path_factory.mktemp("config"), lr=1e-3,
        )  # fmt: skip
        return path

    @pytest.fixture(scope="class")
    def whole(self, config, tmp_path_factory):
        folder = tmp_path_factory.mktemp("whole")
        train(config, work_dir=folder)
        return folder

    @staticmethod
    def weights(path):
        """Those that were trained, not their average."""
        file = torch.load(path, weights_only=True)
        return {k.removeprefix("module."): v for k, v in file["ema_state_dict"].items() if k != "steps"}

    def test_the_backbone_is_trained_from_its_epoch_on(self, whole, trained):
        start = torch.load(trained[0] / "epoch_2.pth", weights_only=True)["state_dict"]
        first, last = (self.weights(whole / f"epoch_{n}.pth") for n in (1, 3))
        backbone = [name for name in first if name.startswith("network.backbone.")]
        assert all(torch.equal(start[name], first[name]) for name in backbone)
        assert any(not torch.equal(start[name], last[name]) for name in backbone)
        others = [name for name in first if ".transformer." in name and name.endswith("weight")]
        assert any(not torch.equal(start[name], first[name]) for name in others)

    def test_deeper_layers_learn_faster(self, whole):
        groups = torch.load(whole / "epoch_3.pth", weights_only=True)["optimizer"]["param_groups"]
        rates = {round(group["initial_lr"] / 1e-3, 5) for group in groups}
        assert len(rates) >= 3

    def test_a_run_that_goes_on_is_equal_to_the_bit(self, whole, config, tmp_path):
        for epoch in (1, 2):
            run = tmp_path / str(epoch)
            train(config, work_dir=run, resume=whole / f"epoch_{epoch}.pth")
            once, again = (self.weights(folder / "epoch_3.pth") for folder in (whole, run))
            assert all(torch.equal(once[name], again[name]) for name in once)

    def test_a_part_that_is_not_there(self, config, tmp_path):
        hooks = [dict(type="FreezeHook", module="network.backbones", until_epoch=1)]
        with pytest.raises(InputError, match=r"FreezeHook: the model has no 'network\.backbones'"):
            train(config, work_dir=tmp_path, options={"custom_hooks": hooks})

    def test_by_the_command(self, sets, tmp_path, capsys):
        command = ["train", "--data", str(sets / "coco"), "--model", str(TINY), "--image-size", "48"]
        command += ["--epochs", "1", "--batch-size", "4", "--work-dir", str(tmp_path)]
        assert main([*command, "--recipe", "strong"]) == 0
        assert "--recipe strong" in (Path(tmp_path) / "config.py").read_text().splitlines()[0]
        assert main([*command, "--recipe", "deim", "--resume"]) == 2
        assert "began with --recipe strong" in capsys.readouterr().err


def test_a_recipe_of_ones_own_takes_its_ingredients_apart():
    without = replace(RECIPE, strong=tuple(name for name in RECIPE.strong if name != "mosaic"))
    kinds = [t["type"] for t in without.strong_transforms(64, 10)[0]["transforms"]]
    assert "Mosaic" not in kinds
    assert replace(RECIPE, strong=()).strong_transforms(64, 10) == []
