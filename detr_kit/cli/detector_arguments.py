"""The arguments of commands that run a trained detector."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..checkpoints.location import default_checkpoint, existing_checkpoint
from ..config import find_config
from ..number_ranges import check_nms
from .offline import add_offline_argument

if TYPE_CHECKING:
    from ..inference import Detector


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a config's name or path; by default as the weights say")
    parser.add_argument(
        "--checkpoint",
        help=".pth, .safetensors or a transformers folder; an address, an id on the Hugging Face hub, a name "
        "of `detr-kit models`; builtin, which finds shapes (published weights of the model)",
    )
    add_offline_argument(parser)
    parser.add_argument("--score-threshold", type=float, default=0.3, help="leave out what is below (0.3)")
    parser.add_argument(
        "--nms", type=float, metavar="IOU", help="leave out what overlaps a better one of its class by more"
    )
    parser.add_argument("--device", help="cpu, cuda, mps, …; by default a GPU where there is one")
    parser.add_argument(
        "--half",
        choices=("auto", "bf16", "fp16"),
        help="run the network in half precision; auto: where it is native",
    )
    parser.add_argument("--compile", action="store_true", help="run the network through torch.compile")


def build_detector(options: argparse.Namespace) -> Detector:
    """Without a checkpoint one with published weights, and that is said.

    Raises:
        InputError: what the Detector refuses.
    """
    check_nms(options.nms)
    if options.model is not None:
        find_config(options.model)
    checkpoint = options.checkpoint or default_checkpoint(options.model)
    existing_checkpoint(checkpoint)

    from ..inference import Detector

    detector = Detector(**{**detector_arguments(options), "checkpoint": checkpoint})
    if options.checkpoint is None:
        known = sum(name != "N/A" for name in detector.class_names)
        print(
            f"no --checkpoint: {detector.checkpoint}, published weights for {known} classes", file=sys.stderr
        )
    for note in detector.notes:
        print(f"note: {note}", file=sys.stderr)
    return detector


def detector_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The Detector's arguments by its names; a checkpoint that was not named is ""."""
    return dict(
        model=options.model,
        checkpoint=options.checkpoint or "",
        device=options.device,
        half=options.half,
        compile=options.compile,
        nms_iou_threshold=options.nms,
    )
