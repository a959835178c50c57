"""The papers' loss for a network, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..errors import InputError
from ..registry import MODELS, build
from .criterion import SetCriterion

# Of the class term, beside 5 for L1 and 2 for GIoU (Carion et al. 2020, A.4; Zhu et al. 2021, A.3).
_WEIGHT_OF_CLASS = {"softmax": 1.0, "focal": 2.0}


def criterion_for(network: nn.Module) -> SetCriterion:
    """Matcher and criterion of a network's own kind of classification, with the papers' weights.

    Args:
        network: says by its `classification` what its logits mean: "softmax" (with "no object" as the last
            class) or "focal" (a sigmoid for each class). By its `criterion`, where it has one, it says which
            arguments of SetCriterion are others than DETR's and Deformable DETR's, as a config has them.

    Raises:
        InputError: it does not say.
    """
    classification = getattr(network, "classification", None)
    if classification not in _WEIGHT_OF_CLASS:
        raise InputError(
            f"criterion_for: {type(network).__name__}.classification is {classification!r}; a network says "
            'there what its logits mean, "softmax" or "focal". Give the network itself, without a wrapper '
            "around it, or set it in your own network's class"
        )
    weight = _WEIGHT_OF_CLASS[classification]
    matcher = dict(type="HungarianMatcher", classification=classification, cost_class=weight)
    own: Mapping[str, Any] = getattr(network, "criterion", {})
    return build({"type": "SetCriterion", "matcher": matcher, "weight_class": weight, **own}, MODELS)
