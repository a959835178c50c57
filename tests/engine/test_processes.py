"""Several processes train as one would, and none waits for another that never comes."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from detr_kit.checkpoints import read_checkpoint
from detr_kit.data import write_shapes
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.evaluation import evaluate_detections

from ..places import CONFIGS, ROOT, TINY
from .processes import Torchrun

CONFIG = CONFIGS / "processes.py"


def _train(folder, data, *options, config=CONFIG, **kwargs):
    arguments = ["train", config, "--work-dir", folder, "--launcher", "pytorch"]
    return Torchrun(*arguments, "--cfg-options", f"data_root={data}", *options, **kwargs)


def _weights(folder):
    return torch.load(Path(folder) / "epoch_1.pth", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def odd_shapes(tmp_path_factory):
    """23 images for training and 7 to validate: neither divides by two. Every third one has no object."""
    folder = tmp_path_factory.mktemp("odd")
    write_shapes(folder, num_train=23, num_val=7, image_size=64)
    for split in ("train", "val"):
        data = json.loads((folder / f"{split}.json").read_text())
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] % 3]
        (folder / f"{split}.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module")
def two_processes(odd_shapes, tmp_path_factory):
    """The work directory of two processes of two images a step."""
    folder = tmp_path_factory.mktemp("two")
    code, output = _train(folder, odd_shapes).finish()
    assert code == 0, output[-3000:]
    assert "2 process(es)" in output
    return folder


def test_two_processes_move_the_weights_as_one_does_on_the_joint_batch(shapes, tmp_path):
    """The same images, augmented alike, in the same steps: what is left is the order of float32 sums.

    Two images a step on each side against four on one: the norm of the gradients agrees within 1e-4 of itself
    in every step. AdamW moves a parameter by about lr = 1e-3 whatever its gradient, so noise in a gradient
    near zero can turn its first steps around, how often depends on the processor; its eps is above such noise
    here. 99.9 % of the parameters agree within 1e-5, all within a step.
    """
    runs = []
    for processes, batch in ((2, 2), (1, 4)):
        folder = tmp_path / str(processes)
        agent = ("--standalone", "--nproc-per-node", str(processes))
        option = f"train_dataloader.batch_size={batch}"
        quiet = "optim_wrapper.optimizer.eps=1e-4"
        code, output = _train(folder, shapes, option, quiet, agent=agent).finish()
        assert code == 0, output[-3000:]
        norms = [line["grad_norm"] for line in read_scalars(folder) if "loss" in line]
        runs.append((norms, _weights(folder)))
    (norms_two, two), (norms_one, one) = runs
    assert len(norms_two) == 6
    assert norms_two == pytest.approx(norms_one, rel=1e-4)
    off = torch.cat([(one[key] - two[key]).abs().flatten() for key in one if one[key].is_floating_point()])
    assert (off > 1e-5).double().mean() <= 1e-3
    assert off.max() <= 1e-3


def test_batches_without_an_object_on_one_side_train(two_processes, odd_shapes):
    """A third of the images has none, and 23 images are shared out as 12 and 12."""
    lines = [line for line in read_scalars(two_processes) if "loss" in line]
    assert len(lines) == 6
    assert all(0 < line["loss"] < 100 for line in lines)
    assert any(line["class_error"] == 100 and line["matched_iou"] == 0 for line in lines)


def test_each_image_is_evaluated_once(two_processes, odd_shapes, tmp_path):
    out = tmp_path / "detections.json"
    run = ["test", CONFIG, two_processes / "epoch_1.pth", "--work-dir", tmp_path, "--out", out]
    options = ["--launcher", "pytorch", "--cfg-options", f"data_root={odd_shapes}"]
    code, output = Torchrun(*run, *options).finish()
    assert code == 0, output[-3000:]
    detections = json.loads(out.read_text())
    per_image = {i: [d for d in detections if d["image_id"] == i] for i in range(1, 8)}
    assert sum(map(len, per_image.values())) == len(detections)
    assert {len(of_image) for of_image in per_image.values()} == {60}  # 12 queries x 5 classes, once
    figures = evaluate_detections(odd_shapes / "val.json", detections).figures
    during = [line for line in read_scalars(two_processes) if "coco/AP" in line][-1]
    assert figures["AP"] == pytest.approx(during["coco/AP"], abs=1e-6)


def test_two_machines_meet(odd_shapes, two_processes, tmp_path):
    """Two agents, as on two hosts, here on the loopback; the first is also where they meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "detr"]
    agent += ["--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"]
    agents = [_train(tmp_path, odd_shapes, agent=agent) for _ in range(2)]
    for process in agents:
        code, output = process.finish()
        assert code == 0, output[-3000:]
    for key, tensor in _weights(two_processes).items():
        assert torch.equal(tensor, _weights(tmp_path)[key]), key


