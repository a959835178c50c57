"""State dicts between detr_kit's keys and those of its peers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..errors import InputError
from . import official
from .architecture import Architecture, architecture_of
from .rules import Rule, first_match

FORMATS = ("official", "detr_kit")


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
    """Whose keys these are: "official" or "detr_kit"; `.architecture` says of which network.

    Raises:
        InputError: the keys are of no known format.
    """
    return _to_ours(state_dict)[0]


def convert_state_dict(state_dict: Mapping[str, Tensor], to: str = "detr_kit") -> dict[str, Tensor]:
    """Rename (and, where formats differ, regroup) the tensors of a state dict.

    Args:
        state_dict: of any known format, found by its keys.
        to: "detr_kit" or "official".

    Returns:
        A new dict over the same tensors.

    Raises:
        InputError: unknown source or destination.
    """
    if to not in FORMATS:
        raise InputError(f"convert_state_dict: to={to!r}; it must be one of {', '.join(FORMATS)}")
    source, ours = _to_ours(state_dict)
    if to == "detr_kit":
        return ours
    rules = _official_rules(source.architecture.kind == "deformable_detr")
    return official.expand({_theirs(key, rules): t for key, t in ours.items()}, source.architecture)


def _to_ours(state_dict: Mapping[str, Tensor]) -> tuple[CheckpointFormat, dict[str, Tensor]]:
    keys = state_dict.keys()
    if "class_head.weight" in keys or "class_heads.0.weight" in keys:
        ours = dict(state_dict)
        return CheckpointFormat("detr_kit", architecture_of(ours)), ours
    if any(key.removeprefix("detr.").startswith("backbone.0.body.") for key in keys):
        state = official.normalise(state_dict)
        rules = _official_rules("transformer.level_embed" in state)
        ours = {}
        for key, tensor in state.items():
            renamed = first_match(rule.to_ours(key) for rule in rules)
            # Keys without a counterpart stay as they are, and the loader reports them as unexpected.
            ours[renamed or key] = tensor
        return CheckpointFormat("official", _architecture(ours)), ours
    raise InputError(
        f"these are not the weights of a DETR or Deformable DETR in a known format ({', '.join(FORMATS)}); "
        f"{len(state_dict)} tensors, the first keys are {list(keys)[:3]}"
    )


def _architecture(ours: dict[str, Tensor]) -> Architecture:
    try:
        return architecture_of(ours)
    except KeyError as error:
        raise InputError(f"these look like official DETR weights, but {error} is missing") from error


def _official_rules(deformable: bool) -> list[Rule]:
    return official.DEFORMABLE_DETR if deformable else official.DETR


def _theirs(key: str, rules: list[Rule]) -> str:
    renamed = first_match(rule.to_theirs(key) for rule in rules)
    if renamed is None:
        raise InputError(f"the tensor {key!r} has no name in the official format")
    return renamed
