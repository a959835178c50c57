"""`detr-kit env`"""

from __future__ import annotations

import argparse


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("env", help="versions of what matters, for bug reports")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..environment import describe_environment

    for name, value in describe_environment().items():
        print(f"{name:14} {value}")
