"""Train a config: `detr-kit train` under the name the field expects."""

import sys

from detr_kit.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
