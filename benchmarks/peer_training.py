"""The same schedule here and in transformers: one set of initial weights, batches, optimiser and steps.

python benchmarks/peer_training.py deformable_detr_r50_bccd --data-root ../shared/data/bccd \
    --backbone ../shared/weights/resnet50_caffe_imagenet_fp16.safetensors --size 160 --epochs 6 \
    --cfg-options model.network.refine=True --out DIR

The two take turns, a step each, so that a slow spell of the machine meets both; only the steps are timed.
Each side computes its own loss, weighted as in the paper. A two-stage model is refused: transformers has no
loss for the encoder's proposals.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction
from torch import Tensor, nn

import detr_kit
from detr_kit.checkpoints import convert_file, write_checkpoint
from detr_kit.config import read_config
from detr_kit.data import pad_collate
from detr_kit.data.normalize import normalize_batch
from detr_kit.evaluation import evaluate_detections, to_coco_detections
from detr_kit.registry import DATASETS, MODELS, build
from detr_kit.structures import DetectorOutput, ImageBatch


class Ours(nn.Module):
    """This project's network and criterion."""

    def __init__(self, network: nn.Module, criterion: nn.Module) -> None:
        super().__init__()
        self.network, self.criterion = network, criterion

    def loss(self, batch: ImageBatch) -> Tensor:
        losses = self.criterion(self.network(batch.images, batch.padding_mask), batch.targets)
        return sum(self.criterion.weighted(losses).values())

    def detect(self, batch: ImageBatch) -> DetectorOutput:
        return self.network(batch.images, batch.padding_mask)


class Theirs(nn.Module):
    """transformers' model, with its own loss."""

    def __init__(self, folder: Path, num_queries: int, dropout: float, style: str) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModelForObjectDetection

        config = AutoConfig.from_pretrained(folder)
        config.class_cost, config.auxiliary_loss, config.num_queries = 2, True, num_queries
        config.dropout = config.attention_dropout = config.activation_dropout = dropout
        self.network = AutoModelForObjectDetection.from_pretrained(folder, config=config)
        if style == "caffe":  # timm's ResNet has the stride in the 3 × 3 convolution
            for block in self.network.modules():
                if type(block).__name__ == "Bottleneck":
                    block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride

    def _run(self, batch: ImageBatch, **labels: Any) -> Any:
        mask = (~batch.padding_mask).long()
        return self.network(pixel_values=batch.images, pixel_mask=mask, **labels)

    def loss(self, batch: ImageBatch) -> Tensor:
        labels = [{"class_labels": t.labels, "boxes": t.boxes} for t in batch.targets]
        parts = self._run(batch, labels=labels).loss_dict
        # its own total gives the class term weight 1; the paper, and ours, 2
        weights = {"loss_ce": 2.0, "loss_bbox": 5.0, "loss_giou": 2.0}
        return sum(
            value * weights[name]
            for key, value in parts.items()
            if (name := "_".join(key.split("_")[:2])) in weights
        )

    def detect(self, batch: ImageBatch) -> DetectorOutput:
        output = self._run(batch)
        return DetectorOutput(output.logits, output.pred_boxes, [], None)


def optimiser(model: nn.Module, lr: float) -> torch.optim.AdamW:
    """The recipe's three rates; the names of the slow parameters are the same on both sides."""
    slow = ("backbone", "sampling_offsets", "reference_points")
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for name, p in named if not any(word in name for word in slow)]},
            {"params": [p for name, p in named if any(word in name for word in slow)], "lr": 0.1 * lr},
        ],
        lr=lr,
        weight_decay=1e-4,
        fused=True,
    )


def batches(dataset: Any, size: int, epoch: int, shuffle: bool) -> list[list[int]]:
    generator = torch.Generator().manual_seed(epoch)
    order = (
        torch.randperm(len(dataset), generator=generator).tolist() if shuffle else list(range(len(dataset)))
    )
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    return [group for group in groups if len(group) == size or not shuffle]


def load(dataset: Any, indices: list[int], seed: int) -> ImageBatch:
    torch.manual_seed(seed)  # the augmentation's numbers: the same for both sides
    return normalize_batch(pad_collate([dataset[i] for i in indices]))


@torch.inference_mode()
def evaluate(model: Any, dataset: Any, postprocessor: Any, annotations: Path) -> dict[str, float]:
    model.eval()
    detections, ids = [], []
    for indices in batches(dataset, 1, 0, shuffle=False):  # one by one: nothing is padded on either side
        batch = load(dataset, indices, 0)
        sizes = [target.original_size for target in batch.targets]
        for target, found in zip(batch.targets, postprocessor(model.detect(batch), sizes), strict=True):
            detections += to_coco_detections(found, target.image_id, dataset.categories)
            ids.append(target.image_id)
    return evaluate_detections(annotations, detections, ids).figures


