"""Small networks of every architecture, and images of several sizes, for tests."""

from pathlib import Path

import cv2
import numpy as np
import torch

from detr_kit import build_network
from detr_kit.categories import Categories
from detr_kit.checkpoints import write_checkpoint
from detr_kit.data.shapes import SHAPES
from detr_kit.families import family_of_network
from detr_kit.models.layers.feed_forward import MLP


def write_small_model(config: Path, folder: Path) -> Path:
    """The checkpoint of a network whose batch norms turn zeros into something, as trained ones do."""
    torch.manual_seed(0)
    network = build_network(config)
    shake(network)
    path = folder / "weights.safetensors"
    categories = Categories(SHAPES, tuple(range(1, len(SHAPES) + 1)))
    write_checkpoint(path, network.state_dict(), categories.to_metadata())
    return path


def shake(network: torch.nn.Module) -> None:
    """Batch norms turn zeros into something, as trained ones do, and boxes differ from the anchors."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.3)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    for parameter in network.box_head.parameters() if hasattr(network, "box_head") else ():
        torch.nn.init.normal_(parameter, std=0.15)
    if not hasattr(network, "box_head"):
        for name, module in network.named_modules():
            # Where queries are is left: what rounding changes there, layers after it make larger.
            if isinstance(module, MLP) and name not in ("query_position", "query_scale"):
                torch.nn.init.normal_(module.output_layer.weight, std=0.15)


def formats_of(network: torch.nn.Module) -> list[str]:
    """That have names for its weights: of classes to be denoised as in DN-DETR only its authors' has some."""
    known = [names.format for names in family_of_network(network).key_names]
    return [f for f in known if f in ("detr_kit", "official") or not hasattr(network, "label_queries")]


def _image(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    noise = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)


def random_images(seed: int) -> list[np.ndarray]:
    """Seven images of four sizes, so that some share a shape and others do not."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(33, 120, (4, 2))
    return [_image(rng, *sizes[rng.integers(4)]) for _ in range(7)]


def write_video(path: Path, codec: str = "MJPG", frames: int = 40) -> bytes:
    """A video of noise, 64 × 48 pixels, 12 frames a second; its bytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 12, (64, 48))
    noise = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(noise.integers(0, 255, (48, 64, 3)).astype(np.uint8))
    writer.release()
    return path.read_bytes()
