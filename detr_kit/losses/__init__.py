"""The loss of a set of predictions: Hungarian matcher and criterion."""

from .criterion import SetCriterion
from .criterion_for import criterion_for
from .matcher import HungarianMatcher, Matches

__all__ = ["HungarianMatcher", "Matches", "SetCriterion", "criterion_for"]
