"""`detr-kit models`"""

from __future__ import annotations

import argparse


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("models", help="published weights by name, and which of them are here")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from rich.console import Console

    from ..weights.listing import models_json, models_table

    if options.json:
        print(models_json())
    else:
        Console().print(models_table())
