"""`detr-kit predict`"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InputError


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("predict", help="detect objects in images")
    parser.add_argument("images", nargs="+", help="image files or URLs")
    parser.add_argument("--model", required=True, help="a config's name or path")
    parser.add_argument("--checkpoint", required=True, help=".pth or .safetensors")
    parser.add_argument("--out", default="outputs", metavar="DIR", help="where the pictures go (outputs)")
    parser.add_argument("--score-threshold", type=float, default=0.3)
    parser.add_argument("--device", help="cpu, cuda, …")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..inference import Detector, picture_names

    detector = Detector(options.model, options.checkpoint, device=options.device)
    names, failed = picture_names(options.images), []
    for image, name in zip(options.images, names, strict=True):
        try:
            detections = detector(image, score_threshold=options.score_threshold)
            path = detections.save(Path(options.out) / name)
        except InputError as error:
            failed.append(str(error))
            continue
        print(detections.to_json())
        print(f"{len(detections)} objects drawn in {path}", file=sys.stderr)
    if failed:
        raise InputError(f"{len(failed)} of {len(names)} images failed: " + "; ".join(failed))
