"""`detr-kit check`"""

from __future__ import annotations

import argparse

from ..config import find_config, is_config
from ..errors import InputError
from ..given_paths import data_paths
from ..number_ranges import check_count
from .run_arguments import add_overrides, overrides


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("check", help="find what is wrong with a data set before training on it")
    parser.add_argument(
        "data",
        metavar="CONFIG|DATA",
        help="a config's name or path (all its data sets are checked), or a data set: "
        "COCO, Pascal VOC, YOLO or CVAT, a folder, an annotation file or a data.yaml",
    )
    parser.add_argument(
        "--images", metavar="DIR", help="the pictures, where they are not beside the annotations"
    )
    parser.add_argument("--no-images", action="store_true", help="look at the annotations alone")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="a single annotation that cannot be used is an error, not only from 1 %% of them on",
    )
    parser.add_argument("--num-queries", type=int, metavar="N", help="of the network (the config's)")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument(
        "--html", metavar="FILE", help="write it as one HTML file, with pictures of the worst"
    )
    add_overrides(parser, "data_root=DIR")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.num_queries is not None:
        check_count("--num-queries", options.num_queries)
    if is_config(options.data):
        if options.images is not None:
            raise InputError("--images: a config names its pictures itself; use --cfg-options data_root=DIR")
        find_config(options.data)
    else:
        if options.cfg_options:
            raise InputError("--cfg-options: there is no config here; it goes with a config's name or path")
        data_paths(options.data, options.images)

    from ..engine.check_command import run_check

    return run_check(
        options.data,
        images=options.images,
        read_images=not options.no_images,
        num_queries=options.num_queries,
        json_file=options.json,
        html_file=options.html,
        options=overrides(options),
        strict=options.strict,
    )
