"""`detr-kit predict`: many sources into a folder, whole files only, and on from where it stopped."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detr_kit import predict
from detr_kit.cli import main
from detr_kit.detections import Detections
from detr_kit.errors import InputError
from detr_kit.predict import PredictRun, plan_outputs
from detr_kit.predict.window import Window
from detr_kit.sources import VideoReader, VideoWriter

from .small_models import random_images


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name, image in zip(("a.png", "b.jpg", "c.gif", "more/a.png"), random_images(0), strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12, (64, 48))
    for value in range(9):
        writer.write(np.full((48, 64, 3), 20 * value, np.uint8))
    writer.release()
    return path


def _run(detector, tmp_path, **options) -> PredictRun:
    return PredictRun(detector, tmp_path / "out", score_threshold=0, quiet=True, **options)


def _files(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".sources.json")
    return sorted(str(path.relative_to(folder)) for path in files)


class TestNames:
    def test_a_folder_keeps_its_names_and_says_png_where_pillow_cannot_write(self, photos):
        plan = plan_outputs([str(photos)], Path("out"))
        assert [str(path) for path in plan.values()] == ["out/a.png", "out/b.jpg", "out/c.gif.png"]

    def test_a_pattern_keeps_the_folders_below(self, photos):
        plan = plan_outputs([f"{photos}/**/*.png"], Path("out"))
        assert [str(path) for path in plan.values()] == ["out/a.png", "out/more/a.png"]

    def test_equal_names_of_different_folders_are_numbered(self, photos):
        plan = plan_outputs([f"{photos}/a.png", f"{photos}/more/a.png", f"{photos}/a.png"], Path("out"))
        assert [str(path) for path in plan.values()] == ["out/a.png", "out/a_2.png"]

    def test_urls_cameras_and_videos(self):
        plan = plan_outputs(["http://x.org/p/photo.jpg?w=3", "http://x.org/", "clip.avi", 0], Path("out"))
        *names, camera = [path.name for path in plan.values()]
        assert names == ["photo.jpg", "x.org.png", "clip.mp4"]
        assert camera.startswith("camera_0_")

    def test_pictures_of_an_earlier_run_are_no_sources(self, photos):
        plan = plan_outputs([f"{photos}/**/*.png"], photos / "more")
        assert list(plan) == [photos / "a.png"]

    @pytest.mark.parametrize("source", ["", "/*.png", "/**/*.png", "/a.png"])
    def test_sources_are_never_replaced(self, photos, source):
        with pytest.raises(InputError, match=r"the picture of .*a.png would replace a source"):
            plan_outputs([f"{photos}{source}"], photos)

    def test_nor_is_another_source(self, photos):
        with pytest.raises(InputError, match=r"the picture of .*a.png would replace a source"):
            plan_outputs([f"{photos}/a.png", f"{photos}/more/a.png"], photos / "more")


def test_pictures_and_json_of_a_folder(small_detector, photos, tmp_path):
    report = _run(small_detector, tmp_path, write_json=True)([str(photos)])
    assert (report.done, report.skipped, report.failed) == (3, 0, [])
    names = ["a.png", "b.jpg", "c.gif.png"]
    assert _files(tmp_path / "out") == sorted([*names, *(f"{name}.json" for name in names)])
    for name, source in zip(names, ("a.png", "b.jpg", "c.gif"), strict=True):
        alone = small_detector(photos / source, score_threshold=0)
        assert Image.open(tmp_path / "out" / name).size == alone.image.shape[1::-1]
        assert json.loads((tmp_path / "out" / f"{name}.json").read_text()) == alone.to_dict()


def test_a_second_run_does_only_what_is_missing(small_detector, photos, tmp_path):
    run = _run(small_detector, tmp_path)
    run([str(photos)])
    (tmp_path / "out" / "b.jpg").unlink()
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    report = run([str(photos)])
    assert (report.done, report.skipped) == (1, 2)
    assert "2 were there already" in str(report)
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before
    assert _run(small_detector, tmp_path, overwrite=True)([str(photos)]).done == 3
    assert _run(small_detector, tmp_path, write_json=True)([str(photos)]).done == 3  # its JSON is missing


def test_a_run_that_is_cut_off_leaves_whole_files_only(small_detector, photos, tmp_path, monkeypatch):
    save = Detections.save

    def stop_in_the_middle(self, path):
        if "b.jpg" in str(path):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"half a pict")
            raise KeyboardInterrupt
        return save(self, path)

    monkeypatch.setattr(Detections, "save", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        _run(small_detector, tmp_path)([str(photos)])
    visible = [name for name in _files(tmp_path / "out") if not name.startswith(".")]
    assert visible == ["a.png"]
    monkeypatch.undo()
    report = _run(small_detector, tmp_path)([str(photos)])
    assert (report.done, report.skipped) == (2, 1)
    assert _files(tmp_path / "out") == ["a.png", "b.jpg", "c.gif.png"]


def test_bad_images_are_reported_and_stop_nothing(small_detector, photos, tmp_path):
    (photos / "b.jpg").write_text("no image")
    report = _run(small_detector, tmp_path)([str(photos), "gone.mp4"])
    assert report.done == 2
    assert "2 could not be read" in str(report)
    assert [message.split(":")[0] for message in report.failed] == [
        f"image {photos / 'b.jpg'}",
        "video gone.mp4",
    ]


def test_a_video_becomes_a_video(small_detector, video, tmp_path):
    report = _run(small_detector, tmp_path, write_json=True)([str(video)])
    assert report.done == 1
    assert _files(tmp_path / "out") == ["clip.mp4", "clip.mp4.jsonl"]
    with VideoReader(tmp_path / "out" / "clip.mp4") as drawn:
        frames = list(drawn)
        assert (len(frames), frames[0].shape, drawn.fps) == (9, (48, 64, 3), 12)
    lines = [json.loads(line) for line in (tmp_path / "out" / "clip.mp4.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(9))
    assert {line["path"] for line in lines} == {str(video)}
    assert _run(small_detector, tmp_path)([str(video)]).skipped == 1


def test_a_stream_reads_no_further_than_it_must(small_detector):
    read = []

    def frames():
        for number in range(1000):
            read.append(number)
            yield np.zeros((40, 40, 3), np.uint8)

    stream = small_detector.stream(frames(), batch_size=4)
    next(stream)
    assert read == [0, 1, 2, 3]


class TestWindow:
    def test_needs_a_screen(self, monkeypatch, small_detector, photos, tmp_path):
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setattr(predict.window.sys, "platform", "linux")
        with pytest.raises(InputError, match="there is no screen"):
            _run(small_detector, tmp_path, show=True)([str(photos)])

    def test_q_ends_the_run_after_the_picture(self, monkeypatch, small_detector, photos, video, tmp_path):
        monkeypatch.setenv("DISPLAY", ":0")
        shown = []
        monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append((title, picture.shape)))
        monkeypatch.setattr(cv2, "waitKey", lambda wait: ord("q") if len(shown) == 2 else ord(" "))
        report = _run(small_detector, tmp_path, show=True)([str(photos), str(video)])
        assert (report.done, len(shown)) == (2, 2)
        assert shown[0][0] == Window.TITLE
        assert _files(tmp_path / "out") == ["a.png", "b.jpg"]


def test_the_exit_code_says_whether_all_was_read(small_model, photos, tmp_path, capsys):
    config, checkpoint = (str(path) for path in small_model)
    command = [
        "--model",
        config,
        "--checkpoint",
        checkpoint,
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    assert main(["predict", str(photos), *command]) == 0
    assert "3 done" in capsys.readouterr().out
    assert main(["predict", str(photos), "gone.jpg", *command]) == 1
    assert "gone.jpg: No such file" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "*.tif"), *command]) == 2
    assert main(["predict", str(photos), *command, "--half", "bf16", "--overwrite", "--batch-size", "2"]) == 0


def test_a_video_writer_says_where_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot"), VideoWriter(tmp_path / "file" / "clip.mp4", 10) as writer:
        writer.write(np.zeros((8, 8, 3), np.uint8))


def test_another_picture_of_the_same_name_is_not_taken_for_done(shapes, small_detector, tmp_path):
    pictures = sorted((shapes / "val").glob("*.png"))[:2]
    for folder, picture in zip("ab", pictures, strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(picture.read_bytes())
    run = PredictRun(small_detector, tmp_path / "out", quiet=True)
    assert run([str(tmp_path / "a" / "x.png")]).done == 1
    report = run([str(tmp_path / "b" / "x.png")])
    assert (report.done, report.skipped, len(report.failed)) == (0, 0, 1)
    assert str(tmp_path / "a" / "x.png") in report.failed[0]
    assert run([str(tmp_path / "a" / "x.png")]).skipped == 1
