"""Checkpoints of this project and of its peers."""

from .convert import convert_state_dict, detect_format

__all__ = ["convert_state_dict", "detect_format"]
