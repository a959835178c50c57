"""Small data sets on disk, whole or with what people and programs do to them: for test_fuzz_data.py.

A defect is a function of the set's folder and a random generator. It changes files in place; one that finds
nothing to change leaves everything as it is.
"""

import json
import os
import random
import shutil
import unicodedata
from pathlib import Path

from PIL import Image

from ..data_formats import WRITERS

SIDE = 16
CLASS_NAMES = ["circle", "light[red]", "bolt [/M8]", "é", "no", "007"]


def write_set(folder: Path, kind: str, rng: random.Random) -> None:
    """A sound set of two or three training pictures and one or two to validate on."""
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    names = rng.sample(CLASS_NAMES, rng.randint(1, 3))
    splits, number = {}, 0
    for split, count in (("train", rng.randint(2, 3)), ("val", rng.randint(1, 2))):
        images, annotations = [], []
        for _ in range(count):
            number += 1
            name = rng.choice(["p{}.png", "P {}.png", "é{}.png", "p{}.jpg"]).format(number)
            colour = tuple(rng.randrange(256) for _ in range(3))
            picture = Image.new("RGB", (SIDE, SIDE), colour)
            picture.putpixel((rng.randrange(SIDE), rng.randrange(SIDE)), (number, 0, 255))
            picture.save(pictures / name)
            images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
            for _ in range(rng.randint(1, 3)):
                x, y, w, h = rng.randrange(8), rng.randrange(8), rng.randint(2, 8), rng.randint(2, 8)
                annotations.append({
                    "id": len(annotations) + 1, "image_id": number, "bbox": [x, y, w, h], "area": w * h,
                    "category_id": rng.randint(1, len(names)), "iscrowd": 0,
                })  # fmt: skip
        categories = [{"id": i, "name": n} for i, n in enumerate(names, start=1)]
        splits[split] = {"images": images, "annotations": annotations, "categories": categories}
    WRITERS[kind](folder, splits, pictures)


def _files(folder, *endings):
    return sorted(
        p for p in folder.rglob("*") if p.is_file() and p.suffix in endings and not p.name.startswith(".")
    )


def _some(rng, files):
    return rng.sample(files, rng.randint(1, len(files))) if files else []


# ---- any format: pictures and names ----


def hidden_files(folder, rng):
    for path in _some(rng, _files(folder, ".png", ".jpg", ".xml", ".txt")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7 mac os")


def notebook_folder(folder, rng):
    for path in _some(rng, _files(folder, ".png", ".jpg")):
        (path.parent / ".ipynb_checkpoints").mkdir(exist_ok=True)
        shutil.copy(path, path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint{path.suffix}")


def other_ending(folder, rng):
    ending = rng.choice([".PNG", ".jpe", ".dib", ".gif", ".webp", ".xyz", ".JPG"])
    for path in _some(rng, _files(folder, ".png", ".jpg")):
        path.rename(path.with_suffix(ending))


def decomposed_names(folder, rng):
    for path in _some(rng, _files(folder, ".png", ".jpg", ".txt", ".xml")):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))


def missing_picture(folder, rng):
    for path in _some(rng, _files(folder, ".png", ".jpg"))[:1]:
        path.unlink()


def cut_picture(folder, rng):
    for path in _some(rng, _files(folder, ".png", ".jpg"))[:1]:
        path.write_bytes(path.read_bytes()[: rng.choice([0, 10, 60])])


def picture_without_label(folder, rng):
    for path in _files(folder, ".png", ".jpg")[:1]:
        Image.new("RGB", (SIDE, SIDE)).save(path.with_name("extra.png"))


