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
TINY_CONDITIONAL = CONFIGS / "tiny_conditional.py"
TINY_DN = CONFIGS / "tiny_dn.py"
TINY_DN_DEFORMABLE = CONFIGS / "tiny_dn_deformable.py"
TINY_DINO = CONFIGS / "tiny_dino.py"
SMALL = {
    "Deformable DETR": TINY,
    "DETR": TINY_DETR,
    "RT-DETR": TINY_RT_DETR,
    "RT-DETRv2": TINY_RT_DETR_V2,
    "D-FINE": TINY_D_FINE,
    "Conditional DETR": TINY_CONDITIONAL,
    "DN-DETR": TINY_DN,
    "DN-Deformable DETR": TINY_DN_DEFORMABLE,
    "DINO": TINY_DINO,
}

# What was measured on the original code.
REFERENCE = TESTS / "parity" / "reference"
