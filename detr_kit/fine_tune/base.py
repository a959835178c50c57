"""What a fine-tuned model starts from: a shipped config, and where that is another's, the network itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints import CheckpointFile, detect_format, read_recipe, strip_wrapper
from ..config import config_names, find_config, read_config
from ..defaults import MODEL
from ..errors import InputError
from ..families import Architecture

# What a run decides, so that networks that differ in nothing else are the same model.
_OF_A_RUN = {
    *("num_classes", "num_queries", "dropout", "checkpointing", "norm"),
    *("weights", "pretrained", "frozen_stages", "frozen"),
}


@dataclass(frozen=True)
class Base:
    """The config that a fine-tuning config inherits from.

    Attributes:
        name: a shipped config's name, or a path.
        config: read.
        network: in place of the config's, where the checkpoint is of another; None for the config's.
        image_size: the short side at which the checkpoint was tested, where it says it.
    """

    name: str
    config: Config
    network: dict[str, Any] | None = None
    image_size: int | None = None

    @property
    def path(self) -> Path:
        """The config's file."""
        return find_config(self.name).resolve()

    @property
    def num_queries(self) -> int:
        """Of the network that is trained."""
        return int((self.network or self.config.model.network)["num_queries"])


def base_of(model: str | None, checkpoint: str | Path | None, file: CheckpointFile | None) -> Base:
    """The named config; or the one that weights were trained with, as far as they tell.

    Raises:
        InputError: no such config, or weights that tell of none.
    """
    if model is not None or file is None:
        name = model or MODEL
        return Base(name, read_config(name))
    try:
        found = detect_format(strip_wrapper(file.state_dict)).architecture
        recipe = read_recipe(file.metadata)
    except InputError as error:
        raise InputError(f"--checkpoint {checkpoint}: {error}") from error
    if recipe is not None:
        return _base_of_recipe(recipe, str(checkpoint))
    dilation = "_dc5" * bool(file.metadata.get("dilation"))  # which leaves no trace in weights
    named = file.metadata.get("config")
    name = str(named or found.config_name + dilation)
    if name not in config_names() or not (named or _is_of(found, read_config(name).model.network)):
        raise _unknown(str(checkpoint))
    return Base(name, read_config(name))


def _unknown(checkpoint: str) -> InputError:
    return InputError(f"--checkpoint {checkpoint}: no shipped config is of these weights; give --model")


def _is_of(found: Architecture, network: Config) -> bool:
    """Whether a config's network has the sizes that weights show."""
    shown, said = (dict(_leaves(part)) for part in (found.network, network))
    return found.foreign_part is None and all(shown[key] == said[key] for key in shown.keys() & said.keys())


def _base_of_recipe(recipe: Mapping[str, Any], checkpoint: str) -> Base:
    """The shipped config whose network is the most like the recipe's, with the recipe's in its place."""
    network = recipe["network"]
    if not isinstance(network, Mapping) or not _is_plain(network):
        raise InputError(f"--checkpoint {checkpoint}: its recipe is no plain data; give --model")
    configs = {name: read_config(name) for name in config_names()}
    differences = {
        name: _differences(network, config.model.network.to_dict())
        for name, config in configs.items()
        if config.model.network.type == network.get("type")
    }
    if not differences:
        raise _unknown(checkpoint)
    name = min(differences, key=lambda name: differences[name])
    config, size = configs[name], short_side(recipe["transforms"])
    own = None if differences[name] == 0 else dict(network)
    return Base(name, config, own, None if own is None and size == short_side(_tests(config)) else size)


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> int:
    ours, theirs = (dict(_leaves(network)) for network in (a, b))
    return len(set(ours.items()) ^ set(theirs.items()))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting that makes a model what it is, as text: tuples and lists are the same."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key not in _OF_A_RUN:
                yield from _leaves(part, f"{path}.{key}")
    else:
        yield path, json.dumps(value)


def _is_plain(value: Any) -> bool:
    """Whether it can be written into a config: a stranger's file says what stands there."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and key.isidentifier() and _is_plain(v) for key, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return "{{" not in value  # which mmengine would replace
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value))


def _tests(config: Config) -> list[Any]:
    return config.test_dataloader.dataset.to_dict().get("transforms") or []


def short_side(transforms: Any) -> int | None:
    """The size that test transforms bring pictures to; None where they leave them."""
    for transform in transforms if isinstance(transforms, list | tuple) else ():
        if isinstance(transform, Mapping) and transform.get("type") == "ResizeShortestSide":
            sizes = transform["sizes"]
            return int(sizes if isinstance(sizes, int) else max(sizes))
        if isinstance(transform, Mapping) and transform.get("type") == "Resize":
            size = transform["size"]
            return int(size if isinstance(size, int) else min(size))
    return None


def is_square(config: Config) -> bool:
    """Whether the model's test pictures are brought to one size, whatever their shape."""
    return any(transform.get("type") == "Resize" for transform in _tests(config))


def size_of_test_alone(config: Config) -> int | None:
    """The size of the model's test pictures, where it takes training pictures as they are: one for both."""
    if "Resize" in str(config.train_dataloader.dataset.get("transforms")):
        return None
    return short_side(_tests(config))
