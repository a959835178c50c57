"""The neck: brings the maps of a backbone to one width and adds coarser levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...registry import MODELS


class Projection(nn.Module):
    """A convolution and, where wanted, a GroupNorm."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, norm_groups: int | None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(norm_groups, out_channels) if norm_groups else nn.Identity()
        if norm_groups:
            nn.init.xavier_uniform_(self.conv.weight)
            self.conv.bias.data.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


@MODELS.register_module()
class ChannelMapper(nn.Module):
    """1×1 projections of the backbone's maps and 3×3 stride-2 convolutions for the levels above them.

    Source: Deformable DETR, appendix A.2: the first extra level reads the backbone's last map, each
    further one the level before it. DETR's plain projection is `norm_groups=None` with one level.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        out_channels: channels of every level.
        num_levels: levels to return; None for one a map.
        norm_groups: groups of the GroupNorm; None leaves the norm out.

    Raises:
        ValueError: fewer levels than maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_levels: int | None = None,
        norm_groups: int | None = 32,
    ) -> None:
        super().__init__()
        num_levels = len(in_channels) if num_levels is None else num_levels
        if num_levels < len(in_channels):
            raise ValueError(
                f"ChannelMapper: num_levels={num_levels} for {len(in_channels)} maps; drop strides from the "
                "backbone or raise num_levels"
            )
        self.levels = nn.ModuleList(Projection(c, out_channels, 1, 1, norm_groups) for c in in_channels)
        for extra in range(num_levels - len(in_channels)):
            channels = in_channels[-1] if extra == 0 else out_channels
            self.levels.append(Projection(channels, out_channels, 3, 2, norm_groups))
        self.in_channels, self.out_channels = list(in_channels), out_channels

    @property
    def num_levels(self) -> int:
        """How many levels come out."""
        return len(self.levels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, in_channels[i], H_i, W_i) -> num_levels maps (B, out_channels, ·, ·)."""
        outputs: list[Tensor] = []
        for index, level in enumerate(self.levels):
            if index < len(maps):
                outputs.append(level(maps[index]))
            else:
                outputs.append(level(maps[-1] if index == len(maps) else outputs[-1]))
        return outputs
