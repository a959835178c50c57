"""A verification as text for the terminal."""

from __future__ import annotations

from rich.table import Table

from ..console_text import text_of
from .verify import Verification


def report_text(found: Verification) -> str:
    """Two tables (side by side, drift), the first layer that drifts, and the verdict."""
    return text_of(
        f"{found.path} ({found.format}, {found.precision}) on {found.num_images} images: {found.images}",
        _side_by_side(found),
        _drift(found),
        *_verdict(found),
        width=110,
        highlight=False,
        markup=False,
        soft_wrap=True,
    ).rstrip()


def _side_by_side(found: Verification) -> Table:
    table = Table()
    for column in ("", "network", "exported", "change"):
        table.add_column(column, justify="left" if not column else "right")
    if found.ap is not None:
        before, after = found.ap
        table.add_row("AP", f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
    for name, (before, after) in (("size, MB", found.megabytes), ("latency, ms", found.milliseconds)):
        table.add_row(name, f"{before:.1f}", f"{after:.1f}", f"× {after / before:.2f}")
    return table


def _drift(found: Verification) -> Table:
    table = Table()
    for column in ("drift", "largest", "mean"):
        table.add_column(column, justify="left" if column == "drift" else "right")
    rows = {f"output {name}": drift for name, drift in found.outputs.items()}
    rows |= {"scores of detections": found.matches.scores, "boxes of detections": found.matches.boxes}
    for name, drift in rows.items():
        table.add_row(name, f"{drift.largest:.2e}", f"{drift.mean:.2e}")
    return table


def _verdict(found: Verification) -> list[str]:
    matches = found.matches
    lines = [
        f"detections found again: {matches.found} of {matches.total}, IoU mean {matches.mean_iou:.4f}, "
        f"smallest {matches.smallest_iou:.4f}"
    ]
    if found.first_layer is not None:
        lines.append(
            f"first layer to drift: {found.first_layer.name}, relative error {found.first_layer.error:.2e}"
        )
    elif found.layers:
        worst = max(found.layers, key=lambda layer: layer.error)
        lines.append(
            f"layers: {len(found.layers)} looked at, none drifts; largest relative error {worst.error:.2e} "
            f"in {worst.name}"
        )
    else:
        lines.append("layers: this format does not show them; export the same to torch-export to look inside")
    if found.nms_iou_threshold is not None:
        lines.append(
            "duplicates are in the file's outputs: ExportedDetector leaves them out, another program has to "
            f"(non-maximum suppression within a class, IoU {found.nms_iou_threshold:g})"
        )
    lines.append(
        "verification passed" if found.passed else f"VERIFICATION FAILED: {'; '.join(found.failures)}"
    )
    return lines
