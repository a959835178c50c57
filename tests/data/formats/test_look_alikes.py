"""Pictures of the same content stay on one side of a hold-out; others are not taken for the same."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from detr_kit.data.formats import find_look_alikes, hold_out, look_alikes_of


def photograph(seed, size=(160, 120)):
    """Something with the soft and hard edges of a photograph."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    image = np.asarray(small).copy()
    for _ in range(4):
        x, y = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
        image[y : y + 25, x : x + 35] = rng.integers(0, 255, 3)
    return Image.fromarray(image)


def turned(image):
    """Stored on its side, with the EXIF mark that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(data, "JPEG", quality=92, exif=exif)
    return data.getvalue()


def encoded(image, kind="JPEG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


COPIES = {
    "the same file": lambda image: encoded(image),
    "a worse JPEG": lambda image: encoded(image, quality=40),
    "PNG": lambda image: encoded(image, "PNG"),
    "half the size": lambda image: encoded(image.resize((80, 60)), quality=85),
    "twice the size": lambda image: encoded(image.resize((320, 240)), quality=85),
    "turned by EXIF": turned,
    "slightly blurred": lambda image: encoded(image.filter(ImageFilter.GaussianBlur(0.7))),
}


@pytest.mark.parametrize("how", COPIES)
def test_the_same_content_is_recognised(tmp_path, how):
    paths = [tmp_path / f"{i}.jpg" for i in range(6)]
    for index, path in enumerate(paths):
        path.write_bytes(COPIES[how](photograph(1)) if index == 4 else encoded(photograph(index)))
    found = find_look_alikes(paths)
    assert found.groups == [0, 1, 2, 3, 1, 5]
    assert found.note == "2 pictures look like others, in 1 group"


def moved(step):
    """A camera that stands still, and something small that moves before it."""
    image = photograph(7)
    image.paste((250, 20, 20), (10 + 14 * step, 60, 22 + 14 * step, 72))
    return image


DIFFERENT = {
    "photographs": [photograph(seed) for seed in range(8)],
    "frames in which something moves": [moved(step) for step in range(8)],
    "blank pictures": [Image.new("RGB", (64 + index, 64), (90 + index % 2, 90, 90)) for index in range(8)],
    "the same in another shape": [photograph(3).resize((100, 60 + 5 * index)) for index in range(8)],
    "dark pictures": [photograph(seed).point(lambda v: v // 12) for seed in range(8)],
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_other_pictures_are_not(tmp_path, what):
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for path, image in zip(paths, DIFFERENT[what], strict=True):
        image.save(path)
    found = find_look_alikes(paths)
    assert found.groups == list(range(8))
    assert found.note == "no two pictures look alike"


def test_a_set_that_is_mostly_one_picture_is_told(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for index, path in enumerate(paths):
        photograph(0 if index < 5 else 1).save(path, compress_level=index)
    assert "the largest has 5 of 6 pictures, as frames of a video would" in find_look_alikes(paths).note


def test_files_that_cannot_be_read_look_like_no_other(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "b.jpg").write_bytes(b"no picture either")
    paths = [tmp_path / name for name in ("a.jpg", "b.jpg", "gone.jpg", "gone too.jpg")]
    assert find_look_alikes(paths).groups == [0, 1, 2, 3]


def test_of_very_many_pictures_only_the_bytes_are_compared_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("detr_kit.data.formats.look_alikes._MOST_COMPARED", 3)
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for path, quality in zip(paths, (90, 90, 40, 30), strict=True):
        photograph(0).save(path, quality=quality)
    found = find_look_alikes(paths)
    assert found.groups == [0, 0, 2, 3]
    assert "only equal files were looked for" in found.note


@given(st.lists(st.integers(0, 12), min_size=2, max_size=40), st.floats(0.05, 0.6), st.integers(0, 5))
def test_no_group_is_on_both_sides(groups, fraction, seed):
    data = {"images": [{"id": i} for i in range(len(groups))], "annotations": [], "categories": []}
    train, val = hold_out(data, fraction, seed, groups=groups)
    sides = [{groups[image["id"]] for image in part["images"]} for part in (train, val)]
    assert train["images"]
    assert val["images"]
    assert len(train["images"]) + len(val["images"]) == len(groups)
    assert not sides[0] & sides[1] or len(set(groups)) == 1
    assert (train, val) == hold_out(data, fraction, seed, groups=groups)


def test_without_look_alikes_the_draw_is_the_one_it_always_was():
    data = {"images": [{"id": i} for i in range(30)], "annotations": [], "categories": []}
    assert hold_out(data) == hold_out(data, groups=list(range(30)))
    drawn = np.random.default_rng(0).permutation(30)[:6]
    assert [image["id"] for image in hold_out(data)[1]["images"]] == sorted(drawn.tolist())


def test_real_photographs(shared):
    """raccoon has pictures twice under other names, two of them in another size."""
    folder = shared / "data" / "raccoon" / "images"
    names = sorted(path.name for path in folder.iterdir())
    found = look_alikes_of({"images": [{"file_name": name} for name in names]}, folder)
    assert found.note == "11 pictures look like others, in 5 groups"
    groups = {}
    for name, group in zip(names, found.groups, strict=True):
        groups.setdefault(group, []).append(int(name.removeprefix("raccoon-").removesuffix(".jpg")))
    assert sorted(sorted(g) for g in groups.values() if len(g) > 1) == [
        [11, 116], [21, 45], [50, 52, 74], [65, 98], [83, 120]
    ]  # fmt: skip
