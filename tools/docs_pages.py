"""What pages of the documentation take from the source: a hook of mkdocs (mkdocs.yml).

A line `<!-- generated: NAME -->` in a page is replaced by `PARTS[NAME]()`.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "detr_kit"
_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
# Rooms in the order in which a user meets them, and what they are about.
ROOMS = {
    "cli": "The command line",
    "data": "Data",
    "check": "Checking data",
    "fine_tune": "Training on a data set",
    "engine": "Configs and runs",
    "checkpoints": "Checkpoints",
    "weights": "Published weights",
    "families": "Recognising networks",
    "models": "Networks",
    "losses": "Losses and targets",
    "sources": "Pictures and videos",
    "inference": "Detector",
    "predict": "predict",
    "explain": "explain",
    "evaluation": "The metric",
    "export": "Export",
    "benchmark": "benchmark",
    "scale": "Very many pictures",
    "serving": "Server",
    "ops": "The op",
    "": "Everywhere",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls this with every page."""
    return _MARK.sub(lambda mark: PARTS[mark[1]](), markdown)


# ---- errors


@dataclass(frozen=True)
class ErrorText:
    """A place that raises an InputError.

    Attributes:
        file: in the package; line: of it.
        function: whose code raises it.
        text: the message, what is filled in as ‹name›.
    """

    file: str
    line: int
    function: str
    text: str

    @property
    def room(self) -> str:
        """The room of the house, "" for single files."""
        return self.file.split("/")[0] if "/" in self.file else ""

    @property
    def cause_and_remedy(self) -> tuple[str, str]:
        """The message, parted before what is to be done."""
        for mark in ("; ", ". "):
            cause, found, remedy = self.text.partition(mark)
            if found:
                return cause, remedy
        return self.text, ""


