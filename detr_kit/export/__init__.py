"""Files that run without the network's code, and the proof that they compute the same."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .export import export_detector
    from .exported_detector import ExportedDetector
    from .options import ExportOptions
    from .report import report_text
    from .run import export_and_verify
    from .verification_set import VerificationSet
    from .verify import Limits, Verification, verify_export
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "export": ["export_detector"],
            "exported_detector": ["ExportedDetector"],
            "options": ["ExportOptions"],
            "report": ["report_text"],
            "run": ["export_and_verify"],
            "verification_set": ["VerificationSet"],
            "verify": ["Limits", "Verification", "verify_export"],
        },
    )

__all__ = [
    "ExportOptions",
    "ExportedDetector",
    "Limits",
    "Verification",
    "VerificationSet",
    "export_and_verify",
    "export_detector",
    "report_text",
    "verify_export",
]
