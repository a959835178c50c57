"""Sources are judged by what is in them: files by their bytes, web addresses by what the server says."""

import io
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import cv2
import numpy as np
import pytest
from PIL import Image

from detr_kit.errors import InputError
from detr_kit.sources import BrokenOff, VideoReader, expand, is_live, is_video, iterate_images, load_image
from detr_kit.sources import web as web_sources

from ..small_models import write_video

PICTURE = np.full((48, 64, 3), 90, np.uint8)


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG")
    return buffer.getvalue()


class _Site(BaseHTTPRequestHandler):
    """What cameras and web servers do, on loopback."""

    video = b""

    def do_GET(self):
        path = self.path.split("?")[0]
        kinds = {"/camera": "multipart/x-mixed-replace; boundary=frame", "/film": "video/mp4"}
        kinds["/clip.mp4"] = "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kinds.get(path, "image/png"))
        if path == "/cut":
            self.send_header("Content-Length", "100000")
        self.end_headers()
        with suppress(OSError):  # the client has left
            self._send(path)

    def _send(self, path):
        if path == "/camera":
            frame = cv2.imencode(".jpg", PICTURE)[1].tobytes()
            while True:
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + frame + b"\r\n")
                time.sleep(0.02)
        elif path in ("/film", "/clip.mp4"):
            self.wfile.write(self.video)
        elif path == "/drip.png":
            while True:
                self.wfile.write(b"x")
                time.sleep(0.02)
        elif path == "/silent.png":
            time.sleep(3)
        else:
            self.wfile.write(_png()[:60] if path == "/cut" else _png())

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    _Site.video = write_video(tmp_path / "site.mp4", "mp4v")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestFiles:
    @pytest.mark.parametrize(
        "ending", ["avi", "flv", "mkv", "webm", "mov", "3gp", "mts", "mpg", "wmv", "ogv"]
    )
    def test_a_video_is_one_whatever_it_is_called(self, tmp_path, ending):
        source = {"avi": "MJPG", "mkv": "MJPG", "mov": "mp4v", "3gp": "mp4v", "mts": "mpg1", "mpg": "mpg1"}
        path = tmp_path / f"clip.{ending}"
        try:
            written = write_video(path, source.get(ending, "FLV1"))
        except OSError:
            pytest.skip("this OpenCV does not write it")
        if not written or not cv2.VideoCapture(str(path)).isOpened():
            pytest.skip("this OpenCV does not write it")
        for name in (path.name, "clip", "clip.dat", "clip.jpg"):
            (tmp_path / "as").mkdir(exist_ok=True)
            renamed = tmp_path / "as" / name
            renamed.write_bytes(written)
            assert is_video(renamed), name

    @pytest.mark.parametrize("name", ["notes.txt", "data.bin", "noname", "list.m3u"])
    def test_what_is_no_video_is_not_taken_for_one(self, tmp_path, name):
        # OpenCV opens the first two and finds frames in them.
        (tmp_path / name).write_bytes(b"hello world\n" * 50 if name != "data.bin" else bytes(range(256)) * 40)
        assert not is_video(tmp_path / name)
        with pytest.raises(InputError, match="not an image"):
            load_image(tmp_path / name)

    @pytest.mark.parametrize("format", ["GIF", "PNG", "JPEG", "AVIF", "WEBP", "TIFF", "BMP"])
    def test_pictures_are_pictures_without_a_name_too(self, tmp_path, format):
        try:
            Image.fromarray(PICTURE).save(tmp_path / "picture", format)
        except (KeyError, OSError):
            pytest.skip("this Pillow does not write it")
        assert not is_video(tmp_path / "picture")
        assert load_image(tmp_path / "picture").shape == PICTURE.shape


