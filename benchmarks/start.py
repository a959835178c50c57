"""How long commands and imports take from nothing: the table of docs/performance.md.

    python benchmarks/start.py --beside ../earlier_checkout --rounds 7 --out start.json

The commands take turns. Beside wall time stands processor time, which says more on a machine that is busy
elsewhere; the least of all rounds is what the work takes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parents[1]
READY = "import torch, torchvision, detr_kit; "
COMMANDS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import torch, torchvision": ["-c", "import torch, torchvision"],
    "import detr_kit": ["-c", "import detr_kit"],
    "detr-kit --help": ["-m", "detr_kit", "--help"],
    "detr-kit train --help": ["-m", "detr_kit", "train", "--help"],
    "tools/demo.py --help": ["tools/demo.py", "--help"],
    "detr-kit predict … --score-threshold 2": [
        "-m",
        "detr_kit",
        "predict",
        "a.png",
        "--score-threshold",
        "2",
    ],
    "detr-kit export … --opset 3": [
        *["-m", "detr_kit", "export", "--checkpoint", "builtin", "--format", "onnx", "-o", "a.onnx"],
        *["--opset", "3"],
    ],
    "detr-kit train … --epochs 0": ["-m", "detr_kit", "train", "--data", "a.png", "--epochs", "0"],
    "detr-kit test … gone.pth": ["-m", "detr_kit", "test", "detr_r50", "gone.pth"],
    "torch, torchvision, detr_kit.Detector": ["-c", READY + "detr_kit.Detector"],
    "… and Detector(checkpoint='builtin')": ["-c", READY + "detr_kit.Detector(checkpoint='builtin')"],
    "detr-kit predict, one picture": [
        *["-m", "detr_kit", "predict", "a.png", "--checkpoint", "builtin", "--device", "cpu"],
        *["--overwrite"],
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--beside", type=Path, nargs="*", default=[], help="other checkouts, to take turns with"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write every time as JSON")
    options = parser.parse_args()
    trees = {path.name: path for path in (HERE, *(path.resolve() for path in options.beside))}
    times: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {tree: [] for tree in trees} for name in COMMANDS
    }
    with tempfile.TemporaryDirectory() as folder:
        noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
        Image.fromarray(noise).save(Path(folder) / "a.png")
        for _ in range(options.rounds + 1):  # the first, which writes bytecode, is not counted
            for name, arguments in COMMANDS.items():
                for tree, path in trees.items():
                    times[name][tree].append(_run(arguments, path, folder))
    rows = {name: {tree: _summary(runs[1:]) for tree, runs in found.items()} for name, found in times.items()}
    _print(rows, list(trees))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def _run(arguments: list[str], tree: Path, folder: str) -> tuple[float, float]:
    """Seconds of a command: by the clock, and of the processor."""
    arguments = [str(tree / part) if part.startswith("tools/") else part for part in arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    earlier, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, check=False
    )
    wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, used.ru_utime + used.ru_stime - earlier.ru_utime - earlier.ru_stime


def _summary(runs: list[tuple[float, float]]) -> dict[str, float]:
    wall, processor = zip(*runs, strict=True)
    return {
        "wall": round(min(wall), 3),
        "wall_median": round(statistics.median(wall), 3),
        "processor": round(min(processor), 3),
        "processor_median": round(statistics.median(processor), 3),
    }


def _print(rows: dict[str, dict[str, dict[str, float]]], trees: list[str]) -> None:
    print(f"{'seconds, least: wall (processor)':44}" + "".join(f"{tree:>18}" for tree in trees))
    for name, found in rows.items():
        cells = [f"{found[tree]['wall']:.2f} ({found[tree]['processor']:.2f})" for tree in trees]
        print(f"{name:44}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
