"""`detr-kit predict`"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..given_paths import check_output_folder, check_sources
from ..number_ranges import check_prediction
from .detector_arguments import add_detector_arguments, build_detector


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "predict",
        help="detect objects in images and videos",
        epilog="Exit code: 0 all done, 1 some could not be read, or not to the end (they are listed), "
        "2 nothing done.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="images, URLs, folders, patterns ('photos/**/*.jpg'), videos, a camera's number",
    )
    add_detector_arguments(parser)
    parser.add_argument("--out", default="outputs", metavar="DIR", help="where the pictures go (outputs)")
    parser.add_argument("--json", action="store_true", help="write the detections beside each picture")
    parser.add_argument("--show", action="store_true", help="open a window; a key goes on, q ends")
    parser.add_argument("--overwrite", action="store_true", help="do again what is in the folder already")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="images at once (as many as memory takes)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    check_prediction(options.score_threshold, options.batch_size)
    check_sources(options.sources)
    check_output_folder(Path(options.out))
    detector = build_detector(options)

    from ..predict import PredictRun

    predict = PredictRun(
        detector,
        options.out,
        score_threshold=options.score_threshold,
        batch_size=options.batch_size,
        write_json=options.json,
        show=options.show,
        overwrite=options.overwrite,
    )
    report = predict([_source(text) for text in options.sources])
    print(report, file=sys.stderr if report.failed else sys.stdout)
    if report.done or report.skipped:
        print(f"in {options.out}")
    return 1 if report.failed else 0


def _source(text: str) -> str | int:
    """A number is a camera's, unless a file is called so."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text
