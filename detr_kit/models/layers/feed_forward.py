"""The two small networks of every DETR: the transformer's FFN and the box head's MLP."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import Dropout, relu_dropout


class FeedForward(nn.Module):
    """linear, activation, dropout, linear (Vaswani et al. 2017, section 3.3)."""

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int,
        dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.linear1 = nn.Linear(embed_dims, hidden_dims)
        self.dropout = Dropout(dropout)
        self.linear2 = nn.Linear(hidden_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(…, embed_dims) -> (…, embed_dims)."""
        hidden = self.linear1(x)
        if self.training and self.activation is F.relu:
            return self.linear2(relu_dropout(hidden, self.dropout.p))
        return self.linear2(self.dropout(self.activation(hidden)))


class MLP(nn.Module):
    """Linear layers with ReLU between them (Carion et al. 2020, appendix A.4: the box head has three)."""

    def __init__(self, in_dims: int, hidden_dims: int, out_dims: int, num_layers: int) -> None:
        super().__init__()
        widths = [in_dims, *[hidden_dims] * (num_layers - 1), out_dims]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    @property
    def output_layer(self) -> nn.Linear:
        """The last layer."""
        return cast(nn.Linear, self.layers[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_dims) -> (…, out_dims)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)