def main() -> None:
    arguments = parse()
    config = read_config(arguments.config)
    config.merge_from_dict(arguments.cfg_options)
    if config.model.network.get("two_stage"):
        raise SystemExit("transformers has no loss for the encoder's proposals: choose a one-stage model")
    if arguments.backbone is not None:
        config.model.network.backbone.weights = arguments.backbone
    if arguments.size is not None:
        resize = dict(type="ResizeShortestSide", sizes=[arguments.size], max_size=2 * arguments.size)
        flips = [dict(type="RandomHorizontalFlip", p=0.5), dict(type="RandomVerticalFlip", p=0.5)]
        config.train_dataloader.dataset.transforms = [*flips, resize]
        config.val_dataloader.dataset.transforms = [resize]
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(arguments.data_root)
    train = DATASETS.build(config.train_dataloader.dataset)
    held_out = DATASETS.build(config.val_dataloader.dataset)
    postprocessor = build(config.model.postprocessor.to_dict(), MODELS)
    annotations = arguments.data_root / config.val_dataloader.dataset.annotations

    models = both(config, train)
    print("the same start: logits differ by", start_difference(models, load(train, [0, 1], 0)), flush=True)
    optimisers = {side: optimiser(model, arguments.lr) for side, model in models.items()}
    schedule = [
        (epoch, indices)
        for epoch in range(arguments.epochs)
        for indices in batches(train, arguments.batch_size, epoch, shuffle=True)
    ][: arguments.steps]
    drop = int(0.8 * len(schedule))
    results: dict[str, Any] = {side: {"curve": [], "losses": [], "step_seconds": []} for side in models}
    for step, (epoch, indices) in enumerate(schedule):
        batch = load(train, indices, step)
        rate = min(1, (step + 1) / 100) * (0.1 if step >= drop else 1)
        for side in models if step % 2 == 0 else reversed(models):
            seconds, loss = one_step(models[side], optimisers[side], batch, rate, step, arguments.amp)
            results[side]["losses"].append(loss)
            results[side]["step_seconds"].append(round(seconds, 4))
        if step + 1 == len(schedule) or schedule[step + 1][0] != epoch:
            for side, model in models.items():
                figures = evaluate(model, held_out, postprocessor, annotations)
                point = {"step": step + 1, "seconds": round(sum(results[side]["step_seconds"]), 1)}
                losses = results[side]["losses"][-50:]
                point |= {"AP": figures["AP"], "AP50": figures["AP50"], "loss": sum(losses) / len(losses)}
                results[side]["curve"].append(point)
                print(side, point, flush=True)
            write(arguments, results)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="name of a Deformable DETR config")
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--backbone", help="ImageNet weights for both")
    parser.add_argument("--size", type=int, help="short side of the images, instead of the config's sizes")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast on both sides")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={}, metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json and curves.png")
    return parser.parse_args()


def both(config: Any, train: Any) -> dict[str, Any]:
    """Ours and theirs with the same weights, class names, dropout and place of the strides."""
    torch.manual_seed(0)
    network = detr_kit.build_network(config)
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(f"{folder}/start.safetensors", network.state_dict(), train.categories.to_metadata())
        convert_file(f"{folder}/start.safetensors", "huggingface", f"{folder}/start")
        dropout = config.model.network.transformer.dropout
        style = config.model.network.backbone.get("style", "pytorch")
        theirs = Theirs(Path(folder) / "start", network.num_queries, dropout, style)
    return {"ours": Ours(network, build(config.model.criterion.to_dict(), MODELS)), "transformers": theirs}


@torch.inference_mode()
def start_difference(models: dict[str, Any], batch: ImageBatch) -> float:
    ours, theirs = (model.eval().detect(batch).logits for model in models.values())
    return float((ours - theirs).abs().max())


def one_step(
    model: Any, adam: torch.optim.Optimizer, batch: ImageBatch, rate: float, seed: int, amp: bool
) -> tuple[float, float]:
    """Seconds of the step, and its loss."""
    for group in adam.param_groups:
        group.setdefault("full", group["lr"])
        group["lr"] = group["full"] * rate
    model.train()
    torch.manual_seed(seed)  # dropout
    begin = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        loss = model.loss(batch)
    adam.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 0.1)
    adam.step()
    return time.perf_counter() - begin, float(loss.detach())


def write(arguments: argparse.Namespace, results: dict[str, Any]) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) for key, value in vars(arguments).items() if key != "out"}
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    medians = {side: statistics.median(result["step_seconds"]) for side, result in results.items()}
    summary = {"median_step_seconds": medians, "ratio": medians["transformers"] / medians["ours"]}
    print(summary, flush=True)
    content = {"settings": settings, "machine": machine, "summary": summary, "results": results}
    (arguments.out / "results.json").write_text(json.dumps(content) + "\n")
    draw(results, arguments.out / "curves.png")


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for side, result in results.items():
        steps, aps = zip(*((point["step"], point["AP"]) for point in result["curve"]), strict=True)
        left.plot(steps, aps, marker="o", label=side)
        right.plot([point["seconds"] / 60 for point in result["curve"]], aps, marker="o", label=side)
    left.set(xlabel="steps", ylabel="AP on the held-out set")
    right.set(xlabel="minutes of training steps", ylabel="AP on the held-out set")
    left.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
