"""The loss of a set of predictions: Hungarian matcher and criterion."""

from ..structures import Matches
from .classification import ClassificationLoss, FocalLoss, SoftmaxLoss
from .criterion import SetCriterion
from .criterion_for import criterion_for
from .fine_grained import FineGrainedLoss
from .further_loss import FurtherLoss
from .groups import Group, Matched, Pairs
from .matchability_aware import MatchabilityAwareLoss
from .matcher import HungarianMatcher
from .varifocal import VarifocalLoss

__all__ = [
    "ClassificationLoss",
    "FineGrainedLoss",
    "FocalLoss",
    "FurtherLoss",
    "Group",
    "HungarianMatcher",
    "MatchabilityAwareLoss",
    "Matched",
    "Matches",
    "Pairs",
    "SetCriterion",
    "SoftmaxLoss",
    "VarifocalLoss",
    "criterion_for",
]
