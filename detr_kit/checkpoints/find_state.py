"""Where in a checkpoint the weights are: found by what is there, not by what it is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from .averaged import covers, is_averaged
from .inert_pickle import Placeholder, StoredTensor
from .wrapper import prefixes

_DEEPEST = 6
# Of several networks that are not averaged, the first of these.
_USUAL = ("state_dict", "model", "model_state_dict", "net", "network", "weights", "params", "student")


class FoundState(NamedTuple):
    """A state dict, its dotted place in the file ("" for the file itself), and what has to be said of it."""

    state: dict[str, Any]
    place: str
    notes: list[str]

    @property
    def keys(self) -> set[str]:
        """Its network's own keys."""
        prefix = next(iter(prefixes(self.state)), "")
        return {key.removeprefix(prefix) for key in self.state if key.startswith(prefix)}


def find_state(content: Any) -> FoundState | None:
    """The weights among all that a training checkpoint holds; averaged ones where they are complete.

    Args:
        content: nested dicts with tensors (or `StoredTensor`s), or a whole pickled module.

    Returns:
        None where there are no tensors.
    """
    candidates = [FoundState(state, place, []) for place, state in _tensor_dicts(content)]
    networks = [one for one in candidates if prefixes(one.state)]
    if not networks:
        return max(candidates, key=lambda one: len(one.state), default=None)
    if _is_of_mmengine(content):
        # Its EMA hook swaps before it saves: the averages are in state_dict, the live weights beside it.
        chosen = next((one for one in networks if one.place == "state_dict"), networks[0])
        also = " (the running average; ema_state_dict has the live weights)"
        return chosen._replace(notes=[f"weights of {chosen.place!r}{also}"] if len(networks) > 1 else [])
    live = sorted((one for one in networks if not is_averaged(one.place)), key=_unusual)
    complete = [
        one for one in networks if is_averaged(one.place) and (not live or covers(one.keys, live[0].keys))
    ]
    chosen = (complete or live or networks)[0]
    others = [one.place or "the file itself" for one in networks if one is not chosen]
    what = "running average" if is_averaged(chosen.place) else "weights"
    said = [f"{what} of {chosen.place!r} taken, not {', '.join(map(repr, others))}"] if others else []
    return chosen._replace(notes=said)


def _unusual(found: FoundState) -> tuple[int, int]:
    first = found.place.split(".")[0]
    return _USUAL.index(first) if first in _USUAL else len(_USUAL), -len(found.state)


def _is_of_mmengine(content: Any) -> bool:
    if not isinstance(content, Mapping):
        return False
    meta = content.get("meta")
    return "message_hub" in content or (isinstance(meta, Mapping) and "mmengine_version" in meta)


def _tensor_dicts(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and tensors of every dict that has some, from the outside in; optimizers are left out."""
    seen: set[int] = set()
    level: list[tuple[str, Any]] = [("", content)]
    for _ in range(_DEEPEST):
        deeper: list[tuple[str, Any]] = []
        for place, value in level:
            parts = _parts(value)
            if id(value) in seen or parts is None:
                continue
            seen.add(id(value))
            tensors = {key: part for key, part in parts.items() if isinstance(key, str) and _is_tensor(part)}
            if tensors:
                yield place, tensors
            deeper += [
                (f"{place}.{key}".lstrip("."), part)
                for key, part in parts.items()
                if not _is_tensor(part) and "optim" not in str(key).lower()
            ]
        level = deeper


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """What a dict, or a stranger's object that was filled or restored from one, holds."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, Placeholder):
        return None
    state = value.state if isinstance(value.state, dict) else {}
    return dict(_module_state(value)) if "_modules" in state else {**state, **value.items}


def _module_state(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The state dict of a pickled torch.nn.Module."""
    state = getattr(module, "state", None)
    if not isinstance(state, dict) or prefix.count(".") > 40:
        return
    hidden = state.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, tensor in (state.get(kind) or {}).items():
            if _is_tensor(tensor) and name not in hidden:
                yield f"{prefix}{name}", tensor
    for name, child in (state.get("_modules") or {}).items():
        yield from _module_state(child, f"{prefix}{name}.")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor | StoredTensor)
