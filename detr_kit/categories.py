"""Class names and original category ids behind the contiguous labels of a network."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import InputError

UNUSED = "N/A"


def class_name(value: Any) -> str:
    """The name of a class as plain text of one line, whatever a file or caller gave: 7 -> "7"."""
    text = " ".join(unicodedata.normalize("NFC", str(value)).replace("\ufeff", "").split())
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cc")


@dataclass(frozen=True)
class Categories:
    """What each label means.

    Attributes:
        names: the class name of each label, as `class_name` has it; `N/A` where a label is not used.
        ids: the data set's category id of each label.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(map(class_name, self.names)))
        if len(self.names) != len(self.ids):
            raise ValueError(f"{len(self.names)} class names against {len(self.ids)} category ids")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def label_of_id(self) -> dict[int, int]:
        """category id -> label, unused labels left out."""
        return {
            category: label
            for label, (category, name) in enumerate(zip(self.ids, self.names, strict=True))
            if name != UNUSED
        }

    @classmethod
    def contiguous(cls, categories: Sequence[Mapping[str, Any]]) -> Categories:
        """Labels 0, 1, 2, … in the order of the category ids, whatever their gaps."""
        ordered = sorted(categories, key=lambda category: category["id"])
        return cls(tuple(c["name"] for c in ordered), tuple(int(c["id"]) for c in ordered))

    @classmethod
    def by_category_id(cls, categories: Sequence[Mapping[str, Any]]) -> Categories:
        """Labels equal to the category ids, gaps left unused: what the original DETR code trains with."""
        names = {int(c["id"]): c["name"] for c in categories}
        if min(names, default=0) < 0:
            raise ValueError(f"category id {min(names)} is negative and cannot serve as a label")
        size = max(names, default=-1) + 1
        return cls(tuple(names.get(i, UNUSED) for i in range(size)), tuple(range(size)))

    @classmethod
    def numbered(cls, num_classes: int) -> Categories:
        """`class 0`, `class 1`, …: for a checkpoint that does not say what its classes are."""
        return cls(tuple(f"class {i}" for i in range(num_classes)), tuple(range(num_classes)))

    @classmethod
    def named(cls, names: Sequence[Any] | Mapping[Any, Any], num_classes: int) -> Categories:
        """Names that a user gives: one for each label, or label -> name, where labels without one are unused.

        Raises:
            InputError: another number of names, or a label that is not below `num_classes`.
        """
        numbered = cls.numbered(num_classes)
        if isinstance(names, Mapping):
            given = {_label(key, num_classes): name for key, name in names.items()}
            return cls(tuple(given.get(label, UNUSED) for label in numbered.ids), numbered.ids)
        if isinstance(names, str | bytes) or not isinstance(names, Sequence):
            raise InputError(
                f"class_names: a {type(names).__name__}; it must be a list of names in the order of the "
                "labels, or label: name"
            )
        if len(names) != num_classes:
            raise InputError(f"class_names: {len(names)} names for a checkpoint with {num_classes} classes")
        return cls(tuple(names), numbered.ids)

    def to_metadata(self) -> dict[str, list]:
        """Plain lists, as stored in checkpoints and data-set metadata."""
        return {"classes": list(self.names), "category_ids": list(self.ids)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Categories | None:
        """The categories stored by `to_metadata`, None where there are none."""
        names = metadata.get("classes")
        if not names:
            return None
        return cls(tuple(names), tuple(metadata.get("category_ids") or range(len(names))))


def _label(key: Any, num_classes: int) -> int:
    text = str(key).strip()
    if not text.isdecimal() or not int(text) < num_classes:
        raise InputError(
            f"class_names: {key!r} is no label of a checkpoint with {num_classes} classes: "
            f"0 … {num_classes - 1}"
        )
    return int(text)


# The category ids of COCO that carry a class, in order; 80 of 1 … 90.
_COCO = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck",
    9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench",
    16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
    24: "zebra", 25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase",
    34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
    40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle",
    46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza", 60: "donut",
    61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet",
    72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard", 77: "cell phone", 78: "microwave",
    79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book", 85: "clock", 86: "vase",
    87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip
_COCO_LIST = [{"id": i, "name": name} for i, name in _COCO.items()]

COCO_91 = Categories.by_category_id(_COCO_LIST)
"""Labels are COCO category ids, 91 of them: the official checkpoints."""
COCO_80 = Categories.contiguous(_COCO_LIST)
"""80 contiguous labels: mmdet's checkpoints."""
