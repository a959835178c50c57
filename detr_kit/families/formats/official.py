"""Checkpoints of facebookresearch/detr and the code that grew from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from ..architecture import Architecture
from ..key_names import KeyNames
from ..layer_heads import LayerHeads
from ..rules import Rule
from ..shared_heads import SharedHeads

BEGINNINGS = ("backbone.0.body.",)

COMMON = """
backbone.{rest}                                     backbone.0.body.{rest}
position_encoding.{rest}                            backbone.1.{rest}
query_embed.weight                                  query_embed.weight
transformer.encoder_layers.{i}.self_attn.{rest}     transformer.encoder.layers.{i}.self_attn.{rest}
transformer.encoder_layers.{i}.norm_self_attn.{p}   transformer.encoder.layers.{i}.norm1.{p}
transformer.encoder_layers.{i}.ffn.{linear}.{p}     transformer.encoder.layers.{i}.{linear}.{p}
transformer.encoder_layers.{i}.norm_ffn.{p}         transformer.encoder.layers.{i}.norm2.{p}
transformer.decoder_layers.{i}.self_attn.{rest}     transformer.decoder.layers.{i}.self_attn.{rest}
transformer.decoder_layers.{i}.ffn.{linear}.{p}     transformer.decoder.layers.{i}.{linear}.{p}
transformer.decoder_layers.{i}.norm_ffn.{p}         transformer.decoder.layers.{i}.norm3.{p}
"""
"""The part of the table that DETR and Deformable DETR share."""

# norm2 follows self-attention and norm1 cross-attention.
MULTI_SCALE = """
neck.levels.{i}.conv.{p}                            input_proj.{i}.0.{p}
neck.levels.{i}.norm.{p}                            input_proj.{i}.1.{p}
transformer.level_embed                             transformer.level_embed
transformer.decoder_layers.{i}.norm_self_attn.{p}   transformer.decoder.layers.{i}.norm2.{p}
transformer.decoder_layers.{i}.cross_attn.{rest}    transformer.decoder.layers.{i}.cross_attn.{rest}
transformer.decoder_layers.{i}.norm_cross_attn.{p}  transformer.decoder.layers.{i}.norm1.{p}
"""
"""The part of the table that networks of several levels share."""


class OfficialNames(KeyNames):
    """Keys of the original code.

    Args:
        table, marks: see KeyNames; the format's beginnings are added to the marks.
        heads: where it stores prediction heads under several names.
    """

    format = "official"
    beginnings = BEGINNINGS

    def __init__(
        self, table: Sequence[Rule], marks: tuple[str, ...], heads: SharedHeads | LayerHeads | None = None
    ) -> None:
        super().__init__(table, (*BEGINNINGS, *marks))
        self.heads = heads

    def missing(self, keys: Iterable[str]) -> list[str]:
        """See KeyNames; the panoptic model has a prefix."""
        return super().missing(key.removeprefix("detr.") for key in keys)

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        state = {key.removeprefix("detr."): tensor for key, tensor in state.items()}
        if self.heads is not None:
            state = self.heads.keep_one_name(state)
        return super().to_ours(state)

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames; heads stored under several names share their memory."""
        state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        theirs = super().from_ours(state, architecture)
        return theirs if self.heads is None else self.heads.repeat(theirs, architecture)