def with_mark(folder, rng):
    for path in _some(rng, _files(folder, ".json", ".yaml", ".txt")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def latin1(folder, rng):
    for path in _some(rng, _files(folder, ".json", ".yaml", ".txt")):
        text = path.read_bytes().decode("utf-8", "replace")
        path.write_bytes(text.replace("\\u00e9", "é").encode("latin-1", "replace"))


def windows_lines(folder, rng):
    for path in _some(rng, _files(folder, ".yaml", ".txt", ".xml")):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def empty_file(folder, rng):
    for path in _some(rng, _files(folder, ".json", ".yaml", ".txt", ".xml"))[:1]:
        path.write_bytes(b"")


def renamed_pictures_folder(folder, rng):
    for name in ("images", "JPEGImages"):
        if (folder / name).is_dir():
            os.rename(folder / name, folder / rng.choice(["Images", "imgs", "pics", "image", "data", "foo"]))


ANY = [
    hidden_files, notebook_folder, other_ending, decomposed_names, missing_picture, cut_picture,
    picture_without_label, with_mark, latin1, windows_lines, empty_file, renamed_pictures_folder,
]  # fmt: skip


# ---- COCO ----


def _edit(change):
    """A defect that changes each of some JSON files of a set."""

    def defect(folder, rng):
        for path in _some(rng, _files(folder, ".json")):
            try:
                data = json.loads(path.read_text(encoding="utf-8-sig"))
                change(data, rng)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                continue  # another defect was there before
            path.write_text(json.dumps(data), encoding="utf-8")

    defect.__name__ = change.__name__
    return defect


def _one(data, rng, kind="annotations"):
    return rng.choice(data[kind])


def ids_as(data, rng):
    turn = rng.choice(
        [str, float, lambda n: n + 2**62, lambda n: n + 2**64, lambda n: f"img_{n}", lambda n: -n]
    )
    for image in data["images"]:
        image["id"] = turn(image["id"])
    if rng.random() < 0.7:
        for annotation in data["annotations"]:
            annotation["image_id"] = turn(annotation["image_id"])


def category_ids_as(data, rng):
    turn = rng.choice([str, float, lambda n: n - 1, lambda n: 7 * n, lambda n: None])
    for category in data["categories"]:
        category["id"] = turn(category["id"])
    for annotation in data["annotations"]:
        annotation["category_id"] = turn(annotation["category_id"])


def odd_box(data, rng):
    box = rng.choice([
        [1, 1, 0, 3], [1, 1, -2, 3], [100, 100, 3, 3], [float("nan"), 1, 2, 2], [1, 2, 3], None, "1,2,3,4",
        ["1", "2", "3", "4"], [1, 2, 3, 4, 5], [1, 1, 1e300, 2], [0.1, 0.2, 0.3, 0.4], {}, [[1, 2, 3, 4]],
    ])  # fmt: skip
    _one(data, rng)["bbox"] = box


def odd_field(data, rng):
    field = rng.choice(["area", "iscrowd", "image_id", "category_id", "id", "segmentation"])
    values = [
        None,
        "0",
        "1",
        "858",
        0,
        1,
        float("nan"),
        float("inf"),
        -1,
        2**65,
        True,
        [],
        {},
        "x",
        [[1, 1, 9, 1, 9, 9]],
    ]
    for annotation in data["annotations"] if rng.random() < 0.3 else [_one(data, rng)]:
        annotation[field] = rng.choice(values)


def odd_image(data, rng):
    field = rng.choice(["width", "height", "file_name", "id"])
    _one(data, rng, "images")[field] = rng.choice([None, "16", 16.0, 0, -3, float("nan"), [], "x", 1e9, True])


def odd_class(data, rng):
    _one(data, rng, "categories")["name"] = rng.choice(
        [7, None, "", "N/A", True, "[/]", "a\nb", [], " circle ", 1.5]
    )


def missing_key(data, rng):
    kind = rng.choice(["images", "annotations", "categories", ""])
    if not kind:
        del data[rng.choice(list(data))]
    else:
        entry = _one(data, rng, kind)
        del entry[rng.choice(list(entry))]


def no_list(data, rng):
    data[rng.choice(["images", "annotations", "categories"])] = rng.choice([None, {}, [], [1], "x", [[]]])


def twice(data, rng):
    kind = rng.choice(["images", "annotations", "categories"])
    data[kind].append(dict(_one(data, rng, kind)))


def polygons_only(data, rng):
    for annotation in data["annotations"]:
        x, y, w, h = annotation.pop("bbox")
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]


