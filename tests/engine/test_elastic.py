"""Processes die, hang and come back, in other numbers and sharded: the run ends as it would have."""

import shutil
from pathlib import Path

import pytest
import torch

from detr_kit import build_network
from detr_kit.checkpoints import write_checkpoint
from detr_kit.engine import train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.engine.process_group import process_group
from detr_kit.engine.sharding import block_of
from detr_kit.errors import InputError

from ..places import CONFIGS
from .processes import Torchrun

CONFIG = CONFIGS / "processes.py"


def _train(folder, data, *options, faults=(), block=None, restarts=0):
    """Six iterations of two processes, saved after every second."""
    config = Path(folder) / "config.py"
    config.parent.mkdir(exist_ok=True)
    hooks = [dict(type="FaultHook", **fault) for fault in faults]
    sharding = f"fsdp = dict(block={block})\n" if block else ""
    config.write_text(f"_base_ = {str(CONFIG)!r}\ncustom_hooks = {hooks}\n{sharding}")
    arguments = ["train", config, "--work-dir", folder, "--launcher", "pytorch", "--resume"]
    options = [f"{name}={value}" for name, value in {**_options(data), **dict(options)}.items()]
    agent = ("--standalone", "--nproc-per-node", "2", "--max-restarts", restarts)
    apart = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return Torchrun(*arguments, "--cfg-options", *options, agent=[*map(str, agent)], **apart).finish()


def _options(data):
    return {
        "data_root": data,
        "default_hooks.checkpoint.by_epoch": False,
        "default_hooks.checkpoint.interval": 2,
        # Above the rounding of gradients near zero, which else turn AdamW's first steps around
        # (test_processes.py).
        "optim_wrapper.optimizer.eps": 1e-4,
    }


def _go_on_alone(folder, data, begun):
    """From the fourth iteration of a run of two processes on: one process, four images a step."""
    shutil.copy(begun / "iter_4.pth", folder)
    options = {**_options(str(data)), "train_dataloader.batch_size": 4, "data_check": False}
    train(CONFIG, work_dir=folder, resume=True, options=options)


def _saved(folder, iteration=6):
    return torch.load(Path(folder) / f"iter_{iteration}.pth", weights_only=True)


