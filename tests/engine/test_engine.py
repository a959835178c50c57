"""Training, resuming and testing as a user runs them, on a small set."""

import json
from multiprocessing import active_children

import pytest
import torch
from PIL import Image

from detr_kit.checkpoints import read_checkpoint
from detr_kit.cli import main
from detr_kit.config import config_names, read_config
from detr_kit.engine import Features, evaluate, prepare_config, train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.engine.optim_wrapper import AmpOptimWrapper
from detr_kit.errors import InputError
from detr_kit.evaluation import load_ground_truth

from ..data_formats import rewrite_set
from ..places import ROOT, TINY


def test_a_run_leaves_logs_checkpoints_and_curves(trained):
    work_dir, _ = trained
    assert (work_dir / "epoch_2.pth").is_file()
    assert list(work_dir.glob("best_coco_AP_epoch_*.pth"))
    assert Image.open(work_dir / "curves.png").size[0] > 500
    lines = [line for line in read_scalars(work_dir) if "loss" in line]
    assert {"lr", "data_time", "grad_norm", "loss_ce", "loss_bbox", "loss_giou", "loss_auxiliary"} <= set(
        lines[0]
    )
    log = next(work_dir.glob("*/*.log")).read_text()
    assert "24 images" in log
    assert "eta:" in log


def test_training_learns(trained):
    lines = [line["loss"] for line in read_scalars(trained[0]) if "loss" in line]
    assert lines[-1] < 0.9 * lines[1]  # the first that is a mean of a whole window


def test_the_checkpoint_names_its_classes(trained):
    file = read_checkpoint(trained[0] / "epoch_2.pth")
    assert file.metadata["classes"] == ["circle", "square", "triangle", "star", "ring"]
    assert file.metadata["category_ids"] == [1, 2, 3, 4, 5]


def test_a_checkpoint_evaluates_to_what_the_run_said(trained, shapes, tmp_path):
    work_dir, _ = trained
    out = tmp_path / "detections.json"
    figures = evaluate(
        TINY, work_dir / "epoch_2.pth", out=out, work_dir=tmp_path, options={"data_root": str(shapes)}
    )
    during = [line for line in read_scalars(work_dir) if "coco/AP" in line][-1]
    # The log holds four decimals less than the metric has; the two runs are otherwise the same computation.
    assert figures["coco/AP"] == pytest.approx(during["coco/AP"], abs=1e-6)
    assert figures["coco/AR100"] == pytest.approx(during["coco/AR100"], abs=1e-6)
    detections = json.loads(out.read_text())
    assert {d["image_id"] for d in detections} == set(range(1, 9))
    assert {d["category_id"] for d in detections} <= {1, 2, 3, 4, 5}


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(trained, shapes, tmp_path):
    work_dir, runner = trained
    train(TINY, work_dir=tmp_path, options={"data_root": str(shapes), "train_cfg.max_epochs": 1})
    resumed = train(TINY, work_dir=tmp_path, resume=True, options={"data_root": str(shapes)})
    assert resumed.epoch == 2
    assert resumed.iter == runner.iter
    content = torch.load(work_dir / "epoch_2.pth", weights_only=True)  # tensors and plain data only
    assert content["meta"]["epoch"] == 2
    history = resumed.message_hub.get_scalar("train/loss").data[0]
    assert len(history) == runner.iter  # the log goes on where it was


def test_as_many_checkpoints_stay_as_were_asked_for(shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 3, "train_cfg.val_interval": 9,
               "default_hooks.checkpoint.max_keep_ckpts": 2}  # fmt: skip
    train(TINY, work_dir=tmp_path, options=options)
    assert {path.name for path in tmp_path.glob("epoch_*.pth")} == {"epoch_2.pth", "epoch_3.pth"}
    train(TINY, work_dir=tmp_path, options=options | {"train_cfg.max_epochs": 4}, resume=True)
    assert {path.name for path in tmp_path.glob("epoch_*.pth")} == {"epoch_3.pth", "epoch_4.pth"}


def test_a_new_run_writes_over_no_checkpoint_of_an_earlier_one(trained, shapes, tmp_path):
    earlier = {}
    for name in ("epoch_2.pth", "last_checkpoint"):
        earlier[name] = (trained[0] / name).read_bytes()
        (tmp_path / name).write_bytes(earlier[name])
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1, "train_cfg.val_interval": 9}
    train(TINY, work_dir=tmp_path, options=options)
    (aside,) = tmp_path.glob("earlier_*")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == earlier
    assert {path.name for path in tmp_path.glob("epoch_*.pth")} == {"epoch_1.pth"}


def test_training_starts_from_weights_of_any_format(trained, shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1, "model.network.num_classes": 7}
    options["load_from"] = str(trained[0] / "epoch_2.pth")
    train(TINY, work_dir=tmp_path, options=options)
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "class_heads.0.weight" in log
    assert "circle, square, triangle, star, ring" in log  # their rows are carried over
    assert "5 labels for model.network.num_classes=7" in log


def test_mixed_precision_trains_on_the_cpu(shapes, tmp_path):
    runner = train(
        TINY,
        work_dir=tmp_path,
        features=Features(amp="bf16"),
        options={"data_root": str(shapes), "train_cfg.max_epochs": 1},
    )
    assert isinstance(runner.optim_wrapper, AmpOptimWrapper)
    losses = [line["loss"] for line in read_scalars(tmp_path) if "loss" in line]
    assert all(0 < loss < 100 for loss in losses)
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}


