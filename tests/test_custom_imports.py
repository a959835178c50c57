"""Backbone, neck, transform and hook of a user's own, in a module beside the config."""

import sys

import pytest
import torch

from detr_kit import Detector
from detr_kit.checkpoints import read_checkpoint, write_checkpoint
from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.engine import Features
from detr_kit.engine.features import apply_features
from detr_kit.errors import InputError
from detr_kit.fine_tune.run import write_fine_tune_config
from detr_kit.registry import HOOKS, MODELS, TRANSFORMS

from .places import TINY

PARTS = '''
"""Parts of a test."""
from mmengine.hooks import Hook
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from detr_kit.registry import HOOKS, MODELS, TRANSFORMS


@MODELS.register_module()
class SmallBackbone(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(i, width, 3, stride=2, padding=1) for i in (3, width, width))

    def forward(self, images):
        for step in self.steps:
            images = step(images).relu()
        return [images]


@MODELS.register_module()
class PlainNeck(nn.Module):
    num_levels = 2

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.fine = nn.Conv2d(in_channels, out_channels, 1)
        self.coarse = nn.Conv2d(out_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, maps):
        fine = self.fine(maps[-1])
        return [fine, self.coarse(fine)]


@TRANSFORMS.register_module()
class Darker(v2.Transform):
    def transform(self, inpt, params):
        return inpt // 2 if isinstance(inpt, tv_tensors.Image) else inpt


@HOOKS.register_module()
class SayHook(Hook):
    def after_train_epoch(self, runner):
        runner.logger.info("said by the own hook")
'''
CONFIG = f"""
_base_ = {str(TINY)!r}
custom_imports = dict(imports=["parts_of_a_test"])
model = dict(
    network=dict(
        backbone=dict(_delete_=True, type="SmallBackbone"),
        neck=dict(_delete_=True, type="PlainNeck", in_channels=16, out_channels=32),
    )
)
train_dataloader = dict(dataset=dict(transforms=[dict(type="Darker")]))
test_dataloader = dict(dataset=dict(transforms=[dict(type="Darker")]))
custom_hooks = [dict(type="SayHook")]
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture(scope="module")
def own_run(shapes, tmp_path_factory):
    """Config, and work directory of a run of one epoch."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "parts_of_a_test.py").write_text(PARTS)
    config = folder / "my_set.py"
    config.write_text(CONFIG)
    work_dir = tmp_path_factory.mktemp("own_run")
    options = ["--cfg-options", f"data_root={shapes}"]
    assert main(["train", str(config), "--work-dir", str(work_dir), *options]) == 0
    return config, work_dir


@pytest.fixture
def another_process(monkeypatch):
    """As if nothing had been imported yet."""
    monkeypatch.delitem(sys.modules, "parts_of_a_test", raising=False)
    for registry, names in (
        (MODELS, ("SmallBackbone", "PlainNeck")),
        (TRANSFORMS, ("Darker",)),
        (HOOKS, ("SayHook",)),
    ):
        for name in names:
            monkeypatch.delitem(registry.module_dict, name, raising=False)


def test_own_parts_train(own_run):
    _, work_dir = own_run
    assert "said by the own hook" in next(work_dir.glob("*/*.log")).read_text()
    assert any("backbone.steps" in key for key in read_checkpoint(work_dir / "epoch_1.pth").state_dict)


@pytest.mark.usefixtures("another_process")
@pytest.mark.parametrize("which", ["the config", "its copy in the work directory"])
def test_own_parts_are_tested_and_predict_from_anywhere(
    which, own_run, shapes, tmp_path, monkeypatch, capsys
):
    config, work_dir = own_run
    config = config if which == "the config" else work_dir / config.name
    monkeypatch.chdir(tmp_path)
    checkpoint = str(work_dir / "epoch_1.pth")
    work = ["--work-dir", str(tmp_path / "test"), "--cfg-options", f"data_root={shapes}"]
    assert main(["test", str(config), checkpoint, *work]) == 0
    predict = ["predict", str(shapes / "val"), "--model", str(config), "--checkpoint", checkpoint]
    assert main([*predict, "--out", str(tmp_path / "out")]) == 0
    assert "8 done" in capsys.readouterr().out


