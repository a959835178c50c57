"""Loading a checkpoint of any known format into a network, and saying what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from ..categories import COCO_80, COCO_91, UNUSED, Categories
from ..console_text import text_of
from ..errors import InputError
from ..families import ClassRows
from .convert import CheckpointFormat, convert_state_dict, detect_format
from .files import CheckpointFile, read_checkpoint
from .finite import check_finite
from .wrapper import unwrap_state


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` did.

    Attributes:
        path: the file; format: whose keys it had, with the architecture.
        loaded: tensors taken over; converted: those of them that had another name in the file.
        reinitialised: tensors of another shape, which keep the network's own values.
        missing: tensors of the network that the file does not have.
        unexpected: tensors of the file that the network does not have.
        carried_over: classes whose rows of a re-initialised head come from the file, by name.
        categories: the classes that the file says it was trained on.
        left_out: tensors of the file that belong to what the network was wrapped into, not to the network.
        notes: what has to be said of the file, such as which of several sets of weights was taken.
    """

    path: str
    format: CheckpointFormat
    loaded: list[str]
    converted: list[str]
    reinitialised: list[str]
    missing: list[str]
    unexpected: list[str]
    carried_over: list[str] = field(default_factory=list)
    categories: Categories | None = None
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A table for the terminal."""
        title = f"{self.path}\n{self.format} checkpoint of {self.format.architecture.config_name}"
        title = "\n".join([title, *self.notes])
        table = Table()
        table.add_column("tensors")
        table.add_column("count", justify="right")
        table.add_column("which")
        for name, keys, always in (
            ("loaded", self.loaded, True),
            ("renamed", self.converted, True),
            ("re-initialised", self.reinitialised, False),
            ("missing", self.missing, False),
            ("unexpected", self.unexpected, False),
            ("not of the network", self.left_out, False),
            ("classes carried over", self.carried_over, False),
        ):
            if keys or always:
                shown = "" if always else ", ".join(keys[:6]) + (", …" if len(keys) > 6 else "")
                table.add_row(name, str(len(keys)), escape(shown))
        return title + "\n" + text_of(table, width=110).rstrip()


def load_checkpoint(
    network: nn.Module,
    path: str | Path,
    *,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
    quiet: bool = False,
) -> LoadReport:
    """Load weights of any known format into a network, and print what was done.

    Heads of another number of classes start anew, as fine-tuning wants; rows of classes whose names exist
    on both sides are carried over.

    Args:
        network: built by `build_network` or like it.
        path: .pth, .pt, .safetensors, or a transformers folder.
        strict: every tensor of the network has to come from the file.
        class_names: the network's classes, to find those that the file knows too.
        quiet: do not print.

    Raises:
        InputError: the file cannot be read, is of another model, or (strict) does not fit exactly.
    """
    report = load_state(network, read_checkpoint(path), str(path), strict=strict, class_names=class_names)
    if not quiet:
        print(report, flush=True)
    return report


def load_state(
    network: nn.Module,
    file: CheckpointFile,
    path: str,
    *,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
) -> LoadReport:
    """`load_checkpoint` for a file that is read already; prints nothing."""
    state, _, left_out = unwrap_state(file.state_dict)
    try:
        found = detect_format(state)
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from error
    ours = convert_state_dict(state)
    check_finite(ours, path)
    own = network.state_dict()
    ignored = [k for k in {*own, *ours} if k.endswith("num_batches_tracked")]
    fitting = {k: t for k, t in ours.items() if k in own and own[k].shape == t.shape}
    categories = categories_of(file, found.architecture.num_classes)
    rows = found.architecture.family.class_rows(ours)
    relabelled = _relabelled_heads(rows, categories, class_names)
    fitting = {k: t for k, t in fitting.items() if k not in relabelled}
    reinitialised = [k for k in ours if k in own and k not in fitting]
    missing = [k for k in own if k not in ours and k not in ignored]
    unexpected = [k for k in ours if k not in own and k not in ignored]
    if len(fitting) < 0.5 * len(own):
        raise InputError(
            f"checkpoint {path}: it is of {found.architecture.config_name}, and only {len(fitting)} of the "
            f"{len(own)} tensors of this {type(network).__name__} fit; choose the config of the checkpoint"
        )
    if strict and (reinitialised or missing or unexpected):
        raise InputError(
            f"checkpoint {path}: it is of {found.architecture.config_name} with "
            f"{found.architecture.num_classes} classes and does not fit this network: {len(missing)} tensors "
            f"missing {missing[:2]}, {len(unexpected)} unexpected {unexpected[:2]}, {len(reinitialised)} of "
            f"another shape {reinitialised[:2]}. Use the config it was trained with"
        )
    network.load_state_dict(fitting, strict=False)
    heads = {key: rows[key] for key in reinitialised if key in rows}
    carried = _carry_rows(network, ours, heads, categories, class_names)
    unchanged = {key for key, tensor in state.items() if ours.get(key) is tensor}
    return LoadReport(
        path=path,
        format=found,
        loaded=list(fitting),
        converted=[key for key in fitting if key not in unchanged],
        reinitialised=reinitialised,
        missing=missing,
        unexpected=unexpected,
        carried_over=carried,
        categories=categories,
        left_out=left_out,
        notes=file.notes,
    )


def categories_of(file: CheckpointFile, num_classes: int) -> Categories | None:
    """The classes a file was trained on: as it says, or COCO's where it has 91 or 80; else None."""
    stored = Categories.from_metadata(file.metadata)
    if stored is not None and len(stored) <= num_classes:
        return stored
    return {len(COCO_91): COCO_91, len(COCO_80): COCO_80}.get(num_classes)


def _relabelled_heads(
    rows: Mapping[str, ClassRows], source: Categories | None, class_names: Sequence[str] | None
) -> list[str]:
    """Class heads whose rows mean other classes in the file than in the network, however well they fit."""
    if source is None or class_names is None:
        return []
    pairs = zip(class_names, source.names, strict=False)
    if all(new in (UNUSED, old) for new, old in pairs):
        return []
    return [key for key, meaning in rows.items() if not meaning.only_object]


@torch.no_grad()
def _carry_rows(
    network: nn.Module,
    ours: Mapping[str, Tensor],
    heads: Mapping[str, ClassRows],
    source: Categories | None,
    class_names: Sequence[str] | None,
) -> list[str]:
    """Copy the rows of classes known to both sides into class heads of another size."""
    if not heads or source is None or class_names is None:
        return []
    label_of = {name: label for label, name in enumerate(source.names) if name != UNUSED}
    shared = [(new, label_of[name]) for new, name in enumerate(class_names) if name in label_of]
    own = network.state_dict()  # shares its memory with the parameters
    for key, rows in heads.items():
        pairs = [(0, 0)] if rows.only_object else list(shared)
        pairs += [(len(own[key]) - i, len(ours[key]) - i) for i in range(1, rows.extra + 1)]
        for new, old in pairs:
            own[key][new] = ours[key][old].to(own[key])
    return [class_names[new] for new, _ in shared]
