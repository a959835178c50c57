"""`detr-kit predict`"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..given_paths import check_output_folder, check_sources
from ..number_ranges import check_prediction
from ..scale.requirements import ENGINES, require_packages
from ..storage import is_url
from .detector_arguments import add_detector_arguments, build_detector, detector_arguments

_OF_RAY = {  # option -> field of Actors
    "actors": "count",
    "cpus_per_actor": "cpus",
    "gpus_per_actor": "gpus",
    "ray_address": "address",
}


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
    tables = parser.add_argument_group(
        "very many images", "into Parquet files, one row an image; a run that was cut off goes on"
    )
    tables.add_argument(
        "--engine",
        choices=ENGINES,
        help="who does it: local, this process; ray, a cluster. SOURCE and --out may then be addresses, as "
        "'s3://bucket/photos/*.jpg'",
    )
    tables.add_argument("--images-per-file", type=int, metavar="N", help="(256)")
    tables.add_argument("--actors", type=int, metavar="N", help="of ray, a model each (as many as fit)")
    tables.add_argument("--cpus-per-actor", type=float, metavar="N", help="(1)")
    tables.add_argument("--gpus-per-actor", type=float, metavar="N", help="(1 where the cluster has some)")
    tables.add_argument("--ray-address", metavar="ADDRESS", help="(RAY_ADDRESS, else this machine alone)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    check_prediction(options.score_threshold, options.batch_size)
    if options.engine is not None:
        return _into_tables(options)
    for name in ("images_per_file", *_OF_RAY):
        if getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} goes with --engine")
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


def _into_tables(options: argparse.Namespace) -> int:
    for name, instead in (("json", "the tables have the detections"), ("show", "nothing is drawn")):
        if getattr(options, name):
            raise InputError(f"--{name} does not go with --engine: {instead}")
    given = {field: getattr(options, name) for name, field in _OF_RAY.items()}
    given = {field: value for field, value in given.items() if value is not None}
    if given and options.engine != "ray":
        raise InputError(f"{', '.join(_option(given))}: of --engine ray; this is {options.engine}")
    require_packages(options.engine)
    check_sources(options.sources)
    if not is_url(options.out):
        check_output_folder(Path(options.out))

    from ..scale import Actors, predict_dataset

    more = {} if options.images_per_file is None else {"images_per_file": options.images_per_file}
    report = predict_dataset(
        options.sources,
        options.out,
        **detector_arguments(options),
        score_threshold=options.score_threshold,
        batch_size=options.batch_size,
        engine=options.engine,
        actors=Actors(**given) if options.engine == "ray" else None,
        overwrite=options.overwrite,
        **more,
    )
    print(report, file=sys.stderr if report.failed else sys.stdout)
    print(f"in {options.out}")
    return 1 if report.failed else 0


def _option(fields: Iterable[str]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, field in _OF_RAY.items() if field in fields]


def _source(text: str) -> str | int:
    """A number is a camera's, unless a file is called so."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text
