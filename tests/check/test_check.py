"""`detr-kit check`: every fault is found, under its own name, and a clean set has none."""

import io
import json
import math
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from detr_kit.check import CATALOGUE, check_data, write_html
from detr_kit.cli import main
from detr_kit.data.formats import find_data

from ..data_formats import small_set, write_coco, write_yolo


@pytest.fixture(scope="module", params=["shapes", "bccd"])
def clean(request, tmp_path_factory):
    """A COCO folder without a fault: 6 training pictures and 3 to validate on, drawn or photographed."""
    if request.param == "shapes":
        source = request.getfixturevalue("shapes")
        files = {s: (source / f"{s}.json", source / s) for s in ("train", "val")}
    else:
        source = request.getfixturevalue("shared") / "data" / "bccd"
        files = {s: (source / f"{s}.json", source / "images") for s in ("train", "val")}
    folder, pictures = (tmp_path_factory.mktemp(name) for name in (request.param, "pictures"))
    splits = {name: small_set(files[name][0], count) for name, count in (("train", 9), ("val", 5))}
    for name, data in splits.items():
        for image in data["images"]:  # shapes has the same names in both splits
            file = f"{name}_{image['file_name']}"
            shutil.copy(files[name][1] / image["file_name"], pictures / file)
            image["file_name"] = file
    # Classes and pictures that would be findings of their own are left out.
    in_both = set.intersection(*({a["category_id"] for a in d["annotations"]} for d in splits.values()))
    first = min(in_both)
    numbers = {c: index for index, c in enumerate(sorted(in_both), start=first)}
    for data in splits.values():
        data["categories"] = [{**c, "id": numbers[c["id"]]} for c in data["categories"] if c["id"] in in_both]
        data["annotations"] = [
            {**a, "category_id": numbers[a["category_id"]]}
            for a in data["annotations"]
            if a["category_id"] in in_both
        ]
        seen = {a["image_id"] for a in data["annotations"]}
        data["images"] = [i for i in data["images"] if i["id"] in seen]
    write_coco(folder, splits, pictures)
    return folder


@pytest.fixture
def copy(clean, tmp_path):
    """A copy of the clean set, to damage."""
    shutil.copytree(clean, tmp_path / "set")
    return tmp_path / "set"


def _edit(folder, change, split="train"):
    """Change an annotation file in place."""
    file = folder / f"{split}.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def _picture(folder, number=1):
    data = json.loads((folder / "train.json").read_text())
    return folder / "images" / data["images"][number]["file_name"]


def _names(folder, **arguments):
    report = check_data(list(find_data(folder).splits.values()), **arguments)
    return {found.name: (split, found) for split, found in report.findings()}


def _set_box(box, number=0):
    return lambda data: data["annotations"][number].update(bbox=box(data["annotations"][number]["bbox"]))


def _every_box(change):
    def edit(data):
        sizes = {i["id"]: (i["width"], i["height"]) for i in data["images"]}
        for annotation in data["annotations"]:
            annotation["bbox"] = change(*annotation["bbox"], *sizes[annotation["image_id"]])

    return edit


def _same_id(kind):
    return lambda data: data[kind][1].update(id=data[kind][0]["id"])


def _renumber(shift):
    """Move the category ids, annotations included."""

    def edit(data):
        new = {c["id"]: shift(c["id"], index) for index, c in enumerate(data["categories"])}
        for category in data["categories"]:
            category["id"] = new[category["id"]]
        for annotation in data["annotations"]:
            annotation["category_id"] = new[annotation["category_id"]]

    return edit


def _add_category(**entry):
    return lambda data: data["categories"].append(
        {"id": max(c["id"] for c in data["categories"]) + 1, **entry}
    )


def _twin(data):
    """Half of the first class's boxes under a second category of the same name."""
    first = data["categories"][0]
    number = max(c["id"] for c in data["categories"]) + 1
    data["categories"].append({"id": number, "name": first["name"].upper() + " "})
    for annotation in [a for a in data["annotations"] if a["category_id"] == first["id"]][::2]:
        annotation["category_id"] = number


