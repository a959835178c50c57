"""The command line: one file for each command, arguments and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import InputError
from . import benchmark, check, convert, data, demo, env, explain, export, models, predict, serve, test, train

COMMANDS = (check, data, train, test, predict, explain, models, demo, serve, convert, export, benchmark, env)


def build_parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    parser = argparse.ArgumentParser(
        prog="detr-kit", description="train, evaluate and run object detectors of the DETR family"
    )
    parser.add_argument("--version", action="version", version=f"detr-kit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `detr-kit …`; a user's mistake ends with one message and exit code 2.

    A command returns its exit code, or nothing for 0.
    """
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except InputError as error:
        # A worker process hands its error over inside a traceback: the message is its last part.
        message = str(error).rsplit("InputError: ", 1)[-1].strip()
        print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