@pytest.mark.parametrize("find", [True, False])
def test_parameters_that_take_no_part(find, odd_shapes, tmp_path):
    """With find_unused_parameters they are fine; without it the run stops and says so, it does not hang."""
    options = ["model.network.type=WithUnusedHead", f"find_unused_parameters={find}"]
    code, output = _train(tmp_path, odd_shapes, *options).finish()
    if find:
        assert code == 0, output[-3000:]
    else:
        assert code != 0
        assert "error: parameters took no part in the loss" in output
        assert "network.unused.weight" in output
        assert "set find_unused_parameters=True" in output


def test_sigterm_to_the_agent_saves_once_for_all(odd_shapes, tmp_path):
    process = _train(
        tmp_path, odd_shapes, "train_cfg.max_epochs=200", "default_hooks.checkpoint.interval=500"
    )
    while not list(tmp_path.glob("*/vis_data/scalars.json")) and process.is_running:
        time.sleep(0.02)
    process.terminate()
    _, output = process.finish()
    assert "go on with --resume" in output, output[-3000:]
    saved = torch.load(tmp_path / "preempted.pth", weights_only=True)
    assert saved["meta"]["iter"] >= 1


@pytest.fixture(scope="module")
def slow_to_save(odd_shapes, tmp_path_factory):
    """Two processes, batch norm, a moving average, and a first process that writes each checkpoint slowly."""
    folder = tmp_path_factory.mktemp("slow")
    config = folder / "slow.py"
    hooks = [dict(type="EMAHook", momentum=0.1), dict(type="SlowSaveHook", seconds=2)]
    config.write_text(f"_base_ = {str(CONFIG)!r}\ncustom_hooks = {hooks}\n")
    option = "model.network.backbone.norm=batch"
    code, output = _train(folder, odd_shapes, option, config=config, cwd=folder).finish()
    assert code == 0, output[-3000:]
    return folder


def test_no_process_leaves_before_the_last_checkpoint_is_written(slow_to_save):
    """A launcher ends the others when one is gone, and a group left open aborts its process at times."""
    best = "best_coco_AP_epoch_1.pth"
    for rank in (0, 1):
        left = json.loads((slow_to_save / f"left_{rank}.json").read_text())
        files = ["best.pth", best, "epoch_1.pth", "last.pth"]
        assert left == {"files": files, "has_group": False, "threads": []}
    last = torch.load(slow_to_save / "epoch_1.pth", weights_only=True)
    assert last["message_hub"]["runtime_info"]["best_ckpt"].endswith(best)  # written once more after it


def test_averaged_weights_are_saved_with_the_statistics_of_all_processes(slow_to_save):
    saved = torch.load(slow_to_save / "epoch_1.pth", weights_only=True)
    averaged, live = saved["state_dict"], saved["ema_state_dict"]
    statistics = [key for key in averaged if key.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(torch.equal(averaged[key], live[f"module.{key}"]) for key in statistics)


def test_detections_are_gathered_without_a_folder_that_all_machines_share(slow_to_save):
    assert not (slow_to_save / ".dist_test").exists()


def test_a_process_that_is_lost_is_one_line_of_the_others(odd_shapes, tmp_path):
    config = tmp_path / "lost.py"
    hooks = [dict(type="FaultHook", kind="kill", iteration=3, rank=1)]
    config.write_text(f"_base_ = {str(CONFIG)!r}\ncustom_hooks = {hooks}\n")
    code, output = _train(tmp_path, odd_shapes, config=config).finish()
    assert code != 0
    assert "error: the connection to another process of this run was lost" in output, output[-3000:]
    assert "RuntimeError" not in output


def test_two_processes_train_and_test_on_the_cpu(shapes, tmp_path):
    """As the README has it: torchrun and tools/train.py from a shell."""
    options = ["--launcher", "pytorch", "--cfg-options", f"data_root={shapes}", "train_cfg.max_epochs=1"]
    agent = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*agent, "tools/train.py", str(TINY), "--work-dir", str(tmp_path), *options], cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "2 process(es)" in done.stdout
    during = [line for line in read_scalars(tmp_path) if "coco/AP" in line][-1]
    out = tmp_path / "detections.json"
    run = ["test", TINY, tmp_path / "epoch_1.pth", "--work-dir", tmp_path / "test", "--out", out]
    code, output = Torchrun(*run, *options).finish()
    assert code == 0, output[-3000:]
    detections = json.loads(out.read_text())
    assert {d["image_id"] for d in detections} == set(range(1, 9))
    figures = evaluate_detections(shapes / "val.json", detections).figures
    assert figures["AP"] == pytest.approx(during["coco/AP"], abs=1e-6)
    assert read_checkpoint(tmp_path / "epoch_1.pth").metadata["classes"][0] == "circle"
