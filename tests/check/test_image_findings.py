"""What `check` says of pictures that are stored unusually: EXIF turns, 16 bits, names spelt otherwise."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from detr_kit.check import check_data
from detr_kit.data.formats import find_data


@pytest.fixture
def write(tmp_path):
    """A COCO file of three pictures of different content, saved by the caller."""

    def write_(save, name="{}.png", listed="{}.png"):
        rng = np.random.default_rng(0)
        (tmp_path / "images").mkdir()
        data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
        for i in (1, 2, 3):
            save(tmp_path / "images" / name.format(i), rng.integers(0, 255, (30, 40, 3), dtype=np.uint8))
            data["images"].append({"id": i, "file_name": listed.format(i), "width": 40, "height": 30})
            box = {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "bbox": [4, 5, 20, 15],
                "area": 300,
                "iscrowd": 0,
            }
            data["annotations"].append(box)
        (tmp_path / "set.json").write_text(json.dumps(data))
        report = check_data(list(find_data(tmp_path).splits.values()))
        return {found.name: found for _, found in report.findings()}

    return write_


@pytest.mark.parametrize(("value", "is_turned"), [
    (0, False), (1, False), (2, True), (3, True), (4, True), (9, False), (255, False), (65535, False),
])  # fmt: skip
def test_only_orientations_2_to_8_turn(write, value, is_turned):
    def save(path, pixels):
        exif = Image.Exif()
        exif[0x0112] = value
        Image.fromarray(pixels).save(path, exif=exif)

    assert set(write(save)) == ({"images-exif-rotated"} if is_turned else set())


def test_orientation_65537_which_programs_write_as_a_long_number_turns_nothing(write):
    def save(path, pixels):
        # little-endian TIFF header, one entry: tag 0x0112, type LONG, count 1, value 65537
        entry = b"II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x01\0\x01\0\0\0\0\0"
        Image.fromarray(pixels).save(path, exif=b"Exif\0\0" + entry)

    assert write(save) == {}


@pytest.mark.parametrize(("shift", "bits"), [(0, 8), (4, 12), (6, 14)])
def test_16_bit_pictures_that_use_fewer_bits_are_a_warning_with_the_range(write, shift, bits):
    found = write(lambda path, pixels: cv2.imwrite(str(path), pixels.astype(np.uint16) << shift))
    assert list(found) == ["images-few-bits"]
    assert (found["images-few-bits"].verdict, found["images-few-bits"].count) == ("warning", 3)
    assert f"taken for {bits}-bit" in str(found["images-few-bits"].examples[0])


def test_16_bit_pictures_that_use_their_bits_are_nothing_to_tell(write):
    assert write(lambda path, pixels: cv2.imwrite(str(path), pixels.astype(np.uint16) << 8)) == {}


def test_names_that_are_spelt_otherwise_are_read_and_said(write):
    found = write(lambda path, pixels: Image.fromarray(pixels).save(path), "{} a.PNG", "C:\\me\\{}%20a.png")
    assert list(found) == ["format"]
    assert "3 of 3 file names are spelt otherwise" in str(found["format"].examples[0])
