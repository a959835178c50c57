"""One pass of our network with the weights and inputs of a reference, and what must come out."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from detr_kit import build_network
from detr_kit.checkpoints import convert_state_dict
from detr_kit.config import read_config
from detr_kit.registry import MODELS, build

from .reference_model import ORIGINAL_SIZES, Reference, images_and_mask, targets


class Measured:
    """Forward and backward pass, in training where the reference denoises.

    Args:
        name: of the reference; config: of our network.
        prepare: what is set otherwise than in our config.
    """

    def __init__(self, name: str, config: str, prepare: Callable[[nn.Module], None] = lambda _: None) -> None:
        self.reference = Reference(name)
        self.record, self.arrays = self.reference.record, self.reference.arrays
        self.network = build_network(config).train("dn" in self.record)
        self.state = self.reference.state_dict()
        self.network.load_state_dict(convert_state_dict(self.state))
        prepare(self.network)
        if "enc_topk" in self.arrays:
            pin_selection(self.network.get_submodule("selection"), self.arrays["enc_topk"])
        self.output = self.network(*images_and_mask(), targets())
        parts = read_config(config).model
        self.criterion = build(parts.criterion.to_dict(), MODELS)
        self.postprocessor = build(parts.postprocessor.to_dict(), MODELS)
        self.losses = self.criterion(self.output, targets())
        sum(self.criterion.weighted(self.losses).values()).backward()

    def check_parameters(self) -> None:
        parameters = list(self.network.parameters())
        assert sum(p.numel() for p in parameters) == self.record["params"]
        trainable = sum(p.numel() for p in parameters if p.requires_grad)
        assert trainable == self.record["params_trainable"]

    def check_outputs(self, **found: torch.Tensor) -> None:
        """By the names of the arrays; equal scores may swap neighbours in a selection, so 1 % of rows may."""
        for name, values in found.items():
            differs = (values - self.arrays[name]).abs() > 1e-4 + 1e-5 * self.arrays[name].abs()
            assert differs.any(-1).float().mean() <= 0.01, name

    def check_detections(self) -> None:
        for i, prediction in enumerate(self.postprocessor(self.output, ORIGINAL_SIZES)):
            expected = {k: self.arrays[f"post{i}_{k}"] for k in ("scores", "labels", "boxes")}
            assert len(prediction.scores) == len(expected["scores"])
            order = expected["scores"].argsort(descending=True, stable=True)
            torch.testing.assert_close(prediction.scores, expected["scores"][order], atol=1e-5, rtol=0)
            # Detections of equal score may change places.
            rows, wanted = _rows(*prediction), _rows(**{k: v[order] for k, v in expected.items()})
            distance = torch.cdist(rows, wanted, p=float("inf"))
            assert (distance.amin(0) > 0.05).float().mean() <= 0.03
            assert (distance.amin(1) > 0.05).float().mean() <= 0.03

    def check_losses(self, renamed: Callable[[str], str] = lambda name: name) -> None:
        """Every loss of the reference that we minimise, under our name for it."""
        logged = ("loss_xy", "loss_hw")
        expected = {
            renamed(name): value
            for name, value in self.record["losses"].items()
            if "loss_" in name and not name.startswith(logged)
        }
        assert {name for name in self.losses if name.startswith("loss_")} == set(expected)
        # 2e-5: the originals add 1e-6 to the areas that GIoU divides by.
        for name, value in expected.items():
            assert self.losses[name].item() == pytest.approx(value, rel=2e-5), name
        total = sum(self.criterion.weighted(self.losses).values())
        assert total.item() == pytest.approx(self.record["total"], rel=1e-5)

    def check_gradients(self) -> None:
        # Conversion renames and keeps the tensors themselves: their identity leads back to the names.
        recorded = {id(self.state[name]): value for name, value in self.record["grads"].items()}
        expected = {ours: recorded.get(id(t)) for ours, t in convert_state_dict(self.state).items()}
        floor = self.record["noise"]["grads_floor"]
        for name, parameter in self.network.named_parameters():
            found = 0.0 if parameter.grad is None else parameter.grad.abs().sum().item()
            assert found == pytest.approx(expected[name] or 0.0, rel=1e-3, abs=1e-3 * floor), name


def pin_selection(selection: nn.Module, recorded: torch.Tensor) -> None:
    """Keep the pixels that the original kept, if ours are as good: scores lie nearer than rounding.

    A swapped pair changes much behind it where contents are learned per rank (DINO), and whether there is one
    depends on the processor and the number of threads.
    """
    best = selection.best

    def as_recorded(logits: torch.Tensor) -> torch.Tensor:
        scores = logits.detach().amax(-1)
        ours, theirs = (scores.gather(1, rows) for rows in (best(logits), recorded))
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
        return recorded

    selection.best = as_recorded


def _rows(scores: torch.Tensor, labels: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    return torch.cat((scores[:, None] * 100, labels[:, None].float() * 10, boxes), dim=1)