def _figures(folder, name="loss"):
    """The loss of the first process, or the norm of the gradients of all, in each iteration."""
    return [line[name] for line in read_scalars(folder) if name in line]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights that no process would draw by itself."""
    path = tmp_path_factory.mktemp("start") / "weights.pth"
    torch.manual_seed(1)
    write_checkpoint(path, build_network(CONFIG).state_dict(), {})
    return "load_from", path


@pytest.fixture(scope="module")
def undisturbed(start, shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = _train(folder, shapes, start)
    assert code == 0, output[-3000:]
    return folder


@pytest.fixture(scope="module")
def sharded(start, shapes, tmp_path_factory):
    """The same run by FSDP2, every layer of the transformer a block of its own."""
    folder = tmp_path_factory.mktemp("sharded")
    code, output = _train(folder, shapes, start, block=1000)
    assert code == 0, output[-3000:]
    return folder


def _assert_same_bits(ours, theirs):
    for part in ("state_dict", "optimizer"):
        pairs = [_leaves(saved[part]) for saved in (ours, theirs)]
        assert pairs[0].keys() == pairs[1].keys()
        for name, value in pairs[0].items():
            other = pairs[1][name]
            same = torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
            assert same, name


def _leaves(value, name=""):
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: leaf for key, part in parts for path, leaf in _leaves(part, f"{name}.{key}").items()}
    return {name: value}


class TestRestarts:
    def test_processes_that_are_killed_come_back_and_nothing_changes(
        self, start, undisturbed, shapes, tmp_path
    ):
        """One of two in the middle of a step, then the first in the middle of a checkpoint."""
        faults = [dict(kind="kill", iteration=3, rank=1), dict(kind="kill_in_save", iteration=6, rank=0)]
        code, output = _train(tmp_path, shapes, start, faults=faults, restarts=2)
        assert code == 0, output[-3000:]
        assert {"kill_3", "kill_in_save_6"} <= {path.name for path in tmp_path.iterdir()}
        assert output.count("resumed epoch: 0, iter: ") == 2
        _assert_same_bits(_saved(tmp_path), _saved(undisturbed))
        assert not list(tmp_path.glob(".*.partial"))

    def test_a_process_that_hangs_is_named(self, shapes, tmp_path):
        fault = dict(kind="hang", iteration=4, rank=1)
        code, output = _train(tmp_path, shapes, ("env_cfg.dist_cfg.timeout", 8), faults=[fault])
        assert code != 0
        (line,) = [line for line in output.splitlines() if line.startswith("error: rank 0 waited in vain")]
        assert "rank 1 (host " in line
        assert "is gone or stuck" in line
        assert "env_cfg.dist_cfg.timeout=SECONDS" in line

    def test_a_process_that_stops_by_itself_is_quoted(self, shapes, tmp_path):
        """A full disk of one machine is no riddle on the others."""
        fault = dict(kind="raise", iteration=3, rank=1)
        code, output = _train(tmp_path, shapes, faults=[fault])
        assert code != 0
        (line,) = [line for line in output.splitlines() if "the connection to another process" in line]
        assert "stopped: the disk of this machine is full" in line

    def test_a_run_goes_on_with_fewer_processes(self, undisturbed, shapes, tmp_path):
        """The same images a step; the order of float32 sums is another."""
        _go_on_alone(tmp_path, shapes, undisturbed)
        norms = _figures(undisturbed, "grad_norm")[4:]
        assert _figures(tmp_path, "grad_norm") == pytest.approx(norms, rel=1e-3)

    def test_restarts_that_could_not_work_are_refused(self, monkeypatch):
        """torchrun's own store keeps the addresses of processes that are gone."""
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
        with (
            pytest.raises(InputError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
            process_group("pytorch"),
        ):
            pass


class TestSharding:
    def test_losses_are_those_of_ddp(self, sharded, undisturbed):
        assert len(_figures(sharded)) == 6
        assert _figures(sharded) == pytest.approx(_figures(undisturbed), abs=1e-5)

    def test_a_checkpoint_is_that_of_one_process(self, sharded, undisturbed):
        ours, theirs = (_leaves(_saved(folder)["optimizer"]) for folder in (sharded, undisturbed))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert getattr(value, "shape", None) == getattr(theirs[name], "shape", None), name
        ours, theirs = (_saved(folder)["state_dict"] for folder in (sharded, undisturbed))
        assert ours.keys() == theirs.keys()
        off = torch.cat([(ours[k] - theirs[k]).abs().flatten() for k in ours if ours[k].is_floating_point()])
        assert (off > 1e-5).double().mean() <= 1e-3

    def test_it_goes_on_in_one_process(self, sharded, shapes, tmp_path):
        _go_on_alone(tmp_path, shapes, sharded)
        norms = _figures(sharded, "grad_norm")[4:]
        assert _figures(tmp_path, "grad_norm") == pytest.approx(norms, rel=1e-3)

    def test_it_goes_on_sharded_as_if_nothing_had_happened(self, sharded, shapes, tmp_path):
        shutil.copy(sharded / "iter_4.pth", tmp_path)
        code, output = _train(tmp_path, shapes, block=1000)
        assert code == 0, output[-3000:]
        _assert_same_bits(_saved(tmp_path), _saved(sharded))

    @pytest.mark.parametrize("setting", ["yes", 1000, {"blocks": 1000}, {"block": 0}])
    def test_a_setting_that_means_nothing_is_named(self, setting):
        with pytest.raises(InputError, match="neither True nor dict"):
            block_of(setting)
