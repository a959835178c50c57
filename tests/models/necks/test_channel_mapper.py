"""Maps of one width at several strides."""

import pytest
import torch

from detr_kit.models import ChannelMapper


def test_extra_levels_start_from_the_backbones_last_map():
    neck = ChannelMapper([8, 16], out_channels=32, num_levels=4)
    levels = neck([torch.randn(1, 8, 16, 16), torch.randn(1, 16, 8, 8)])
    assert [tuple(level.shape) for level in levels] == [(1, 32, s, s) for s in (16, 8, 4, 2)]
    assert neck.levels[2].conv.in_channels == 16
    assert neck.levels[3].conv.in_channels == 32
    with pytest.raises(ValueError, match="num_levels=1 for 2 maps"):
        ChannelMapper([8, 16], num_levels=1)
