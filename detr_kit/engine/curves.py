"""A picture of a run: loss, AP and learning rate over its epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from ..registry import HOOKS


@HOOKS.register_module()
class CurveHook(Hook):
    """Draws `curves.png` in the work directory after every validation and at the end of training."""

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Keep the picture current, so that a run can be watched."""
        self._draw(runner)

    def after_train(self, runner: Any) -> None:
        """The final picture."""
        self._draw(runner)

    @master_only
    def _draw(self, runner: Any) -> None:
        draw_curves(runner.work_dir, Path(runner.work_dir) / "curves.png")


def read_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """Every logged line of a run, a resumed run's earlier parts included, oldest first."""
    lines = []
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        lines += [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return lines


def draw_curves(work_dir: str | Path, path: str | Path) -> None:
    """Draw what a work directory's logs hold; a run without a log yet gives no picture."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    lines = read_scalars(work_dir)
    train = [line for line in lines if "loss" in line]
    val = [line for line in lines if "coco/AP" in line]
    if not train:
        return
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), constrained_layout=True)
    steps = [line["step"] for line in train]
    for name in sorted({key for line in train for key in line if key.startswith("loss")}):
        left.plot(steps, [line.get(name, float("nan")) for line in train], label=name, lw=1)
    left.set(title="training loss", xlabel="iteration", yscale="log")
    left.legend(fontsize=7)
    # Validation lines carry the epoch (or iteration) at which they were measured.
    for name in ("coco/AP", "coco/AP50", "coco/AP75"):
        middle.plot([line["step"] for line in val], [line[name] for line in val], label=name, marker=".")
    middle.set(title="validation", xlabel="epoch", ylim=(0, 1))
    middle.grid(alpha=0.3)
    if val:
        middle.legend(fontsize=7, loc="lower right")
    right.plot(steps, [line["lr"] for line in train], lw=1)
    right.set(title="learning rate", xlabel="iteration")
    figure.savefig(path, dpi=110)
    plt.close(figure)
