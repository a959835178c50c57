"""Which layers bear INT8: each group alone in INT8, all others in float. The table of docs/export.md.

python benchmarks/int8_sensitivity.py --data work_dirs/demo/data --file work_dirs/export/onnx_fp32.onnx
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import onnx

from detr_kit import Detector
from detr_kit.errors import InputError
from detr_kit.export import ExportedDetector, ExportOptions, VerificationSet, verify_export
from detr_kit.export.export import network_inputs
from detr_kit.export.onnx_format import LAYERS_KEY, set_metadata
from detr_kit.export.quantize import quantize

GROUPS = (
    "backbone", "neck", "value_proj", "sampling_offsets", "attention_weights", "output_proj", "ffn",
    r"decoder_layers\.\d\.self_attn", "class_head", "box_head", "reference_points",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="builtin")
    parser.add_argument("--file", type=Path, required=True, help="its float32 .onnx export")
    parser.add_argument("--data", type=Path, required=True, help="a set of write_shapes")
    parser.add_argument("--limit", type=int, default=64, help="images to measure on")
    parser.add_argument("--report", type=Path, help="JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    detector = Detector(None, options.checkpoint, device="cpu")
    images = VerificationSet.from_coco(options.data / "val.json", options.data / "val", options.limit)
    calibration = sorted((options.data / "train").glob("*.png"))[:1500:30]
    metadata, model = ExportedDetector(options.file).metadata, onnx.load(options.file)
    layers = next(entry.value for entry in model.metadata_props if entry.key == LAYERS_KEY).splitlines()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for group in (*GROUPS, "all"):
            keep = () if group == "all" else (rf"^(?!.*{group})",)
            batches = (network_inputs(detector, image, ExportOptions("onnx")) for image in calibration)
            try:
                quantised = quantize(model, batches, keep)
            except InputError as error:
                print(f"{group}: {error}")
                continue
            set_metadata(quantised, metadata, layers)
            path = Path(folder) / "group.onnx"
            onnx.save(quantised, path)
            found = verify_export(detector, path, images, repeats=1)
            assert found.ap is not None
            rows[group] = {
                "ap_change": found.ap[1] - found.ap[0],
                "mean_iou": found.matches.mean_iou,
                "box_drift": found.matches.boxes.mean,
                "score_drift": found.matches.scores.mean,
                "first_layer": found.first_layer.name if found.first_layer else "",
            }
            print(
                group,
                {k: v if isinstance(v, str) else round(v, 5) for k, v in rows[group].items()},
                flush=True,
            )
    if options.report:
        options.report.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
