"""Families of networks describe themselves here: every other module of this folder may hold one.

What a family is to the rest of the house is in `family.py`; `register` makes one known. See ARCHITECTURE.md,
"A new family".
"""

from importlib import import_module
from pkgutil import iter_modules

from .architecture import Architecture, ClassRows
from .family import Family
from .key_names import KeyNames, OwnNames
from .registered import FORMATS, beginnings, families, family_of_keys, family_of_network, register
from .rules import rules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "FORMATS",
    "Architecture",
    "ClassRows",
    "Family",
    "KeyNames",
    "OwnNames",
    "beginnings",
    "families",
    "family_of_keys",
    "family_of_network",
    "register",
    "rules",
]
