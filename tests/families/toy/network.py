"""What would be `detr_kit/models/toy.py`: a detector with one layer of attention that also denoises."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detr_kit.models.layers.attention import MultiheadAttention
from detr_kit.models.layers.feed_forward import MLP
from detr_kit.models.layers.resize_mask import resize_mask
from detr_kit.registry import MODELS
from detr_kit.structures import DenoisingOutput, DetectorOutput, Matches, Target


class ToyLayer(nn.Module):
    """Queries look at the image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cross_attn = MultiheadAttention(width, 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, memory: Tensor, position: Tensor, mask: Tensor | None) -> Tensor:
        return self.norm(queries + self.cross_attn(queries, memory + position, memory, mask))


@MODELS.register_module()
class ToyDetector(nn.Module):
    """Convolutions, two layers of attention, shared heads; boxes of targets as denoising queries."""

    classification = "focal"

    def __init__(
        self, position_encoding: nn.Module, num_classes: int = 91, num_queries: int = 10, width: int = 16
    ) -> None:
        super().__init__()
        self.num_classes, self.num_queries = num_classes, num_queries
        self.stem = nn.Sequential(nn.Conv2d(3, width, 8, 8), nn.ReLU(), nn.Conv2d(width, width, 2, 2))
        self.position_encoding = position_encoding
        self.toy_queries = nn.Embedding(num_queries, width)
        self.box_embed = nn.Linear(4, width)
        self.layers = nn.ModuleList([ToyLayer(width), ToyLayer(width)])
        self.class_head = nn.Linear(width, num_classes)
        self.box_head = MLP(width, width, 4, num_layers=2)

    def forward(
        self,
        images: Tensor,
        padding_mask: Tensor | None = None,
        targets: Sequence[Target] | None = None,
    ) -> DetectorOutput:
        features = self.stem(images)
        mask = resize_mask(padding_mask, images, features)
        position = self.position_encoding(mask).flatten(1, 2).to(features.dtype)
        memory = features.flatten(2).transpose(1, 2)
        keys = None if padding_mask is None else mask.flatten(1)
        queries = self.toy_queries.weight.expand(images.shape[0], -1, -1)  # len() would fix it in an export
        layers = self._decode(queries, memory, position, keys)
        denoising = None
        if self.training and targets is not None:
            denoising = self._denoise(targets, memory, position, keys)
        return DetectorOutput(
            *layers[-1], layers[:-1], classification=self.classification, denoising=denoising
        )

    def _decode(
        self, queries: Tensor, memory: Tensor, position: Tensor, mask: Tensor | None
    ) -> list[tuple[Tensor, Tensor]]:
        found = []
        for layer in self.layers:
            queries = layer(queries, memory, position, mask)
            found.append((self.class_head(queries).float(), self.box_head(queries).float().sigmoid()))
        return found

    def _denoise(
        self, targets: Sequence[Target], memory: Tensor, position: Tensor, mask: Tensor | None
    ) -> DenoisingOutput:
        boxes = nn.utils.rnn.pad_sequence([target.boxes for target in targets], batch_first=True)
        index = [(i, j, j) for i, target in enumerate(targets) for j in range(len(target.labels))]
        matches = torch.tensor(index, dtype=torch.int64, device=memory.device).reshape(-1, 3).T
        noisy = (boxes + 0.05 * torch.randn_like(boxes)).clamp(0, 1)
        layers = self._decode(self.box_embed(noisy), memory, position, mask)
        return DenoisingOutput(layers, Matches(*matches))
