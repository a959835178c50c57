"""Random data sets with random defects: what check calls sound training reads whole, with no traceback.

The short run is the same every time. By hand, with other trees each time: DETR_KIT_FUZZ=2000 (a format).
"""

import io
import json
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from rich.console import Console

from detr_kit.check import WARNING, check_data, write_html
from detr_kit.data import CocoDataset
from detr_kit.data.formats import find_data
from detr_kit.errors import InputError
from detr_kit.fine_tune.data import converted, parts_of

from .fuzz_trees import DEFECTS, write_set

BY_HAND = int(os.environ.get("DETR_KIT_FUZZ", 0))
FUZZ = settings(
    max_examples=BY_HAND or 100,
    deadline=None,
    derandomize=not BY_HAND,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def checked(folder):
    """What check says of a set, printed and written in every form."""
    splits = list(find_data(folder).splits.values())
    report = check_data(splits, name=folder.name)
    report.print(Console(file=io.StringIO(), emoji=False))
    json.dumps(report.to_dict())
    write_html(report, folder.parent / "report.html")
    return report


def boxes_that_training_reads(folder, work_dir):
    """Of all splits; every sample is loaded."""
    parts, told = parts_of(find_data(folder))
    for path, data in converted(parts).items():
        (work_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (work_dir / path).write_text(json.dumps(data))
    read = {}
    for part in parts.values():
        dataset = CocoDataset(str(work_dir / part.annotations), str(part.images))
        for index in range(len(dataset)):
            dataset[index]
        read[part.annotations] = len(dataset.annotations.boxes)
    return sum(read.values()), told


def boxes_written(folder, kind):
    """All that stand in the files in the way of their format, readable or not."""
    if kind == "coco":
        return sum(_coco_boxes(path) for path in folder.rglob("*.json"))
    if kind == "voc":
        return sum(path.read_bytes().count(b"<bndbox>") for path in folder.rglob("*.xml"))
    lines = [
        line
        for path in folder.rglob("*.txt")
        if not path.name.startswith("._")
        for line in path.read_bytes().decode("utf-8-sig", "replace").splitlines()
    ]
    return sum(len(line.split()) >= 5 for line in lines)


def _coco_boxes(path):
    try:
        data = json.loads(path.read_bytes())
        return sum(
            isinstance(a.get("bbox"), list) or bool(a.get("segmentation")) for a in data["annotations"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0


@pytest.mark.parametrize("kind", DEFECTS)
def test_what_check_calls_sound_is_read_whole_and_nothing_ends_in_a_traceback(kind):
    seen = {"trees": 0, "sound": 0}

    @FUZZ
    @given(st.lists(st.sampled_from(range(len(DEFECTS[kind]))), max_size=3), st.integers(0, 2**32))
    def run(chosen, seed):
        rng = random.Random(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "set"
            folder.mkdir()
            write_set(folder, kind, rng)
            for index in chosen:
                note(DEFECTS[kind][index].__name__)
                DEFECTS[kind][index](folder, rng)
            seen["trees"] += 1
            try:
                report = checked(folder)
            except InputError:
                return
            if report.exit_code:
                return
            pictures = {split.name: len(split.paths) for split in report.splits}
            if not {"train", "all"} & pictures.keys() or max(pictures.values()) < 2:
                return  # to be measured on, or too few for a training and a validation set
            seen["sound"] += 1
            read, told = boxes_that_training_reads(folder, Path(name) / "run")
            lost = boxes_written(folder, kind) - read
            said = told or [found for _, found in report.findings() if found.verdict == WARNING]
            assert lost <= 0 or said, f"{lost} boxes lost without a word"

    run()
    assert seen["sound"] > seen["trees"] // 10, seen
