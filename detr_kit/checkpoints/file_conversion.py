"""Converting checkpoint files, and proving that nothing was lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..categories import COCO_80, Categories
from ..errors import InputError
from ..families import Architecture
from ..registry import MODELS, build
from .convert import conversion_notes, convert_state_dict, detect_format
from .files import CheckpointFile, read_checkpoint, write_checkpoint, write_whole
from .finite import check_finite
from .image_size import size_in_transformers
from .load import categories_of
from .location import check_destination
from .recipe import RECIPE, trained_as
from .wrapper import strip_wrapper, unwrap_state


@dataclass(frozen=True)
class ConversionReport:
    """What `convert_file` did.

    Attributes:
        source, destination: format names; path: what was written.
        architecture: config name; num_tensors: in the source.
        notes: what the destination has to be told.
    """

    source: str
    destination: str
    path: Path
    architecture: str
    num_tensors: int
    notes: list[str]


def convert_file(
    source: str | Path, to: str, out: str | Path, *, classes: str = "keep", dilation: bool | None = None
) -> ConversionReport:
    """Convert a checkpoint of any known format; class names travel along.

    Args:
        source: .pth, .safetensors or a transformers folder.
        to: "official", "mmdet", "detrex", "huggingface" or "detr_kit".
        out: .safetensors or .pth; for "huggingface" a folder, which gets a config.json as well.
        classes: "keep" or "coco80", see `convert_state_dict`.
        dilation: whether the model is DC5, which weights do not tell; needed for a folder's config.json.

    Raises:
        InputError: the source cannot be read, or the destination has no place for it.
    """
    out = Path(out)
    check_destination(source, to, out)
    file = read_checkpoint(source)
    state, _, left_out = unwrap_state(file.state_dict)
    try:
        found = detect_format(state)
    except InputError as error:
        raise InputError(f"checkpoint {source}: {error}") from error
    check_finite(state, source)
    converted = convert_state_dict(state, to=to, classes=classes)
    num_classes = len(COCO_80) if classes == "coco80" else found.architecture.num_classes
    known = COCO_80 if classes == "coco80" else categories_of(file, num_classes)
    metadata = known.to_metadata() if known else {}
    if classes == "keep":  # else the network is another one
        metadata |= {key: file.metadata[key] for key in ("config", RECIPE) if key in file.metadata}
    if to == "huggingface":
        categories = known or Categories.numbered(num_classes)
        is_dilated = bool(file.metadata.get("dilation", False)) if dilation is None else dilation
        num_queries = found.architecture.num_queries or _hints(file).get("num_queries")
        architecture = replace(found.architecture, num_queries=num_queries)
        size = size_in_transformers((trained_as(file.metadata) or {}).get("transforms", ()))
        _write_folder(out, converted, architecture, categories, is_dilated, metadata, size)
    else:
        write_checkpoint(out, converted, metadata)
    notes = conversion_notes(converted, found, to, bool(dilation))
    return ConversionReport(
        source=str(found),
        destination=to,
        path=out,
        architecture=found.architecture.config_name,
        num_tensors=len(state),
        notes=[*file.notes, *_left_out(left_out), *notes],
    )


def _left_out(keys: list[str]) -> list[str]:
    if not keys:
        return []
    return [f"{len(keys)} tensors are not of the network and were left out: {', '.join(keys[:3])}"]


@torch.no_grad()
def verify_conversion(
    source: str | Path, out: str | Path, *, classes: str = "keep", dilation: bool = False
) -> dict[str, float]:
    """The largest differences of logits and boxes between a checkpoint and what it was converted to.

    Both run in detr-kit on the same random images, one of them padded; a transformers folder also runs in
    transformers, where that is installed, on each image alone: some of its models know no padding.

    Returns:
        "logits (re-imported)", "boxes (re-imported)" and, where transformers ran, the same with its name.
    """
    images = torch.randn(2, 3, 160, 192, generator=torch.Generator().manual_seed(0))
    height, width = 128, 160  # of the second; some take multiples of 32 alone
    mask = torch.zeros(2, 160, 192, dtype=torch.bool)
    mask[1, height:], mask[1, :, width:] = True, True
    images = images.masked_fill(mask[:, None], 0)
    networks = {path: _network_of(path, dilation) for path in (source, out)}
    before, after = (network(images, mask) for network in networks.values())
    expected = _rows_of(before.logits, classes)
    differences = {
        "logits (re-imported)": float((expected - after.logits).abs().max()),
        "boxes (re-imported)": float((before.boxes - after.boxes).abs().max()),
    }
    for path, network in networks.items():
        if Path(path).is_dir() and find_spec("transformers") is not None:
            alone = [images[:1], images[1:, :, :height, :width]]
            logits, boxes = _beside_transformers(Path(path), network, alone)
            differences |= {"logits (transformers)": logits, "boxes (transformers)": boxes}
    return differences


def _network_of(path: str | Path, dilation: bool) -> nn.Module:
    file = read_checkpoint(path)
    state = strip_wrapper(file.state_dict)
    hints = _hints(file)
    hints["dilation"] = dilation or hints.get("dilation", False)
    network = build(detect_format(state).architecture.network_config(**hints), MODELS)
    network.load_state_dict(convert_state_dict(state), strict=True)
    return network.eval()


def _hints(file: CheckpointFile) -> dict[str, Any]:
    """What the file says that weights do not, and the queries that its recipe says."""
    network = (trained_as(file.metadata) or {}).get("network", {})
    return {key: network[key] for key in ("num_queries",) if key in network} | file.network_hints


def _rows_of(logits: Tensor, classes: str) -> Tensor:
    if classes == "keep":
        return logits
    rows = list(COCO_80.ids)
    return logits[..., [*rows, 91] if logits.shape[-1] == 92 else rows]


def _beside_transformers(path: Path, network: nn.Module, images: list[Tensor]) -> tuple[float, float]:
    """The largest differences of logits and boxes, of each query from the nearest over there.

    Which of two equally good pixels comes first as a query is a matter of rounding.
    """
    from transformers import AutoModelForObjectDetection

    model = AutoModelForObjectDetection.from_pretrained(path, dtype=torch.float32).eval()
    largest = [0.0, 0.0]
    for image in images:
        ours, theirs = network(image), model(pixel_values=image)
        there = torch.cat((theirs.logits, theirs.pred_boxes), dim=-1)[0]
        here = torch.cat((ours.logits, ours.boxes), dim=-1)[0]
        difference = (here - there[torch.cdist(here, there, p=torch.inf).argmin(1)]).abs()
        for index, part in enumerate(difference.split((difference.shape[1] - 4, 4), dim=1)):
            largest[index] = max(largest[index], float(part.max()))
    return largest[0], largest[1]


def _write_folder(
    folder: Path,
    state: dict[str, Tensor],
    architecture: Architecture,
    categories: Categories,
    dilation: bool,
    metadata: dict,
    size: dict[str, int] | None,
) -> None:
    family = architecture.family
    config = family.transformers_config(architecture, categories, dilation)
    processor = family.transformers_processor()
    processor["size"] = size or processor["size"]
    # Nothing is tied over there, so every name needs its own copy.
    write_checkpoint(folder / "model.safetensors", {k: t.clone() for k, t in state.items()}, metadata)
    for name, content in (
        ("config.json", config),
        ("preprocessor_config.json", processor),
    ):
        text = json.dumps(content, indent=2)
        write_whole(folder / name, lambda partial, text=text: partial.write_text(text))  # type: ignore[misc]