def test_own_parts_go_on_and_begin_from_their_weights(own_run, shapes, tmp_path):
    config, work_dir = own_run
    options = ["--cfg-options", f"data_root={shapes}", "train_cfg.max_epochs=2"]
    resume = ["--work-dir", str(tmp_path / "a"), "--resume", str(work_dir / "epoch_1.pth")]
    assert main(["train", str(config), *resume, *options]) == 0
    assert (tmp_path / "a" / "epoch_2.pth").is_file()
    start = [*options, f"load_from={work_dir / 'epoch_1.pth'}"]
    assert main(["train", str(config), "--work-dir", str(tmp_path / "b"), *start]) == 0
    assert "missing" not in next((tmp_path / "b").glob("*/*.log")).read_text()


def test_a_config_for_a_folder_may_be_based_on_one_with_own_parts(own_run, sets, tmp_path, another_process):
    path = write_fine_tune_config(sets / "coco", str(own_run[0]), work_dir=tmp_path / "run")
    assert read_config(path).model.network.backbone.type == "SmallBackbone"
    assert "SmallBackbone" in MODELS.module_dict


@pytest.mark.usefixtures("another_process")
def test_a_checkpoint_alone_says_what_it_needs_and_imports_nothing(own_run):
    config, work_dir = own_run
    message = (
        r"own parts \(SmallBackbone, PlainNeck, Darker\), imported by 'parts_of_a_test'. .*--model CONFIG"
    )
    with pytest.raises(InputError, match=message):
        Detector(checkpoint=work_dir / "epoch_1.pth", device="cpu")
    assert "parts_of_a_test" not in sys.modules
    read_config(config)
    Detector(checkpoint=work_dir / "epoch_1.pth", device="cpu")


def test_a_checkpoint_alone_works_where_its_parts_are_imported(own_run):
    detector = Detector(checkpoint=own_run[1] / "epoch_1.pth", device="cpu")
    assert type(detector.network.backbone).__name__ == "SmallBackbone"


@pytest.mark.parametrize("part", ["network", "transforms"])
def test_a_type_of_a_checkpoint_is_never_taken_for_a_module(part, trained, tmp_path, monkeypatch):
    (tmp_path / "no_such_type.py").write_text("open('was_run', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    checkpoint = torch.load(trained[0] / "epoch_1.pth", weights_only=True)
    stranger = {"type": "no_such_type"}
    checkpoint["meta"]["recipe"][part] = stranger if part == "network" else [stranger]
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    with pytest.raises(InputError, match=r"own parts \(no_such_type\)"):
        Detector(checkpoint=tmp_path / "epoch_1.pth", device="cpu")
    assert not (tmp_path / "was_run").exists()


def test_weights_alone_of_own_parts_ask_for_the_config(own_run, tmp_path):
    config, work_dir = own_run
    state = {
        k.removeprefix("network."): v for k, v in read_checkpoint(work_dir / "epoch_1.pth").state_dict.items()
    }
    write_checkpoint(tmp_path / "weights.safetensors", state, {})
    with pytest.raises(
        InputError, match="a backbone that detr-kit has not got by default; name the model's config"
    ):
        Detector(checkpoint=tmp_path / "weights.safetensors", device="cpu")
    Detector(config, checkpoint=tmp_path / "weights.safetensors", device="cpu")


def test_freezing_a_backbone_that_cannot_be_frozen_is_one_message(own_run):
    with pytest.raises(InputError, match=r"network.backbone: SmallBackbone: it takes no 'frozen_stages'"):
        apply_features(Features(freeze_backbone=True), read_config(own_run[0]))


@pytest.mark.usefixtures("another_process")
def test_own_parts_without_their_import_are_told_how(tmp_path, capsys):
    (tmp_path / "my_set.py").write_text(CONFIG.replace("custom_imports", "_no_imports"))
    assert main(["train", str(tmp_path / "my_set.py"), "--work-dir", str(tmp_path)]) == 2
    assert "custom_imports = dict(imports=" in capsys.readouterr().err
