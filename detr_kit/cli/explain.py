"""`detr-kit explain`"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from ..given_paths import check_output_folder, check_sources
from ..number_ranges import check_count, check_prediction
from .detector_arguments import add_detector_arguments, build_detector


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("explain", help="draw where the network looked for each detection")
    parser.add_argument("image", help="a file or URL")
    add_detector_arguments(parser)
    parser.add_argument("--out", default="outputs", metavar="DIR", help="where the figures go (outputs)")
    parser.add_argument(
        "--detection",
        type=int,
        metavar="N",
        help="only this one, 0 for the best; otherwise all above the score",
    )
    parser.add_argument("--query", type=int, metavar="N", help="one of the decoder's queries instead")
    parser.add_argument(
        "--layer", type=int, default=-1, metavar="N", help="decoder layer whose attention is drawn (the last)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    check_prediction(options.score_threshold)
    for name in ("detection", "query"):
        if getattr(options, name) is not None:
            check_count(f"--{name}", getattr(options, name), least=0)
    check_sources([options.image])
    check_output_folder(Path(options.out))
    detector = build_detector(options)
    stem = Path(options.image).stem
    if options.query is not None:
        chosen = {f"{stem}_query_{options.query}": dict(query=options.query)}
    elif options.detection is not None:
        chosen = {f"{stem}_{options.detection}": dict(detection=options.detection)}
    else:
        found = detector(options.image, options.score_threshold)
        print(found)
        if not len(found):
            raise InputError(
                f"{options.image}: nothing scores {options.score_threshold} or more; lower --score-threshold"
            )
        chosen = {f"{stem}_{index}": dict(detection=index) for index in range(len(found))}
    for name, which in chosen.items():
        explanation = detector.explain(options.image, **which)
        path = explanation.save(Path(options.out) / f"{name}.png", options.layer)
        print(f"{explanation.class_name} {explanation.score:.2f} of query {explanation.query}: {path}")
