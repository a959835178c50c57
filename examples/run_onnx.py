"""Run an exported detector with onnxruntime, numpy and Pillow: neither detr-kit nor torch is needed.

python examples/run_onnx.py shapes.onnx photo.jpg [SCORE_THRESHOLD]
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

path, picture = sys.argv[1:3]
threshold = float(sys.argv[3]) if len(sys.argv) > 3 else 0.5
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["detr_kit"])

image = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
# What the transforms in about["transforms"] do: the short side to a size, the long one to at most another.
resize = about["transforms"][0]
sizes, most = resize["sizes"], resize.get("max_size")
short = sizes if isinstance(sizes, int) else sizes[-1]
scale = short / min(image.size)
if most and scale * max(image.size) > most:
    scale = most / max(image.size)
size = tuple(round(scale * side) for side in image.size)
pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32) / 255
pixels = (pixels - np.float32(about["mean"])) / np.float32(about["std"])

scores, labels, boxes = session.run(None, {"images": pixels.transpose(2, 0, 1)[None]})
boxes = boxes[0] * np.tile(image.size, 2)  # shares of the image -> pixels of the original
for score, label, box in zip(scores[0], labels[0], boxes, strict=True):
    if score >= threshold:
        print(f"{about['classes'][label]} {score:.2f} at {', '.join(f'{side:.0f}' for side in box)}")
