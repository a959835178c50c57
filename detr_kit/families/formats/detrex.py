"""Checkpoints of IDEA-Research/detrex, with detectron2's ResNet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..architecture import Architecture
from ..key_names import KeyNames
from ..neck_levels import extra_levels, number_levels
from ..rules import Rule
from ..stored_heads import StoredHeads

BEGINNINGS = ("transformer.encoder.layers.0.attentions.",)

# Attention modules, FFNs and norms are numbered in the order they are applied.
COMMON = """
backbone.{rest}                                         backbone.{rest}
transformer.encoder_layers.{i}.norm_self_attn.{p}       transformer.encoder.layers.{i}.norms.0.{p}
transformer.encoder_layers.{i}.ffn.linear1.{p}          transformer.encoder.layers.{i}.ffns.0.layers.0.0.{p}
transformer.encoder_layers.{i}.ffn.linear2.{p}          transformer.encoder.layers.{i}.ffns.0.layers.1.{p}
transformer.encoder_layers.{i}.norm_ffn.{p}             transformer.encoder.layers.{i}.norms.1.{p}
transformer.decoder_layers.{i}.norm_self_attn.{p}       transformer.decoder.layers.{i}.norms.0.{p}
transformer.decoder_layers.{i}.norm_cross_attn.{p}      transformer.decoder.layers.{i}.norms.1.{p}
transformer.decoder_layers.{i}.ffn.linear1.{p}          transformer.decoder.layers.{i}.ffns.0.layers.0.0.{p}
transformer.decoder_layers.{i}.ffn.linear2.{p}          transformer.decoder.layers.{i}.ffns.0.layers.1.{p}
transformer.decoder_layers.{i}.norm_ffn.{p}             transformer.decoder.layers.{i}.norms.2.{p}
"""
"""The part of the table that all its networks share."""

# Levels above the backbone's are apart, and renumbered to follow the others.
MULTI_SCALE = """
neck.levels.{i}.conv.{p}                                neck.convs.{i}.conv.{p}
neck.levels.{i}.norm.{p}                                neck.convs.{i}.norm.{p}
transformer.level_embed                                 transformer.level_embeds
transformer.encoder_layers.{i}.self_attn.{rest}     transformer.encoder.layers.{i}.attentions.0.{rest}
transformer.decoder_layers.{i}.self_attn.{rest}     transformer.decoder.layers.{i}.attentions.0.attn.{rest}
transformer.decoder_layers.{i}.cross_attn.{rest}    transformer.decoder.layers.{i}.attentions.1.{rest}
"""
"""The part of the table that networks of several levels share."""


class DetrexNames(KeyNames):
    """detrex's keys.

    Args:
        table, marks: see KeyNames.
        heads: where it stores prediction heads under several names.
    """

    format = "detrex"
    beginnings = BEGINNINGS

    def __init__(
        self, table: Sequence[Rule], marks: tuple[str, ...], heads: StoredHeads | None = None
    ) -> None:
        super().__init__(table, (*BEGINNINGS, *marks))
        self.heads = heads

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        state = {_torchvision_resnet(key): tensor for key, tensor in number_levels(state).items()}
        return super().to_ours(state if self.heads is None else self.heads.keep_one_name(state))

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames; heads stored under several names share their memory."""
        state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        theirs = super().from_ours(state, architecture)
        theirs = theirs if self.heads is None else self.heads.repeat(theirs, architecture)
        return {_detectron_resnet(key): tensor for key, tensor in extra_levels(theirs).items()}


def _torchvision_resnet(key: str) -> str:
    """backbone.res2.0.conv1.norm.weight -> backbone.layer1.0.bn1.weight."""
    key = key.replace("backbone.stem.", "backbone.", 1)
    key = re.sub(r"^backbone\.res(\d)\.", lambda m: f"backbone.layer{int(m.group(1)) - 1}.", key)
    if not key.startswith("backbone."):
        return key
    key = re.sub(r"\.conv(\d)\.norm\.", r".bn\1.", key)
    key = key.replace(".shortcut.norm.", ".downsample.1.").replace(".shortcut.", ".downsample.0.")
    return key


def _detectron_resnet(key: str) -> str:
    """The way back."""
    key = re.sub(r"^backbone\.(conv1|bn1)\.", r"backbone.stem.\1.", key)
    key = re.sub(r"^backbone\.layer(\d)\.", lambda m: f"backbone.res{int(m.group(1)) + 1}.", key)
    if not key.startswith("backbone."):
        return key
    key = re.sub(r"\.bn(\d)\.", r".conv\1.norm.", key)
    return key.replace(".downsample.1.", ".shortcut.norm.").replace(".downsample.0.", ".shortcut.")
