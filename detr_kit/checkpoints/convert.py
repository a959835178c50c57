"""State dicts between detr_kit's keys and those of its peers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..categories import COCO_80, COCO_91
from ..errors import InputError
from . import huggingface, mmdet, official
from .architecture import Architecture, architecture_of

_PEERS = {"official": official, "mmdet": mmdet, "huggingface": huggingface}
FORMATS = ("detr_kit", *_PEERS)
_OWN_SIGNATURES = ("class_head.weight", "class_heads.0.weight")
SIGNATURES = (*_OWN_SIGNATURES, *(begin for peer in _PEERS.values() for begin in peer.SIGNATURES))
"""Beginnings of keys that tell the formats apart: one of them is in every checkpoint."""


class CheckpointFormat(str):
    """A format's name, equal to the plain string, that also carries what the weights are of.

    Attributes:
        architecture: see Architecture.
    """

    architecture: Architecture

    def __new__(cls, name: str, architecture: Architecture) -> CheckpointFormat:
        instance = super().__new__(cls, name)
        instance.architecture = architecture
        return instance


def detect_format(state_dict: Mapping[str, Tensor]) -> CheckpointFormat:
    """Whose keys these are: "detr_kit", "official", "mmdet" or "huggingface".

    Returns:
        A string that carries `.architecture`.

    Raises:
        InputError: the keys are of no known format.
    """
    return _to_ours(state_dict)[0]


def convert_state_dict(
    state_dict: Mapping[str, Tensor], to: str = "detr_kit", classes: str = "keep"
) -> dict[str, Tensor]:
    """Rename (and, where formats differ, regroup) the tensors of a state dict.

    Args:
        state_dict: of any known format, found by its keys.
        to: "detr_kit", "official", "mmdet" or "huggingface".
        classes: "keep", or "coco80" to pick mmdet's 80 contiguous classes from the 91 COCO ids.

    Returns:
        A new dict; tensors that only change their name are shared with the old one.

    Raises:
        InputError: unknown source or destination, or classes that are not there to pick.
    """
    if to not in FORMATS:
        raise InputError(f"convert_state_dict: to={to!r}; it must be one of {', '.join(FORMATS)}")
    found, ours = _to_ours(state_dict)
    if classes == "coco80":
        ours = _pick_coco_80(ours, found.architecture)
    elif classes != "keep":
        raise InputError(f'convert_state_dict: classes={classes!r}; it must be "keep" or "coco80"')
    return ours if to == "detr_kit" else _PEERS[to].from_ours(ours, found.architecture)


def conversion_notes(converted: Mapping[str, Tensor], source: str, to: str, dilation: bool) -> list[str]:
    """What has to be set for converted weights to give the same numbers.

    Args:
        converted: the result; source, to: format names; dilation: whether the model is DC5.
    """
    notes = mmdet.notes(converted) if to == "mmdet" else []
    if dilation and source == "mmdet":
        notes.append('mmdet dilates all of the last stage: set model.network.backbone.dilation="all" here')
    if dilation and to == "mmdet":
        notes.append(
            "the last stage's first block is not dilated, as in torchvision; mmdet's dilations=(1, 1, 1, 2) "
            "dilates it too and gives other numbers unless layer4[0].conv2 is set back to dilation 1"
        )
    return notes


def _to_ours(state_dict: Mapping[str, Tensor]) -> tuple[CheckpointFormat, dict[str, Tensor]]:
    keys = state_dict.keys()
    name = "detr_kit"
    if not any(key in keys for key in _OWN_SIGNATURES):
        name = next((peer for peer, module in _PEERS.items() if module.matches(keys)), "")
        if not name:
            raise InputError(
                "these are not the weights of a DETR or Deformable DETR in a known format "
                f"({', '.join(FORMATS)}); {len(state_dict)} tensors, the first keys are {list(keys)[:3]}"
            )
    try:
        ours = dict(state_dict) if name == "detr_kit" else _PEERS[name].to_ours(state_dict)
        return CheckpointFormat(name, architecture_of(ours)), ours
    except (KeyError, IndexError, ZeroDivisionError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else "tensors have other shapes"
        raise InputError(f"these look like {name} weights of a DETR, but {missing}") from error


def _pick_coco_80(state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """The rows of COCO's 80 categories, in mmdet's order; "no object" stays last."""
    if architecture.num_classes != len(COCO_91):
        raise InputError(
            f'classes="coco80" picks from the 91 COCO ids; these weights have '
            f"{architecture.num_classes} classes"
        )
    rows = list(COCO_80.ids)
    result = dict(state)
    last = f"class_heads.{architecture.num_decoder_layers}."
    for key in state:
        if key.startswith("class_head."):
            result[key] = state[key][[*rows, len(COCO_91)]]
        elif key.startswith("class_heads."):
            # The two-stage proposal head knows one class only, which is row 0.
            result[key] = state[key][[0, *rows[1:]] if key.startswith(last) else rows]
    return result
