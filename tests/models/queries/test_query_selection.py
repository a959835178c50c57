"""The best pixels of the memory become queries."""

import torch

from detr_kit.models.queries.proposals import proposal_anchors
from detr_kit.models.queries.query_selection import QuerySelection

MASKS = [torch.zeros(2, 6, 8, dtype=torch.bool), torch.zeros(2, 3, 4, dtype=torch.bool)]


def selected(num_queries=7):
    selection = QuerySelection(16, 5, num_queries)
    torch.nn.init.normal_(selection.box_head.output_layer.weight, std=0.1)
    memory = torch.randn(2, 60, 16, requires_grad=True)
    return selection, memory, selection(memory, MASKS)


def test_the_surest_classes_come_first():
    selection, memory, found = selected()
    scores = found.logits.amax(-1)
    assert torch.equal(scores, scores.sort(descending=True).values)
    every = selection.class_head(selection.memory_norm(selection.memory_proj(memory))).amax(-1)
    torch.testing.assert_close(scores, every.topk(7).values)


def test_boxes_are_those_of_their_pixels():
    selection, memory, found = selected()
    anchors, _ = proposal_anchors(MASKS)
    projected = selection.memory_norm(selection.memory_proj(memory))
    boxes = (selection.box_head(projected) + anchors).sigmoid()
    best = selection.class_head(projected).amax(-1).topk(7).indices
    torch.testing.assert_close(found.boxes, boxes.gather(1, best[..., None].expand(-1, -1, 4)))


def test_no_gradient_leaves_by_the_content():
    _, memory, found = selected()
    assert not found.content.requires_grad
    found.logits.sum().backward()
    assert memory.grad.abs().sum() > 0


def test_fewer_pixels_than_queries_are_all_of_them():
    assert selected(num_queries=100)[2].boxes.shape == (2, 60, 4)
