"""Draws docs/images/augmentation.jpg: the same photograph after each transform, with the boxes that it gave.

python tools/draw_augmentation.py ../shared/data/bccd
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.ops import box_convert

from detr_kit.data import CocoDataset, Draw
from detr_kit.visualization import draw_boxes, titled

PICTURES: dict[str, list] = {
    "as it is": [],
    "RandomHorizontalFlip": [dict(type="RandomHorizontalFlip", p=1)],
    "RandomVerticalFlip": [dict(type="RandomVerticalFlip", p=1)],
    "RandomQuarterTurn": [dict(type="RandomQuarterTurn")],
    "RandomWarp: degrees=30": [dict(type="RandomWarp", degrees=30)],
    "… outline=corners": [dict(type="RandomWarp", degrees=30, outline="corners")],
    "RandomWarp: scale, translate": [dict(type="RandomWarp", scale=(0.6, 1.5), translate=0.15)],
    "RandomWarp: shear=20": [dict(type="RandomWarp", shear=20)],
    "RandomWarp: perspective=0.3": [dict(type="RandomWarp", perspective=0.3)],
    "LargeScaleJitter": [dict(type="LargeScaleJitter", size=640, scale=(0.3, 2.0))],
    "RandomIoUCrop": [dict(type="RandomIoUCrop"), dict(type="SanitizeBoundingBoxes")],
    "RandomZoomOut": [dict(type="RandomZoomOut", p=1, fill=114)],
    "Mosaic": [dict(type="Mosaic", size=640)],
    "Mosaic: dense": [dict(type="Mosaic", size=640, scale=(0.5, 0.5), centre=(0.5, 0.5))],
    "MixUp": [dict(type="MixUp")],
    "MixUp of mosaics": [
        dict(type="Mosaic", size=640),
        dict(type="MixUp", transforms=[dict(type="Mosaic", size=640)]),
    ],
    "CopyPaste": [dict(type="CopyPaste")],
    "CutOut": [dict(type="CutOut")],
    "HSVJitter": [dict(type="HSVJitter", hue=0.1)],
    "RandomPhotometricDistort": [dict(type="RandomPhotometricDistort", p=1)],
    "RandomGrayscale": [dict(type="RandomGrayscale", p=1)],
    "GaussianBlur": [dict(type="GaussianBlur", kernel_size=15, sigma=(3.0, 4.0))],
    "GaussianNoise": [dict(type="GaussianNoise", sigma=0.15)],
    "Albumentations": [
        dict(type="Albumentations", transforms=dict(MotionBlur=dict(blur_limit=(15, 21), p=1.0)))
    ],
}
SEEDS = {"RandomQuarterTurn": 1, "RandomIoUCrop": 12}  # for which there is something to see
ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, COLUMNS = 300, 250, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the blood cells, or any folder with train.json and images/")
    parser.add_argument("--image", type=int, default=7, help="which of the training pictures")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "augmentation.jpg")
    options = parser.parse_args()
    cells = []
    for name, transforms in PICTURES.items():
        dataset = CocoDataset("train.json", "images", data_root=str(options.data), transforms=transforms)
        sample = dataset[Draw(options.image, SEEDS.get(name, options.seed))]
        height, width = sample.image.shape[-2:]
        boxes = box_convert(sample.target.boxes, "cxcywh", "xyxy") * sample.target.boxes.new_tensor(
            [width, height, width, height]
        )
        labels = sample.target.labels.tolist()
        pixels = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
        drawn = draw_boxes(pixels, boxes.tolist(), labels, [""] * len(labels))
        drawn.thumbnail((WIDTH - 6, HEIGHT - 26))
        cells.append(titled(drawn, name, size=13))
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, rows * HEIGHT), "white")
    for index, cell in enumerate(cells):
        sheet.paste(cell, (index % COLUMNS * WIDTH + 3, index // COLUMNS * HEIGHT + 3))
    sheet.save(options.out, quality=82)
    print(f"{options.out}: {len(cells)} pictures")


if __name__ == "__main__":
    main()
