"""What the weights of a network tell of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from .family import Family


@dataclass(frozen=True)
class Architecture:
    """The facts about a network that its weights reveal.

    Attributes:
        family: whose network it is.
        config_name: the nearest shipped config. Dilation leaves no trace in weights: DC5 needs to be named.
            A backbone that is no complete one of ours is left out, which is the name of no config.
        num_classes: without "no object".
        num_queries: None where weights do not say.
        network: a config of the network as far as weights tell, see `network_config`.
        foreign_part: "backbone", "neck" or "transformer" where that is none of ours, else None.
    """

    family: Family
    config_name: str
    num_classes: int
    num_queries: int | None
    network: Mapping[str, Any]
    foreign_part: str | None = None

    def with_differences(self, differences: Mapping[str, Mapping[str, Any]], variant: str) -> Architecture:
        """The same with parts of the network's config set otherwise, see KeyNames."""
        if not differences:
            return self
        parts = {part: {**self.network[part], **values} for part, values in differences.items()}
        name = f"{self.config_name}_{variant}"
        return replace(self, config_name=name, network={**self.network, **parts})

    def network_config(
        self, *, num_heads: int | None = None, num_queries: int | None = None, dilation: bool = False
    ) -> dict[str, Any]:
        """A config of exactly this network, for `detr_kit.registry.build`.

        What weights do not tell may be given: attention heads, the queries of a network whose weights have
        none, and whether the backbone is DC5.

        Raises:
            InputError: backbone, neck or transformer are none of ours.
        """
        if self.foreign_part is not None:
            raise InputError(
                f"these weights are of a {self.foreign_part} that detr-kit has not got by default; name the "
                "model's config"
            )
        network = copy.deepcopy(dict(self.network))
        if num_heads:
            self.family.set_num_heads(network, num_heads)
        network["num_queries"] = self.num_queries or num_queries or network["num_queries"]
        if dilation:
            network["backbone"]["dilation"] = True
        return network


@dataclass(frozen=True)
class ClassRows:
    """What the rows of a tensor mean that has one a class.

    Attributes:
        extra: rows after the classes, such as "no object".
        only_object: row 0 tells objects from background, and no other row means anything: the head of
            proposals that know no classes.
    """

    extra: int = 0
    only_object: bool = False
