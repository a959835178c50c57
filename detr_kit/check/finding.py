"""What a check can find, how bad it is, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..categories import UNUSED

ERROR, WARNING, NOTE = "error", "warning", "note"
VERDICTS = (ERROR, WARNING, NOTE)
NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Example:
    """One case of a finding.

    Attributes:
        file: where it stands: the annotation file, label file or picture.
        id: the entry there: an annotation's, image's or category's.
        value: what is wrong.
        image: index of the image in its split, annotation: index of the annotation; None where there is none.
    """

    file: str
    id: str
    value: str
    image: int | None = None
    annotation: int | None = None

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.id) if part)
        text = f"{where}: {self.value}" if where else self.value
        return text.encode("utf-8", "replace").decode()  # names of files may hold what no terminal takes


@dataclass(frozen=True)
class Finding:
    """Something found, with at most three examples.

    Attributes:
        name: as in CATALOGUE; verdict: "error" (training fails or learns nonsense), "warning" (it works, and
            is probably not meant), "note" (good to know); count: how many cases.
        title: what it is; remedy: what to do.
    """

    name: str
    verdict: str
    count: int
    title: str
    remedy: str
    examples: tuple[Example, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        examples = [{"file": e.file, "id": e.id, "value": e.value} for e in self.examples]
        return {
            "name": self.name,
            "verdict": self.verdict,
            "count": self.count,
            "title": self.title,
            "remedy": self.remedy,
            "examples": examples,
        }


def finding(name: str, examples: Sequence[Example], count: int | None = None, verdict: str = "") -> Finding:
    """A finding of the catalogue; the first of the examples are kept, and all counted unless told."""
    default, title, remedy = CATALOGUE[name]
    total = len(examples) if count is None else count
    return Finding(name, verdict or default, total, title, remedy, tuple(examples[:NUM_EXAMPLES]))


CATALOGUE: dict[str, tuple[str, str, str]] = {
    # pictures
    "images-missing": (
        ERROR, "pictures are not there",
        "correct the image folder (--images, or `images` in the config), or remove the entries",
    ),
    "images-unreadable": (ERROR, "files that are no pictures", "replace the files, or remove the entries"),
    "images-truncated": (ERROR, "pictures that were cut off", "fetch the files again, or remove the entries"),
    "images-wrong-size": (
        ERROR, "pictures of another size than the annotations say",
        "the boxes were drawn on other pictures: scale them, or put the original pictures back",
    ),
    "images-exif-rotated": (
        WARNING, "pictures that their EXIF data turns",
        "training uses the stored pixels unless only the turned ones fit the stated size, which squares, "
        "mirrored pictures and half turns never tell, and detection always turns; look whether the boxes "
        "fit, or store the pictures upright (exiftran -ai, jhead -autorot)",
    ),
    "images-few-bits": (
        WARNING, "16-bit pictures that do not use their 16 bits",
        "look whether they are bright enough: values are scaled from the smallest of 8, 10, 12, 14 and 16 "
        "bits that holds the file's highest; else scale them alike and save them with 8 bits",
    ),
    "images-twice": (
        NOTE, "pictures with the same content as another of the set", "keep one of them",
    ),
    "images-listed-twice": (
        WARNING, "file names that several entries share",
        "merge the entries: each sees only its own boxes, and the others' as background",
    ),
    "entries-repeated": (NOTE, "entries that repeat an earlier one's id and name", "nothing; one is enough"),
    "images-without-size": (
        NOTE, "entries without width and height", "write them; boxes can then be held against the picture",
    ),
    "images-without-boxes": (
        NOTE, "pictures without a box", "nothing, if nothing is on them; they teach what is background",
    ),
    "overlap": (
        ERROR, "pictures of one split that are in another too",
        "remove them from one of the two: what was trained on cannot measure",
    ),
    # boxes
    # Annotations that cannot be used: left out, and an error where they are many (annotation_table.too_many).
    "labels-unreadable": (
        WARNING, "lines or elements that are no annotations", "correct or remove them; they are left out",
    ),
    "box-malformed": (
        WARNING, "boxes that are not four numbers", "write [x, y, width, height]; they are left out",
    ),
    "box-nan": (WARNING, "boxes that are not finite", "correct or remove them; they are left out"),
    "box-negative": (
        WARNING, "boxes of negative width or height",
        "exchange the corners: the first is left and above the second; or remove them; they are left out",
    ),
    "box-zero-area": (WARNING, "boxes without area", "remove them; they are left out"),
    "box-outside": (
        WARNING, "boxes that lie outside their picture", "correct or remove them; they are left out",
    ),
    "crowd-malformed": (
        WARNING, "annotations whose iscrowd says neither yes nor no", "write 0 or 1; they are left out",
    ),
    "image-unknown": (
        WARNING, "annotations of an image that is not listed",
        "add the image or remove them; they are left out",
    ),
    "category-unknown": (
        WARNING, "annotations of a category that is not listed",
        "add the category or remove them; they are left out",
    ),
    "files-unreadable": (ERROR, "annotation files that cannot be read", "correct or remove them"),
    "boxes-from-segmentation": (
        NOTE, "boxes taken from polygons or masks, as there is no bbox",
        "nothing; each is the box around its polygons or mask",
    ),
    "areas-replaced": (
        NOTE, "areas that are 0 or no number", "nothing; the metric takes the box's width × height instead",
    ),
    "box-over-edge": (
        WARNING, "boxes that reach over the picture's edge by more than a pixel",
        "nothing, if the edge was drawn over; training clips them",
    ),
    "boxes-normalised": (
        ERROR, "boxes in parts of the picture instead of pixels",
        "multiply x and width by the picture's width, y and height by its height",
    ),
    "boxes-xyxy": (
        ERROR, "boxes that look like two corners instead of x, y, width, height",
        "subtract: [x0, y0, x1 - x0, y1 - y0]",
    ),
    "boxes-twice": (WARNING, "boxes that are there twice", "remove one: training wants both found"),
    # ids and classes
    "field-missing": (ERROR, "entries that lack a field", "write it, or remove the entry"),
    "ids-malformed": (
        ERROR, "ids that are no whole numbers, or beyond 64 bits",
        "number the images and categories 1, 2, 3, …, and their annotations' image_id and category_id alike",
    ),
    "image-size-malformed": (
        ERROR, "widths and heights that are no number of pixels", "correct them, or leave them out",
    ),
    "category-name-reserved": (ERROR, f"categories named {UNUSED}, which stands for none", "rename them"),
    "image-ids-twice": (ERROR, "ids that several images share", "number the images 1, 2, 3, …"),
    "category-ids-twice": (ERROR, "ids that several categories share", "number the categories 1, 2, 3, …"),
    "annotation-ids-twice": (
        WARNING, "ids that several annotations share",
        "number them anew; detr-kit does so by itself, pycocotools alone takes them for one object",
    ),
    "annotation-id-zero": (
        NOTE, "an annotation with id 0",
        "nothing here; pycocotools alone counts it as never found: number annotations from 1",
    ),
    "category-ids-zero-based": (
        NOTE, "category ids that begin at 0",
        'nothing with labels="contiguous"; programs that keep 0 for background are off by one',
    ),
    "category-ids-with-gaps": (
        NOTE, "category ids with gaps",
        'nothing with labels="contiguous"; labels="category_id" needs as many classes as the largest id + 1',
    ),
    "category-unused": (
        WARNING, "categories without a box",
        "remove them, or add pictures: what is never seen is never found",
    ),
    "category-unmeasured": (
        NOTE, "categories without a box in a split that is only measured",
        "nothing, or add pictures: the AP of these classes cannot be known",
    ),
    "category-named-twice": (WARNING, "names that several categories share", "merge or rename them"),
    "categories-differ": (
        ERROR, "splits with a class that the first split lacks",
        "rename the class or add it there: what is not trained cannot be found",
    ),
    "categories-matched": (
        NOTE, "splits whose classes are others, or in another order, than the first's",
        "nothing; classes are matched by their names",
    ),
    # numbers
    "no-images": (ERROR, "no picture is listed", "look whether the file is complete"),
    "nothing-to-learn": (
        ERROR, "no object to learn from",
        "annotate the pictures, or look where their labels are; crowd regions and difficult objects are not "
        "trained on",
    ),
    "nothing-to-measure": (WARNING, "no object to measure with", "AP cannot be known without one"),
    "too-many-objects": (
        WARNING, "pictures with more objects than the network has queries",
        "raise model.network.num_queries: what exceeds it can never be found",
    ),
    "classes-unbalanced": (
        WARNING, "classes a hundred times rarer than the most frequent one",
        "add pictures of them, or expect little of their AP",
    ),
    "files-unused": (
        WARNING, "what is there and not used, or named and not there", "nothing, if that is meant",
    ),
    "format": (NOTE, "how the files were read", "nothing, if that is right"),
}  # fmt: skip
