"""No room imports from a floor above its own (ARCHITECTURE.md)."""

import ast
from pathlib import Path

import pytest

from .places import ROOT

PACKAGE = ROOT / "detr_kit"
FLOORS = {
    "errors": 0, "lazy": 0,
    "categories": 1, "structures": 1, "registry": 1, "config": 1, "ops": 1, "visualization": 1,
    "number_ranges": 1, "first_process": 1, "custom_imports": 1, "plain_registry": 1, "defaults": 1,
    "features": 1, "console_text": 1, "given_paths": 1, "pixel_scale": 1, "storage": 1,
    "models": 2, "data": 2,
    "losses": 3, "families": 3, "zoo": 3, "weights": 3,
    "evaluation": 4, "check": 4, "explain": 4, "sources": 4, "checkpoints": 4, "environment": 4,
    "inference": 5,
    "predict": 6, "engine": 6, "export": 6,
    "serving": 7, "fine_tune": 7, "scale": 7, "benchmark": 7,
    "cli": 8,
    "__main__": 9,
}  # fmt: skip
SINGLE_FILES = 1  # the floor whose rooms are single files, which may know each other
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def _imports(path: Path) -> set[str]:
    """The rooms of detr_kit that a file imports from."""
    depth = len(path.relative_to(PACKAGE).parts)
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            rooms |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detr_kit."):
            rooms.add(node.module.split(".")[1])
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    own = FLOORS[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
    for room in _imports(path) - {path.relative_to(PACKAGE).parts[0].removesuffix(".py")}:
        below = FLOORS[room] < own or FLOORS[room] == own == SINGLE_FILES
        assert below, f"{path.name} (floor {own}) imports {room} (floor {FLOORS[room]})"


@pytest.mark.parametrize("room", ["models", "losses", "ops", "data"])
def test_mmengine_stays_in_engine_and_configs(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not line.startswith(("import mmengine", "from mmengine")), path


def test_files_stay_short():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 400, path
