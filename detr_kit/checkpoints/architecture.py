"""Which network a state dict of ours belongs to, read off its keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Architecture:
    """The facts about a network that its weights reveal.

    Attributes:
        kind: "detr" or "deformable_detr".
        num_classes: without "no object".
        num_queries: None for two-stage networks, whose weights do not say.
        num_levels: feature levels.
        refine, two_stage: the variants of Deformable DETR.
        num_decoder_layers: depth of the decoder.
        depth: of the ResNet, None where it is unknown.
    """

    kind: str
    num_classes: int
    num_queries: int | None
    num_levels: int
    refine: bool
    two_stage: bool
    num_decoder_layers: int
    depth: int | None

    @property
    def config_name(self) -> str:
        """The nearest shipped config. Dilation leaves no trace in weights: DC5 needs to be named."""
        name = f"{self.kind}_r{self.depth or 50}"
        if self.kind == "deformable_detr":
            name += "_two_stage" if self.two_stage else "_refine" if self.refine else ""
            name += "_single_scale" if self.num_levels == 1 else ""
        return name


def architecture_of(state: Mapping[str, Tensor]) -> Architecture:
    """The architecture behind a state dict with detr_kit's keys.

    Raises:
        KeyError: it is not one.
    """
    deformable = "transformer.level_embed" in state
    head = state["class_heads.0.weight" if deformable else "class_head.weight"]
    query_embed = state.get("query_embed.weight")
    box_heads = _count(state, "box_heads.") if deformable else 1
    return Architecture(
        kind="deformable_detr" if deformable else "detr",
        num_classes=len(head) if deformable else len(head) - 1,
        num_queries=None if query_embed is None else len(query_embed),
        num_levels=_count(state, "neck.levels."),
        refine=box_heads > 1,
        two_stage="proposals.memory_proj.weight" in state,
        num_decoder_layers=_count(state, "transformer.decoder_layers."),
        depth=_depth(state),
    )


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _depth(state: Mapping[str, Tensor]) -> int | None:
    blocks: tuple[int, ...] = tuple(_count(state, f"backbone.layer{stage}.") for stage in range(1, 5))
    bottleneck = "backbone.layer1.0.conv3.weight" in state
    depths: dict[tuple[tuple[int, ...], bool], int] = {
        ((2, 2, 2, 2), False): 18,
        ((3, 4, 6, 3), False): 34,
        ((3, 4, 6, 3), True): 50,
        ((3, 4, 23, 3), True): 101,
        ((3, 8, 36, 3), True): 152,
    }
    return depths.get((blocks, bottleneck))
