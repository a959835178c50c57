"""Every way of running a detector in one table, and the fastest that finds the same."""

import json

import pytest

from detr_kit.benchmark import Benchmark, Row, benchmark_detector, benchmark_text
from detr_kit.benchmark.options import BenchmarkOptions
from detr_kit.cli import main
from detr_kit.data import write_shapes
from detr_kit.errors import InputError
from detr_kit.export.compare import Drift, Matches

from ..places import TINY
from ..small_models import write_small_model

SAME = Matches(5, 5, 1.0, 1.0, Drift(0.0, 0.0), Drift(0.0, 0.0))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_shapes(folder, num_train=0, num_val=2, image_size=96)
    return folder / "val"


@pytest.fixture(scope="module")
def found(pictures, tmp_path_factory):
    """The tests' smallest network as it is, as the Detector has it, exported; and a file that is none."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "broken.pt2").write_bytes(b"no archive")
    ways = ("channels_last", "torch-export")
    options = BenchmarkOptions(ways, [folder / "broken.pt2"], (96, 128), 2, seconds=0.01, images=pictures)
    return benchmark_detector(TINY, write_small_model(TINY, folder), options, device="cpu")


def test_every_way_is_timed_and_compared_with_the_eager_network(found):
    eager, *others, _ = found.rows
    assert [row.name for row in (eager, *others)] == ["eager", "channels_last", "torch-export"]
    assert eager.matches.boxes.largest == 0
    for row in (eager, *others):
        assert row.milliseconds > 0
        assert row.sound, row.failures
        assert row.matches.found == row.matches.total > 0
    assert found.fastest.milliseconds == min(row.milliseconds for row in (eager, *others))
    assert found.input_size == (128, 170)  # as its config resizes


def test_what_does_not_run_is_a_row_that_says_why(found):
    broken = found.rows[-1]
    assert not broken.sound
    assert "broken.pt2: it cannot be read" in broken.error
    assert "broken.pt2: it cannot be read" in benchmark_text(found)


def test_what_drifts_is_never_named_the_fastest():
    rows = [
        Row("eager", "fp32", 10.0, SAME),
        Row("careful", "fp32", 8.0, SAME),
        Row("careless", "bf16", 2.0, SAME, ("score drift 0.3 is above 0.05",)),
    ]
    machine = {"device": "cpu", "torch": "", "cpu threads": "1"}
    found = Benchmark("a detector", (96, 128), 1, rows, machine, "2026-11-29")
    assert found.fastest.name == "careful"
    text = benchmark_text(found)
    assert "fastest without drift: careful, 1.25× eager" in text
    assert "careless: score drift 0.3 is above 0.05" in text


def test_the_command_prints_the_table_and_writes_json(pictures, tmp_path, capsys):
    arguments = ["--model", str(TINY), "--random-weights", "--only", "channels_last", "--size", "64", "64"]
    arguments += ["--seconds", "0.01", "--images", str(pictures), "--device", "cpu"]
    assert main(["benchmark", *arguments, "--json", str(tmp_path / "a.json")]) == 0
    assert "fastest without drift: " in capsys.readouterr().out
    written = json.loads((tmp_path / "a.json").read_text())
    assert [row["name"] for row in written["rows"]] == ["eager", "channels_last"]
    assert written["rows"][0]["speedup"] == 1
    assert written["fastest"] in ("eager", "channels_last")


@pytest.mark.parametrize(("options", "message"), [
    (dict(ways=["quick"]), "'quick'; it must be one of eager, channels_last"),
    (dict(size=(0, 64)), "size: side=0"),
    (dict(seconds=0), "seconds 0: it must be larger than 0"),
    (dict(images="gone"), "gone: no folder with images"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        BenchmarkOptions(**options)


def test_random_weights_are_a_models():
    with pytest.raises(InputError, match="--random-weights of which model"):
        benchmark_detector(options=BenchmarkOptions(random_weights=True))
