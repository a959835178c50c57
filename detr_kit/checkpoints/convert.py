"""State dicts between detr_kit's keys and those of its peers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..categories import COCO_80, COCO_91
from ..errors import InputError
from ..families import FORMATS, Architecture, KeyNames, family_of_keys


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
    """Whose keys these are: "detr_kit", "official", "mmdet", "detrex" or "huggingface".

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
        to: "detr_kit", "official", "mmdet", "detrex" or "huggingface".
        classes: "keep", or "coco80" to pick mmdet's 80 contiguous classes from the 91 COCO ids.

    Returns:
        A new dict; tensors that only change their name are shared with the old one.

    Raises:
        InputError: unknown source or destination, or classes that are not there to pick.
    """
    if to not in FORMATS:
        raise InputError(f"convert_state_dict: to={to!r}; it must be one of {', '.join(FORMATS)}")
    found, ours = _to_ours(state_dict)
    theirs = _names_of(found.architecture, to)
    if classes == "coco80":
        ours = _pick_coco_80(ours, found.architecture)
    elif classes != "keep":
        raise InputError(f'convert_state_dict: classes={classes!r}; it must be "keep" or "coco80"')
    return theirs.from_ours(ours, found.architecture)


def conversion_notes(converted: Mapping[str, Tensor], source: str, to: str, dilation: bool) -> list[str]:
    """What has to be set for converted weights to give the same numbers.

    Args:
        converted: the result; source, to: format names; dilation: whether the model is DC5.
    """
    family = family_of_keys(converted)[0]
    names, before = family.names_in(to), family.names_in(source)
    notes = [] if names is None else names.notes(converted)
    differences = {} if before is None or to == source else before.differences
    for part, settings in differences.items():
        text = ", ".join(f"{name}={value}" for name, value in settings.items())
        notes.append(
            f"weights of {source} do not say it: set model.network.{part} to {text}, or its like there"
        )
    if dilation and source == "mmdet":
        notes.append('mmdet dilates all of the last stage: set model.network.backbone.dilation="all" here')
    if dilation and to == "mmdet":
        notes.append(
            "the last stage's first block is not dilated, as in torchvision; mmdet's dilations=(1, 1, 1, 2) "
            "dilates it too and gives other numbers unless layer4[0].conv2 is set back to dilation 1"
        )
    return notes


def _names_of(architecture: Architecture, to: str) -> KeyNames:
    names = architecture.family.names_in(to)
    if names is None:
        has = ", ".join(names.format for names in architecture.family.key_names)
        raise InputError(
            f"{to} has no names for the weights of {architecture.config_name}; known for it: {has}"
        )
    return names


def _to_ours(state_dict: Mapping[str, Tensor]) -> tuple[CheckpointFormat, dict[str, Tensor]]:
    family, names = family_of_keys(state_dict)
    try:
        ours = names.to_ours(state_dict)
        architecture = family.architecture_of(ours).with_differences(names.differences, names.variant)
        return CheckpointFormat(names.format, architecture), ours
    except (KeyError, IndexError, ValueError, ZeroDivisionError, TypeError, RuntimeError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else "tensors have other shapes"
        raise InputError(f"these look like {names.format} weights of a DETR, but {missing}") from error


def _pick_coco_80(state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """The rows of COCO's 80 categories, in mmdet's order; what follows the classes stays last."""
    if architecture.num_classes != len(COCO_91):
        raise InputError(
            f'classes="coco80" picks from the 91 COCO ids; these weights have '
            f"{architecture.num_classes} classes"
        )
    result = dict(state)
    for key, rows in architecture.family.class_rows(state).items():
        kept = [*COCO_80.ids, *range(len(COCO_91), len(COCO_91) + rows.extra)]
        result[key] = state[key][[0, *kept[1:]] if rows.only_object else kept]
    return result