def _no_size(data):
    for image in data["images"]:
        del image["width"], image["height"]


ANNOTATION_FAULTS = {
    "box-malformed": _set_box(lambda b: b[:3]),
    "box-nan": _set_box(lambda b: [b[0], math.nan, *b[2:]]),
    "box-negative": _set_box(lambda b: [b[0] + b[2], b[1], -b[2], b[3]]),
    "box-zero-area": _set_box(lambda b: [*b[:3], 0]),
    "box-outside": _set_box(lambda b: [5000, 20, 30, 30]),
    "box-over-edge": _set_box(lambda b: [b[0], b[1], 5000, b[3]]),
    "boxes-normalised": _every_box(lambda x, y, w, h, wide, high: [x / wide, y / high, w / wide, h / high]),
    "boxes-xyxy": _every_box(lambda x, y, w, h, *_: [x, y, x + w, y + h]),
    "boxes-twice": lambda data: data["annotations"].append({**data["annotations"][0], "id": 99_999}),
    "field-missing": lambda data: data["images"][-1].pop("file_name"),
    "category-ids-twice": lambda data: data["categories"].append({**data["categories"][0], "name": "other"}),
    "annotation-ids-twice": _same_id("annotations"),
    "annotation-id-zero": lambda data: data["annotations"][0].update(id=0),
    "image-unknown": lambda data: data["annotations"][0].update(image_id=77_777),
    "category-unknown": lambda data: data["annotations"][0].update(category_id=77_777),
    "category-unused": _add_category(name="never seen"),
    "category-named-twice": _twin,
    "images-without-boxes": lambda data: data.update(
        annotations=[a for a in data["annotations"] if a["image_id"] != data["images"][0]["id"]]
    ),
    "images-without-size": _no_size,
}  # fmt: skip
# What a fault cannot help bringing along.
TOGETHER = {
    "field-missing": {"images-missing"},
    "category-ids-twice": {"category-unused", "categories-matched"},
    "category-unused": {"categories-matched"},
    "category-named-twice": {"categories-matched"},
}


@pytest.mark.parametrize("name", ANNOTATION_FAULTS)
def test_a_fault_of_the_annotations_is_found_and_no_other(copy, name):
    _edit(copy, ANNOTATION_FAULTS[name])
    found = _names(copy, read_images=False)
    assert name in found
    assert set(found) - {name} <= TOGETHER.get(name, set()), set(found)
    split, finding = found[name]
    assert split == "train"
    assert finding.verdict == CATALOGUE[name][0]
    assert 1 <= len(finding.examples) <= 3
    assert "train.json" in finding.examples[0].file
    assert finding.examples[0].value


def test_category_ids_from_zero_and_with_gaps(copy):
    for split in ("train", "val"):
        _edit(copy, _renumber(lambda _, index: index), split)
    assert set(_names(copy, read_images=False)) == {"category-ids-zero-based"}
    for split in ("train", "val"):
        _edit(copy, _renumber(lambda _, index: 3 + 5 * index), split)
    found = _names(copy, read_images=False)
    assert set(found) == {"category-ids-with-gaps"}
    assert "the first gap after 3" in found["category-ids-with-gaps"][1].examples[0].value


def test_an_image_id_given_twice(copy):
    # The second image's boxes then belong to none: a finding of their own.
    _edit(copy, _same_id("images"))
    assert {"image-ids-twice", "image-unknown"} <= set(_names(copy, read_images=False))


def test_one_file_listed_by_two_entries(copy):
    _edit(copy, lambda data: data["images"][1].update(file_name=data["images"][0]["file_name"]))
    assert "images-listed-twice" in _names(copy, read_images=False)


def test_objects_are_held_against_the_queries(copy):
    data = [json.loads((copy / f"{split}.json").read_text()) for split in ("train", "val")]
    objects = [sum(a["image_id"] == i["id"] for a in d["annotations"]) for d in data for i in d["images"]]
    assert set(_names(copy, read_images=False, num_queries=max(objects))) == set()
    found = _names(copy, read_images=False, num_queries=max(objects) - 1)
    assert set(found) == {"too-many-objects"}
    assert f"{max(objects)} objects, num_queries={max(objects) - 1}" in str(
        found["too-many-objects"][1].examples[0]
    )


