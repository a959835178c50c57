"""Networks that denoise train as others do: resumed bit for bit, and with a process that has no object."""

import json

import pytest
import torch

from detr_kit.engine import train
from detr_kit.engine.hooks.curves import read_scalars

from ..places import SMALL
from .processes import Torchrun

KINDS = ["RT-DETR", "RT-DETRv2", "D-FINE", "DN-DETR", "DN-Deformable DETR", "DINO"]


def weights(folder, epoch=2):
    return torch.load(folder / f"epoch_{epoch}.pth", weights_only=True)["state_dict"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(kind, shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.val_interval": 9}
    train(SMALL[kind], work_dir=tmp_path / "whole", options=options)
    train(SMALL[kind], work_dir=tmp_path / "parts", options=options | {"train_cfg.max_epochs": 1})
    train(SMALL[kind], work_dir=tmp_path / "parts", options=options, resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    lines = [line for line in read_scalars(tmp_path / "whole") if "loss" in line]
    assert all(line["loss_denoising"] > 0 for line in lines)
    assert lines[-1]["loss"] < lines[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RT-DETR", "D-FINE", "DINO"])
def test_a_process_without_an_object_waits_for_none(kind, shapes, tmp_path):
    """Peers hang where one process has denoising queries and another has none."""
    data = json.loads((shapes / "train.json").read_text())
    odd = [image["id"] for image in data["images"]][::2]
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] not in odd]
    (tmp_path / "train.json").write_text(json.dumps(data))
    run = ["train", SMALL[kind], "--work-dir", tmp_path / "run", "--launcher", "pytorch"]
    options = [
        f"data_root={shapes}",
        f"train_dataloader.dataset.annotations={tmp_path / 'train.json'}",
        "train_dataloader.batch_size=1",
        "train_cfg.max_epochs=1",
        "default_hooks.logger.interval=1",
    ]
    code, output = Torchrun(*run, "--cfg-options", *options).finish()
    assert code == 0, output[-3000:]
    lines = [line for line in read_scalars(tmp_path / "run") if "loss" in line]
    assert len(lines) == 12
    assert all(0 < line["loss"] < 1000 for line in lines)
    assert any(line["matched_iou"] == 0 for line in lines)
