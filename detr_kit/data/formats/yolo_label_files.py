"""Which label file belongs to which YOLO picture, and which belong to none."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .image_files import is_hidden, is_image, list_files
from .split import split_name

IMAGE_FOLDERS = frozenset(
    ("images", "image", "imgs", "img", "pics", "pictures", "photos", "jpegimages", "frames")
)
_NO_PICTURES = frozenset(
    (".txt", ".json", ".xml", ".yaml", ".yml", ".csv", ".cache", ".npy", ".md", ".db", ".data", ".names")
)
_LABEL_FOLDERS = frozenset(("lbl", "lbls", "txt", "txts", "yolo", "bbox", "bboxes", "boxes", "gt"))


def is_label_folder(name: str) -> bool:
    """Whether label files may lie in a folder of this name."""
    name = name.casefold()
    return name in _LABEL_FOLDERS or "label" in name or "annot" in name


def name_key(name: str) -> str:
    """The same for a name in another case, or with its accents stored otherwise, as macOS does."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@dataclass(frozen=True)
class _Listing:
    """What lies in a folder: its folders, the stems of its pictures, and its text files by their stems."""

    folders: list[Path] = field(default_factory=list)
    pictures: set[str] = field(default_factory=set)
    texts: dict[str, Path] = field(default_factory=dict)
    loose: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class Account:
    """What lies near the pictures of a data set and is not used.

    Attributes:
        orphans: text files that belong to no picture; not all of them are label files.
        unlisted: pictures that are in no split, with their label file, where there is one.
        others: files that may be pictures of a type that is not read.
    """

    orphans: list[Path]
    unlisted: dict[Path, list[Path]]
    others: list[Path]


class LabelFiles:
    """The label files of a data set's pictures, found by looking at each folder once.

    The label file of `…/images/train/a.jpg` is `…/labels/train/a.txt`. Any folder above the picture may have
    the sibling with labels, whatever of both is called how, as long as the rest of the path is the same; else
    the folder of labels is in the picture's, or the file is beside the picture. The nearest comes first.

    Args:
        root: the data set's folder. Above it only a folder of pictures has a sibling with labels.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, _Listing] = {}
        self._places: dict[Path, list[Path]] = {}
        self.label_roots: set[Path] = set()
        self.image_roots: set[Path] = set()

    def of(self, picture: Path) -> list[Path]:
        """The label files that a picture has; the first counts."""
        found: list[Path] = []
        for folder in self.places(picture.parent):
            file = self._match(folder, picture)
            if file is not None and file not in found:
                found.append(file)
        return found

    def places(self, folder: Path) -> list[Path]:
        """The folders where label files of the pictures in a folder may be; the last is itself."""
        if folder not in self._places:
            self._places[folder] = [*self._places_of(folder), folder]
            self.image_roots.add(folder)
        return self._places[folder]

    def expected(self, picture: Path) -> Path:
        """Where a picture's label file would be looked for first."""
        places = self.places(picture.parent)
        if len(places) == 1:
            parts = list(picture.parent.parts)
            at = next(
                (i for i in range(len(parts) - 1, -1, -1) if parts[i].casefold() in IMAGE_FOLDERS), None
            )
            if at is not None:
                return Path(*parts[:at], "labels", *parts[at + 1 :], f"{picture.stem}.txt")
        return places[0] / f"{picture.stem}.txt"

    def _places_of(self, folder: Path) -> Iterator[Path]:
        for inside in _labels_first(self._list(folder).folders):
            self.label_roots.add(inside)
            yield inside
        rest: tuple[str, ...] = ()
        for below in (folder, *folder.parents):
            above, inside_root = below.parent, self.root in (below.parent, *below.parent.parents)
            if above == below:
                break
            if inside_root or below.name.casefold() in IMAGE_FOLDERS:
                own = split_name(below.name)
                for sibling in _labels_first(self._list(above).folders):
                    other = split_name(sibling.name)
                    if sibling == below or (own and other and own != other):
                        continue
                    place = self._descend(sibling, rest)
                    if inside_root:
                        self.label_roots.add(sibling)
                    if inside_root or place is not None:
                        self.image_roots.add(below)
                    if place is not None:
                        yield place
            rest = (below.name, *rest)

    def _descend(self, folder: Path, parts: tuple[str, ...]) -> Path | None:
        for part in parts:
            inner = {name_key(f.name): f for f in self._list(folder).folders}
            exact = folder / part
            found = exact if exact in inner.values() else inner.get(name_key(part))
            if found is None:
                return None
            folder = found
        return folder

    def _match(self, folder: Path, picture: Path) -> Path | None:
        texts, loose = self._list(folder).texts, self._list(folder).loose
        for stem in (picture.stem, picture.name):  # some programs write a.jpg.txt
            if stem in texts:
                return texts[stem]
            similar = loose.get(name_key(stem), [])
            # A file that bears the very name of another picture is that one's.
            if len(similar) == 1 and similar[0].stem not in self._list(picture.parent).pictures:
                return similar[0]
        return None

    def _list(self, folder: Path) -> _Listing:
        if folder not in self._listings:
            self._listings[folder] = _list_folder(folder)
        return self._listings[folder]

    def account(self, labels_of: Mapping[Path, list[Path]]) -> Account:
        """Everything that lies near the pictures of a data set and is not used for them.

        Args:
            labels_of: every picture of all splits, and its label files as `of` gives them.
        """
        claimed = {file for files in labels_of.values() for file in files}
        known = set(labels_of)
        near = _files_under(self.image_roots)
        texts = near | _files_under({*self.label_roots, *(file.parent for file in claimed)})
        pictures = sorted(path for path in near if is_image(path) and path not in known)
        unlisted = {picture: self.of(picture)[:1] for picture in pictures}
        elsewhere = {file for files in unlisted.values() for file in files}
        return Account(
            orphans=sorted(p for p in texts - claimed - elsewhere if p.suffix.lower() == ".txt"),
            unlisted=unlisted,
            others=sorted(p for p in near if not is_image(p) and p.suffix.lower() not in _NO_PICTURES),
        )


def _files_under(folders: Iterable[Path]) -> set[Path]:
    every = set(folders)
    outermost = (folder for folder in every if every.isdisjoint(folder.parents))
    return {path for folder in outermost for path in list_files(folder)}


def _labels_first(folders: Iterable[Path]) -> list[Path]:
    """Those that may hold label files, `labels` before others."""
    found = [folder for folder in folders if is_label_folder(folder.name)]
    return sorted(found, key=lambda folder: (folder.name.casefold() not in ("labels", "label"), folder.name))


def _list_folder(folder: Path) -> _Listing:
    listing = _Listing()
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return listing
    for entry in entries:
        path = folder / entry.name
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            listing.folders.append(path)
        elif is_image(path):
            listing.pictures.add(path.stem)
        elif path.suffix.lower() == ".txt":
            listing.texts[path.stem] = path
            listing.loose[name_key(path.stem)].append(path)
    return listing
