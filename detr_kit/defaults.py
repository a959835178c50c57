"""The shipped models that are taken where nobody names one."""

from __future__ import annotations

MODEL = "deformable_detr_r50_two_stage"
"""Trained where neither a model nor weights to start from are named: see docs/training.md, "Presets"."""

BUILTIN = "deformable_detr_r18_shapes"
"""The small one whose weights are in the package, which finds coloured shapes; trained by `make demo`."""
