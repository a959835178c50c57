"""The shipped models that are taken where nobody names one."""

from __future__ import annotations

MODEL = "deformable_detr_r50_two_stage"
"""Taken where neither a model nor weights are named: by training (docs/training.md, "Presets"), and, with its
published weights, by the Detector."""

BUILTIN = "d_fine_n_shapes"
"""The small one whose weights are in the package, which finds drawn shapes; `make demo` trains its like."""
