"""AP, size and latency of a detector in every export format: the table of docs/export.md.

    python benchmarks/export_formats.py --checkpoint builtin --data work_dirs/demo/data --out work_dirs/export

A file that is in the folder already is not exported again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

from detr_kit import Detector
from detr_kit.errors import InputError
from detr_kit.export import ExportOptions, VerificationSet, export_detector, report_text, verify_export

VARIANTS = {
    "onnx_fp32.onnx": dict(format="onnx"),
    "onnx_fp16.onnx": dict(format="onnx", half=True),
    "onnx_int8.onnx": dict(format="onnx", int8=True),
    "torch_export_reference.pt2": dict(format="torch-export"),
    "torch_export_native.pt2": dict(format="torch-export", op="native"),
    "aoti_reference.aoti": dict(format="aoti"),
    "openvino_fp32.xml": dict(format="openvino"),
    "openvino_fp16.xml": dict(format="openvino", half=True),
    "openvino_int8.xml": dict(format="openvino", int8=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--checkpoint", default="builtin")
    parser.add_argument("--data", type=Path, required=True, help="a set of write_shapes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="images to verify on")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    detector = Detector(options.model, options.checkpoint, device="cpu")
    images = VerificationSet.from_coco(options.data / "val.json", options.data / "val", options.limit)
    calibration = sorted((options.data / "train").glob("*.png"))[:1500:15]
    for name, variant in VARIANTS.items():
        path = options.out / name
        try:
            if not path.is_file():
                export_detector(detector, path, ExportOptions(**variant), calibration)  # type: ignore[arg-type]
            found = verify_export(detector, path, images, repeats=31)
        except InputError as error:
            print(f"{name}: {error}", flush=True)
            continue
        print(report_text(found), flush=True)
        path.with_suffix(".json").write_text(json.dumps(found.to_dict(), indent=1))


if __name__ == "__main__":
    main()
