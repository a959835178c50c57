"""Evaluate a checkpoint: `detr-kit test` under the name the field expects."""

import sys

from detr_kit.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
