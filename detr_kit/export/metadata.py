"""What an exported file says of itself, so that it needs no config and no checkpoint beside it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..categories import Categories
from ..errors import InputError
from ..registry import refuse_imports

KEY = "detr_kit"
VERSION = 1


@dataclass(frozen=True)
class ExportMetadata:
    """Stored as one JSON text under the key `detr_kit`, in whatever place the format has for it.

    Attributes:
        format: "onnx", "torch-export", "aoti" or "openvino".
        precision: "fp32", "fp16" or "int8".
        architecture: class of the network, for people.
        classes, category_ids: see Categories.
        transforms: configs of the transforms that bring an image (uint8 RGB) to the network's size.
        mean, std: per channel, of pixels in [0, 1].
        postprocess: outputs are scores, labels, boxes (xyxy normalised); else logits, boxes (cxcywh).
        postprocessor: config of the post-processing, inside the file or to be done after it.
        padding_mask: the file has a second input, padding_mask.
        static_size: (height, width) that the file is fixed to, or None.
        input_names: in order.
        output_names: in order.
        version: of this record.
    """

    format: str
    precision: str
    architecture: str
    classes: list[str]
    category_ids: list[int]
    transforms: list[dict[str, Any]]
    mean: list[float]
    std: list[float]
    postprocess: bool
    postprocessor: dict[str, Any]
    padding_mask: bool
    static_size: list[int] | None
    input_names: list[str]
    output_names: list[str]
    version: int = VERSION

    @property
    def categories(self) -> Categories:
        """The meaning of the labels."""
        return Categories(tuple(self.classes), tuple(self.category_ids))

    def to_json(self) -> str:
        """As stored."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | None, path: str | Path) -> ExportMetadata:
        """What a file stored.

        Raises:
            InputError: nothing, a record of another version, or one with types that are none of detr-kit's.
        """
        if not text:
            raise InputError(
                f"{path}: it says nothing of classes and image sizes; export it with detr-kit export"
            )
        data = json.loads(text)
        if data.get("version") != VERSION:
            raise InputError(
                f"{path}: exported by another version of detr-kit (metadata version {data.get('version')!r}, "
                f"this one reads {VERSION}); export it anew"
            )
        try:
            refuse_imports([data.get("transforms"), data.get("postprocessor")])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        return cls(**data)
