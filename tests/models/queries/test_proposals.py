"""Two-stage proposals: where anchors stand, and how many there are."""

import torch

from detr_kit import build_network
from detr_kit.models.queries.proposals import proposal_anchors


def test_proposals_leave_out_padding_and_the_rim():
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    mask[:, :2, :2] = False
    anchors, invalid = proposal_anchors([mask])
    assert (~invalid).sum() == 4
    torch.testing.assert_close(anchors[0, 0].sigmoid(), torch.tensor([0.25, 0.25, 0.05, 0.05]))
    assert anchors[invalid].isinf().all()


def test_two_stage_on_an_image_with_fewer_pixels_than_queries():
    network = build_network("deformable_detr_r50_two_stage", num_queries=300).eval()
    with torch.no_grad():
        output = network(torch.randn(1, 3, 32, 32))
    assert output.boxes.isfinite().all()
    assert output.boxes.shape[1] <= 300
