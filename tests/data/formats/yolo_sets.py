"""Small YOLO data sets as labelling programs leave them, made of a few files each."""

from pathlib import Path

from PIL import Image

from detr_kit.data.formats import find_data

TWO = "0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.1\n"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    kind = {".dib": "BMP", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG"}.get(suffix)
    Image.new("RGB", (40, 20), (len(path.name), 9, 99)).save(path, format=kind)


def text(path, content=TWO):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pairs(folder, images, labels, stems="abc", suffix=".jpg"):
    """A picture and two boxes for each stem."""
    for stem in stems:
        picture(folder / images / f"{stem}{suffix}")
        text(folder / labels / f"{stem}.txt")


def usual(folder, yaml="names: [circle, square]\ntrain: images/train\nval: images/val\n"):
    """images/train, images/val, labels/… and a data.yaml: 3 and 2 pictures with two boxes each."""
    pairs(folder, "images/train", "labels/train")
    pairs(folder, "images/val", "labels/val", "de")
    if yaml is not None:
        text(folder / "data.yaml", yaml)
    return folder


def contents(path):
    return {name: split.read() for name, split in find_data(path).splits.items()}


def boxes(path):
    """split -> (pictures, boxes), every one of them readable."""
    read = {name: content.refuse_problems() for name, content in contents(path).items()}
    return {name: (len(data["images"]), len(data["annotations"])) for name, data in read.items()}


def class_names(path):
    return [c["name"] for c in next(iter(contents(path).values())).data["categories"]]


def said(path, kind="warnings"):
    """All warnings, notes or problems of a set as one text."""
    return "\n".join(str(line) for content in contents(path).values() for line in getattr(content, kind))


def move(folder, old, new):
    (folder / Path(new)).parent.mkdir(parents=True, exist_ok=True)
    (folder / old).rename(folder / new)
