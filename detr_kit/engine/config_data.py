"""The data sets of a config, as a check takes them."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from ..data.coco_annotations import read_coco_json
from ..data.formats import Content, Split


def splits_of_config(config: Config) -> list[Split]:
    """Each annotation file of a prepared config once, under the first of train, val, test that uses it."""
    found: dict[tuple[Path, Path], Split] = {}
    for name in ("train", "val", "test"):
        loader = config.get(f"{name}_dataloader")
        if loader is None or loader.dataset.type != "CocoDataset":
            continue
        root = Path(loader.dataset.get("data_root", "")).expanduser()
        source, images = root / loader.dataset.annotations, root / loader.dataset.images
        read = lambda source=source: Content(read_coco_json(source))  # noqa: E731
        found.setdefault((source, images), Split(name, source, images, read))
    return list(found.values())
