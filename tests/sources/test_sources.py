"""Every kind of source becomes RGB bytes, or is refused with its name."""

import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detr_kit.data import read_image
from detr_kit.errors import InputError
from detr_kit.sources import VideoReader, VideoWriter, expand, is_video, iterate_images, load_image
from detr_kit.sources import web as web_sources

# Red above blue on the left, green above grey on the right: any turn or swap of channels shows.
SCENE = np.zeros((20, 40, 3), np.uint8)
SCENE[:10, :20], SCENE[10:, :20] = (250, 10, 20), (10, 20, 250)
SCENE[:10, 20:], SCENE[10:, 20:] = (10, 250, 20), (128, 128, 128)
EXIF_ORIENTATION = 0x0112
TURNS = {  # orientation -> how the stored pixels come from the upright ones
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def _encoded(picture: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _assert_scene(pixels: np.ndarray, tolerance: int = 12):
    assert pixels.shape == SCENE.shape
    assert pixels.dtype == np.uint8
    inside = np.s_[2:-2:4, 2:-2:4]  # away from the edges, which JPEG blurs
    assert abs(pixels[inside].astype(int) - SCENE[inside]).mean() < tolerance


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_turns_the_picture_upright(tmp_path, format, orientation):
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](SCENE)))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = _encoded(stored, format, exif=exif, **({} if format in ("PNG", "TIFF") else {"quality": 95}))
    (tmp_path / "photo").write_bytes(data)
    for source in (data, tmp_path / "photo", Image.open(io.BytesIO(data))):
        _assert_scene(load_image(source))


@pytest.mark.parametrize(("mode", "format"), [
    ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGB", "BMP"),
    ("CMYK", "TIFF"), ("RGBA", "WEBP"), ("P", "GIF"), ("YCbCr", "TIFF"), ("RGB", "PPM"),
])  # fmt: skip
def test_every_mode_becomes_rgb(mode, format):
    picture = Image.fromarray(SCENE)
    picture = picture.quantize(8) if mode == "P" else picture.convert(mode)
    _assert_scene(load_image(_encoded(picture, format)))
    _assert_scene(load_image(picture))


def test_grey_and_black_and_white():
    grey = Image.fromarray(SCENE[..., 1])
    for source in (grey, _encoded(grey, "PNG"), grey.convert("LA"), SCENE[..., 1], SCENE[..., 1:2]):
        pixels = load_image(source)
        assert pixels.shape == SCENE.shape
        assert abs(pixels.astype(int) - SCENE[..., 1:2]).max() <= 1
    black_and_white = Image.fromarray(SCENE[..., 1] > 127).convert("1")
    assert set(np.unique(load_image(_encoded(black_and_white, "PNG")))) == {0, 255}


def test_sixteen_bits_keep_the_high_byte():
    deep = (SCENE[..., 0].astype(np.uint16) << 8) + 77
    png = cv2.imencode(".png", deep)[1].tobytes()
    tiff = _encoded(Image.fromarray(deep), "TIFF")
    for source in (png, tiff, deep, Image.fromarray(deep)):
        np.testing.assert_array_equal(load_image(source), np.repeat(SCENE[..., :1], 3, axis=2))


def test_floating_point_tiff():
    for scale in (1, 255):
        picture = Image.fromarray((SCENE[..., 0] / 255 * scale).astype(np.float32))
        assert abs(load_image(_encoded(picture, "TIFF")).astype(int) - SCENE[..., :1]).max() <= 1
    with pytest.raises(InputError, match="floating-point pixels outside"):
        load_image(Image.fromarray(np.full((4, 4), -3, np.float32)))


@given(st.sampled_from([np.uint8, np.float32, np.float64, np.uint16]), st.booleans(), st.booleans())
def test_arrays_and_tensors_of_every_type_agree(dtype, bgr, as_tensor):
    scale = {np.uint8: 1, np.uint16: 256}.get(dtype, 1 / 255)
    array = (SCENE * np.float64(scale)).round(9).astype(dtype)
    array = array[..., ::-1] if bgr else array
    source = torch.from_numpy(array.copy()).permute(2, 0, 1) if as_tensor and dtype != np.uint16 else array
    np.testing.assert_array_equal(load_image(source, bgr=bgr), SCENE)


