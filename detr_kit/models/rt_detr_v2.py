"""RT-DETRv2: RT-DETR with a number of sampling points for each level (Lv et al. 2024)."""

from __future__ import annotations

from ..registry import MODELS
from .rt_detr import RTDETR


@MODELS.register_module()
class RTDETRv2(RTDETR):
    """RT-DETR whose decoder is given `num_points` as a list, and where wanted `method="discrete"`.

    With 4 points on every level it computes what RT-DETR does; what else is new is the recipe.
    """
