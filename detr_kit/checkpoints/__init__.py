"""Checkpoints of this project and of its peers."""

from .convert import CheckpointFormat, convert_state_dict, detect_format
from .files import CheckpointFile, read_checkpoint, write_safetensors
from .load import LoadReport, load_checkpoint, load_state, strip_wrapper

__all__ = [
    "CheckpointFile",
    "CheckpointFormat",
    "LoadReport",
    "convert_state_dict",
    "detect_format",
    "load_checkpoint",
    "load_state",
    "read_checkpoint",
    "strip_wrapper",
    "write_safetensors",
]
