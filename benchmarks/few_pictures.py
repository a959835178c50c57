"""What each ingredient of a recipe gives on few pictures, at equal processor time: runs -> JSON -> table.

python benchmarks/few_pictures.py run --sets bccd raccoon --recipes steps strong --minutes 5 --seeds 0 1 2
python benchmarks/few_pictures.py run --sets bccd --recipes strong --pictures 10 30 100 --minutes 5
python benchmarks/few_pictures.py table

Runs that are in the JSON already are not done again. A run trains on the train split for so many epochs as
the minutes have room for (measured on 16 pictures before), and is tested once, on the test split.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from detr_kit.engine import evaluate, train
from detr_kit.features import Features
from detr_kit.fine_tune import write_fine_tune_config
from detr_kit.fine_tune.recipe import AUGMENTATIONS, RECIPES

SHARED = Path(__file__).parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results" / "few_pictures.json"
SETS = {"bccd": SHARED / "bccd", "raccoon": SHARED / "raccoon"}
_BY_NAME = {recipe.name: recipe for recipe in RECIPES}
_STEPS, _STRONG = _BY_NAME["steps"], _BY_NAME["strong"]
# One ingredient more than "steps", and one less than "strong".
ABLATION = {
    "steps": _STEPS,
    "+ flat-cosine": replace(_STEPS, flat_cosine=True),
    "+ EMA warm-up": replace(_STEPS, ema=True),
    **{
        f"+ {name}": replace(_STEPS, strong=(name,))
        for name in AUGMENTATIONS
    },
    "strong": _STRONG,
    **{
        f"strong − {name}": replace(_STRONG, strong=tuple(part for part in _STRONG.strong if part != name))
        for name in _STRONG.strong
    },
    "strong − flat-cosine": replace(_STRONG, flat_cosine=False),
    "strong − EMA warm-up": replace(_STRONG, ema=False),
    **{name: _BY_NAME[name] for name in ("gentle", "balanced", "deim")},
}  # fmt: skip
_TRIED = 16  # pictures that the time of an epoch is measured on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    run.add_argument("--recipes", nargs="+", default=list(ABLATION), choices=list(ABLATION))
    run.add_argument("--seeds", nargs="+", type=int, default=[0])
    run.add_argument(
        "--minutes", nargs="+", type=float, default=[5.0], help="of processor time, training alone"
    )
    run.add_argument("--pictures", nargs="+", type=int, default=[0], help="of the train split; 0 for all")
    run.add_argument("--model")
    run.add_argument(
        "--checkpoint", default="builtin", help="to start from; none for the model's own backbone"
    )
    run.add_argument("--image-size", type=int, default=240)
    run.add_argument("--batch-size", type=int, default=2)
    run.add_argument("--lr", type=float)
    run.add_argument("--amp", choices=("bf16",))
    for command in (run, commands.add_parser("table")):
        command.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.command == "table":
        print(table(json.loads(options.out.read_text())["runs"]))
        return
    for settings in _runs(options):
        done = json.loads(options.out.read_text()) if options.out.exists() else {"runs": []}
        if any(settings.items() <= run.items() for run in done["runs"]):
            continue
        print(f"=== {settings}", flush=True)
        done["runs"].append({**settings, **measure(settings)})
        done |= {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
        options.out.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n")


def _runs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What identifies each run; seeds outermost, so that a table grows evenly."""
    common = dict(
        model=options.model, checkpoint=options.checkpoint, image_size=options.image_size,
        batch_size=options.batch_size, lr=options.lr, amp=options.amp,
    )  # fmt: skip
    for seed in options.seeds:
        for minutes in options.minutes:
            for pictures in options.pictures:
                for data in options.sets:
                    for recipe in options.recipes:
                        yield dict(
                            set=data, recipe=recipe, seed=seed, minutes=minutes, pictures=pictures, **common
                        )


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Train and test once: figures, epochs, and the processor time that training took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, own = _seconds_of_epoch(settings, folder)
        epochs = max(1, round(60 * settings["minutes"] / seconds))
        data = _subset(SETS[settings["set"]], folder / "set", settings["pictures"], settings["seed"])
        config = _config(settings, data, folder / "run", epochs)
        begin = time.process_time()
        train(config, features=_features(settings), options=_options(epochs))
        minutes = (time.process_time() - begin) / 60
        newest = folder / "run" / f"epoch_{epochs}.pth"
        figures = evaluate(config, newest, options=_options(epochs), pictures=folder / "errors")
        return {
            "epochs": epochs,
            "trained_minutes": round(minutes, 2),
            "images_per_second": round(own / seconds, 2),
            "figures": {key.removeprefix("coco/"): round(float(value), 4) for key, value in figures.items()},
        }


