"""Where things lie that tests read."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"  # real data, where somebody has put it

# Small configs; `tiny` is a Deformable DETR on the shapes set.
CONFIGS = TESTS / "configs"
TINY = CONFIGS / "tiny.py"
TINY_DETR = CONFIGS / "tiny_detr.py"
# One a family, or a part of it with weights of its own.
SMALL = {
    "Deformable DETR": TINY,
    "DETR": TINY_DETR,
    "DINO": CONFIGS / "tiny_dino.py",
    "Conditional DETR": CONFIGS / "tiny_conditional.py",
    "DN-DETR": CONFIGS / "tiny_dn.py",
    "DN-Deformable DETR": CONFIGS / "tiny_dn_deformable.py",
}

# What was measured on the original code.
REFERENCE = TESTS / "parity" / "reference"
