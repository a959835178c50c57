"""Checkpoints of this project and of its peers."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .builtin import write_builtin
    from .convert import CheckpointFormat, conversion_notes, convert_state_dict, detect_format
    from .file_conversion import ConversionReport, convert_file, verify_conversion
    from .files import CheckpointFile, read_checkpoint, write_checkpoint
    from .load import LoadReport, categories_of, load_checkpoint, load_state
    from .location import checkpoint_path
    from .recipe import read_recipe
    from .wrapper import strip_wrapper
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "builtin": ["write_builtin"],
            "convert": ["CheckpointFormat", "conversion_notes", "convert_state_dict", "detect_format"],
            "file_conversion": ["ConversionReport", "convert_file", "verify_conversion"],
            "files": ["CheckpointFile", "read_checkpoint", "write_checkpoint"],
            "load": ["LoadReport", "categories_of", "load_checkpoint", "load_state"],
            "location": ["checkpoint_path"],
            "recipe": ["read_recipe"],
            "wrapper": ["strip_wrapper"],
        },
    )

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
