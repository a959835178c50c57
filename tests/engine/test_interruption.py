"""Whatever ends a run, it goes on from there and ends as if nothing had happened: the same bits, on a CPU."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from detr_kit.engine.hooks.checkpoint import PREEMPTED, last_checkpoint, mark_last_checkpoint

from ..places import CONFIGS
from .processes import Command

CONFIG = CONFIGS / "interrupted.py"
ITERATIONS = 18


def _start(work_dir, shapes, *options, resume=True, config=""):
    """Train CONFIG with some lines added to it, in a process of its own."""
    path = Path(work_dir) / "config.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"_base_ = {str(CONFIG)!r}\n{config}\n")
    arguments = ["train", path, "--work-dir", work_dir, *["--resume"] * resume]
    return Command(*arguments, "--cfg-options", f"data_root={shapes}", *options)


def _fault(kind, iteration):
    hook = dict(type="FaultHook", kind=kind, iteration=iteration)
    return f"custom_hooks = [dict(type='EMAHook', momentum=0.1), {hook}]"


def _state(work_dir):
    return torch.load(Path(work_dir) / f"iter_{ITERATIONS}.pth", weights_only=True)


def _differences(a, b, path=""):
    """Paths at which two nested containers of tensors are not the same bits."""
    if isinstance(a, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [path]
    if isinstance(a, dict):
        if set(a) != set(b):
            return [f"{path}: {set(a) ^ set(b)}"]
        return [d for key in a for d in _differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{path}: length {len(a)} and {len(b)}"]
        return [
            d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in _differences(x, y, f"{path}.{i}")
        ]
    return [] if a == b else [f"{path}: {a!r} and {b!r}"]


def _assert_as_if_nothing_had_happened(work_dir, undisturbed):
    ours, theirs = _state(work_dir), _state(undisturbed)
    for part in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers"):
        assert _differences(ours[part], theirs[part], part) == []
    for scalar in ("train/loss", "train/lr", "train/matched_iou", "val/coco/AP"):
        pair = (state["message_hub"]["log_scalars"][scalar] for state in (ours, theirs))
        assert _differences(*pair, scalar) == []
    best = [sorted(p.name for p in Path(d).glob("best_*.pth")) for d in (work_dir, undisturbed)]
    assert best[0] == best[1]
    assert not list(Path(work_dir).glob(".*.partial"))


@pytest.fixture(scope="module")
def undisturbed(shapes, tmp_path_factory):
    """A run to the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = _start(folder, shapes, resume=False).finish()
    assert code == 0, output[-3000:]
    return folder


def test_the_same_run_twice_is_the_same_whatever_the_workers(undisturbed, shapes, tmp_path):
    options = ["train_dataloader.num_workers=0", "train_dataloader.persistent_workers=False"]
    code, output = _start(tmp_path, shapes, *options).finish()
    assert code == 0, output[-3000:]
    _assert_as_if_nothing_had_happened(tmp_path, undisturbed)


def test_killed_at_random_moments(undisturbed, shapes, tmp_path):
    rng = random.Random(6)
    kills = 0
    for started in range(1, 20):
        process = _start(tmp_path, shapes)
        if kills < 5:
            while process.is_running and len(list(tmp_path.glob("*/vis_data"))) < started:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.1, 1.2))
            process.kill()
        code, output = process.finish()
        newest = last_checkpoint(tmp_path)
        assert newest is None or torch.load(newest, weights_only=True)["meta"]["iter"] % 4 in (0, 2)  # whole
        if code == 0:
            break
        assert code == -signal.SIGKILL, output[-3000:]
        kills += 1
    assert kills >= 2
    _assert_as_if_nothing_had_happened(tmp_path, undisturbed)


@pytest.mark.parametrize(("kind", "iteration"), [("kill", 11), ("kill_in_save", 16), ("kill_in_val", 13)])
def test_killed_at_a_bad_moment(kind, iteration, undisturbed, shapes, tmp_path):
    code, output = _start(tmp_path, shapes, config=_fault(kind, iteration)).finish()
    assert code == -signal.SIGKILL, output[-3000:]
    if kind == "kill_in_save":  # only one checkpoint is kept, and still there is one
        assert list(tmp_path.glob(".*.partial"))
        assert Path(last_checkpoint(tmp_path)).name == "iter_12.pth"
    code, output = _start(tmp_path, shapes).finish()
    assert code == 0, output[-3000:]
    _assert_as_if_nothing_had_happened(tmp_path, undisturbed)


@pytest.mark.parametrize("to", ["the process", "its whole group"])
def test_sigterm_saves_and_ends_well(to, undisturbed, shapes, tmp_path):
    process = _start(tmp_path, shapes)
    while not list(tmp_path.glob("iter_4.pth")) and process.is_running:
        time.sleep(0.02)
    if to == "the process":
        process.terminate()
    else:  # as Slurm does: the data-loading process gets it too
        os.killpg(process.pid, signal.SIGTERM)
    code, output = process.finish()
    assert code == 0, output[-3000:]
    assert "go on with --resume" in output
    saved = last_checkpoint(tmp_path)
    assert Path(saved).name == PREEMPTED
    assert 4 <= torch.load(saved, weights_only=True)["meta"]["iter"] < ITERATIONS
    code, output = _start(tmp_path, shapes).finish()
    assert code == 0, output[-3000:]
    _assert_as_if_nothing_had_happened(tmp_path, undisturbed)
    assert not (tmp_path / PREEMPTED).exists()


