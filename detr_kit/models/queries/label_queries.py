"""The contents of DN-DETR's queries: a class, and whether it is to be denoised (Li et al. 2022, 4.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .denoising import DenoisingQueries


class LabelQueries(nn.Module):
    """Embeds classes in all channels but the last, which is 1 for denoising queries and 0 for others.

    Args:
        num_classes: classes; there is one more, "unknown", of queries that are to find anything.
        embed_dims: width of the model.
    """

    def __init__(self, num_classes: int, embed_dims: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.label_embed = nn.Embedding(num_classes + 1, embed_dims - 1)

    def unknown(self) -> Tensor:
        """(1, C), the content of a query of no class."""
        return F.pad(self.label_embed.weight[self.num_classes :], (0, 1))

    def noisy(self, queries: DenoisingQueries) -> Tensor:
        """(B, D, C) of the queries' noisy classes; 0 on padding."""
        content = F.pad(self.label_embed(queries.labels), (0, 1), value=1.0)
        return content.masked_fill(queries.padding[..., None], 0)