def all_crowd(data, rng):
    for annotation in data["annotations"]:
        annotation["iscrowd"] = rng.choice([1, "1", True])


def other_spelling(data, rng):
    spell = rng.choice([
        lambda n: f"images\\{n}", lambda n: f"images/{n}", lambda n: n.replace(" ", "%20"), str.upper,
        lambda n: unicodedata.normalize("NFD", n), lambda n: f"C:\\data\\{n}", lambda n: f"/data/upload/{n}",
        lambda n: f"./{n}",
    ])  # fmt: skip
    for image in data["images"]:
        image["file_name"] = spell(image["file_name"])


def renamed_json(folder, rng):
    for path in _some(rng, _files(folder, ".json"))[:1]:
        names = ["eval.json", "dev.json", "valid.json", "instances_train.json", "result.json", "foo.json"]
        path.rename(path.with_name(rng.choice(names)))


def moved_json(folder, rng):
    (folder / "annotations").mkdir(exist_ok=True)
    for path in _some(rng, _files(folder, ".json")):
        path.rename(folder / "annotations" / path.name)


def foreign_json(folder, rng):
    (folder / rng.choice(["settings.json", "detections.json"])).write_text(
        rng.choice(["[]", "{}", "{", '[{"a": 1}]'])
    )


COCO = [
    *map(_edit, (
        ids_as, category_ids_as, odd_box, odd_field, odd_image, odd_class, missing_key, no_list, twice,
        polygons_only, all_crowd, other_spelling,
    )),
    renamed_json, moved_json, foreign_json,
]  # fmt: skip


# ---- YOLO ----


def odd_line(folder, rng):
    labels = _files(folder, ".txt")
    lines = [
        "0 0.5 0.5 2 2", "x 0.5 0.5 0.1 0.1", "0 0.5", "9 0.5 0.5 0.1 0.1", "0 nan 0.5 0.1 0.1",
        "-1 0.5 0.5 0.1 0.1",
        "0 0.1 0.1 0.5 0.1 0.5 0.5", "0 0.5 0.5 0 0", "0.0 0.5 0.5 0.2 0.2", "0 100 50 20 20", "# note", "  ",
        "0,0.5,0.5,0.1,0.1", "0 0.5 0.5 0.1 0.1 0.9", "1e400 0.5 0.5 0.1 0.1",
    ]  # fmt: skip
    for path in _some(rng, labels)[:1]:
        path.write_bytes(path.read_bytes() + f"\n{rng.choice(lines)}\n".encode())


def odd_yaml(folder, rng):
    path = folder / "data.yaml"
    if not path.is_file():
        return
    text = path.read_bytes().decode("utf-8", "replace")
    changes = [
        lambda t: t.replace("val:", "valid:"), lambda t: t.replace("val:", "validation:"),
        lambda t: t.replace("path: .\n", "path: /nowhere\n"), lambda t: t + "test: ../test/images\n",
        lambda t: t + "nc: 99\n", lambda t: t.replace("  0:", "  '0':"),
        lambda t: t.replace("names:", '"names":'),
        lambda t: t.split("names:")[0] + "nc: 3\n",
        lambda t: t.split("names:")[0] + "names: [yes, no, 007]\n",
        lambda t: t.split("names:")[0] + "names: {0: a, 2: b}\n",
        lambda t: t.split("names:")[0] + "names: 5\n",
        lambda t: t.replace("train:", "trian:"), lambda t: t + "\t- [", lambda t: t + "names:\n  - x\n",
        lambda t: t.replace("images/train", "images\\train"), lambda t: t + "!!python/object:os.system {}\n",
    ]  # fmt: skip
    path.write_text(rng.choice(changes)(text), encoding="utf-8")


