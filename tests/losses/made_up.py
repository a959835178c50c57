"""Outputs and targets of two images, three or four classes, as a loop of one's own may hand them over."""

import torch

from detr_kit.structures import DetectorOutput


def an_output(kind=None, classes=4):
    return DetectorOutput(torch.randn(2, 6, classes), torch.rand(2, 6, 4), [], classification=kind)


def two_targets(labels=(0, 2), boxes=((0.5, 0.5, 0.2, 0.2), (0.3, 0.4, 0.1, 0.5))):
    empty = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    return [empty, {"labels": torch.tensor(labels), "boxes": torch.tensor(boxes)}]
