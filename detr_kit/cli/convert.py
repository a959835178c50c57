"""`detr-kit convert`"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checkpoints.location import check_destination, existing_checkpoint
from .offline import add_offline_argument


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("convert", help="convert a checkpoint between projects")
    parser.add_argument(
        "source",
        help=".pth, .safetensors, a transformers folder, builtin; an address, an id on the Hugging Face hub, "
        "a name of `detr-kit models`",
    )
    add_offline_argument(parser)
    parser.add_argument(
        "--to",
        required=True,
        choices=("official", "mmdet", "detrex", "huggingface", "detr_kit"),
        help="whose format",
    )
    parser.add_argument(
        "-o", "--out", required=True, help=".safetensors or .pth; for huggingface a folder, with config.json"
    )
    parser.add_argument(
        "--classes", choices=("keep", "coco80"), default="keep", help="coco80: mmdet's 80 of the 91 COCO ids"
    )
    parser.add_argument("--dc5", action="store_true", help="the model is DC5, which weights do not tell")
    parser.add_argument("--verify", action="store_true", help="run both and print the largest differences")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    check_destination(options.source, options.to, Path(options.out))
    existing_checkpoint(options.source)

    from ..checkpoints import convert_file, verify_conversion

    dilation = options.dc5 or None
    report = convert_file(options.source, options.to, options.out, classes=options.classes, dilation=dilation)
    print(
        f"{report.source} checkpoint of {report.architecture}, {report.num_tensors} tensors -> "
        f"{report.destination}: {report.path}"
    )
    for note in report.notes:
        print(f"note: {note}")
    if options.verify:
        differences = verify_conversion(
            options.source, options.out, classes=options.classes, dilation=options.dc5
        )
        for name, value in differences.items():
            print(f"largest difference of {name}: {value:.1e}")