def test_a_class_a_hundred_times_rarer_than_another(copy):
    def edit(data):
        first = data["annotations"][0]
        others = [a for a in data["annotations"] if a["category_id"] != first["category_id"]]
        rare = {a["category_id"]: a for a in others}.values()
        many = [{**first, "id": 1000 + n, "bbox": [n / 10, 5, 9, 9]} for n in range(100)]
        data["annotations"] = [*rare, *many]

    _edit(copy, edit)
    found = _names(copy, read_images=False)
    assert "classes-unbalanced" in found
    assert "1 boxes against 100" in found["classes-unbalanced"][1].examples[0].value


def test_splits_with_different_classes(copy):
    _edit(copy, lambda data: data["categories"][0].update(name="renamed"), "val")
    found = _names(copy, read_images=False)
    assert set(found) == {"categories-differ"}
    assert "renamed" in found["categories-differ"][1].examples[0].value


def _turn(path):
    """Store the picture with a quarter turn that its EXIF data undoes."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.load()
        image.save(path, exif=exif)


IMAGE_FAULTS = {
    "images-missing": lambda path: path.unlink(),
    "images-unreadable": lambda path: path.write_text("not a picture"),
    "images-truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3]),
    "images-wrong-size": lambda path: cv2.imwrite(str(path), np.zeros((50, 41, 3), np.uint8)),
    "images-exif-rotated": _turn,
}


@pytest.mark.parametrize("name", IMAGE_FAULTS)
def test_a_fault_of_a_picture_is_found_and_no_other(copy, name):
    path = _picture(copy)
    IMAGE_FAULTS[name](path)
    found = _names(copy)
    assert set(found) == {name}
    split, finding = found[name]
    assert (split, finding.count) == ("train", 1)
    assert finding.examples[0].file == str(path)
    if name == "images-missing":  # no need to read pictures for that
        assert set(_names(copy, read_images=False)) == {name}


def test_a_picture_stored_turned_that_fits_when_turned_back_is_used_and_said(copy):
    def wide(data):
        image = data["images"][1]
        image["width"], image["height"] = 60, 40
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] != image["id"]]
        data["annotations"].append({**data["annotations"][0], "id": 5000, "image_id": image["id"],
                                    "bbox": [5, 5, 30, 20]})  # fmt: skip

    _edit(copy, wide)
    exif = Image.Exif()
    exif[0x0112] = 6
    suffix = _picture(copy).suffix
    Image.new("RGB", (40, 60), (90, 20, 20)).save(_picture(copy), exif=exif)
    assert suffix in (".png", ".jpg")
    assert {name for name in _names(copy) if name.startswith("images")} == {"images-exif-rotated"}


def test_a_picture_of_both_splits_is_found_by_its_content(copy):
    val = json.loads((copy / "val.json").read_text())["images"][0]["file_name"]
    shutil.copy(copy / "images" / val, _picture(copy))
    found = _names(copy)
    assert set(found) == {"overlap"}
    assert found["overlap"][1].verdict == "error"
    assert _picture(copy).name in found["overlap"][1].examples[0].value


def test_a_picture_twice_in_a_split(copy):
    shutil.copy(_picture(copy, 0), _picture(copy, 1))
    assert set(_names(copy)) == {"images-twice"}


def test_a_clean_set_has_no_finding(clean):
    assert _names(clean) == {}


def test_a_sample_reads_as_many_as_asked(clean):
    report = check_data(list(find_data(clean).splits.values()), read_images=2)
    assert [split.num_read for split in report.splits] == [2, 2]


def test_statistics_count_what_is_there(clean):
    data = json.loads((clean / "train.json").read_text())
    (train, _) = check_data(list(find_data(clean).splits.values()), read_images=False).splits
    numbers = train.statistics
    assert (numbers.num_images, numbers.num_boxes) == (len(data["images"]), len(data["annotations"]))
    assert sum(numbers.box_sizes) == sum(row[2] for row in numbers.classes) == numbers.num_boxes
    assert numbers.objects_per_image["mean"] == pytest.approx(len(data["annotations"]) / len(data["images"]))
    number, _, boxes, images = numbers.classes[0]
    assert boxes == sum(a["category_id"] == number for a in data["annotations"])
    assert images == len({a["image_id"] for a in data["annotations"] if a["category_id"] == number})


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.2", "0 a 0.5 0.2 0.2", "9 0.5 0.5 0.2 0.2", "0 120 80 30 30"])
def test_label_lines_that_say_nothing(clean, tmp_path, line):
    data = json.loads((clean / "train.json").read_text())
    write_yolo(tmp_path, {"train": data}, clean / "images")
    file = next((tmp_path / "labels" / "train").iterdir())
    file.write_text(file.read_text() + f"\n{line}")
    found = _names(tmp_path, read_images=False)
    assert set(found) == {"labels-unreadable"}
    assert line in found["labels-unreadable"][1].examples[0].value
    assert found["labels-unreadable"][1].examples[0].file.endswith(file.name)


class TestCommand:
    def test_exit_code_says_whether_there_is_an_error(self, copy, tmp_path, capsys):
        assert main(["check", str(copy)]) == 0
        _edit(copy, ANNOTATION_FAULTS["box-zero-area"])
        assert main(["check", str(copy)]) == 0  # a warning
        IMAGE_FAULTS["images-truncated"](_picture(copy))
        out = tmp_path / "report.json"
        assert main(["check", str(copy), "--json", str(out), "--html", str(tmp_path / "report.html")]) == 1
        printed = capsys.readouterr().out
        assert "1 error, 1 warning, 0 notes" in printed
        report = json.loads(out.read_text())
        assert report["summary"] == {"error": 1, "warning": 1, "note": 0}
        assert [f["name"] for f in report["findings"]] == ["images-truncated", "box-zero-area"]
        assert report["splits"]["train"]["images_read"] >= 5
        html = (tmp_path / "report.html").read_text()
        assert html.count("data:image/jpeg;base64,") == 1  # the empty box; the other picture is broken
        assert "box-zero-area" in html

    def test_a_config_is_checked_with_all_its_sets_and_its_queries(self, shapes, capsys):
        from ..places import TINY

        assert main(["check", str(TINY), "--no-images", "--cfg-options", f"data_root={shapes}",
                     "model.network.num_queries=3"]) == 0  # fmt: skip
        printed = capsys.readouterr().out
        assert "24 pictures" in printed
        assert "8 pictures" in printed
        assert "num_queries=3" in printed

    def test_an_annotation_file_with_its_pictures_elsewhere(self, copy, tmp_path, capsys):
        (copy / "images").rename(tmp_path / "elsewhere")
        file = str(copy / "train.json")
        assert main(["check", file]) == 2
        assert "give their folder with --images" in capsys.readouterr().err
        assert main(["check", file, "--no-images"]) in (0, 1)
        assert main(["check", file, "--images", str(tmp_path / "elsewhere")]) == 0

    @pytest.mark.parametrize(("arguments", "message"), [
        (["/nowhere/set"], "/nowhere/set: no such file or folder"),
        (["deformable_detr_r51"], "did you mean 'deformable_detr_r50"),
        (["deformable_detr_r50"], "data/coco/annotations/instances_train2017.json: no such file"),
    ])  # fmt: skip
    def test_mistakes_are_one_line(self, arguments, message, capsys):
        assert main(["check", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_reports_take_any_text(copy, tmp_path):
    """Names from a file are no markup, neither in the terminal nor in HTML."""
    _edit(copy, lambda data: data["categories"][0].update(name="[bold]<b>&"), "train")
    report = check_data(list(find_data(copy).splits.values()), read_images=False)
    console = Console(file=io.StringIO(), width=200)
    report.print(console)
    assert "[bold]<b>&" in console.file.getvalue()
    write_html(report, tmp_path / "report.html")
    assert "&lt;b&gt;&amp;" in (tmp_path / "report.html").read_text()
