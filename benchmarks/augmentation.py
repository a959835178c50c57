"""Images a second that one core reads and augments, transform by transform and as recipes, at 640 pixels.

python benchmarks/augmentation.py ../shared/data/bccd --out benchmarks/results/augmentation.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from timing import interleaved_medians, reuse_heap

from detr_kit.data import CocoDataset, Draw, pad_collate

SIZE = 640
RESIZE = dict(type="Resize", size=[SIZE, SIZE], antialias=True)
FLIP = dict(type="RandomHorizontalFlip", p=0.5)
MOSAIC = dict(type="Mosaic", size=SIZE)
WARP = dict(type="RandomWarp", degrees=10, scale=(0.8, 1.25), translate=0.1)
# Of every pipeline the first line is what it costs to read a picture and bring it to size.
PIPELINES = {
    "read, resize": [RESIZE],
    "Mosaic": [MOSAIC],
    "MixUp": [RESIZE, dict(type="MixUp")],
    "CopyPaste": [RESIZE, dict(type="CopyPaste")],
    "RandomWarp": [RESIZE, WARP],
    "LargeScaleJitter": [dict(type="LargeScaleJitter", size=SIZE)],
    "CutOut": [RESIZE, dict(type="CutOut")],
    "RandomQuarterTurn": [RESIZE, dict(type="RandomQuarterTurn")],
    "HSVJitter": [RESIZE, dict(type="HSVJitter")],
    "RandomPhotometricDistort (torchvision)": [RESIZE, dict(type="RandomPhotometricDistort", p=1.0)],
    "ColorJitter (torchvision)": [
        RESIZE,
        dict(type="ColorJitter", brightness=0.4, saturation=0.5, hue=0.015),
    ],
    "GaussianBlur (torchvision)": [RESIZE, dict(type="GaussianBlur", kernel_size=5)],
    "GaussianNoise (torchvision)": [RESIZE, dict(type="GaussianNoise")],
    "RandomIoUCrop (torchvision)": [dict(type="RandomIoUCrop"), RESIZE],
    "RandomZoomOut (torchvision)": [dict(type="RandomZoomOut", p=1.0), RESIZE],
    "recipe: Mosaic, flip": [MOSAIC, FLIP],
    "recipe: Mosaic, RandomWarp, HSVJitter, flip": [MOSAIC, WARP, dict(type="HSVJitter"), FLIP],
    "recipe: the same and MixUp of mosaics": [
        MOSAIC, WARP, dict(type="MixUp", transforms=[MOSAIC], p=0.5), dict(type="HSVJitter"), FLIP,
    ],
    "recipe: D-FINE's (photometric, zoom-out, IoU crop, flip)": [
        dict(type="RandomPhotometricDistort", p=0.5), dict(type="RandomZoomOut", fill=0),
        dict(type="RandomApply", p=0.8, transforms=[dict(type="RandomIoUCrop")]),
        dict(type="SanitizeBoundingBoxes", min_size=1), FLIP, RESIZE,
    ],
}  # fmt: skip


def reader(dataset: CocoDataset) -> Callable[[], object]:
    """Reads the next picture of a data set as a worker does, collated alone."""
    position = iter(range(10**9))

    def read() -> None:
        number = next(position)
        pad_collate([dataset[Draw(number % len(dataset), number)]])

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with train.json and images/")
    parser.add_argument("--seconds", type=float, default=60.0, help="for everything together")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    functions = {}
    for cache, suffix in ((0.0, ""), (4.0, ", kept in memory")):
        for name, transforms in PIPELINES.items():
            dataset = CocoDataset(
                "train.json", "images", data_root=str(options.data), transforms=transforms, cache_gb=0.0
            )
            if cache:  # one cache for all
                kept = functions.get("cache") or CocoDataset(
                    "train.json", "images", data_root=str(options.data), cache_gb=cache
                )
                functions["cache"] = kept
                dataset._cache = kept._cache
            functions[name + suffix] = reader(dataset)
    functions.pop("cache")
    # Processor time: a core that is shared with others reads no slower by it.
    medians = interleaved_medians(
        functions, seconds=options.seconds, at_least=15, at_most=400, clock=time.process_time
    )
    rates = {name: round(1000 / milliseconds, 1) for name, milliseconds in medians.items()}
    for name, rate in rates.items():
        print(f"{name:75s} {medians[name]:7.2f} ms {rate:7.1f} images/s")
    if options.out:
        about = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
        result = {**about, "size": SIZE, "images_per_second_of_one_core": rates}
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    reuse_heap()
    main()
