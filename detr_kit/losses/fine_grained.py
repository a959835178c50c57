"""D-FINE's losses on the distributions of edges: fine-grained localisation and its distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from ..models.layers.distribution import edge_distances
from ..registry import MODELS
from .further_loss import FurtherLoss
from .giou import box_iou
from .groups import Matched
from .process_mean import process_mean


@MODELS.register_module()
class FineGrainedLoss(FurtherLoss):
    """FGL teaches distributions where edges are; DDF teaches earlier layers what the last has learnt.

    Peng et al. 2025, equations 4 and 6. Reads the extras of a network such as DFINE: edges, first_boxes,
    distances and scale; groups without them have neither loss.

    Args:
        weight_fgl, weight_ddf: coefficients.
        temperature: of the distillation.
    """

    def __init__(self, weight_fgl: float = 0.15, weight_ddf: float = 1.5, temperature: float = 5.0) -> None:
        super().__init__()
        self.weights = {"loss_fgl": weight_fgl, "loss_ddf": weight_ddf}
        self.temperature = temperature

    def forward(self, matched: Matched, main: Matched) -> dict[str, Tensor]:
        """See FurtherLoss."""
        if "edges" not in matched.group.extras:
            return {}
        pairs = matched.pairs
        with torch.no_grad():
            boxes = (pairs.predicted(matched.group.boxes), pairs.boxes)
            iou = box_iou(*(box_convert(box, "cxcywh", "xyxy") for box in boxes))
        return {
            "loss_fgl": self._localisation(matched, iou),
            "loss_ddf": self._distillation(matched, main, iou),
        }

    @staticmethod
    def _localisation(matched: Matched, iou: Tensor) -> Tensor:
        """(N,): cross-entropy with the two bins beside the wanted distance, the better the box the more."""
        extras, pairs = matched.group.extras, matched.pairs
        distances = extras["distances"].flatten()
        with torch.no_grad():
            first = extras["first_boxes"][0, pairs.image, pairs.query]
            left, share = _between(edge_distances(first, pairs.boxes, extras["scale"].flatten()), distances)
        edges = pairs.predicted(extras["edges"]).float().unflatten(-1, (4, len(distances))).log_softmax(-1)
        of_left, of_right = (edges.gather(-1, bin[..., None]).squeeze(-1) for bin in (left, left + 1))
        loss = -(of_left * (1 - share) + of_right * share).sum(-1) * iou
        return pairs.sums(loss) / matched.num_boxes

    def _distillation(self, matched: Matched, main: Matched, iou: Tensor) -> Tensor:
        """(N,): divergence from the last layer, which is its own teacher and has none.

        Matched queries weigh as much as their IoU, others as the last layer's best score; the two means are
        joined by the square roots of how many there are among the usual queries. Both are counted over all
        processes.
        """
        group, pairs = matched.group, matched.pairs
        edges = group.extras["edges"].float().unflatten(-1, (4, -1)) / self.temperature
        students, teacher = edges[:-1].log_softmax(-1), edges[-1:].detach().log_softmax(-1)
        divergence = F.kl_div(students, teacher.expand_as(students), reduction="none", log_target=True)
        divergence = divergence.sum((-2, -1)) * self.temperature**2 / 4  # (N - 1, B, Q), mean of four edges
        weight = group.logits[-1].detach().sigmoid().amax(-1).repeat(len(group.logits), 1, 1)
        where = (pairs.layer, pairs.image, pairs.query)
        weight[where] = iou
        is_matched = torch.zeros_like(weight, dtype=torch.bool)
        is_matched[where] = True
        divergence, is_matched = divergence * weight[:-1], is_matched[:-1]
        kinds = torch.stack((is_matched, ~is_matched))
        _, batch, queries, _ = main.group.logits.shape
        count = main.pairs.lengths[0]
        usual = kinds.new_tensor((count, batch * queries - count), dtype=torch.float32)
        counts = process_mean(torch.cat((usual[:, None], kinds.sum((2, 3))), dim=1))
        # Of what there is none of, the sum is zero as well.
        means = (divergence * kinds).sum((2, 3)) / counts[:, 1:].clamp(min=1e-6)
        roots = counts[:, 0].sqrt()
        loss = (roots[:, None] * means).sum(0) / roots.sum()
        return torch.cat((loss, loss.new_zeros(1)))


def _between(values: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """The grid point left of each value, and how far the value is on the way to the next, both as `values`.

    What is beyond either end counts as the end.
    """
    last = len(grid) - 2
    left = (torch.searchsorted(grid, values, right=True) - 1).clamp(0, last)
    share = (values - grid[left]) / (grid[left + 1] - grid[left])
    return left, share.clamp(0, 1)
