"""A data set of any known format, found at a path."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from .coco_json import find_coco
from .split import DataSource
from .voc import find_voc
from .yolo import find_yolo


def find_data(path: str | Path, images: str | Path | None = None, need_images: bool = True) -> DataSource:
    """Recognise COCO JSON, Pascal VOC or YOLO, and find the splits.

    Args:
        path: an annotation file, a data.yaml, or a folder.
        images: the folder of the pictures, where it is not beside the annotations (COCO and VOC).
        need_images: a COCO file whose pictures are nowhere to be found is refused.

    Raises:
        InputError: nothing there, no known format, or one that is incomplete.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    folder = Path(images).expanduser() if images else None
    if folder is not None and not folder.is_dir():
        raise InputError(f"--images {folder}: no such folder")
    if path.suffix.lower() == ".xml":
        raise InputError(f"{path}: one XML file; give the folder that it is in")
    found = find_coco(path, folder, need_images) or find_yolo(path) or find_voc(path, folder)
    if found is None:
        raise InputError(
            f"{path}: no data set of a known format: COCO (a JSON file, or a folder with annotations/*.json), "
            "Pascal VOC (a folder with Annotations/*.xml) or YOLO (a data.yaml, or a folder with images/ and "
            "labels/*.txt)"
        )
    return found
