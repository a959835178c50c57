"""`detr-kit benchmark`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..benchmark.options import SIZE, USUAL, WAYS, BenchmarkOptions
from ..checkpoints.location import default_checkpoint, existing_checkpoint
from ..config import find_config
from ..errors import InputError
from .offline import add_offline_argument


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "benchmark", help="time every way of running a detector on this machine, and name the fastest"
    )
    parser.add_argument("--model", help="a config's name or path; by default as the weights say")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint",
        help=".pth, .safetensors, a folder, builtin; an address, an id on the Hugging Face hub, a name of "
        "`detr-kit models` (published weights of the model)",
    )
    weights.add_argument(
        "--random-weights", action="store_true", help="of the model: as fast, with nothing to download"
    )
    add_offline_argument(parser)
    parser.add_argument(
        "--only", nargs="+", choices=WAYS, metavar="WAY", default=list(USUAL),
        help=f"{', '.join(WAYS)} (all but fp16 and aoti)",
    )  # fmt: skip
    parser.add_argument("--file", action="append", metavar="FILE", help="an exported one, to be timed too")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), default=SIZE,
        help="of the picture, before the detector resizes it ({} {})".format(*SIZE),
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="pictures at once (1)")
    parser.add_argument("--images", metavar="DIR", help="compare detections on these (four drawn pictures)")
    parser.add_argument("--device", help="cpu, cuda, mps, …; by default a GPU where there is one")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="of taking turns (60)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    how = BenchmarkOptions(
        ways=options.only,
        files=options.file or (),
        size=tuple(options.size),
        batch_size=options.batch_size,
        seconds=options.seconds,
        images=options.images,
        random_weights=options.random_weights,
    )
    if options.json and not Path(options.json).absolute().parent.is_dir():
        raise InputError(f"--json {options.json}: there is no folder {Path(options.json).parent}")
    if options.model is not None:
        find_config(options.model)
    how.check_model(options.model)
    checkpoint = ""
    if not options.random_weights:
        checkpoint = options.checkpoint or default_checkpoint(options.model)
        existing_checkpoint(checkpoint)

    from ..benchmark import benchmark_detector, benchmark_text

    found = benchmark_detector(
        options.model,
        checkpoint,
        how,
        device=options.device,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if options.json:
        Path(options.json).write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(benchmark_text(found))
