"""Published weights by name: a table, and getting what it names once."""

from .fetch import fetch_weights
from .names import close_name, is_address, is_remote
from .of_model import weights_of_model
from .table import Published, all_published, find_published, published_of
from .unreachable import NotHere

__all__ = [
    "NotHere",
    "Published",
    "all_published",
    "close_name",
    "fetch_weights",
    "find_published",
    "is_address",
    "is_remote",
    "published_of",
    "weights_of_model",
]
