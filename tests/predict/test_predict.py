"""`detr-kit predict`: many sources into a folder, whole files only, and on from where it stopped."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detr_kit import Detector, predict
from detr_kit.cli import main
from detr_kit.errors import InputError
from detr_kit.inference.detections import Detections
from detr_kit.predict import PredictRun, plan_outputs
from detr_kit.predict import run as run_module
from detr_kit.predict.window import Window
from detr_kit.sources import VideoReader, VideoWriter, kind

from ..small_models import random_images, write_video


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
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".predictions.jsonl")
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

    def test_urls_cameras_and_videos(self, monkeypatch):
        monkeypatch.setattr(kind, "content_type", lambda address: "image/png")  # no network in tests
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


class TestWhatIsThereAlready:
    """Equal outputs are kept, those of other weights, settings or sources are made again; both is said."""

    def _report(self, detector, photos, tmp_path, **options):
        options = {"score_threshold": 0.2, "quiet": True, **options}
        return PredictRun(detector, tmp_path / "out", **options)(
            [str(photos / "a.png"), str(photos / "b.jpg")]
        )

    def test_the_same_again_is_kept_by_another_process_too(self, small_model, photos, tmp_path):
        for expected in ((2, 0), (0, 2)):
            report = self._report(Detector(*small_model, device="cpu"), photos, tmp_path)
            assert (report.done, report.skipped) == expected
        assert "2 were there already, made with the same settings" in str(report)

    def test_a_copy_of_the_same_weights_is_the_same(self, small_model, photos, tmp_path):
        self._report(Detector(*small_model, device="cpu"), photos, tmp_path)
        copy = tmp_path / "copy.safetensors"
        copy.write_bytes(small_model[1].read_bytes())
        assert self._report(Detector(small_model[0], copy, "cpu"), photos, tmp_path).skipped == 2

    @pytest.mark.parametrize(("change", "said"), [
        (dict(nms_iou_threshold=0.5), "other postprocessor"),
        (dict(half="bf16"), "half"),
        (dict(class_names=list("abcde")), "other class_names"),
    ])  # fmt: skip
    def test_another_detector_makes_them_again(self, small_model, photos, tmp_path, change, said):
        self._report(Detector(*small_model, device="cpu"), photos, tmp_path)
        report = self._report(Detector(*small_model, device="cpu", **change), photos, tmp_path)
        assert (report.done, report.skipped) == (2, 0)
        assert "2 of them again: " in str(report)
        assert said in str(report)

    def test_another_checkpoint_and_another_size_make_them_again(self, small_model, photos, tmp_path):
        self._report(Detector(*small_model, device="cpu"), photos, tmp_path)
        detector = Detector(*small_model, device="cpu")
        next(detector.network.parameters()).data += 1
        assert "other weights" in str(self._report(detector, photos, tmp_path))
        detector.config = copy.deepcopy(detector.config)
        detector.config.test_dataloader.dataset.transforms = [dict(type="Resize", short_side=99)]
        assert "other transforms" in str(self._report(detector, photos, tmp_path))

    def test_another_threshold_makes_them_again(self, small_detector, photos, tmp_path):
        self._report(small_detector, photos, tmp_path)
        report = self._report(small_detector, photos, tmp_path, score_threshold=0.7)
        assert "2 of them again: score_threshold 0.2, now 0.7" in str(report)

    def test_a_picture_that_was_changed_is_made_again(self, small_detector, photos, tmp_path):
        self._report(small_detector, photos, tmp_path)
        Image.fromarray(random_images(5)[0]).save(photos / "a.png")
        report = self._report(small_detector, photos, tmp_path)
        assert (report.done, report.skipped) == (1, 1)

    def test_a_file_of_somebody_else_is_left_alone(self, small_detector, photos, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a.png").write_bytes(b"a drawing")
        report = self._report(small_detector, photos, tmp_path)
        assert (report.done, len(report.failed)) == (1, 1)
        assert "a.png is there and was not made by predict" in report.failed[0]
        assert (tmp_path / "out" / "a.png").read_bytes() == b"a drawing"

    def test_pictures_of_version_0_1_are_made_again(self, small_detector, photos, tmp_path):
        self._report(small_detector, photos, tmp_path)
        (tmp_path / "out" / ".predictions.jsonl").unlink()
        former = {name: str((photos / name).resolve()) for name in ("a.png", "b.jpg")}
        (tmp_path / "out" / ".sources.json").write_text(json.dumps(former))
        assert self._report(small_detector, photos, tmp_path).done == 2
        assert self._report(small_detector, photos, tmp_path).skipped == 2

    def test_a_run_that_is_cut_off_while_making_again_has_told_nothing_untrue(
        self, small_detector, photos, tmp_path, monkeypatch
    ):
        self._report(small_detector, photos, tmp_path)

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(Detections, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            self._report(small_detector, photos, tmp_path, score_threshold=0.7)
        monkeypatch.undo()
        with (tmp_path / "out" / ".predictions.jsonl").open("a") as file:
            file.write('{"output": "a.png", "sou')  # killed in the middle of a line
        assert self._report(small_detector, photos, tmp_path, score_threshold=0.7).done == 2


class TestBrokenVideo:
    @pytest.fixture
    def cut(self, tmp_path):
        data = write_video(tmp_path / "whole.avi")
        (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
        return tmp_path / "cut.avi"

    def test_what_was_read_is_kept_and_it_is_said_each_time(self, small_detector, cut, tmp_path):
        for _ in range(2):
            report = _run(small_detector, tmp_path, write_json=True)([str(cut)])
            assert (report.done, report.skipped, len(report.failed)) == (1, 0, 1)
            assert "of 40 frames could be read" in str(report)
            lines = (tmp_path / "out" / "cut.mp4.jsonl").read_text().splitlines()
            assert 0 < len(lines) < 40
            with VideoReader(tmp_path / "out" / "cut.mp4") as drawn:
                assert len(list(drawn)) == len(lines)
        assert "1 of them again: cut short" in str(report)

    def test_the_exit_code_is_1(self, small_model, cut, tmp_path, capsys):
        config, checkpoint = (str(path) for path in small_model)
        arguments = ["--model", config, "--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
        assert main(["predict", str(cut), *arguments]) == 1
        assert "of 40 frames could be read" in capsys.readouterr().err

    def test_what_was_made_of_it_is_replaced_when_it_is_whole(self, small_detector, cut, tmp_path):
        _run(small_detector, tmp_path)([str(cut)])
        cut.write_bytes((tmp_path / "whole.avi").read_bytes())
        assert _run(small_detector, tmp_path)([str(cut)]).failed == []
        assert _run(small_detector, tmp_path)([str(cut)]).skipped == 1


def test_a_camera_that_is_stopped_keeps_its_video_and_its_json(small_detector, video, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "is_video", lambda source: True)
    monkeypatch.setattr(
        run_module, "plan_outputs", lambda sources, out: {video: tmp_path / "out" / "camera.mp4"}
    )
    init = VideoReader.__init__

    def live(self, source):
        init(self, source)
        self.live, self.num_frames = True, 0

    monkeypatch.setattr(VideoReader, "__init__", live)
    run = _run(small_detector, tmp_path, write_json=True)
    stopped = iter([None] * 4)

    def count(found):
        if next(stopped, "end") == "end":
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "_count", count)
    with pytest.raises(KeyboardInterrupt):
        run(["0"])
    assert _files(tmp_path / "out") == ["camera.mp4", "camera.mp4.jsonl"]
    assert len((tmp_path / "out" / "camera.mp4.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("arguments", [
    ["gone/*.jpg"], ["gone.jpg"], ["gone.mp4"], ["a.png", "--score-threshold", "50"], ["a.png", "--nms", "2"],
    ["a.png", "--batch-size", "0"], ["a.png", "--checkpoint", "gone.pth"], ["a.png", "--device", "tpu"],
    ["a.png", "--model", "deformable_detr_r50"], ["a.png", "--score-threshold", "nan"],
])  # fmt: skip
def test_a_refused_command_leaves_nothing_behind(photos, tmp_path, monkeypatch, capsys, arguments):
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.png").write_bytes((photos / "a.png").read_bytes())
    monkeypatch.chdir(work)
    assert main(["predict", "--checkpoint", "builtin", *arguments]) in (1, 2)
    assert [path.name for path in work.iterdir()] == ["a.png"]
    assert capsys.readouterr().err
