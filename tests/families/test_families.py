"""A family is a stranger to the rest of the house: only its own files know its name."""

import ast
import re
from functools import cache

import pytest

from detr_kit.families import families

from ..places import ROOT

PACKAGE = ROOT / "detr_kit"
OWN = ("detr", "deformable_detr")
# Data about published models, and what is taken where nobody names a model.
TABLES = ("defaults.py", "weights")


def _is_own(path):
    """Whether a file is some family's, or names shipped models as data."""
    room, *rest = path.relative_to(PACKAGE).parts
    name = rest[-1] if rest else room
    is_network = room == "models" and len(rest) == 1 and name.startswith(_names())
    return is_network or room in ("families", *TABLES)


@cache
def _names():
    return tuple(family.name for family in families() if family.__module__.startswith("detr_kit."))


@cache
def _classes():
    """Classes of the families' own modules."""
    found = set()
    for path in (PACKAGE / "models").glob("*.py"):
        if path.stem.startswith(_names()):
            tree = ast.parse(path.read_text())
            found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return found


def _words(tree):
    """(line, word) of every name and every text that is not a docstring."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias):
            yield getattr(node, "lineno", 0), node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


FILES = sorted(path for path in PACKAGE.rglob("*.py") if not _is_own(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_family_is_named(path):
    names = "|".join(sorted(map(re.escape, _names()), key=len, reverse=True))
    config_name = re.compile(rf"(?<![A-Za-z0-9_-])({names})(?![A-Za-z0-9]|[-_]?kit)")
    for line, word in _words(ast.parse(path.read_text())):
        assert word not in _classes(), f"{path}:{line} names {word}"
        assert not config_name.search(word), f"{path}:{line} names a family: {word!r}"


def test_the_families_that_ship_are_known():
    assert set(OWN) <= set(_names())


def test_the_search_finds_a_name():
    words = [word for _, word in _words(ast.parse('if kind == "deformable_detr": build(DETR)'))]
    assert {"deformable_detr", "DETR"} <= set(words)
    assert {"DETR", "DeformableDETR", "DetrTransformer"} <= _classes()
