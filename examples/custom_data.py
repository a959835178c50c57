"""Data of a form of your own: here a CSV table, a line a box. It becomes a COCO file, and all else follows.

image,class,x0,y0,x1,y1
a.jpg,cat,12,30,200,180

python examples/custom_data.py boxes.csv PICTURES     # writes OUT/all.json, and checks it
detr-kit train --data OUT/all.json --images PICTURES  # then trains; a fifth is held out for validation
"""

import csv
import json
import sys
from pathlib import Path

from PIL import Image
from rich.console import Console

from detr_kit.check import check_data
from detr_kit.data.formats import find_data

table, pictures = Path(sys.argv[1]), Path(sys.argv[2])
out = Path(sys.argv[3] if len(sys.argv) > 3 else "coco") / "all.json"
with table.open(newline="") as file:
    rows = list(csv.DictReader(file))

names = sorted({row["class"] for row in rows})
category_of = {name: number for number, name in enumerate(names, start=1)}
images = []
# All pictures, those without a line too: they teach what is background.
for number, path in enumerate(sorted(p for p in pictures.iterdir() if p.is_file()), start=1):
    with Image.open(path) as picture:
        width, height = picture.size
    images.append({"id": number, "file_name": path.name, "width": width, "height": height})
id_of = {image["file_name"]: image["id"] for image in images}

annotations = []
for number, row in enumerate(rows, start=1):
    x0, y0, x1, y1 = (float(row[corner]) for corner in ("x0", "y0", "x1", "y1"))
    annotations.append(
        {
            "id": number,
            "image_id": id_of[row["image"]],
            "category_id": category_of[row["class"]],
            "bbox": [x0, y0, x1 - x0, y1 - y0],  # COCO: corner, width, height, in pixels
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
        }
    )

out.parent.mkdir(parents=True, exist_ok=True)
categories = [{"id": number, "name": name} for name, number in category_of.items()]
out.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
print(f"{out}: {len(images)} pictures, {len(annotations)} boxes, classes {', '.join(names)}")
check_data(list(find_data(out, pictures).splits.values()), name=str(out)).print(Console())
