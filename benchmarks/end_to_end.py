"""Whole networks against Hugging Face transformers': the same weights, the same images, taking turns.

    python benchmarks/end_to_end.py --json benchmarks/results/end_to_end_cpu.json
    python benchmarks/end_to_end.py --work detr_r50 training --threads 1 --cpu-time

Ours runs as the Detector, `detr-kit test` and training run it by themselves. That the outputs agree is
checked before anything is timed. Weights are random: what a network computes does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import add_clock, clock_of, interleaved_medians, measured_on, reuse_heap
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from detr_kit import build_network
from detr_kit.checkpoints import convert_file, write_checkpoint
from detr_kit.inference.ready_network import ready_network
from detr_kit.losses import criterion_for

SIZE, TRAINING_SIZE, TRAINING_BATCH, OBJECTS = (800, 1066), (480, 640), 2, 7
TOLERANCE = 2e-3  # of logits, between networks whose batch norms are folded and are not


def main() -> None:
    works = {"deformable_detr_r50": inference, "detr_r50": inference, "training": training}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", nargs="+", choices=works, default=list(works))
    parser.add_argument("--seconds", type=float, default=60, help="for each work (60)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_clock(parser)
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    reuse_heap()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows = []
    for work in options.work:
        name = "deformable_detr_r50" if work == "training" else work
        difference, functions = works[work](name)
        medians = interleaved_medians(functions, options.seconds, at_least=3, clock=clock_of(options))
        rows.append({"work": work, "largest_difference": difference, "milliseconds": medians})
        print(f"{work}: logits differ by {difference:.1e} (fp32)")
        for kind, median in medians.items():
            print(f"  {kind:<22} {median:8.0f} ms  {medians['transformers'] / median:5.2f}x")
    if options.json:
        report = {**measured_on(options), "rows": rows}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


def inference(name: str) -> tuple[float, dict[str, Callable[[], Any]]]:
    """One image of 800 × 1066."""
    network, peer = _pair(name)
    images = torch.randn(1, 3, *SIZE)
    plain = images, torch.ones(1, *SIZE, dtype=torch.long)
    ready, half = ready_network(network.eval()), ready_network(network, torch.bfloat16)
    halved = images.bfloat16()
    with torch.inference_mode():
        difference = float((ready(images, None).logits - peer(*plain).logits).abs().max())
    assert difference < TOLERANCE, difference
    run = torch.inference_mode()
    return difference, {
        "transformers": run(lambda: peer(*plain)),
        "detr-kit": run(lambda: ready(images, None)),
        "detr-kit bf16": run(lambda: half(halved, None)),
    }


def training(name: str, check: bool = True) -> tuple[float, dict[str, Callable[[], Any]]]:
    """A step without the optimizer: two images of 480 × 640 with seven objects each."""
    network, peer = _pair(name)
    images = torch.randn(TRAINING_BATCH, 3, *TRAINING_SIZE)
    mask = torch.ones(TRAINING_BATCH, *TRAINING_SIZE, dtype=torch.long)
    boxes = torch.rand(TRAINING_BATCH, OBJECTS, 4) * 0.3 + 0.2
    labels = torch.randint(0, 91, (TRAINING_BATCH, OBJECTS))
    targets = [{"labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)]
    theirs = [{"class_labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)]
    criterion = criterion_for(network)
    difference = 0.0
    if check:
        with torch.inference_mode():
            output = network.eval()(images, None)
            difference = float((output.logits - peer(images, mask).logits).abs().max())
        assert difference < TOLERANCE, difference
    network.train(), peer.train()

    def ours(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = criterion.weighted(criterion(network(images, None), targets))
        sum(losses.values()).backward()
        network.zero_grad(set_to_none=True)

    def peers() -> None:
        peer(pixel_values=images, pixel_mask=mask, labels=theirs).loss.backward()
        peer.zero_grad(set_to_none=True)

    return difference, {
        "transformers": peers,
        "detr-kit": lambda: ours(False),
        "detr-kit bf16": lambda: ours(True),
    }


def _pair(name: str) -> tuple[nn.Module, nn.Module]:
    """Our network and transformers' with the same weights, handed over as a file."""
    from transformers import AutoConfig, AutoModelForObjectDetection

    network = build_network(name)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.weight.fill_(0.4)  # maps keep their size through fifty layers
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(f"{folder}/ours.safetensors", network.state_dict(), {})
        convert_file(f"{folder}/ours.safetensors", "huggingface", f"{folder}/theirs")
        config = AutoConfig.from_pretrained(f"{folder}/theirs")
        config.auxiliary_loss = True  # as ours trains
        peer = AutoModelForObjectDetection.from_pretrained(f"{folder}/theirs", config=config)
    return network, peer.eval()


if __name__ == "__main__":
    main()
