"""Three optimiser steps through the engine move the parameters as a plain loop of the recipe does.

The plain loop below is the official recipe written out: three parameter groups, global-norm clipping at 0.1,
fused AdamW, as the configs have it. Both sides compute the same float32 operations; what differs is the order
of sums (grouping of the parameters inside the optimiser and the norm), so 1e-6 of a step's size, which is the
learning rate, suffices: AdamW's first steps move each parameter by about lr whatever its gradient, and noise
in a gradient near zero could turn such a step around, for which 0.1 % of the entries are allowed to differ.
"""

import copy

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from detr_kit.checkpoints import convert_state_dict
from detr_kit.config import read_config
from detr_kit.data.normalize import normalize_batch
from detr_kit.engine.optim import GroupedOptimWrapperConstructor
from detr_kit.engine.trainable_detector import TrainableDetector
from detr_kit.structures import ImageBatch, Target

from .reference_model import Reference, targets

LR, STEPS = 2e-4, 3


def _batches():
    generator = torch.Generator().manual_seed(5)
    for _ in range(STEPS):
        images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8, generator=generator)
        mask = torch.zeros(2, 96, 128, dtype=torch.bool)
        mask[1, :, 100:] = True
        sizes = [(96, 128), (96, 100)]
        yield ImageBatch(
            images,
            mask,
            [Target(t["labels"], t["boxes"], s, s) for t, s in zip(targets(), sizes, strict=True)],
        )


def _plain_loop(network, criterion):
    """main.py and engine.py of the original, without what does not concern the numbers."""
    slow = ("reference_points", "sampling_offsets")
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    groups = [
        [p for n, p in named if "backbone" not in n and not any(s in n for s in slow)],
        [p for n, p in named if "backbone" in n],
        [p for n, p in named if "backbone" not in n and any(s in n for s in slow)],
    ]
    optimizer = torch.optim.AdamW(
        [{"params": group, "lr": lr} for group, lr in zip(groups, (LR, LR * 0.1, LR * 0.1), strict=True)],
        lr=LR,
        weight_decay=1e-4,
        fused=True,
    )
    for batch in _batches():
        batch = normalize_batch(batch)
        losses = criterion(network(batch.images, batch.padding_mask), batch.targets)
        total = sum(value * criterion.weights[name.rsplit("_", 1)[0] if name.count("_") > 1 else name]
                    for name, value in losses.items() if name.startswith("loss_"))  # fmt: skip
        optimizer.zero_grad()
        total.backward()
        clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()


@pytest.mark.parametrize("name", ["deformable_detr_r50_refine", "detr_r50"])
def test_three_steps(name):
    config = read_config(name)
    config.model.network.backbone.weights = None
    config.model.network.transformer.dropout = 0.0
    config.optim_wrapper.optimizer.lr = LR
    model = TrainableDetector(**{k: v for k, v in config.model.to_dict().items() if k != "type"}).train()
    model.network.load_state_dict(convert_state_dict(Reference(name).state_dict()))
    before = copy.deepcopy(model.network.state_dict())

    plain = copy.deepcopy(model)
    _plain_loop(plain.network, plain.criterion)

    cfg = config.optim_wrapper.to_dict()
    cfg.pop("constructor")
    wrapper = GroupedOptimWrapperConstructor(cfg, cfg.pop("paramwise_cfg"))(model)
    for batch in _batches():
        model.train_step(batch, wrapper)

    for key, ours in model.network.state_dict().items():
        theirs = plain.network.state_dict()[key]
        frozen = (
            (".conv1." in key and "layer" not in key) or "layer1." in key or "bn" in key or "running" in key
        )
        if key.startswith("backbone.") and (frozen or "downsample.1" in key):
            assert torch.equal(ours, before[key]), key  # stem, layer1 and every batch norm stay
            continue
        assert not torch.equal(ours, before[key]), key
        off = (ours - theirs).abs() > 1e-6 + 1e-2 * LR
        assert off.float().mean() <= 1e-3, key
        assert (ours - theirs).abs().max() <= 2 * STEPS * LR, key
