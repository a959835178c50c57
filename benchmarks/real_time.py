"""RT-DETR-R18 and D-FINE-S at 640 × 640: against transformers' same model, and as exported files.

    python benchmarks/real_time.py --json benchmarks/results/real_time_cpu.json
    python benchmarks/real_time.py --models d_fine_s --works inference --threads 1 --cpu-time
    python benchmarks/real_time.py --works files --images FOLDER --out FOLDER

The same random weights on both sides, taking turns; that they find the same is checked before anything is
timed. Ours runs as the Detector and training run it by themselves.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import add_clock, clock_of, interleaved_medians, measured_on, reuse_heap
from torch import Tensor, nn

from detr_kit import Detector, build_network
from detr_kit.checkpoints import convert_file, write_checkpoint
from detr_kit.export import ExportOptions, VerificationSet, export_detector, verify_export
from detr_kit.inference.ready_network import ready_network
from detr_kit.losses import criterion_for

MODELS = ("rt_detr_r18", "d_fine_s")
SIZE, TRAINING_BATCH, OBJECTS, CLASSES = (640, 640), 2, 7, 80
# Which of two equally good pixels becomes a query is a matter of rounding: one in a hundred may be another.
TOLERANCE, SHARE = 2e-3, 0.99
FILES = {
    "onnx_fp32.onnx": dict(format="onnx"),
    "onnx_int8.onnx": dict(format="onnx", int8=True),
    "openvino_fp32.xml": dict(format="openvino"),
    "openvino_int8.xml": dict(format="openvino", int8=True),
}
Functions = dict[str, Callable[[], Any]]


def main() -> None:
    works = {"inference": inference, "training": training, "files": None}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--works", nargs="+", choices=works, default=["inference", "training"])
    parser.add_argument("--seconds", type=float, default=60, help="for each work (60)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_clock(parser)
    parser.add_argument("--images", type=Path, help="photographs for files: to calibrate and verify on")
    parser.add_argument("--out", type=Path, help="where files go; those that are there are kept")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    reuse_heap()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.models:
        torch.manual_seed(0)
        network = build_network(name, num_classes=CLASSES).eval()
        randomise(network)
        for work in options.works:
            measure = works[work]
            if measure is None:
                rows += files(name, network, options.images, options.out)
                continue
            functions = measure(network, as_transformers_has_it(network))
            medians = interleaved_medians(functions, options.seconds, at_least=3, clock=clock_of(options))
            rows.append({"model": name, "work": work, "milliseconds": medians})
            print(f"{name}, {work}")
            for kind, median in medians.items():
                print(f"  {kind:<24} {median:8.0f} ms  {medians['transformers'] / median:5.2f}x", flush=True)
    if options.json:
        report = {**measured_on(options), "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def inference(network: nn.Module, peer: nn.Module) -> Functions:
    """One image."""
    images = torch.rand(1, 3, *SIZE)
    ready, half = ready_network(network.eval()), ready_network(network, torch.bfloat16)
    halved, half_peer = images.bfloat16(), copy.deepcopy(peer).bfloat16()
    run = torch.inference_mode()
    with run:
        check_equal(ready(images, None), peer.eval()(images))
    return {
        "transformers": run(lambda: peer(images)),
        "transformers bf16": run(lambda: half_peer(halved)),
        "detr-kit": run(lambda: ready(images, None)),
        "detr-kit bf16": run(lambda: half(halved, None)),
    }


def training(network: nn.Module, peer: nn.Module) -> Functions:
    """A step without the optimizer: two images with seven objects each, denoising on both sides."""
    images = torch.rand(TRAINING_BATCH, 3, *SIZE)
    boxes = torch.rand(TRAINING_BATCH, OBJECTS, 4) * 0.3 + 0.2
    labels = torch.randint(0, CLASSES, (TRAINING_BATCH, OBJECTS))
    targets = [{"labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)]
    theirs = [{"class_labels": c, "boxes": b} for c, b in zip(labels, boxes, strict=True)]
    criterion = criterion_for(network)
    network.train(), peer.train()
    as_maps_lie = copy.deepcopy(network).to(memory_format=torch.channels_last)
    pixels = images.contiguous(memory_format=torch.channels_last)

    def ours(network: nn.Module, images: Tensor, half: bool = False) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = criterion.weighted(criterion(network(images, None, targets), targets))
        sum(losses.values()).backward()
        network.zero_grad(set_to_none=True)

    def peers() -> None:
        peer(pixel_values=images, labels=theirs).loss.backward()
        peer.zero_grad(set_to_none=True)

    return {
        "transformers": peers,
        "detr-kit": lambda: ours(network, images),
        "detr-kit, channels last": lambda: ours(as_maps_lie, pixels),
        "detr-kit bf16": lambda: ours(as_maps_lie, pixels, half=True),
    }


def files(name: str, network: nn.Module, images: Path, out: Path) -> list[dict[str, Any]]:
    """Size, speed and drift of exported files of one size of image."""
    warnings.simplefilter("ignore")
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "config": name,
        "classes": [str(i) for i in range(CLASSES)],
        "category_ids": list(range(CLASSES)),
    }
    write_checkpoint(folder / "weights.safetensors", network.state_dict(), about)
    detector = Detector(name, folder / "weights.safetensors", device="cpu")
    photographs = VerificationSet.from_folder(images, 8)
    calibration = sorted(images.glob("*.jpg"))[8:24]
    rows = []
    for file, settings in FILES.items():
        path = folder / file
        if not path.is_file():
            options = ExportOptions(**settings, static_size=SIZE)  # type: ignore[arg-type]
            export_detector(detector, path, options, calibration)
        found = verify_export(detector, path, photographs, repeats=7)
        ours, theirs = found.milliseconds
        drift = found.outputs["scores"].largest
        rows.append({"model": name, "work": file, "milliseconds": {"detr-kit": ours, "file": theirs},
                     "megabytes": found.megabytes[1], "score_drift": drift})  # fmt: skip
        print(f"{name} {file:<18} {found.megabytes[1]:6.1f} MB {1e3 / theirs:6.2f} images/s  "
              f"(PyTorch {1e3 / ours:6.2f})  largest drift of a score {drift:.1e}", flush=True)  # fmt: skip
    return rows


def check_equal(ours: Any, theirs: Any) -> None:
    """Queries of both, each with its nearest over there."""
    here = torch.cat((ours.logits, ours.boxes), dim=-1)[0]
    there = torch.cat((theirs.logits, theirs.pred_boxes), dim=-1)[0]
    nearest = torch.cdist(here, there, p=torch.inf).amin(1)
    equal = float((nearest < TOLERANCE).float().mean())
    assert equal >= SHARE, f"{equal:.1%} of the queries are equal"
    print(f"{equal:.1%} of the queries within {TOLERANCE}, median {float(nearest.median()):.1e}")


def randomise(network: nn.Module) -> None:
    """Weights that tell queries apart: many start at zero."""
    generator = torch.Generator().manual_seed(0)

    def noise(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator)

    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if not tensor.is_floating_point() or tensor.numel() == 1 or key.endswith("num_points_scale"):
                continue
            if key.endswith("running_var"):
                tensor.copy_(1 + 0.1 * noise(tensor).abs())
            elif tensor.ndim >= 2:
                tensor.copy_(noise(tensor) / tensor[0].numel() ** 0.5)
            else:
                tensor.add_(0.1 * noise(tensor))


def as_transformers_has_it(network: nn.Module) -> nn.Module:
    """transformers' model of the same weights, handed over as a file."""
    from transformers import AutoModelForObjectDetection

    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(f"{folder}/ours.safetensors", network.state_dict(), {})
        convert_file(f"{folder}/ours.safetensors", "huggingface", f"{folder}/theirs")
        return AutoModelForObjectDetection.from_pretrained(f"{folder}/theirs").eval()


if __name__ == "__main__":
    main()
