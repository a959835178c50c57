"""One XML file of a Pascal VOC set: what it says of one picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from .split import Problem

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ROOT = re.compile(r"<([A-Za-z_][\w.-]*)")
_HEAD = 4096  # bytes in which a file's first element stands


@dataclass(frozen=True)
class VocObject:
    """An object: its class, (xmin, ymin, xmax, ymax), and where in the file it stands."""

    name: str
    corners: tuple[float, ...]
    difficult: bool
    place: str


@dataclass(frozen=True)
class VocPage:
    """One XML file.

    Attributes:
        stated: the picture's name as <filename> says it, without folders; "" where it does not.
        size: (width, height), zeros where the file does not say.
        problems: what could not be read.
    """

    file: Path
    stated: str
    size: tuple[int, int]
    objects: list[VocObject]
    problems: list[Problem] = field(default_factory=list)


def root_name(file: Path) -> str:
    """The name of an XML file's first element, "" where there is none, without reading the whole file."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
    except OSError:
        return ""
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = head.decode("utf-16" if wide else "utf-8", errors="replace")
    found = _ROOT.search(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    return found[1] if found else ""


def read_page(file: Path) -> VocPage:
    """Read one file; what is wrong with it is among its problems."""
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:  # also unknown encodings
        problem = Problem(str(file), "", "", f"not valid XML: {error}; {_xml_remedy(file)}")
        return VocPage(file, "", (0, 0), [], [problem])
    # A path of the machine that it was written on, whichever system that had.
    stated = PureWindowsPath((root.findtext("filename") or "").strip()).name
    objects, problems = [], []
    for number, element in enumerate(root.findall("object"), start=1):
        parsed = _read_object(element, number)
        if isinstance(parsed, VocObject):
            objects.append(parsed)
        else:
            value, remedy = parsed
            problems.append(Problem(str(file), f"object {number}", value, remedy))
    return VocPage(file, stated, _size(root), objects, problems)


def _xml_remedy(file: Path) -> str:
    try:
        file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8: save it as UTF-8, or name its encoding in its first line"
    except OSError:
        pass
    return "export it again"


def _size(root: ElementTree.Element) -> tuple[int, int]:
    try:
        return int(float(root.findtext("size/width") or 0)), int(float(root.findtext("size/height") or 0))
    except (ValueError, OverflowError):
        return 0, 0


def _read_object(element: ElementTree.Element, number: int) -> VocObject | tuple[str, str]:
    """An object, or the value that is wrong and why."""
    name = (element.findtext("name") or "").strip()
    if not name:
        return "name is empty", "give the object its class"
    if element.find("bndbox") is None:
        other = next((child.tag for child in element if child.tag in ("robndbox", "polygon")), None)
        shape = {"robndbox": "a rotated box", "polygon": "a polygon", None: "no box"}[other]
        return f"{shape} without <bndbox>", "export upright boxes, which is what these networks find"
    corners = []
    for key in _CORNERS:
        text = element.findtext(f"bndbox/{key}")
        try:
            corners.append(float(text or ""))
        except ValueError:
            return f"bndbox/{key}={text!r}", "it must be a number of pixels"
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return VocObject(name, tuple(corners), difficult, f"object {number}")
