"""Where things lie that tests read."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"  # real data, where somebody has put it

# Small configs; `tiny` is a Deformable DETR on the shapes set.
CONFIGS = TESTS / "configs"
TINY = CONFIGS / "tiny.py"
TINY_DETR = CONFIGS / "tiny_detr.py"
TINY_RT_DETR = CONFIGS / "tiny_rt_detr.py"
TINY_RT_DETR_V2 = CONFIGS / "tiny_rt_detr_v2.py"
TINY_D_FINE = CONFIGS / "tiny_d_fine.py"

# What was measured on the original code.
REFERENCE = TESTS / "parity" / "reference"
