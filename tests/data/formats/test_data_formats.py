"""COCO, Pascal VOC and YOLO: found by their path, and read to the same targets."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detr_kit.data import CocoDataset
from detr_kit.data.formats import find_data, hold_out
from detr_kit.data.formats.boxes import polygon_to_coco, voc_to_coco, yolo_to_coco
from detr_kit.errors import InputError

from ...data_formats import WRITERS, coco_to_voc, coco_to_yolo, write_coco

sides = st.integers(1, 5000)
unit = st.floats(0, 1, allow_nan=False)


@st.composite
def pixel_boxes(draw):
    """(x, y, width, height) of whole pixels inside an image, and the image's size."""
    width, height = draw(st.integers(2, 5000)), draw(st.integers(2, 5000))
    x, y = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 1))
    return [x, y, draw(st.integers(2, width - x)), draw(st.integers(1, height - y))], (width, height)


class TestBoxes:
    @given(pixel_boxes())
    def test_yolo_and_back(self, drawn):
        box, size = drawn
        again = yolo_to_coco(coco_to_yolo(box, *size), *size)
        assert np.round(again, 6).tolist() == box

    @given(pixel_boxes())
    def test_voc_and_back_is_exact(self, drawn):
        box, _ = drawn
        assert voc_to_coco(coco_to_voc(box)) == box

    @given(pixel_boxes())
    def test_voc_to_yolo_and_back(self, drawn):
        corners, size = coco_to_voc(drawn[0]), drawn[1]
        through = yolo_to_coco(coco_to_yolo(voc_to_coco(corners), *size), *size)
        assert np.round(coco_to_voc(through), 6).tolist() == corners

    @given(st.lists(st.tuples(unit, unit), min_size=3, max_size=9), sides, sides)
    def test_a_polygon_lies_in_its_box_and_touches_each_side(self, points, width, height):
        x, y, w, h = polygon_to_coco([v for point in points for v in point], width, height)
        xs, ys = (
            np.array(values) * side
            for values, side in zip(zip(*points, strict=True), (width, height), strict=True)
        )
        np.testing.assert_allclose([x, y, x + w, y + h], [xs.min(), ys.min(), xs.max(), ys.max()], atol=1e-6)

    def test_vocs_corners_are_the_first_and_last_pixel_counted_from_one(self):
        assert voc_to_coco([1, 1, 640, 480]) == [0, 0, 640, 480]
        assert voc_to_coco([10, 20, 10, 25]) == [9, 19, 1, 6]
        assert voc_to_coco([0, 0, 10, 20], first_pixel=0) == [0, 0, 10, 20]
        assert voc_to_coco([7, 8, 7, 8]) == [6, 7, 0, 0]  # a point is no object


def _targets(path, split, tmp_path):
    """file name -> (class name, box) of each object, as training sees them."""
    found = find_data(path)
    part = found.splits[split]
    file = tmp_path / f"{found.format}.json"
    file.write_text(json.dumps(part.read().refuse_problems()))
    dataset = CocoDataset(str(file), str(part.images))
    result = {}
    for sample in dataset:
        names = [dataset.categories.names[label] for label in sample.target.labels]
        boxes = sample.target.boxes * torch.tensor(sample.target.size).flip(0).repeat(2)
        result[Path(sample.target.path).name] = sorted(zip(names, boxes.tolist(), strict=True))
    return result


def _assert_same(first, second, atol):
    assert first.keys() == second.keys()
    for name in first:
        assert [n for n, _ in first[name]] == [n for n, _ in second[name]], name
        if first[name]:
            boxes = [[box for _, box in targets[name]] for targets in (first, second)]
            np.testing.assert_allclose(*boxes, atol=atol, err_msg=name)