class TestHugeImages:
    @pytest.fixture(autouse=True)
    def _small_limit(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 350)  # Pillow refuses from twice that on

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
    def test_are_refused_before_they_are_decoded(self, tmp_path, format, monkeypatch):
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
        (tmp_path / "bomb").write_bytes(_encoded(Image.fromarray(SCENE), format))
        with pytest.raises(InputError, match=r"bomb: .*800 pixels.*raise PIL.Image.MAX_IMAGE_PIXELS"):
            read_image(tmp_path / "bomb")

    def test_are_read_where_the_limit_is_raised(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
        with pytest.warns(Image.DecompressionBombWarning):
            _assert_scene(load_image(_encoded(Image.fromarray(SCENE), "PNG")))


def test_a_truncated_pil_image_is_named():
    data = _encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)), "PNG")
    with pytest.raises(InputError, match="image: the PIL image cannot be read"):
        load_image(Image.open(io.BytesIO(data[: len(data) // 2])))


@pytest.fixture
def web():
    """A server on loopback that gives the scene for any path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(_encoded(Image.fromarray(SCENE), "PNG"))

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_urls_are_fetched_up_to_a_size(web, monkeypatch):
    np.testing.assert_array_equal(load_image(f"{web}/photo?size=*"), SCENE)
    monkeypatch.setattr(web_sources, "MAX_DOWNLOAD", 20)
    with pytest.raises(InputError, match="fetch it and give the file"):
        load_image(f"{web}/photo")


class TestListing:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "clip.mp4", "deep/c.png", "odd[1].png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.fromarray(SCENE).save(tmp_path / name, "PNG")
        (tmp_path / "notes.txt").write_text("no image")
        return tmp_path

    def _names(self, source):
        return [path.name for path in expand(source)]

    def test_a_folder_is_its_images_and_videos(self, folder):
        assert self._names(folder) == ["a.png", "b.JPG", "clip.mp4", "odd[1].png"]

    def test_patterns(self, folder):
        assert self._names(f"{folder}/*.png") == ["a.png", "odd[1].png"]
        assert self._names(f"{folder}/**/*.png") == ["a.png", "c.png", "odd[1].png"]

    def test_a_file_with_a_bracket_is_itself(self, folder):
        assert list(expand(f"{folder}/odd[1].png")) == [f"{folder}/odd[1].png"]

    def test_nothing_found_is_said(self, folder):
        (folder / "empty").mkdir()
        for source in (folder / "empty", f"{folder}/*.gif"):
            with pytest.raises(InputError, match="no image there"):
                list(expand(source))
        with pytest.raises(InputError, match="a float is no image"):
            list(expand(3.5))

    def test_lists_are_followed_lazily(self):
        def endless():
            while True:
                yield SCENE

        images = iterate_images(endless())
        assert [next(images)[1].shape for _ in range(3)] == [SCENE.shape] * 3

    def test_bad_images_are_passed_over_where_somebody_listens(self, folder):
        errors = []
        sources = [folder / "a.png", folder / "notes.txt", b"text", folder / "gone.png", SCENE]
        found = list(iterate_images(sources, on_error=lambda name, error: errors.append((name, str(error)))))
        assert [path for path, _ in found] == [str(folder / "a.png"), ""]
        assert [name for name, _ in errors] == [
            str(folder / "notes.txt"),
            "source[2]",
            str(folder / "gone.png"),
        ]
        assert all(name in message for name, message in errors)


@pytest.mark.parametrize(("source", "video"), [
    (0, True), ("clip.MP4", True), ("rtsp://camera/1", True), ("photo.jpg", False), (b"", False),
])  # fmt: skip
def test_what_is_a_video(source, video):
    assert is_video(source) is video


class TestVideo:
    def _frames(self, count):
        return [np.full((48, 64, 3), (20 * i, 100, 250 - 20 * i), np.uint8) for i in range(count)]

    def test_frames_come_back(self, tmp_path):
        with VideoWriter(tmp_path / "clip.mp4", fps=10) as writer:
            for frame in self._frames(8):
                writer.write(frame)
        assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
        with VideoReader(tmp_path / "clip.mp4") as video:
            assert (video.fps, video.num_frames, video.live) == (10, 8, False)
            for read, written in zip(video, self._frames(8), strict=True):
                assert abs(read.astype(int) - written).mean() < 6

    def test_odd_sides_lose_a_line(self, tmp_path):
        with VideoWriter(tmp_path / "clip.mp4", fps=10) as writer:
            writer.write(np.zeros((31, 45, 3), np.uint8))
        with VideoReader(tmp_path / "clip.mp4") as video:
            assert next(iter(video)).shape == (30, 44, 3)

    @pytest.mark.parametrize("live", [False, True])
    def test_a_failure_leaves_no_half_video_of_a_file(self, tmp_path, live):
        with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "c.mp4", 10, live) as writer:  # noqa: PT012
            writer.write(self._frames(1)[0])
            raise KeyboardInterrupt
        assert [p.name for p in tmp_path.iterdir()] == (["c.mp4"] if live else [])

    def test_what_is_no_video_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"gone.mp4: no such file"):
            VideoReader(tmp_path / "gone.mp4")
        (tmp_path / "text.mp4").write_text("no video")
        with pytest.raises(InputError, match=r"text.mp4: .*cannot"):
            list(iterate_images(tmp_path / "text.mp4"))
