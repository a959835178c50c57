"""Images a second of the training pipeline on one core, against torchvision's own v2 pipeline.

    taskset -c 0 python benchmarks/loader.py --seconds 20

JPEG files of 640 × 480 with seven objects each, decoded, flipped, resized or cropped as DETR trains. Both
sides do the same in the process itself: more workers are as many times this.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import interleaved_medians
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from detr_kit.config import read_config
from detr_kit.data import CocoDataset

IMAGES, OBJECTS, HEIGHT, WIDTH = 32, 7, 480, 640


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder))
        sets = {"torchvision v2": torchvision_set(folder), "detr-kit": our_set(folder)}
        medians = interleaved_medians(
            {name: lambda data=data: [data[i] for i in range(IMAGES)] for name, data in sets.items()},
            options.seconds,
            at_least=3,
        )
    rates = {name: 1e3 * IMAGES / median for name, median in medians.items()}
    for name, rate in rates.items():
        print(f"{name:15} {rate:6.1f} images/s  {rate / rates['torchvision v2']:.2f}x")
    if options.json:
        Path(options.json).write_text(json.dumps(rates, indent=1) + "\n")


def write_set(folder: Path) -> None:
    """Smooth noise with boxes in COCO's format."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(IMAGES):
        noise = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(folder / f"{index}.jpg", quality=90)
        images.append({"id": index + 1, "file_name": f"{index}.jpg", "height": HEIGHT, "width": WIDTH})
        for _ in range(OBJECTS):
            x, y = int(rng.integers(0, WIDTH - 100)), int(rng.integers(0, HEIGHT - 100))
            box = [x, y, int(rng.integers(10, 100)), int(rng.integers(10, 100))]
            row = {"id": len(annotations) + 1, "image_id": index + 1, "category_id": 1, "iscrowd": 0}
            annotations.append(row | {"bbox": box, "area": box[2] * box[3]})
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "set.json").write_text(json.dumps(data))


def our_set(folder: str) -> CocoDataset:
    """As the shipped config of DETR has it."""
    config = read_config("detr_r50").train_dataloader.dataset.to_dict()
    config.update(data_root=folder, annotations="set.json", images=".")
    del config["type"]
    return CocoDataset(**config)


def torchvision_set(folder: str) -> torch.utils.data.Dataset:
    """The same augmentation of torchvision's parts."""
    sizes = list(range(480, 801, 32))
    resize = v2.RandomShortestSize(sizes, max_size=1333)
    crop = v2.Compose([v2.RandomShortestSize([400, 500, 600]), _SizeCrop(), resize])
    steps = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(), v2.RandomChoice([resize, crop]),
                        v2.SanitizeBoundingBoxes()])  # fmt: skip
    data = CocoDetection(folder, f"{folder}/set.json", transforms=steps)
    return wrap_dataset_for_transforms_v2(data, target_keys=["boxes", "labels"])


class _SizeCrop(torch.nn.Module):
    """A crop of 384 to 600 pixels a side."""

    def forward(self, image, target):
        sides = [min(random.randint(384, 600), side) for side in image.shape[-2:]]
        return v2.RandomCrop(sides)(image, target)


if __name__ == "__main__":
    main()
