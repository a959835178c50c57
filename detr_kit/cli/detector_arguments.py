"""The arguments of commands that run a trained detector."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..inference import Detector


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a config's name or path; by default as the weights say")
    parser.add_argument(
        "--checkpoint", required=True, help=".pth, .safetensors, a transformers folder, or builtin"
    )
    parser.add_argument("--score-threshold", type=float, default=0.3, help="leave out what is below (0.3)")
    parser.add_argument(
        "--nms", type=float, metavar="IOU", help="leave out what overlaps a better one of its class by more"
    )
    parser.add_argument("--device", help="cpu, cuda, mps, …; by default a GPU where there is one")
    parser.add_argument("--half", choices=("bf16", "fp16"), help="run the network in half precision")
    parser.add_argument("--compile", action="store_true", help="run the network through torch.compile")


def build_detector(options: argparse.Namespace) -> Detector:
    from ..inference import Detector

    return Detector(
        options.model,
        options.checkpoint,
        options.device,
        half=options.half,
        compile=options.compile,
        nms_iou_threshold=options.nms,
    )