def second_yaml(folder, rng):
    name = rng.choice(["coco.yaml", "a.yml", "hyp.yaml"])
    (folder / name).write_text(
        rng.choice(["names: [person, car]\ntrain: images/train\n", "lr: 0.1\n", "- 1\n", "{"])
    )


def no_yaml(folder, rng):
    if (folder / "data.yaml").is_file():
        (folder / "data.yaml").unlink()
    if rng.random() < 0.5:
        (folder / rng.choice(["classes.txt", "obj.names"])).write_text("a\nb\nc\n")


def label_without_picture(folder, rng):
    for path in _files(folder, ".txt")[:1]:
        path.with_name(rng.choice(["lonely.txt", "notes.txt", "README.txt"])).write_text(
            "0 0.5 0.5 0.2 0.2\n"
        )


def labels_beside_pictures(folder, rng):
    for path in _some(rng, _files(folder / "labels", ".txt")):
        target = folder / "images" / path.parent.name
        if target.is_dir():
            path.rename(target / path.name)


def renamed_label_folder(folder, rng):
    for old, new in (
        ("labels/train", "labels/training"),
        ("labels", "Labels"),
        ("labels/val", "labels/valid"),
    ):
        if (folder / old).is_dir() and rng.random() < 0.5:
            os.rename(folder / old, folder / new)


YOLO = [
    odd_line, odd_line, odd_yaml, odd_yaml, second_yaml, no_yaml, label_without_picture,
    labels_beside_pictures,
    renamed_label_folder,
]  # fmt: skip


# ---- Pascal VOC ----


def _replace(*pairs):
    def defect(folder, rng):
        for path in _some(rng, _files(folder, ".xml")):
            old, new = rng.choice(pairs)
            path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))

    return defect


odd_xml = _replace(
    ("<xmin>", "<xmin>x"), ("<xmin>", "<xmin>-"), ("<xmin>", "<xmin>9999"), ("<name>", "<name> "),
    ("</object>", ""),
    ("<difficult>0", "<difficult>1"), ("<difficult>0", "<difficult>yes"), ("<filename>", "<filename>other_"),
    ("<width>16", "<width>0"), ("<width>16", "<width>wide"), ("<width>16", "<width>99"), ("<name>",
    "<name>[/]"),
    ("<size>", "<!-- <size>"), ("<bndbox>", "<polygon>"), ("<annotation>", "<annotations>"), ("<object>",
    "<object><part/>"),
    ("<ymax>", "<ymax>1e999"), ("<annotation>", "<?xml version='1.0' encoding='foo'?><annotation>"),
    ("<annotation>", "\ufeff<annotation>"), ("png</filename>", "PNG</filename>"),
)  # fmt: skip


def renamed_xml_folder(folder, rng):
    if (folder / "Annotations").is_dir():
        os.rename(
            folder / "Annotations", folder / rng.choice(["annotations", "annots", "xml", "labels", "foo"])
        )


def no_lists(folder, rng):
    shutil.rmtree(folder / "ImageSets", ignore_errors=True)


def odd_list(folder, rng):
    for path in _some(rng, _files(folder / "ImageSets", ".txt"))[:1]:
        extra = rng.choice(["nobody\n", "p1 -1\n", "p1 1\n", "\n\n", "p1.png\n", "JPEGImages/p1.png\n"])
        path.write_text(path.read_text(encoding="utf-8", errors="replace") + extra)


def xml_without_picture(folder, rng):
    for path in _files(folder, ".xml")[:1]:
        path.with_name("lonely.xml").write_bytes(path.read_bytes())


def xml_beside_pictures(folder, rng):
    for path in _files(folder, ".xml"):
        if (folder / "JPEGImages").is_dir():
            path.rename(folder / "JPEGImages" / path.name)


VOC = [
    odd_xml,
    odd_xml,
    odd_xml,
    renamed_xml_folder,
    no_lists,
    odd_list,
    xml_without_picture,
    xml_beside_pictures,
]
DEFECTS = {"coco": [*COCO, *ANY], "yolo": [*YOLO, *ANY], "voc": [*VOC, *ANY]}
