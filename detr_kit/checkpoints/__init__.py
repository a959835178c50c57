"""Checkpoints of this project and of its peers."""

from .builtin import write_builtin
from .convert import CheckpointFormat, conversion_notes, convert_state_dict, detect_format
from .convert_file import ConversionReport, convert_file, verify_conversion
from .files import CheckpointFile, checkpoint_path, read_checkpoint, write_checkpoint
from .load import LoadReport, categories_of, load_checkpoint, load_state
from .recipe import read_recipe
from .wrapper import strip_wrapper

__all__ = [
    "CheckpointFile",
    "CheckpointFormat",
    "ConversionReport",
    "LoadReport",
    "categories_of",
    "checkpoint_path",
    "conversion_notes",
    "convert_file",
    "convert_state_dict",
    "detect_format",
    "load_checkpoint",
    "load_state",
    "read_checkpoint",
    "read_recipe",
    "strip_wrapper",
    "verify_conversion",
    "write_builtin",
    "write_checkpoint",
]