def _seconds_of_epoch(settings: dict[str, Any], folder: Path) -> tuple[float, int]:
    """Processor time of an epoch, by the second epoch of a run on few pictures; and the pictures of one."""
    source = SETS[settings["set"]]
    total = settings["pictures"] or len(json.loads((source / "train.json").read_text())["images"])
    few = _subset(source, folder / "tried", _TRIED, 0)
    times = []
    for epochs in (1, 2):  # the difference has no start-up in it
        begin = time.process_time()
        config = _config(settings, few, folder / f"tried_{epochs}", epochs)
        train(config, features=_features(settings), options=_options(epochs))
        times.append(time.process_time() - begin)
    return max(times[1] - times[0], 0.1) * total / _TRIED, total


def _config(settings: dict[str, Any], data: Path, folder: Path, epochs: int) -> Path:
    checkpoint = settings["checkpoint"]
    recipe = replace(ABLATION[settings["recipe"]], name="ablation")
    return write_fine_tune_config(
        data, settings["model"], work_dir=folder, recipe=recipe, epochs=epochs,
        checkpoint=None if checkpoint == "none" else checkpoint, from_scratch=checkpoint == "none",
        image_size=settings["image_size"], batch_size=settings["batch_size"], lr=settings["lr"],
    )  # fmt: skip


def _features(settings: dict[str, Any]) -> Features:
    return Features(seed=settings["seed"], cache_gb=2.0, amp=settings["amp"])


def _options(epochs: int) -> dict[str, Any]:
    """One process and no validation: all time goes to training, and no weights are chosen by it."""
    return {
        "train_dataloader.num_workers": 0,
        "val_dataloader.num_workers": 0,
        "test_dataloader.num_workers": 0,
        "train_cfg.val_begin": epochs + 1,
        "default_hooks.checkpoint.interval": epochs,
        "data_check": False,
    }


def _subset(source: Path, folder: Path, pictures: int, seed: int) -> Path:
    """The set with so many of its training pictures, drawn by the seed; the whole for 0."""
    if not pictures:
        return source
    folder.mkdir(exist_ok=True)
    data = json.loads((source / "train.json").read_text())
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data["images"]), generator=generator).tolist()
    data["images"] = [data["images"][index] for index in sorted(order[:pictures])]
    kept = {image["id"] for image in data["images"]}
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] in kept]
    (folder / "train.json").write_text(json.dumps(data))
    for name in ("val.json", "test.json"):
        shutil.copy(source / name, folder / name)
    if not (folder / "images").exists():
        (folder / "images").symlink_to(source / "images")
    return folder


def table(runs: list[dict[str, Any]]) -> str:
    """Mean AP and AP50 over the seeds, ± half of the spread between the best and the worst."""
    columns: dict[tuple, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        start = run["model"] or run["checkpoint"]
        columns[(run["set"], run["pictures"], run["minutes"], start, run["image_size"])][
            run["recipe"]
        ].append(run)
    names = [name for name in ABLATION if any(name in column for column in columns.values())]
    head = [
        f"{data}{f', {pictures} pictures' if pictures else ''}, {minutes:g} min, {start}, {size} px"
        for data, pictures, minutes, start, size in columns
    ]
    lines = [f"| recipe | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name in names:
        cells = [_cell(column.get(name, [])) for column in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "–"
    parts = []
    for figure in ("AP", "AP50"):
        values = [run["figures"].get(figure, math.nan) for run in runs]
        spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
        parts.append(f"{statistics.mean(values):.3f}{spread}")
    return f"{', '.join(parts)} ({len(runs)})"


if __name__ == "__main__":
    main()