def test_parameter_groups_are_those_of_the_recipe(shapes, tmp_path):
    recipe = read_config("deformable_detr_r50").optim_wrapper.paramwise_cfg.to_dict()
    options = {"data_root": str(shapes), "optim_wrapper.paramwise_cfg": recipe}
    config = prepare_config(TINY, work_dir=tmp_path, options=options)
    from mmengine.registry import init_default_scope

    from detr_kit.registry import RUNNERS

    init_default_scope("detr_kit")
    config.experiment_name = "groups"
    runner = RUNNERS.get("DetectionRunner").from_cfg(config)
    groups = runner.build_optim_wrapper(runner.cfg.optim_wrapper).optimizer.param_groups
    assert [round(group["lr"] / 1e-3, 6) for group in groups] == [1, 0.1]
    slow = {id(p) for p in groups[1]["params"]}
    for name, parameter in runner.model.named_parameters():
        expected = any(part in name for part in ("backbone", "sampling_offsets", "reference_points"))
        assert (id(parameter) in slow) == expected, name
    assert sum(len(group["params"]) for group in groups) == len(list(runner.model.parameters()))


@pytest.mark.parametrize(
    "name", [*config_names(), *map(str, sorted((ROOT / "configs" / "bccd_cpu").glob("*.py")))]
)
def test_every_config_passes_its_own_check(name):
    config = prepare_config(name)
    assert config.train_dataloader.dataset.data_root == config.data_root


BAD_CONFIGS = {
    "unknown section": (
        "train_dataloder = dict(batch_size=2)",
        "unknown key 'train_dataloder'; did you mean",
    ),
    "unknown argument": (
        "model = dict(network=dict(backbone=dict(depht=18)))",
        "model.network.backbone: ResNet takes no argument 'depht'; did you mean 'depth'",
    ),
    "unknown type": (
        'model = dict(network=dict(backbone=dict(type="ResNets")))',
        "model.network.backbone: type='ResNets' is no model .*did you mean 'ResNet'",
    ),
    "unknown transform": (
        'train_dataloader = dict(dataset=dict(transforms=[dict(type="RandomFlip")]))',
        r"train_dataloader.dataset.transforms.0: type='RandomFlip' is no transform",
    ),
    "unknown optimizer": (
        'optim_wrapper = dict(optimizer=dict(type="AdamWW"))',
        "optim_wrapper.optimizer: type='AdamWW' is no optimizer",
    ),
    "unknown loader argument": (
        "val_dataloader = dict(batchsize=2)",
        "val_dataloader: DataLoader takes no argument 'batchsize'; did you mean 'batch_size'",
    ),
    "not Python": ("model = dict(", "cannot be read: SyntaxError"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_slips_in_a_config_are_found_before_anything_runs(name, tmp_path, capsys):
    text, message = BAD_CONFIGS[name]
    path = tmp_path / "config.py"
    path.write_text(f'_base_ = "{TINY}"\n{text}\n')
    with pytest.raises(InputError, match=message) as error:
        prepare_config(path)
    assert "config.py" in str(error.value)
    assert main(["train", str(path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "Traceback" not in printed


def test_overrides_have_to_reach_something(shapes):
    with pytest.raises(InputError, match="has no 'modle'"):
        prepare_config(TINY, options={"modle.network.num_queries": 3})
    with pytest.raises(InputError, match="takes no argument 'num_querys'"):
        prepare_config(TINY, options={"model.network.num_querys": 3})


def test_annotations_without_ids_train_and_validate(shapes, tmp_path):
    rewrite_set(tmp_path / "data", shapes, lambda data: [a.pop("id") for a in data["annotations"]])
    options = {"data_root": str(tmp_path / "data"), "train_cfg.max_epochs": 1}
    train(TINY, work_dir=tmp_path / "run", options=options)
    assert load_ground_truth(tmp_path / "data" / "val.json").getAnnIds()


def test_too_few_images_or_no_boxes_stop_a_run(shapes, tmp_path):
    options = {"data_root": str(shapes), "train_dataloader.batch_size": 64}
    with pytest.raises(InputError, match="24 images do not fill a batch"):
        train(TINY, work_dir=tmp_path / "a", options=options)
    rewrite_set(tmp_path / "data", shapes, lambda data: data.update(annotations=[]))
    with pytest.raises(InputError, match="no object to learn from"):
        train(TINY, work_dir=tmp_path / "b", options={"data_root": str(tmp_path / "data")})


def test_a_data_root_given_as_option_wins(trained, tmp_path):
    dumped = next(trained[0].glob("*.py"))
    with pytest.raises(InputError, match=r"/nonexistent/val\.json: no such file"):
        evaluate(dumped, trained[0] / "epoch_2.pth", work_dir=tmp_path, options={"data_root": "/nonexistent"})


def test_weights_to_start_from_may_be_a_folder(shapes, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"a folder without config\.json"):
        train(
            TINY,
            work_dir=tmp_path / "run",
            options={"data_root": str(shapes), "load_from": str(tmp_path / "folder")},
        )


def test_a_run_leaves_no_process_behind(shapes, tmp_path):
    """A thousand runs in a notebook would keep as many, and each that is forgotten would hold it up."""
    before = active_children()
    kept = dict(num_workers=1, persistent_workers=True)
    options = {f"{split}_dataloader.{key}": kept[key] for split in ("train", "val") for key in kept}
    options |= {"data_root": str(shapes), "train_cfg.max_epochs": 1}
    runner = train(TINY, work_dir=tmp_path, options=options)
    assert runner.train_loop.dataloader.persistent_workers
    assert active_children() == before
