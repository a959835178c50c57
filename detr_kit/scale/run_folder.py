"""The folder of a run: which parts its images make, and which of them are there.

    part-00000012.parquet          the detections of 256 images, one row an image
    _errors/part-00000012.parquet  those of them that could not be read, where there are any
    _run/run.json                  the settings, of which all parts are
    _run/images-00000.parquet      the images in their order; a later run with more of them adds a list

A part is cut from a list by position alone and is one file, which appears when it is whole. So whoever does
it, and however often, there is one row an image, and what is there need not be done again. Arrow and Spark
leave out names with a low line, so that the folder itself reads as the table of detections.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from ..predict.record import Made
from ..storage import exists, join, list_folder, read_bytes, remove, write_whole
from .tables import IMAGES, read_column, write_table

_VERSION = 1


class Part(NamedTuple):
    """Images whose rows share a file."""

    name: str
    paths: list[str]


class RunFolder:
    """Opens a folder for a run, new or to go on with.

    Args:
        out: a path or an address.
        images: of this run, each once.
        settings: what decides the detections, as plain data.
        images_per_file: rows of a part; a run that goes on keeps its own.
        overwrite: do away with what is there.

    Attributes:
        total: images of all lists. skipped: those of the parts that are there. parts: what is to do.

    Raises:
        InputError: the folder is another run's, of other settings, or cannot be written.
    """

    def __init__(
        self,
        out: str,
        images: Sequence[str],
        settings: Mapping[str, Any],
        images_per_file: int,
        overwrite: bool = False,
    ) -> None:
        self.out = out
        settings = json.loads(json.dumps(settings))  # as it is when it is read again
        if overwrite:
            self._clear()
        size = self._begin(settings, images_per_file)
        lists = self._lists(images)
        cut = [paths[start : start + size] for paths in lists for start in range(0, len(paths), size)]
        there = {name.removesuffix(".parquet") for name in list_folder(out)}
        parts = [Part(f"part-{number:08}", paths) for number, paths in enumerate(cut)]
        self.parts = [part for part in parts if part.name not in there]
        self.total = sum(map(len, lists))
        self.skipped = self.total - sum(len(part.paths) for part in self.parts)

    def _begin(self, settings: Mapping[str, Any], images_per_file: int) -> int:
        """Images of a part, after the run is known to be of these settings."""
        path = join(self.out, "_run/run.json")
        if not exists(path):
            strange = next((name for name in list_folder(self.out) if name.startswith("part-")), None)
            if strange is not None:
                raise InputError(
                    f"--out {self.out}: {strange} is there, of no known run; name another folder"
                )
            run = {"version": _VERSION, "images_per_file": images_per_file, "settings": settings}
            write_whole(path, json.dumps(run, indent=1).encode())
            return images_per_file
        try:
            run = json.loads(read_bytes(path))
            size, earlier = int(run["images_per_file"]), run["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not as predict writes it ({error}); name another folder") from error
        differences = Made("", "", earlier).differences(Made("", "", settings))
        if differences:
            raise InputError(
                f"--out {self.out}: the detections there were made otherwise ({', '.join(differences)}); "
                "name another folder, or --overwrite to do them again"
            )
        return size

    def _lists(self, images: Sequence[str]) -> list[list[str]]:
        """The lists that are there, and one of the images that are new."""
        lists = [read_column(join(self.out, f"_run/{name}"), "path") for name in self._list_names()]
        known = {path for paths in lists for path in paths}
        new = [path for path in images if path not in known]
        if new:
            name = f"_run/images-{len(lists):05}.parquet"
            write_table(join(self.out, name), [{"path": path} for path in new], IMAGES)
            lists.append(new)
        return lists

    def _list_names(self) -> list[str]:
        return [name for name in list_folder(join(self.out, "_run")) if name.startswith("images-")]

    def _clear(self) -> None:
        """The parts first and what tells of them last: cut off in between it is still a run."""
        for folder in ("", "_errors/"):
            for name in list_folder(join(self.out, folder)):
                if name.startswith("part-"):
                    remove(join(self.out, folder + name))
        for name in (*self._list_names(), "run.json"):
            remove(join(self.out, f"_run/{name}"))
