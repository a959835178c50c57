"""At which size a network should see pictures, by the size of what is in them."""

from __future__ import annotations

import numpy as np

from ..data.annotation_table import annotation_table
from .data import Part

_SEEN = 16  # pixels of a small object's side: two cells of the finest map that most models have (stride 8)
_LEAST, _STEP = 320, 32


def propose_image_size(part: Part) -> tuple[int, str] | None:
    """The short side in pixels at which nine of ten objects are 16 pixels wide, and the reason in words.

    It is at least 320 and at most what the pictures have: more would show nothing new.

    Args:
        part: the split to look at.

    Returns:
        None where no picture says its size, or there is no object.
    """
    table = annotation_table(str(part.annotations), part.data)
    rows = np.flatnonzero(table.faults == 0)
    short = np.nan_to_num(table.sizes).min(axis=1, initial=np.inf)
    sides = np.sqrt((table.corners[rows, 2:] - table.corners[rows, :2]).prod(axis=1))
    of_picture = short[table.owner[rows]]
    shares = sides[of_picture > 0] / of_picture[of_picture > 0]
    if not len(shares):
        return None
    small, own = float(np.quantile(shares, 0.1)), float(np.median(short[short > 0]))
    wanted = -(-_SEEN / max(small, 1e-6) // _STEP) * _STEP
    most = max(own // _STEP * _STEP, _LEAST)
    size = int(min(max(wanted, _LEAST), most))
    return size, (
        f"the smallest tenth of the boxes has sides up to {100 * small:.1f} % of a picture's short side "
        f"({small * own:.0f} of {own:.0f} pixels), at {size} pixels {small * size:.0f}"
    )
