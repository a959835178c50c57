"""What lies in a YOLO data set and is not used: named, and an error where pictures lose labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .image_files import UNREAD_SUFFIXES
from .split import Content, Problem, split_name
from .yolo_label_files import LabelFiles, name_key
from .yolo_labels import has_label_lines, relative
from .yolo_pictures import unread_pictures

LabelsOf = Mapping[Path, list[Path]]  # each picture's label files, of which the first counts


def tell_unused(
    contents: Mapping[str, Content],
    labels_of: Mapping[str, LabelsOf],
    labels: LabelFiles,
    is_described: bool,
    left_out: list[Path],
) -> None:
    """Add to each split's content what is not used of what belongs to it.

    Args:
        contents: of the splits; labels_of: their pictures and label files.
        is_described: a data.yaml or a list says which pictures are used; else all should be.
        left_out: pictures known to be in no split.
    """
    every = {picture: files for part in labels_of.values() for picture, files in part.items()}
    account = labels.account(every)
    first = next(iter(contents.values()))
    for split, part in labels_of.items():
        if split != "test" and part and not any(part.values()):
            contents[split].problems.append(_no_labels(split, part, labels))
    unlabelled = {name_key(picture.stem): picture for picture, files in every.items() if not files}
    others = {name_key(file.stem): file for file in account.others}
    for file in account.orphans:
        if has_label_lines(file):
            words = map(
                split_name, file.relative_to(labels.root).parts if file.is_relative_to(labels.root) else ()
            )
            owner = next((contents[word] for word in words if word and word in contents), first)
            owner.problems.append(_orphan(file, unlabelled, others, labels))
    unlisted = account.unlisted | {picture: labels.of(picture)[:1] for picture in left_out}
    _tell_unlisted(first, unlisted, labels.root, is_described)
    for split, part in labels_of.items():
        _tell_passed_over(contents[split], part, labels.root)
    unread = [file for file in account.others if file.suffix.lower() in UNREAD_SUFFIXES]
    if unread:
        first.warnings.append(f"{relative(unread[0].parent, labels.root)}: {unread_pictures(unread)}")


def no_label_at_all(labels_of: Mapping[str, LabelsOf], labels: LabelFiles) -> str:
    """For a data set that has pictures and not one label file."""
    every = [picture for part in labels_of.values() for picture in part]
    return f"none of the {len(every)} pictures has a label file; {_looked_for(every[0], labels)}"


def _no_labels(split: str, part: LabelsOf, labels: LabelFiles) -> Problem:
    first = next(iter(part))
    what = f"none of the {len(part)} pictures of {split} has a label file; {_looked_for(first, labels)}"
    empty = "an empty label file says that nothing is on a picture"
    return Problem(relative(first.parent, labels.root), "", "", f"{what}; {empty}")


def _looked_for(picture: Path, labels: LabelFiles) -> str:
    beside = picture.with_suffix(".txt")
    places = dict.fromkeys((labels.expected(picture), beside))
    return f"looked for {' and '.join(relative(place, labels.root) for place in places)}"


def _orphan(
    file: Path, unlabelled: Mapping[str, Path], others: Mapping[str, Path], labels: LabelFiles
) -> Problem:
    shown = relative(file, labels.root)
    picture, other = unlabelled.get(name_key(file.stem)), others.get(name_key(file.stem))
    if other is not None:
        remedy = f"its picture {other.name} is of a type that is not read; convert it to JPEG or PNG"
    elif picture is not None:
        expected = relative(labels.expected(picture), labels.root)
        remedy = (
            f"labels of no picture that is found; {relative(picture, labels.root)} has none, its labels are "
            f"looked for in {expected}"
        )
    else:
        remedy = "labels without a picture; put the picture back, or remove the file"
    return Problem(shown, "", "", remedy)


def _tell_unlisted(content: Content, unlisted: LabelsOf, root: Path, is_described: bool) -> None:
    labelled = [picture for picture, files in unlisted.items() if any(map(has_label_lines, files))]
    if labelled and not is_described:
        remedy = (
            f"in no split, and so {len(labelled)} pictures with labels would be left out; move them into one"
        )
        content.problems.append(Problem(relative(labelled[0], root), "", "", remedy))
    elif labelled:
        shown = relative(labelled[0], root)
        content.warnings.append(
            f"{len(labelled)} pictures with labels are in no split and not used, first {shown}"
        )
    without = [picture for picture in unlisted if picture not in set(labelled)]
    if without:
        shown = relative(without[0], root)
        content.warnings.append(
            f"{len(without)} pictures without labels are in no split and not used, first {shown}"
        )


def _tell_passed_over(content: Content, part: LabelsOf, root: Path) -> None:
    several = [files for files in part.values() if len(files) > 1]
    for files in several:
        other = next((file for file in files[1:] if has_label_lines(file)), None)
        if other is not None and not has_label_lines(files[0]):
            remedy = f"this one is empty, and {relative(other, root)} is not; keep one of them"
            content.problems.append(Problem(relative(files[0], root), "", "", remedy))
    if several:
        read, unread = (relative(file, root) for file in several[0][:2])
        content.warnings.append(
            f"{len(several)} pictures have two label files; {read} is read, {unread} is not"
        )