class TestWeb:
    def test_a_camera_is_a_stream(self, site):
        assert is_video(f"{site}/camera")
        assert is_live(f"{site}/camera")
        frames = iterate_images(f"{site}/camera")
        assert [frame.shape for _, frame in islice(frames, 3)] == [PICTURE.shape] * 3
        frames.close()
        with pytest.raises(InputError, match=r"the server sends multipart.*stream\(\)"):
            load_image(f"{site}/camera")

    @pytest.mark.parametrize("path", ["/film", "/film?token=abc", "/clip.mp4?token=a/b"])
    def test_a_video_is_one_by_what_the_server_says_or_by_its_name(self, site, path):
        assert is_video(site + path)
        assert not is_live(site + path)
        assert len(list(iterate_images(site + path))) == 40

    @pytest.mark.parametrize("path", ["/photo", "/photo.png", "/photo?name=clip.mp4", "/photo.png?v=.mp4"])
    def test_a_picture_is_a_picture(self, site, path):
        assert not is_video(site + path)
        np.testing.assert_array_equal(load_image(site + path), PICTURE)

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/drip.png", "not all there after"),
            ("/silent.png", "timed out|cannot be fetched"),
            ("/cut", "truncated|not an image|cannot be fetched"),
        ],
    )
    def test_nothing_is_waited_for_longer_than_the_limits(self, site, path, message, monkeypatch):
        monkeypatch.setattr(web_sources, "TIMEOUT", 0.4)
        monkeypatch.setattr(web_sources, "MAX_SECONDS", 0.4)
        with pytest.raises(InputError, match=message):
            load_image(site + path)

    def test_what_cannot_be_asked_is_an_error_when_it_is_read(self):
        assert not is_video("http://127.0.0.1:9/camera")
        with pytest.raises(InputError, match="it cannot be fetched"):
            load_image("http://127.0.0.1:9/camera")


class TestBrokenOff:
    def test_all_frames_are_given_and_then_it_is_said(self, tmp_path):
        data = write_video(tmp_path / "clip.avi")
        (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
        read = []
        with VideoReader(tmp_path / "cut.avi") as video, pytest.raises(BrokenOff) as error:
            read.extend(video)
        assert 5 < len(read) < 35
        assert f"{len(read)} of 40 frames could be read" in str(error.value)

    def test_a_stream_of_detections_ends_with_the_error_and_loses_no_frame(self, tmp_path, small_detector):
        data = write_video(tmp_path / "clip.avi")
        (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
        frames = sum(1 for _ in iterate_images(tmp_path / "cut.avi", on_error=lambda *_: None))
        found = []
        with pytest.raises(BrokenOff):
            found.extend(small_detector.stream(tmp_path / "cut.avi", batch_size=7))
        assert len(found) == frames


class _Upload:
    """What web frameworks hand over: a file-like object of no known class."""

    def __init__(self, data):
        self.read = lambda: data


class TestOpenFiles:
    def test_open_files_and_uploads_are_read(self, tmp_path):
        (tmp_path / "a.png").write_bytes(_png())
        written = io.BytesIO()
        Image.fromarray(PICTURE).save(written, "PNG")  # stands at its end now
        with (tmp_path / "a.png").open("rb") as opened:
            for source in (io.BytesIO(_png()), written, opened, _Upload(_png()), memoryview(_png())):
                np.testing.assert_array_equal(load_image(source), PICTURE)
                assert [image.shape for _, image in iterate_images(source)] == [PICTURE.shape]

    def test_a_list_of_open_files(self, small_detector):
        assert len(small_detector([io.BytesIO(_png()), io.BytesIO(_png())])) == 2
        assert small_detector(io.BytesIO(_png())).image.shape == PICTURE.shape

    def test_what_read_gives_has_to_be_bytes(self, tmp_path):
        async def data():
            return b""

        (tmp_path / "a.txt").write_text("text")
        upload = _Upload(None)
        upload.read = data
        with (tmp_path / "a.txt").open() as text:
            for source, message in (
                (text, 'open it with mode "rb"'),
                (upload, r"give await file.read\(\)"),
                (_Upload((True, PICTURE)), "gives a tuple, not bytes"),
                (_Upload(b""), "empty"),
            ):
                with pytest.raises(InputError, match=message):
                    load_image(source)

    def test_a_closed_file_is_said(self):
        closed = io.BytesIO(_png())
        closed.close()
        with pytest.raises(InputError, match="cannot be read"):
            load_image(closed)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({"a": PICTURE}, r"give list\(source.values\(\)\)"),
            ({"a.png", "b.png"}, "a set has no order"),
            (None, "source: None is no image; give a path"),
            (True, "source: True is no image"),
            (3.5, "a float is no image"),
            ([[{"a": 1}]], r"list\(source.values\(\)\)"),
        ],
    )
    def test_what_is_no_list_of_images_is_refused_by_its_type(self, source, message):
        with pytest.raises(InputError, match=message):
            list(expand(source))

    def test_generators_and_tuples_are_lists(self):
        assert len(list(expand(PICTURE for _ in range(3)))) == 3
        assert len(list(expand((PICTURE, (PICTURE, PICTURE))))) == 3
