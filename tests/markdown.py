"""The Python blocks of a page, for tests that run them."""

import re
from pathlib import Path

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")


def python_blocks(page: Path) -> list[str]:
    """The ```python blocks, in order."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def run_page(page: Path, folder: Path) -> dict:
    """Run the blocks one after the other in one namespace, which is returned.

    A block that begins with `# NAME.py` is written to that file of the folder instead.
    """
    names: dict = {"__name__": page.stem}
    for number, block in enumerate(python_blocks(page), start=1):
        file = _FILE.match(block)
        if file:
            (folder / file.group(1)).write_text(block, encoding="utf-8")
        else:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    return names
