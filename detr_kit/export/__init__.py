"""Files that run without the network's code, and the proof that they compute the same."""

from .export import ExportOptions, export_detector
from .exported_detector import ExportedDetector
from .report import report_text
from .run import export_and_verify
from .verification_set import VerificationSet
from .verify import Limits, Verification, verify_export

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
