"""A picture of a run: loss, AP and learning rate over its epochs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from ...registry import HOOKS


@HOOKS.register_module()
class CurveHook(Hook):
    """Draws `curves.png` in the work directory after validations, SECONDS apart at least, and at the end."""

    SECONDS = 10.0  # a picture takes 0.2 s, and so may an epoch of few images
    priority = "LOW"  # after the logger, whose lines are what is drawn

    def before_train(self, runner: Any) -> None:
        """Nothing to see yet."""
        self._drawn_at = time.monotonic()

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Keep the picture current, so that a run can be watched."""
        if time.monotonic() - self._drawn_at >= self.SECONDS:
            self._draw(runner)

    def after_train(self, runner: Any) -> None:
        """The final picture."""
        self._draw(runner)

    @master_only
    def _draw(self, runner: Any) -> None:
        draw_curves(runner.work_dir, Path(runner.work_dir) / "curves.png")
        self._drawn_at = time.monotonic()


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
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    lines = read_scalars(work_dir)
    train = [line for line in lines if "loss" in line]
    val = [line for line in lines if "coco/AP" in line]
    if not train:
        return
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 3.8))
    # By hand, with room for the names at the right: a layout that is worked out takes as long as the drawing.
    figure.subplots_adjust(left=0.03, right=0.98, bottom=0.13, top=0.91, wspace=0.37)
    losses = sorted({key for line in train for key in line if key.startswith("loss")})
    _plot(left, train, losses)
    left.set(title="training loss", xlabel="iteration", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.yaxis.set_minor_locator(NullLocator())
    # Validation lines carry the epoch at which they were measured.
    _plot(middle, val, ("coco/AP", "coco/AP50", "coco/AP75"), marker=".")
    middle.set(title="validation", xlabel="epoch", ylim=(0, 1))
    middle.grid(alpha=0.3)
    _plot(right, train, ("lr",))
    right.set(title="learning rate", xlabel="iteration")
    right.ticklabel_format(axis="y", scilimits=(-2, 2))
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
