"""Writes a set in COCO form as YOLO or Pascal VOC files, as other programs do; the readers' counterpart."""

import json
import shutil
from pathlib import Path
from xml.sax.saxutils import escape


def coco_to_yolo(box, width, height):
    """x, y, width, height in pixels -> cx, cy, w, h as parts of the image."""
    x, y, w, h = box
    return [(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]


def coco_to_voc(box):
    """x, y, width, height -> the numbers of the first and last pixel, counted from 1."""
    x, y, w, h = box
    return [x + 1, y + 1, x + w, y + h]


def small_set(annotation_file, num_images, skip=0):
    """The first images of a COCO file that have only boxes with area, with their annotations."""
    data = json.loads(Path(annotation_file).read_text())
    empty = {a["image_id"] for a in data["annotations"] if min(a["bbox"][2:]) <= 0}
    images = [i for i in data["images"] if i["id"] not in empty][skip : skip + num_images]
    kept = {image["id"] for image in images}
    annotations = [a for a in data["annotations"] if a["image_id"] in kept]
    return {"images": images, "annotations": annotations, "categories": data["categories"]}


def rewrite_set(folder, original, change):
    """A copy of a COCO set with its JSON files changed."""
    shutil.copytree(original, folder)
    for split in ("train", "val"):
        data = json.loads((folder / f"{split}.json").read_text())
        change(data)
        (folder / f"{split}.json").write_text(json.dumps(data))


def write_coco(folder, splits, images):
    """`folder`/images/, and a JSON file for each split."""
    for name, data in splits.items():
        _copy(data, images, folder / "images")
        (folder / f"{name}.json").write_text(json.dumps(data))


def write_yolo(folder, splits, images, yaml=True):
    """`folder`/data.yaml, images/SPLIT/, labels/SPLIT/; classes are numbered in the order of their ids."""
    categories = sorted(next(iter(splits.values()))["categories"], key=lambda c: c["id"])
    class_of = {c["id"]: number for number, c in enumerate(categories)}
    for name, data in splits.items():
        _copy(data, images, folder / "images" / name)
        labels = folder / "labels" / name
        labels.mkdir(parents=True)
        for image in data["images"]:
            lines = [
                " ".join(map(repr, [class_of[a["category_id"]],
                                    *coco_to_yolo(a["bbox"], image["width"], image["height"])]))
                for a in data["annotations"] if a["image_id"] == image["id"]
            ]  # fmt: skip
            (labels / Path(image["file_name"]).name).with_suffix(".txt").write_text("\n".join(lines))
    if yaml:
        names = "".join(f"  {i}: {c['name']}\n" for i, c in enumerate(categories))
        parts = "".join(f"{name}: images/{name}\n" for name in splits)
        (folder / "data.yaml").write_text(f"path: .\n{parts}names:\n{names}")


def write_voc(folder, splits, images):
    """`folder`/Annotations, JPEGImages and ImageSets/Main."""
    (folder / "Annotations").mkdir(parents=True)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for split, data in splits.items():
        _copy(data, images, folder / "JPEGImages")
        names = {c["id"]: c["name"] for c in data["categories"]}
        for image in data["images"]:
            objects = "".join(
                _voc_object(names[a["category_id"]], coco_to_voc(a["bbox"]), a.get("iscrowd", 0))
                for a in data["annotations"] if a["image_id"] == image["id"]
            )  # fmt: skip
            size = f"<width>{image['width']}</width><height>{image['height']}</height><depth>3</depth>"
            file = Path(image["file_name"]).name
            (folder / "Annotations" / file).with_suffix(".xml").write_text(
                f"<annotation><filename>{escape(file)}</filename><size>{size}</size>{objects}</annotation>"
            )
        stems = [Path(image["file_name"]).stem for image in data["images"]]
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(stems) + "\n")


def _voc_object(name, corners, difficult):
    box = "".join(f"<{k}>{v!r}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    head = f"<name>{escape(name)}</name><difficult>{difficult}</difficult>"
    return f"<object>{head}<bndbox>{box}</bndbox></object>"


def _copy(data, images, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for image in data["images"]:
        shutil.copy(Path(images) / image["file_name"], folder / Path(image["file_name"]).name)


WRITERS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}
