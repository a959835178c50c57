"""16-bit and floating-point files: documented scaling, never black and never a guess in silence."""

import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from detr_kit.data import deep_pixels, read_image
from detr_kit.data.deep_pixels import PixelRange, to_8_bit
from detr_kit.data.image_io import decode_deep_image
from detr_kit.errors import InputError


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch):
    monkeypatch.setattr(deep_pixels, "_told", set())


def _grey(highest):
    """A ramp from 0 to the highest value."""
    return np.linspace(0, highest, 64).astype(np.uint16).reshape(8, 8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("highest", "bits"), [
    (200, 8), (255, 8), (256, 10), (1023, 10), (3000, 12), (4095, 12), (4096, 14), (16383, 14),
    (16384, 16), (65535, 16),
])  # fmt: skip
def test_values_are_scaled_by_the_smallest_range_that_holds_the_files_highest(
    tmp_path, suffix, channels, highest, bits
):
    pixels = _grey(highest)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), pixels if channels == 1 else np.repeat(pixels[..., None], 3, axis=2))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        image = read_image(path)
        read_image(path)
    np.testing.assert_array_equal(
        image, np.repeat((pixels >> (bits - 8)).astype(np.uint8)[..., None], 3, axis=2)
    )
    assert image.max() >= 64 or bits == 8
    assert len(told) == (bits < 16)  # once a process
    if told:
        assert f"values up to {highest} is taken for {bits}-bit" in str(told[0].message)
    assert decode_deep_image(path.read_bytes())[1] == PixelRange(bits, highest)


def test_colours_of_16_bit_files_keep_their_order(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5, 3), (100, 2000, 4000), np.uint16))
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [4000 >> 4, 2000 >> 4, 100 >> 4]


def test_8_bit_files_are_left_as_they_are(tmp_path):
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    for suffix in ("png", "tif"):
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), pixels)
        assert decode_deep_image((tmp_path / f"a.{suffix}").read_bytes())[1] is None


@pytest.mark.parametrize("highest", [1.0, 0.3, 255.0, 90.0])
def test_floating_point_of_0_to_1_and_of_0_to_255_is_read(tmp_path, highest):
    Image.fromarray(np.linspace(0, highest, 12, dtype=np.float32).reshape(3, 4)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").max() == round(highest * (255 if highest <= 1 else 1))


@pytest.mark.parametrize(("values", "message"), [
    ([0.0, 4000.0], r"outside 0 … 255: they go from 0 to 4000; scale them to 0 … 1 or 0 … 255"),
    ([-1.5, 1.0], r"they go from -1\.5 to 1"),
    ([0.0, float("nan")], r"not finite"),
    ([0.0, float("inf")], r"not finite"),
])  # fmt: skip
def test_other_floating_point_is_refused_with_its_range(tmp_path, values, message):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=rf"a\.tif: .*{message}") as error:
        read_image(tmp_path / "a.tif")
    assert "OpenCV" not in str(error.value)


@pytest.mark.parametrize("values", [[-5, 3], [0, 70000]])
def test_integers_beyond_16_bits_are_refused_with_their_range(tmp_path, values):
    Image.fromarray(np.array([values], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=rf"its pixels go from {values[0]} to {values[1]}"):
        read_image(tmp_path / "a.tif")


def test_a_tiff_of_another_kind_of_pixels_is_called_so(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.ones((4, 5, 3), np.float32))
    with pytest.raises(
        InputError, match=r"a\.tif: a TIFF whose kind of pixels is not read.*one channel of 32-bit"
    ):
        read_image(tmp_path / "a.tif")


def test_the_range_is_what_a_picture_of_one_value_is_taken_for():
    pixels, found = to_8_bit(np.full((2, 2), 4095, np.uint16))
    assert pixels.tolist() == [[255, 255], [255, 255]]
    assert found == PixelRange(12, 4095)
