"""A picture of a run: loss, AP and learning rate over its epochs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from ...registry import HOOKS


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
        lines += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return lines


def draw_curves(work_dir: str | Path, path: str | Path) -> None:
    """Draw what a work directory's logs hold; a run without a log yet gives no picture."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    lines = read_scalars(work_dir)
    train = [line for line in lines if "loss" in line]
    val = [line for line in lines if "coco/AP" in line]
    if not train:
        return
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 3.8), constrained_layout=True)
    losses = sorted({key for line in train for key in line if key.startswith("loss")})
    _plot(left, train, losses)
    left.set(title="training loss", xlabel="iteration", yscale="log")
    # Validation lines carry the epoch at which they were measured.
    _plot(middle, val, ("coco/AP", "coco/AP50", "coco/AP75"), marker=".")
    middle.set(title="validation", xlabel="epoch", ylim=(0, 1))
    middle.grid(alpha=0.3)
    _plot(right, train, ("lr",))
    right.set(title="learning rate", xlabel="iteration")
    for axes in (left, middle, right):  # there is no epoch 2.5
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot(axes: Any, lines: Sequence[dict[str, float]], names: Sequence[str], **style: Any) -> None:
    """Logged values over their steps, the names beside the lines, in the order in which these end."""
    for name in names:
        values = [line.get(name, float("nan")) for line in lines]
        label = name.removeprefix("coco/")
        axes.plot([line["step"] for line in lines], values, label=label, lw=1, **style)
    handles, labels = axes.get_legend_handles_labels()
    ends = {label: handle.get_ydata()[-1] for handle, label in zip(handles, labels, strict=True) if lines}
    if len(ends) > 1:
        order = sorted(range(len(labels)), key=lambda i: -ends[labels[i]])
        axes.legend(
            [handles[i] for i in order], [labels[i] for i in order], fontsize=7, loc="center left",
            bbox_to_anchor=(1.0, 0.5), frameon=False,
        )  # fmt: skip
