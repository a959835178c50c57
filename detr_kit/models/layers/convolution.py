"""A convolution with its batch norm, the brick of real-time networks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation.

    Args:
        in_channels, out_channels, kernel_size, stride: of the convolution, which keeps the size at stride 1.
        groups: of the convolution.
        activation: makes the activation; None for none.
        norm: makes the norm of so many channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        activation: Callable[[], nn.Module] | None = None,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.norm = norm(out_channels)
        self.activation = nn.Identity() if activation is None else activation()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, ⌈H / stride⌉, ⌈W / stride⌉) for odd kernels."""
        return self.activation(self.norm(self.conv(x)))
