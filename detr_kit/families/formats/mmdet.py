"""Checkpoints of mmdetection 3.x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..architecture import Architecture
from ..key_names import KeyNames
from ..rules import Rule
from ..shared_heads import SharedHeads

BEGINNINGS = ("bbox_head.cls_branches.", "bbox_head.fc_cls.")

# Norms are numbered in the order they are applied.
COMMON = """
backbone.{rest}                                         backbone.{rest}
query_embed.weight                                      query_embedding.weight
transformer.encoder_layers.{i}.norm_self_attn.{p}       encoder.layers.{i}.norms.0.{p}
transformer.encoder_layers.{i}.ffn.linear1.{p}          encoder.layers.{i}.ffn.layers.0.0.{p}
transformer.encoder_layers.{i}.ffn.linear2.{p}          encoder.layers.{i}.ffn.layers.1.{p}
transformer.encoder_layers.{i}.norm_ffn.{p}             encoder.layers.{i}.norms.1.{p}
transformer.decoder_layers.{i}.self_attn.{rest}         decoder.layers.{i}.self_attn.attn.{rest}
transformer.decoder_layers.{i}.norm_self_attn.{p}       decoder.layers.{i}.norms.0.{p}
transformer.decoder_layers.{i}.norm_cross_attn.{p}      decoder.layers.{i}.norms.1.{p}
transformer.decoder_layers.{i}.ffn.linear1.{p}          decoder.layers.{i}.ffn.layers.0.0.{p}
transformer.decoder_layers.{i}.ffn.linear2.{p}          decoder.layers.{i}.ffn.layers.1.{p}
transformer.decoder_layers.{i}.norm_ffn.{p}             decoder.layers.{i}.norms.2.{p}
"""
"""The part of the table that DETR and Deformable DETR share."""


class MmdetNames(KeyNames):
    """mmdetection's keys.

    Args:
        table, marks: see KeyNames.
        heads: where it stores prediction heads under several names.
    """

    format = "mmdet"
    beginnings = BEGINNINGS

    def __init__(
        self, table: Sequence[Rule], marks: tuple[str, ...], heads: SharedHeads | None = None
    ) -> None:
        super().__init__(table, marks)
        self.heads = heads

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        return super().to_ours(state if self.heads is None else self.heads.keep_one_name(state))

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames; batch norms get the counter that they have over there."""
        theirs = super().from_ours(state, architecture)
        for key in [key for key in theirs if key.endswith(".running_mean")]:
            theirs.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
        return theirs if self.heads is None else self.heads.repeat(theirs, architecture)
