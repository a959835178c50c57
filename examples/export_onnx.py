"""A detector as one ONNX file, compared with the network that it came from.

    python examples/export_onnx.py builtin shapes.onnx
    python examples/run_onnx.py shapes.onnx photo.jpg         # onnxruntime alone

The same on the command line: detr-kit export --checkpoint builtin --format onnx -o shapes.onnx
"""

import sys

from detr_kit import Detector
from detr_kit.export import ExportedDetector, ExportOptions, export_detector

checkpoint, path = sys.argv[1:]
detector = Detector(checkpoint=checkpoint, device="cpu")
export_detector(detector, path, ExportOptions(format="onnx"))
print(ExportedDetector(path))  # called as the Detector is, and it has .evaluate(DATA) too
