"""`detr-kit serve`"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from ..number_ranges import check_count
from ..serving.detector import check_detector
from ..serving.limits import Limits
from .offline import add_offline_argument


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("serve", help="detection over HTTP: POST /detect, /health, /metrics")
    add_server_arguments(parser, port=8000)
    parser.set_defaults(run=run)


def add_server_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """The arguments that the endpoint and the page share."""
    parser.add_argument("--model", help="a config's name or path (found by the weights)")
    parser.add_argument(
        "--checkpoint",
        help=".pth, .safetensors, an exported file, an address, an id on the Hugging Face hub, a name of "
        "`detr-kit models` (the model's published weights; without a model the shapes detector that comes "
        "along)",
    )
    add_offline_argument(parser)
    parser.add_argument("--device", help="cpu, cuda, mps, …; by default a GPU where there is one")
    parser.add_argument(
        "--half",
        choices=("auto", "bf16", "fp16"),
        help="run the network in half precision; auto: where it is native",
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to the network (127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, help=f"0 takes any free one ({port})")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-batch", type=int, metavar="N", help="images of one size at once (8)")
    limits.add_argument("--max-wait", type=float, metavar="S", help="seconds to wait for others (0.01)")
    limits.add_argument(
        "--queue-size", type=int, metavar="N", help="complete requests at a time; others get 429 (32)"
    )
    limits.add_argument("--max-bytes", type=int, metavar="N", help="of a request (16777216)")
    limits.add_argument("--max-pixels", type=int, metavar="N", help="of an image (25000000)")
    limits.add_argument("--timeout", type=float, metavar="S", help="seconds until a request is given up (30)")
    limits.add_argument("--max-uploads", type=int, metavar="N", help="bodies on their way at a time (256)")
    limits.add_argument(
        "--max-uploads-per-client",
        type=int,
        metavar="N",
        help="of them from one address (128); raise it to --max-uploads behind a proxy",
    )
    limits.add_argument(
        "--max-upload-bytes", type=int, metavar="N", help="held by all bodies on their way (268435456)"
    )
    limits.add_argument(
        "--min-rate", type=float, metavar="N", help="bytes a second that a body must come at (4096)"
    )
    limits.add_argument("--max-connections", type=int, metavar="N", help="open at a time (1024)")


def run(options: argparse.Namespace, page: bool = False) -> None:
    check_count("--port", options.port, least=0, most=65535)
    given = {field.name: getattr(options, field.name) for field in fields(Limits)}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    check_detector(options.model, options.checkpoint, options.device, options.half)

    from ..serving import create_app, open_detector, run_server

    detector = open_detector(options.model, options.checkpoint, options.device, options.half)
    name = options.model or (Path(options.checkpoint).stem if options.checkpoint else "shapes (built in)")
    run_server(create_app(detector, limits, name=str(name), page=page), limits, options.host, options.port)
