"""`detr-kit demo`"""

from __future__ import annotations

import argparse

from . import serve


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("demo", help="a page to try a detector in the browser")
    serve.add_server_arguments(parser, port=7860)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    serve.run(options, page=True)