def test_a_full_disk_is_said_and_costs_nothing(undisturbed, shapes, tmp_path):
    code, output = _start(tmp_path, shapes, config=_fault("disk_full", 6)).finish()
    assert code == 2, output[-3000:]
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert "could not be written: File too large" in line
    assert "go on with --resume" in line
    assert "Traceback" not in output
    assert Path(last_checkpoint(tmp_path)).name == "iter_4.pth"
    code, output = _start(tmp_path, shapes).finish()
    assert code == 0, output[-3000:]
    _assert_as_if_nothing_had_happened(tmp_path, undisturbed)


def test_a_small_file_system_fills_up(shapes, tmp_path, trained):
    size = (trained[0] / "epoch_2.pth").stat().st_size  # with EMA ours are a little larger
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={int(size * 2.2)}", "tmpfs", mounted], capture_output=True
        ).returncode
    ):
        pytest.skip("may not mount a tmpfs here")
    try:
        code, output = _start(mounted / "run", shapes).finish()
        assert code == 2, output[-3000:]
        assert "could not be written: No space left on device" in output
        assert torch.load(last_checkpoint(mounted / "run"), weights_only=True)["meta"]["iter"] == 4
    finally:
        subprocess.run(["umount", mounted], check=True)


def _with_deaths(folder, times):
    return (
        "_transforms = [dict(type='RandomHorizontalFlip', p=0.5), dict(type='NoiseOfAllGenerators'), "
        f"dict(type='KillWorker', folder={str(folder)!r}, times={times})]\n"
        "train_dataloader = dict(dataset=dict(transforms=_transforms))"
    )


def test_a_worker_that_dies_is_replaced_and_no_image_is_lost(undisturbed, shapes, tmp_path):
    code, output = _start(tmp_path / "run", shapes, config=_with_deaths(tmp_path, 1)).finish()
    assert code == 0, output[-3000:]
    assert "(1 of 3 times), no image is lost" in output
    _assert_as_if_nothing_had_happened(tmp_path / "run", undisturbed)


def test_a_worker_that_dies_in_validation_leaves_the_weights_that_were_swapped_for_it(
    undisturbed, shapes, tmp_path
):
    """Averaged weights are validated and saved as best, live ones trained on; only the data is read again."""
    transforms = [dict(type="ResizeShortestSide", sizes=128, max_size=256)]
    transforms += [dict(type="KillWorker", folder=str(tmp_path), times=2)]
    loader = dict(batch_size=2, num_workers=1, dataset=dict(transforms=transforms))
    code, output = _start(tmp_path / "run", shapes, config=f"val_dataloader = {loader}").finish()
    assert code == 0, output[-3000:]
    assert "(2 of 3 times), no image is lost" in output
    _assert_as_if_nothing_had_happened(tmp_path / "run", undisturbed)


def test_workers_that_keep_dying_stop_the_run(shapes, tmp_path):
    option = "train_cfg.max_worker_restarts=0"
    code, output = _start(tmp_path / "run", shapes, option, config=_with_deaths(tmp_path, 9)).finish()
    assert code == 2, output[-3000:]
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert "a data-loading process died" in line
    assert "1 time(s)" in line
    assert "lower train_dataloader.num_workers" in line


def test_unreadable_images_are_skipped_and_counted(shapes, tmp_path):
    shutil.copytree(shapes, tmp_path / "data")
    for name in ("000003.png", "000007.png"):
        image = tmp_path / "data" / "train" / name
        image.write_bytes(image.read_bytes()[:200])
    options = ["train_dataloader.dataset.unreadable=skip", "train_cfg.max_epochs=2"]
    code, output = _start(tmp_path / "run", tmp_path / "data", *options).finish()
    assert code == 0, output[-3000:]
    assert output.count("skipped, another image took its place") == 2  # each once, in two epochs
    assert "(2 so far)" in output
    code, output = _start(tmp_path / "strict", tmp_path / "data").finish()
    assert code == 2
    assert "Traceback" not in output


def test_a_work_directory_may_be_moved(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (tmp_path / "a" / name).touch()
    mark_last_checkpoint(tmp_path / "a", tmp_path / "a" / "epoch_1.pth")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert last_checkpoint(tmp_path / "b") == str(tmp_path / "b" / "epoch_1.pth")
    (tmp_path / "b" / "epoch_1.pth").unlink()
    assert last_checkpoint(tmp_path / "b") == str(tmp_path / "b" / "epoch_2.pth")
    assert last_checkpoint(tmp_path) is None