def error_texts() -> list[ErrorText]:
    """Every `InputError(…)` of the package whose message stands in the source, in the order of the files."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function, call in _calls(tree, "<module>"):
            text = _text(call.args[0]) if call.args else ""
            if len(re.sub(r"‹[^›]*›", "", text).strip(" :;.")) > 3:  # more than what is handed on
                name = path.relative_to(PACKAGE).as_posix()
                found.append(ErrorText(name, call.lineno, function, text))
    return found


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else function
        name = child.func if isinstance(child, ast.Call) else None
        if isinstance(name, ast.Name) and name.id in ("InputError", "NotHere", "BrokenOff"):
            yield function, child  # type: ignore[misc]
        yield from _calls(child, inner)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.FormattedValue):
        return f"‹{_name(node.value)}›"
    return f"‹{_name(node)}›"


def _name(node: ast.expr) -> str:
    """A short name for what is filled in."""
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    if isinstance(node, ast.Call) and node.args:
        return _name(node.args[-1])
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return "…"


def errors_page() -> str:
    """The messages by room, each with its place in the source."""
    by_room = defaultdict(list)
    for text in error_texts():
        by_room[text.room].append(text)
    lines = []
    for room in [*ROOMS, *sorted(by_room.keys() - ROOMS.keys())]:
        if room not in by_room:
            continue
        lines += [f"## {ROOMS.get(room, room)}", "", "| what it says | what to do | in |", "|---|---|---|"]
        for error in by_room[room]:
            cause, remedy = (_cell(part) for part in error.cause_and_remedy)
            lines.append(f"| {cause} | {remedy or '(as it says)'} | `{error.file}` |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return re.sub(r"‹([^›]*)›", r"*\1*", text.replace("_", "\\_").replace("[", "\\["))


# ---- parts of a config


@dataclass(frozen=True)
class Part:
    """Something that a config names by its `type`.

    Attributes:
        registry: the kind; name: as `type` has it.
        purpose: the first line of its docstring.
        arguments: name -> (default as text, explanation; "" where there is none).
    """

    registry: str
    name: str
    purpose: str
    arguments: dict[str, tuple[str, str]]


def config_parts() -> list[Part]:
    """Every part of ours that a config can name, by kind and name."""
    from detr_kit import registry

    for module in pkgutil.walk_packages([str(PACKAGE)], "detr_kit."):
        if not module.name.endswith(("__main__", "_C")):
            import_module(module.name)
    parts = []
    kinds = ("MODELS", "DATASETS", "DATA_SAMPLERS", "TRANSFORMS", "FUNCTIONS", "METRICS", "HOOKS", "LOOPS")
    for kind in (*kinds, "OPTIM_WRAPPERS", "OPTIM_WRAPPER_CONSTRUCTORS", "RUNNERS"):
        for name, part in sorted(getattr(registry, kind).module_dict.items()):
            if getattr(part, "__module__", "").startswith("detr_kit."):
                parts.append(_part(kind, name, part))
    return parts


# What the runner hands to a part itself, and what a data loader does.
_GIVEN = {"runner", "dataloader", "evaluator", "optim_wrapper_cfg", "paramwise_cfg", "samples", "kwargs"}


def _part(kind: str, name: str, part: Any) -> Part:
    described = _described(part)
    taken = inspect.signature(part).parameters.values() if kind != "RUNNERS" else ()  # those are a config's
    arguments = {
        argument.name: (
            "" if argument.default is inspect.Parameter.empty else repr(argument.default),
            described.get(argument.name, ""),
        )
        for argument in taken
        if argument.name not in _GIVEN
    }
    return Part(kind, name, (inspect.getdoc(part) or "").split("\n")[0], arguments)


def _described(part: Any) -> dict[str, str]:
    """What docstrings say of each argument; a class inherits those of its bases."""
    texts: dict[str, str] = {}
    for kind in reversed(inspect.getmro(part)) if inspect.isclass(part) else [part]:
        if kind.__module__.startswith("detr_kit."):
            texts |= _arguments_of(inspect.cleandoc(kind.__doc__ or ""))
        elif kind.__module__.startswith("mmengine.") and inspect.isclass(kind):
            names = inspect.signature(kind).parameters
            texts |= dict.fromkeys(names, "as mmengine has it")
    return texts


def _arguments_of(doc: str) -> dict[str, str]:
    """The section "Args:"; a line of it may explain several, as in `a, b: what; c: what`."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", doc, re.MULTILINE)
    if section is None:
        return {}
    entries = re.split(r"\n(?=[ ]{4}\S)", section[1].rstrip())
    texts: dict[str, str] = {}
    for entry in entries:
        flat = " ".join(entry.split())
        pieces = re.split(r"(?:^|; )((?:\w+(?: \([^)]*\))?, )*\w+)(?: \([^)]*\))?: ", flat)
        for names, text in zip(pieces[1::2], pieces[2::2], strict=True):
            texts |= dict.fromkeys(re.split(r", ", names), text.rstrip(". "))
    return texts


def config_page() -> str:
    """The parts by kind, each with its arguments."""
    lines, kind = [], ""
    for part in config_parts():
        if part.registry != kind:
            kind = part.registry
            lines += [f"### {_KINDS[kind]}", ""]
        lines += [f"#### `{part.name}`", "", _cell(part.purpose), ""]
        if part.arguments:
            lines += ["| argument | default | |", "|---|---|---|"]
            lines += [
                f"| `{name}` | {f'`{default}`' if default else 'required'} | {_cell(text)} |"
                for name, (default, text) in part.arguments.items()
            ]
            lines.append("")
    return "\n".join(lines)


_KINDS = {
    "MODELS": "`model`: networks and their parts, losses, post-processing",
    "DATASETS": "`*_dataloader.dataset`",
    "DATA_SAMPLERS": "`*_dataloader.sampler` and `batch_sampler`",
    "TRANSFORMS": "`*_dataloader.dataset.transforms`",
    "FUNCTIONS": "`*_dataloader.collate_fn`",
    "METRICS": "`*_evaluator`",
    "HOOKS": "`default_hooks` and `custom_hooks`",
    "LOOPS": "`*_cfg`",
    "OPTIM_WRAPPERS": "`optim_wrapper`",
    "OPTIM_WRAPPER_CONSTRUCTORS": "`optim_wrapper.constructor`",
    "RUNNERS": "`runner_type`",
}

PARTS: dict[str, Callable[[], str]] = {"errors": errors_page, "config": config_page}
