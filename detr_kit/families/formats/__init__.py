"""What is common to all families in the checkpoints of each project."""

from .detrex import DetrexNames
from .huggingface import HuggingFaceNames
from .mmdet import MmdetMultiScaleNames, MmdetNames
from .official import OfficialNames

__all__ = ["DetrexNames", "HuggingFaceNames", "MmdetMultiScaleNames", "MmdetNames", "OfficialNames"]
