"""The papers' loss for a network, whichever it is."""

from __future__ import annotations

from torch import nn

from ..errors import InputError
from .criterion import SetCriterion
from .matcher import HungarianMatcher

# Of the class term, beside 5 for L1 and 2 for GIoU (Carion et al. 2020, A.4; Zhu et al. 2021, A.3).
_WEIGHT_OF_CLASS = {"softmax": 1.0, "focal": 2.0}


def criterion_for(network: nn.Module) -> SetCriterion:
    """Matcher and criterion of a network's own kind of classification, with the papers' weights.

    Args:
        network: says by its `classification` what its logits mean: "softmax" (with "no object" as the last
            class) or "focal" (a sigmoid for each class).

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
    return SetCriterion(HungarianMatcher(classification, cost_class=weight), weight_class=weight)
