"""What the parts hand to one another."""

import torch

from detr_kit.structures import DetectorOutput


def test_the_kind_of_logits_goes_through_torch_export():
    class Small(torch.nn.Module):
        def forward(self, x):
            return DetectorOutput(x, x, [(x, x)], classification="focal")

    output = torch.export.export(Small(), (torch.zeros(1, 2, 4),)).module()(torch.ones(1, 2, 4))
    assert output.classification == "focal"
    assert output.logits.sum() == 8
