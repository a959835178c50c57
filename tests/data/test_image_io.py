"""Image files become RGB bytes as they are shown, or are refused by name."""

import numpy as np
import pytest
from PIL import Image

from detr_kit.data import (
    decode_image,
    read_image,
)
from detr_kit.errors import InputError


class TestReadImage:
    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
    def test_formats(self, tmp_path, suffix):
        path = tmp_path / f"image.{suffix}"
        Image.fromarray(np.full((9, 12, 3), (200, 100, 50), np.uint8)).save(path)
        image = read_image(path)
        assert image.shape == (9, 12, 3)
        assert np.abs(image.astype(int) - (200, 100, 50)).max() < 12

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1", "CMYK"])
    def test_modes_become_rgb(self, tmp_path, mode):
        path = tmp_path / ("image.tif" if mode in ("I;16", "CMYK") else "image.png")
        if mode == "I;16":
            Image.fromarray(np.full((5, 6), 128 << 8, np.uint16)).save(path)
        else:
            Image.new("RGB", (6, 5), (128, 128, 128)).convert(mode).save(path)
        image = read_image(path)
        assert image.shape == (5, 6, 3)
        assert image.dtype == np.uint8
        if mode not in ("1", "P", "CMYK"):
            assert np.abs(image.astype(int) - 128).max() <= 3

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
    def test_truncated_files_are_refused(self, tmp_path, suffix):
        path = tmp_path / f"image.{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:-700])
        with pytest.raises(InputError, match=f"image.{suffix}: (truncated|not an image)"):
            read_image(path)

    def test_what_is_no_image_is_refused(self, tmp_path):
        (tmp_path / "notes.jpg").write_text("not a picture")
        (tmp_path / "empty.png").write_bytes(b"")
        with pytest.raises(InputError, match=r"notes\.jpg: not an image"):
            read_image(tmp_path / "notes.jpg")
        with pytest.raises(InputError, match="the file is empty"):
            read_image(tmp_path / "empty.png")
        with pytest.raises(InputError, match=r"gone\.jpg: No such file"):
            read_image(tmp_path / "gone.jpg")

    def test_orientation_is_applied_on_request(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (8, 4)).save(tmp_path / "image.jpg", exif=exif)
        assert read_image(tmp_path / "image.jpg").shape == (4, 8, 3)
        assert read_image(tmp_path / "image.jpg", apply_orientation=True).shape == (8, 4, 3)

    def test_bytes_after_the_end_do_not_matter(self, tmp_path):
        Image.new("RGB", (8, 4), (10, 20, 30)).save(tmp_path / "image.png")
        data = (tmp_path / "image.png").read_bytes()
        np.testing.assert_array_equal(decode_image(data + b"trailing junk"), decode_image(data))
