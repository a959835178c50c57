"""The whole job in one go, on data that needs no download."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..checkpoints import write_builtin
from ..data import write_shapes
from ..defaults import BUILTIN
from ..inference import Detections, Detector
from ..visualization import image_grid
from .hooks.curves import draw_curves
from .run import evaluate, train


def run_demo(folder: str | Path, epochs: int | None = None) -> int:
    """Write the shapes set, train, evaluate the best checkpoint, draw held-out images and the curves.

    Args:
        folder: everything goes there: data/, run/, curves.png, detections.png.
        epochs: instead of the config's.

    Returns:
        0, for the shell.
    """
    folder = Path(folder)
    start = time.perf_counter()
    print(f"writing the shapes set to {folder / 'data'}", flush=True)
    write_shapes(folder / "data")
    options: dict = {"data_root": str(folder / "data")}
    if epochs is not None:
        options["train_cfg.max_epochs"] = epochs
    train(BUILTIN, work_dir=folder / "run", options=options)
    checkpoint = max((folder / "run").glob("best_coco_AP_*.pth"), key=lambda path: path.stat().st_mtime)
    figures = evaluate(BUILTIN, checkpoint, work_dir=folder / "test", options=options)

    detector = Detector(BUILTIN, checkpoint, device="cpu")
    images = sorted((folder / "data" / "val").glob("*.png"))[:12]
    pictures = [_enlarged(detections) for detections in detector(images, score_threshold=0.3)]
    image_grid(pictures, columns=4).save(folder / "detections.png")
    draw_curves(folder / "run", folder / "curves.png")
    small = folder / f"{BUILTIN}.safetensors"
    write_builtin(small, checkpoint, BUILTIN, {key: figures[f"coco/{key}"] for key in ("AP", "AP50")})
    minutes = (time.perf_counter() - start) / 60
    print(
        f"\nheld-out AP {figures['coco/AP']:.3f}, AP50 {figures['coco/AP50']:.3f} after {minutes:.1f} minutes"
    )
    print(f"checkpoint  {checkpoint}, and in half precision {small}")
    print(f"pictures    {folder / 'detections.png'}, {folder / 'curves.png'}")
    return 0


def _enlarged(detections: Detections, factor: int = 3) -> Image.Image:
    """The picture of a small image, large enough for its captions."""
    height, width = detections.image.shape[:2]
    large = np.array(Image.fromarray(detections.image).resize((width * factor, height * factor)))
    return replace(detections, image=large, boxes=detections.boxes * factor).plot()
