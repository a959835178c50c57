"""One pass of a network on the square images of shared/reference/FACTS.md, and what must come out."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detr_kit import build_network
from detr_kit.checkpoints import convert_state_dict
from detr_kit.config import read_config
from detr_kit.registry import MODELS, build

from ..models.queries.pinned_noise import pin_noise
from .reference_model import ORIGINAL_SIZES, Reference, targets

# What the references leave out of their keys, for it is no weight.
POINTS = torch.tensor([1 / 3] * 3 + [1 / 6] * 6 + [1 / 3] * 3)
CONSTANTS = {"up": torch.tensor([0.5]), "reg_scale": torch.tensor([4.0]), "num_points_scale": POINTS}


def square_images(size: int = 640) -> Tensor:
    r = np.random.default_rng(7)
    images = [r.standard_normal((3, size, size)).astype(np.float32) for _ in range(2)]
    return torch.from_numpy(np.stack(images))


def square_targets() -> list[dict[str, Tensor]]:
    return [{**target, "labels": target["labels"] % 80} for target in targets()]


class SquareRun:
    """Forward and backward pass, with denoising where the reference denoises and every batch norm at rest."""

    def __init__(self, name: str, config: str) -> None:
        self.reference = Reference(name)
        self.record, self.arrays = self.reference.record, self.reference.arrays
        self.state = self.reference.state_dict()
        for key, shape in self.record["constants"].items():
            self.state[key] = CONSTANTS.get(key.rsplit(".", 1)[-1], torch.zeros(shape))
        self.network = build_network(config).train("dn" in self.record)
        self.network.load_state_dict(convert_state_dict(self.state))
        pin_noise(self.network.denoising, "padded", [5, 3])
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        self.output = self.network(square_images(), None, square_targets())
        parts = read_config(config).model
        self.criterion = build(parts.criterion.to_dict(), MODELS)
        self.postprocessor = build(parts.postprocessor.to_dict(), MODELS)
        self.losses = self.criterion(self.output, square_targets())
        sum(self.criterion.weighted(self.losses).values()).backward()

    def check_outputs(self, **found: tuple[Tensor, ...]) -> None:
        """Rows of each image; selected ones in any order, for neighbours of equal score may change places.

        Args:
            found: (logits, boxes, …) by the beginning of their names: "" for logits and boxes, "enc", ….
        """
        for begin, parts in found.items():
            names = [f"{begin}{name}" for name in ("logits", "boxes")]
            theirs = torch.cat([self.arrays[name] for name in names], dim=-1)
            ours = torch.cat(parts, dim=-1)
            if not begin.startswith("dn"):
                nearest = torch.cdist(theirs, ours, p=float("inf")).argmin(-1)
                assert all(len(set(rows.tolist())) == len(rows) for rows in nearest), begin
                ours = ours.gather(1, nearest[..., None].expand_as(ours))
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5, msg=begin)

    def check_detections(self) -> None:
        for i, prediction in enumerate(self.postprocessor(self.output, ORIGINAL_SIZES)):
            scores, labels, boxes = (self.arrays[f"post{i}_{k}"] for k in ("scores", "labels", "boxes"))
            order = scores.argsort(descending=True, stable=True)
            torch.testing.assert_close(prediction.scores, scores[order], atol=1e-6, rtol=0)
            rows = torch.cat((prediction.boxes, 10 * prediction.labels[:, None].float()), 1)
            wanted = torch.cat((boxes, 10 * labels[:, None].float()), 1)
            near = torch.cdist(rows, wanted, p=float("inf")).amin(0) < 0.05  # pixels
            assert near.float().mean() >= 0.97

    def check_losses(self, ours_of: dict[str, str]) -> None:
        """Every loss of the reference, by our name for it, and none besides but those of no value."""
        for theirs, ours in ours_of.items():
            expected = self.record["losses"][theirs]
            assert self.losses[ours].item() == pytest.approx(expected, rel=1e-5, abs=1e-12), theirs
        assert set(ours_of) == set(self.record["losses"])
        others = {name for name in self.losses if name.startswith("loss_")} - set(ours_of.values())
        assert all(self.losses[name] == 0 for name in others), others
        total = sum(self.criterion.weighted(self.losses).values())
        assert total.item() == pytest.approx(self.record["total"], rel=1e-6)

    def check_parameters(self) -> None:
        parameters = list(self.network.parameters())
        assert sum(p.numel() for p in parameters) == self.record["params"]
        assert sum(p.numel() for p in parameters if p.requires_grad) == self.record["params_trainable"]

    def check_gradients(self) -> None:
        # Conversion renames and keeps the tensors themselves: their identity leads back to the names.
        recorded = {id(self.state[name]): value for name, value in self.record["grads"].items()}
        expected = {ours: recorded.get(id(t)) for ours, t in convert_state_dict(self.state).items()}
        floor = self.record["noise"]["grads_floor"]
        for name, parameter in self.network.named_parameters():
            if expected[name] is None:
                assert parameter.grad is None, name
            else:
                total = parameter.grad.abs().sum().item()
                assert total == pytest.approx(expected[name], rel=1e-3, abs=1e-3 * floor), name


def our_losses(names: list[str], decoder_layers: int, encoder: str) -> dict[str, str]:
    """Our name for each loss of the originals.

    Args:
        encoder: how the names of the encoder's losses end over there.
    """
    last = decoder_layers - 1
    ours = {}
    for name in names:
        loss = name.replace("vfl", "ce")
        if name.endswith(encoder):
            loss = loss.replace(encoder, "_enc")
        elif name.endswith(f"_dn_{last}"):
            loss = loss.removesuffix(f"_{last}")
        ours[name] = loss.replace("_aux_", "_")
    return ours
