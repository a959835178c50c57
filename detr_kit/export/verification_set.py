"""The images that an export is verified on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..data import write_shapes
from ..data.coco_annotations import read_coco_annotations
from ..data.file_names import match_names
from ..data.formats.image_files import is_image
from ..errors import InputError


@dataclass(frozen=True)
class VerificationSet:
    """Image files, and what is on them where that is known.

    Attributes:
        images: files.
        image_ids: of each in the annotations; empty without.
        annotations: a COCO file, None where AP is not to be had.
        name: what the report calls it.
    """

    images: list[Path]
    image_ids: list[int]
    annotations: Path | None
    name: str

    @classmethod
    def from_coco(
        cls, annotations: str | Path, images: str | Path, limit: int | None = None
    ) -> VerificationSet:
        """A COCO-format set, or its first `limit` images.

        Raises:
            InputError: see `read_coco_annotations`; or an image file that is missing.
        """
        read = read_coco_annotations(annotations)
        names = [str(name) for name in read.file_names[:limit]]
        found = match_names(images, names)
        files = [found.path(name) for name in names]
        missing = [file for file in files if not file.is_file()]
        if missing or not files:
            first = missing[0] if missing else "no image listed"
            raise InputError(
                f"{annotations}: {len(missing)} images are missing under {images} (first: {first})"
            )
        return cls(files, [int(i) for i in read.image_ids[:limit]], Path(annotations), f"{annotations}")

    @classmethod
    def from_folder(cls, folder: str | Path, limit: int | None = None) -> VerificationSet:
        """Images without annotations: everything but AP is measured.

        Raises:
            InputError: a folder without images.
        """
        files = sorted(file for file in Path(folder).glob("*") if is_image(file))
        if not files:
            raise InputError(f"{folder}: no folder with images in it")
        return cls(files[:limit], [], None, str(folder))


@contextmanager
def builtin_set() -> Iterator[VerificationSet]:
    """Eight drawn pictures (data/shapes.py), for when nothing better is given."""
    with TemporaryDirectory() as folder:
        write_shapes(folder, num_train=0, num_val=8, seed=1)
        found = VerificationSet.from_folder(Path(folder) / "val")
        yield VerificationSet(found.images, [], None, "8 drawn pictures")
