"""RegNetY-400MF of torchvision as a backbone: 4 million parameters."""

import torchvision
from torch import Tensor, nn

from detr_kit.registry import MODELS


@MODELS.register_module()
class RegNet(nn.Module):
    """The maps with strides 8, 16 and 32: 104, 208 and 440 channels.

    Args:
        weights: "DEFAULT" for torchvision's, trained on ImageNet; None for random ones. Detector, evaluation
            and a run that begins with a checkpoint set it to None by themselves.
    """

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        network = torchvision.models.regnet_y_400mf(weights=weights)
        self.stem = network.stem
        self.blocks = nn.ModuleList(network.trunk_output.children())

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, x = [], self.stem(images)
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps[1:]