class TestReaders:
    @pytest.mark.parametrize("split", ["train", "val"])
    @pytest.mark.parametrize("other", ["voc", "yolo"])
    def test_every_format_gives_the_same_training_targets(self, sets, tmp_path, split, other):
        coco, same = (_targets(sets / name, split, tmp_path) for name in ("coco", other))
        assert sum(map(len, coco.values())) > 10
        _assert_same(coco, same, atol=1e-3)

    @pytest.mark.parametrize("name", WRITERS)
    def test_the_format_is_recognised(self, sets, name):
        found = find_data(sets / name)
        assert (found.format, list(found.splits)) == (name, ["train", "val"])

    def test_real_photographs_in_three_formats(self, shared, tmp_path):
        bccd = shared / "data" / "bccd"
        data = json.loads((bccd / "test.json").read_text())
        for name, write in WRITERS.items():
            write(tmp_path / name, {"train": data}, bccd / "images")
        targets = {
            name: _targets(tmp_path / name, "all" if name == "coco" else "train", tmp_path)
            for name in WRITERS
        }
        assert sum(map(len, targets["coco"].values())) == 945
        _assert_same(targets["coco"], targets["yolo"], atol=1e-3)
        _assert_same(targets["coco"], targets["voc"], atol=1e-3)

    def test_the_real_sets_own_two_formats_agree_up_to_vocs_first_pixel(self, shared):
        """The JSON was made from the XML without minding that VOC counts from 1 and names the last pixel."""
        bccd = shared / "data" / "bccd"
        coco = [split.read().data for split in find_data(bccd).splits.values()]
        (voc,) = [split.read().data for split in find_data(bccd / "voc_annotations").splits.values()]
        assert sum(len(d["annotations"]) for d in coco) == len(voc["annotations"]) == 4888

        def corners(data):
            image = {i["id"]: Path(i["file_name"]).name for i in data["images"]}
            name = {c["id"]: c["name"] for c in data["categories"]}
            return [
                (image[a["image_id"]], name[a["category_id"]], *a["bbox"][:2], a["bbox"][0] + a["bbox"][2],
                 a["bbox"][1] + a["bbox"][3]) for a in data["annotations"]
            ]  # fmt: skip

        points = {(i, n, x + 1, y + 1) for i, n, x, y, x1, y1 in corners(voc) if (x, y) == (x1, y1)}
        assert len(points) == 2  # slips of the mouse, without area in both
        from_voc = sorted(
            (i, n, x + 1, y + 1, x1, y1) for i, n, x, y, x1, y1 in corners(voc) if (x, y) != (x1, y1)
        )
        from_coco = sorted(c for d in coco for c in corners(d) if c[:4] not in points)
        assert from_voc == from_coco

    def test_a_yolo_folder_without_yaml_has_numbered_classes(self, sets, tmp_path):
        shutil.copytree(sets / "yolo", tmp_path / "yolo")
        (tmp_path / "yolo" / "data.yaml").unlink()
        found = find_data(tmp_path / "yolo")
        content = found.splits["train"].read()
        assert content.data["categories"][1] == {"id": 1, "name": "class 1"}
        assert "called by their numbers" in content.notes[0]
        (tmp_path / "yolo" / "classes.txt").write_text("a\nb\nc\nd\ne\n")
        names = [c["name"] for c in find_data(tmp_path / "yolo").splits["train"].read().data["categories"]]
        assert names == list("abcde")

    @pytest.mark.parametrize("text", [
        "train: images/train\nval: images/val\nnames: [a, b, c, d, e]",
        "path: ../yolo\ntrain: images/train\nval: images/val\nnames: {0: a, 1: b, 2: c, 3: d, 4: e}",
        "path: /somewhere/else\ntrain: [images/train]\nval: ../images/val\nnames: [a, b, c, d, e]\nnc: 5",
        "train: train.txt\nval: images/val\nnames: [a, b, c, d, e]",
    ])  # fmt: skip
    def test_ways_to_write_a_yaml(self, sets, tmp_path, text):
        folder = tmp_path / "yolo"
        shutil.copytree(sets / "yolo", folder)
        (folder / "data.yaml").write_text(text)
        names = sorted(p.name for p in (folder / "images" / "train").iterdir())
        (folder / "train.txt").write_text("".join(f"./images/train/{name}\n" for name in names))
        for path in (folder, folder / "data.yaml"):
            splits = find_data(path).splits
            sizes = {name: len(split.read().refuse_problems()["images"]) for name, split in splits.items()}
            assert sizes == {"train": 10, "val": 4}

    @pytest.mark.parametrize(("layout"), ["bare", "roboflow", "sibling"])
    def test_voc_layouts(self, sets, tmp_path, layout):
        source = sets / "voc"
        pages, pictures = (
            sorted((source / "Annotations").iterdir()),
            sorted((source / "JPEGImages").iterdir()),
        )
        places = {
            "bare": ("set", "set"),
            "roboflow": ("set/train", "set/train"),
            "sibling": ("set/xml", "set/images"),
        }
        for files, place in zip((pages, pictures), places[layout], strict=True):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, tmp_path / place)
        found = find_data(tmp_path / ("set/xml" if layout == "sibling" else "set"))
        ((name, split),) = found.splits.items()
        assert (found.format, name) == ("voc", "train" if layout == "roboflow" else "all")
        data = split.read().refuse_problems()
        assert len(data["images"]) == 14
        assert all((split.images / image["file_name"]).is_file() for image in data["images"])

    def test_coco_of_roboflow_and_of_coco(self, sets, tmp_path):
        for split, folder in (("train", "train"), ("val", "valid")):
            data = json.loads((sets / "coco" / f"{split}.json").read_text())
            write_coco(tmp_path / "r" / folder, {"_annotations.coco": data}, sets / "coco" / "images")
            for picture in (tmp_path / "r" / folder / "images").iterdir():
                picture.rename(picture.parents[1] / picture.name)
            (tmp_path / "c" / "annotations").mkdir(parents=True, exist_ok=True)
            shutil.copy(
                sets / "coco" / f"{split}.json", tmp_path / f"c/annotations/instances_{split}2017.json"
            )
            shutil.copytree(tmp_path / "r" / folder, tmp_path / "c" / f"{split}2017")
            (tmp_path / "c" / "annotations" / f"captions_{split}2017.json").write_text('{"images": []}')
        for name, folders in (("r", ["train", "valid"]), ("c", ["train2017", "val2017"])):
            splits = find_data(tmp_path / name).splits
            assert list(splits) == ["train", "val"]
            assert [split.images.name for split in splits.values()] == folders

    def test_difficult_objects_are_crowd_regions(self, sets, tmp_path):
        shutil.copytree(sets / "voc", tmp_path / "voc")
        page = sorted((tmp_path / "voc" / "Annotations").glob("train_*.xml"))[0]
        page.write_text(page.read_text().replace("<difficult>0", "<difficult>1", 1))
        data = find_data(tmp_path / "voc").splits["train"].read().data
        assert [a["iscrowd"] for a in data["annotations"]].count(1) == 1

    def test_a_voc_set_that_counts_from_zero_is_read_so_and_said(self, sets, tmp_path):
        shutil.copytree(sets / "voc", tmp_path / "voc")
        page = sorted((tmp_path / "voc" / "Annotations").glob("train_*.xml"))[0]
        box = "<bndbox><xmin>0</xmin><ymin>5</ymin><xmax>9</xmax><ymax>12</ymax></bndbox>"
        page.write_text(
            page.read_text().replace("</annotation>", f"<object><name>star</name>{box}</object></annotation>")
        )
        content = find_data(tmp_path / "voc").splits["train"].read()
        assert [0.0, 5.0, 9.0, 7.0] in [a["bbox"] for a in content.data["annotations"]]
        assert "count from 0" in content.notes[0]

    def test_sizes_come_from_the_pictures_as_they_are_shown(self, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "labels").mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6  # stored 40 wide, shown 20 wide
        Image.new("RGB", (40, 20)).save(tmp_path / "images" / "a.jpg", exif=exif)
        (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.25 0.5 0.5\n")
        data = find_data(tmp_path).splits["all"].read().refuse_problems()
        assert (data["images"][0]["width"], data["images"][0]["height"]) == (20, 40)
        assert data["annotations"][0]["bbox"] == [5, 0, 10, 20]


BAD_YOLO = {
    "too few values": ("0 0.5 0.5 0.2", "4 values"),
    "text": ("cat 0.5 0.5 0.2 0.2", "not numbers"),
    "pixels": ("0 320 240 50 60", "divided by the picture's width and height"),
    "unknown class": ("7 0.5 0.5 0.2 0.2", "'names' has no such class"),
    "half a class": ("0.5 0.5 0.5 0.2 0.2", "classes are numbered"),
}


@pytest.mark.parametrize("name", BAD_YOLO)
def test_a_label_line_that_says_nothing_names_file_line_and_value(sets, tmp_path, name):
    line, message = BAD_YOLO[name]
    shutil.copytree(sets / "yolo", tmp_path / "yolo")
    file = sorted((tmp_path / "yolo" / "labels" / "train").iterdir())[0]
    lines = len(file.read_text().splitlines())
    file.write_text(f"{file.read_text()}\n{line}\n")
    content = find_data(tmp_path / "yolo").splits["train"].read()
    with pytest.raises(InputError) as error:
        content.refuse_problems(max_left_out=0)
    assert message in str(error.value)
    assert f"{file.name}, line {lines + 1}: {line!r}" in str(error.value)
    content.refuse_problems()  # one of many is left out, and said
    assert f"{file.name}, line {lines + 1}: {line!r}" in content.notes[-1]


def test_a_voc_element_that_says_nothing_names_file_object_and_value(sets, tmp_path):
    shutil.copytree(sets / "voc", tmp_path / "voc")
    page = sorted((tmp_path / "voc" / "Annotations").glob("train_*.xml"))[0]
    page.write_text(page.read_text().replace("<xmin>", "<xmin>left", 1))
    with pytest.raises(InputError, match=rf"{page.name}, object 1: bndbox/xmin='left.*must be a number"):
        find_data(tmp_path / "voc").splits["train"].read().refuse_problems(max_left_out=0)
    page.write_text("<annotation>")
    with pytest.raises(InputError, match=rf"{page.name}: not valid XML"):
        find_data(tmp_path / "voc").splits["train"].read().refuse_problems()


def _yaml(text):
    return lambda folder: (folder / "data.yaml").write_text(text)


BAD_FOLDERS = {
    "empty": (lambda folder: None, "no data set of a known format"),
    "no names": (_yaml("names:\ntrain: x"), "must be a list"),
    "no splits": (_yaml("names: [a]"), "none of 'train', 'val' and 'test'"),
    "lost pictures": (_yaml("names: [a]\ntrain: images/train"), "train: 'images/train': no "),
    "broken yaml": (_yaml("names: [a"), "cannot be read as YAML"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_folders_that_are_no_data_set(tmp_path, name):
    write, message = BAD_FOLDERS[name]
    write(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        find_data(tmp_path)
    assert str(tmp_path) in str(error.value)


@given(st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_held_out_part_is_disjoint_complete_and_repeatable(count, fraction, seed):
    images = [{"id": 3 * i} for i in range(count)]
    data = {"images": images, "annotations": [{"image_id": i["id"]} for i in images], "categories": []}
    train, val = hold_out(data, fraction, seed)
    ids = [{i["id"] for i in part["images"]} for part in (train, val)]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == {i["id"] for i in images}
    assert ids[0]
    assert ids[1]
    assert [{a["image_id"] for a in part["annotations"]} for part in (train, val)] == ids
    assert (train, val) == hold_out(data, fraction, seed)


def test_numbers_of_the_reader_are_finite(sets):
    """What the readers give can be written as JSON that others read."""
    for name in WRITERS:
        for split in find_data(sets / name).splits.values():
            for annotation in split.read().data["annotations"]:
                assert all(math.isfinite(v) for v in annotation["bbox"])
