"""What is common to all families in the checkpoints of each project."""

from .huggingface import HuggingFaceNames
from .mmdet import MmdetNames
from .official import OfficialNames

__all__ = ["HuggingFaceNames", "MmdetNames", "OfficialNames"]
