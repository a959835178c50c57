"""Very many images into tables: one row an image, whatever happens, and on from where it stopped."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import cv2
import fsspec
import pytest
import torch

from detr_kit import Detector, storage
from detr_kit.cli import main
from detr_kit.errors import InputError
from detr_kit.scale import requirements
from detr_kit.scale.equal_shapes import Ready, equal_shape_batches
from detr_kit.scale.listing import list_images
from detr_kit.scale.read_ahead import read_ahead

from ..places import TINY_DETR
from ..small_models import random_images, write_small_model

pq = pytest.importorskip("pyarrow.parquet")

from detr_kit.scale import Actors, predict_dataset  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return dict(
        model=str(TINY_DETR),
        checkpoint=str(write_small_model(TINY_DETR, tmp_path_factory.mktemp("model"))),
        device="cpu",
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """21 images of several shapes, one of them cut short and one no image."""
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(image for seed in range(3) for image in random_images(seed)):
        cv2.imwrite(str(folder / f"{number:02}.png"), image)
    (folder / "05.png").write_bytes((folder / "05.png").read_bytes()[:200])
    (folder / "11.png").write_text("no image")
    return folder


def _run(photos, out, model, **options):
    options = {"images_per_file": 4, "score_threshold": 0.0, "quiet": True, **model, **options}
    return predict_dataset(str(photos), out, **options)


@pytest.fixture(scope="module")
def done(photos, model, tmp_path_factory):
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("out")
    return out, _run(photos, out, model)


def _files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.parquet"))}


class TestTables:
    def test_each_image_has_one_row_here_or_there(self, photos, done):
        out, report = done
        rows, errors = pq.read_table(out).to_pylist(), pq.read_table(out / "_errors").to_pylist()
        assert [row["path"] for row in errors] == [str(photos / "05.png"), str(photos / "11.png")]
        assert "truncated" in errors[0]["error"]
        assert "not an image" in errors[1]["error"]
        every = sorted(str(path) for path in photos.iterdir())
        assert sorted(row["path"] for row in rows + errors) == every
        assert (report.done, report.failed, report.skipped, report.total) == (19, 2, 0, 21)
        assert str(report).splitlines()[-1] == f"2 could not be read: {out}/_errors says why"

    def test_rows_are_what_the_detector_says(self, photos, model, done):
        out, _ = done
        detector = Detector(**model)
        rows = pq.read_table(out).to_pylist()
        for row in rows[::4]:
            found = detector(row["path"], 0.0)
            assert (row["height"], row["width"]) == found.image.shape[:2]
            assert row["scores"] == found.scores.tolist()
            assert row["boxes"] == found.boxes.tolist()
            assert row["labels"] == found.labels.tolist()
            assert row["names"] == found.class_names

    def test_batches_change_rounding_alone(self, photos, model, done, tmp_path):
        out, _ = done
        _run(photos, tmp_path, model, batch_size=3)
        for row, other in zip(
            pq.read_table(out).to_pylist(), pq.read_table(tmp_path).to_pylist(), strict=True
        ):
            assert row["path"] == other["path"]
            assert row["scores"] == pytest.approx(other["scores"], abs=1e-5)


class TestGoingOn:
    def test_a_run_that_was_cut_off_ends_with_the_same_files(
        self, photos, model, done, tmp_path, monkeypatch
    ):
        calls = iter(range(100))
        predict_inputs = Detector.predict_inputs

        def cut(*arguments):
            if next(calls) == 8:
                raise KeyboardInterrupt
            return predict_inputs(*arguments)

        monkeypatch.setattr(Detector, "predict_inputs", cut)
        with pytest.raises(KeyboardInterrupt):
            _run(photos, tmp_path, model)
        monkeypatch.undo()
        there = {path: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}
        assert len(there) == 2
        report = _run(photos, tmp_path, model)
        assert report.skipped == 8
        assert _files(tmp_path) == _files(done[0])
        assert {path: path.stat().st_mtime_ns for path in there} == there

    def test_nothing_is_done_twice(self, photos, model, done):
        report = _run(photos, done[0], model)
        assert (report.done, report.skipped) == (0, 21)

    def test_new_images_are_added(self, photos, model, tmp_path):
        few = [str(photos / f"{number:02}.png") for number in range(3)]
        _run(photos, tmp_path, model)
        predict_dataset(
            [*few, str(photos.parent / "gone.png")], tmp_path, **model, score_threshold=0.0, quiet=True
        )
        rows = pq.read_table(tmp_path / "_errors").to_pylist()
        assert [Path(row["path"]).name for row in rows] == ["05.png", "11.png", "gone.png"]
        assert "No such file" in rows[-1]["error"]

    def test_other_settings_are_refused_until_overwrite(self, photos, model, tmp_path):
        _run(photos, tmp_path, model)
        with pytest.raises(InputError, match=r"score_threshold 0.0, now 0.5\); name another folder"):
            _run(photos, tmp_path, model, score_threshold=0.5)
        report = _run(photos, tmp_path, model, score_threshold=0.5, images_per_file=100, overwrite=True)
        assert (report.done, report.skipped) == (19, 0)
        assert [path.name for path in tmp_path.glob("part-*")] == ["part-00000000.parquet"]

    def test_files_of_nobody_are_left_alone(self, photos, model, tmp_path):
        (tmp_path / "part-7.parquet").touch()
        with pytest.raises(InputError, match=r"part-7\.parquet is there, of no known run"):
            _run(photos, tmp_path, model)


class TestAddresses:
    def test_images_and_tables_in_a_bucket(self, photos, model, done):
        files = fsspec.filesystem("memory")
        for path in photos.iterdir():
            files.pipe_file(f"/bucket/photos/{path.name}", path.read_bytes())
        report = _run("memory://bucket/photos/*.png", "memory://bucket/out/", model)
        assert (report.done, report.failed) == (19, 2)
        assert _run("memory://bucket/photos", "memory://bucket/out", model).skipped == 21
        assert sorted(name.rpartition("/")[2] for name in files.find("/bucket/out")) == sorted(
            [*(Path(name).name for name in _files(done[0])), "run.json"]
        )
        rows = pq.read_table(files.open("/bucket/out/part-00000002.parquet")).to_pylist()
        assert rows[0]["path"] == "memory:///bucket/photos/08.png"

    def test_a_place_that_does_not_answer_ends_the_run_and_spoils_no_table(
        self, model, tmp_path, monkeypatch
    ):
        files = fsspec.filesystem("memory")
        files.pipe_file("/away/a.png", b"")

        def silent(*_, **__):
            raise ConnectionResetError("no route")

        monkeypatch.setattr(type(files), "cat_file", silent)
        monkeypatch.setattr(storage, "_FIRST_WAIT", 0)
        with pytest.raises(InputError, match=r"memory:///away/a\.png: not reached in 4 tries: .*no route"):
            _run("memory://away/", tmp_path, model)
        assert not list(tmp_path.rglob("part-*"))

    def test_unknown_protocols_and_empty_places(self):
        with pytest.raises(InputError, match=r"fsspec knows no such protocol"):
            list_images(["warp://bucket/*.jpg"])
        with pytest.raises(InputError, match=r"memory://nothing/\*.jpg: no image there"):
            list_images(["memory://nothing/*.jpg"])
        assert list_images(["http://host/a?b=*.jpg"]) == ["http://host/a?b=*.jpg"]


class TestParts:
    def test_equal_shapes_share_a_batch_and_few_wait(self):
        shapes = [1, 2, 1, 3, 1, 2, 1]
        images = [Ready(i, torch.zeros(3, side, side), (side, side)) for i, side in enumerate(shapes)]
        batches = equal_shape_batches(images, lambda height, width: 3, most_waiting=4)
        assert [[image.number for image in batch] for batch in batches] == [[0, 2, 4], [1, 5], [3], [6]]
        batches = equal_shape_batches(images, lambda height, width: 3, most_waiting=1)
        assert [[image.number for image in batch] for batch in batches] == [[0], [1], [2], [3], [4], [5], [6]]

    def test_reading_is_no_more_than_a_little_ahead(self):
        begun = []

        def read(item):
            begun.append(item)
            return item * item

        values = read_ahead(read, range(100), threads=2)
        assert next(values) == 0
        assert len(begun) <= 6
        assert list(values) == [item * item for item in range(1, 100)]

    def test_an_error_comes_in_its_place(self):
        values = read_ahead(lambda item: 1 // item, [1, 1, 0, 1], threads=3)
        assert [next(values), next(values)] == [1, 1]
        with pytest.raises(ZeroDivisionError):
            next(values)


class TestCommand:
    def test_tables_from_the_command_line(self, photos, model, tmp_path, capsys):
        line = [
            "predict",
            str(photos),
            "--engine",
            "local",
            "--out",
            str(tmp_path / "out"),
            "--device",
            "cpu",
        ]
        line += ["--model", model["model"], "--checkpoint", model["checkpoint"], "--images-per-file", "8"]
        assert main(line) == 1
        assert "2 could not be read" in capsys.readouterr().err
        assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3
        assert main([*line, "--score-threshold", "0.7"]) == 2
        assert "score_threshold 0.3, now 0.7" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--actors", "2"], "--actors goes with --engine"),
            (["--engine", "local", "--actors", "2"], "--actors: of --engine ray; this is local"),
            (["--engine", "local", "--json"], "--json does not go with --engine"),
        ],
    )
    def test_options_that_do_not_go_together(self, photos, capsys, options, message):
        assert main(["predict", str(photos), *options]) == 2
        assert message in capsys.readouterr().err

    def test_without_ray_one_message_says_what_to_install(self, photos, capsys, monkeypatch):
        monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == "ray" else name)
        assert main(["predict", str(photos), "--engine", "ray"]) == 2
        assert capsys.readouterr().err == (
            'error: engine ray needs ray, which is not installed: pip install "detr-kit[ray]"\n'
        )


def _kill_an_actor(out: Path, killed: list[int]) -> None:
    """As soon as a part is there."""
    while not list(out.glob("part-*")):
        time.sleep(0.01)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.read_bytes().startswith(b"ray::MapWorker"):
            killed.append(int(path.parent.name))
            os.kill(killed[0], signal.SIGKILL)
            return


@pytest.mark.slow
def test_ray_writes_the_same_rows_though_an_actor_is_killed(photos, model, done, tmp_path):
    ray = pytest.importorskip("ray")
    killed: list[int] = []
    killer = threading.Thread(target=_kill_an_actor, args=(tmp_path, killed), daemon=True)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    try:
        killer.start()
        report = _run(photos, tmp_path, model, engine="ray", actors=Actors(count=1), images_per_file=1)
        with pytest.raises(InputError, match="too few for an actor of 8 CPUs"):
            _run(photos, tmp_path / "other", model, engine="ray", actors=Actors(cpus=8))
    finally:
        ray.shutdown()
    killer.join(10)
    assert len(killed) == 1
    assert (report.done, report.failed) == (19, 2)
    rows, expected = (
        sorted(map(json.dumps, pq.read_table(folder).to_pylist())) for folder in (tmp_path, done[0])
    )
    assert rows == expected
