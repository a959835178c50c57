"""Finding what is wrong with a data set before training on it."""

from .check_data import check_data
from .finding import CATALOGUE, ERROR, NOTE, WARNING, Example, Finding
from .html_report import write_html
from .report import Report, SplitReport

__all__ = [
    "CATALOGUE",
    "ERROR",
    "NOTE",
    "WARNING",
    "Example",
    "Finding",
    "Report",
    "SplitReport",
    "check_data",
    "write_html",
]
