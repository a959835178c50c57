"""`make demo`: write the shapes set, train the small detector, evaluate it and draw what it sees."""

import argparse
import sys

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="work_dirs/demo", help="where everything goes")
    parser.add_argument("--epochs", type=int, help="instead of the config's")
    options = parser.parse_args()

    from detr_kit.engine.demo import run_demo  # takes seconds, --help does not

    sys.exit(run_demo(options.out, options.epochs))
