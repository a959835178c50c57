"""`detr-kit check`: of a config's data sets, or of a data set alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ..check import check_data, write_html
from ..config import is_config
from ..data.annotation_table import MAX_LEFT_OUT
from ..data.formats import find_data
from ..errors import InputError
from .config_data import splits_of_config
from .prepare import check_paths, prepare_config


def run_check(
    data: str,
    *,
    images: str | None = None,
    read_images: bool = True,
    num_queries: int | None = None,
    json_file: str | None = None,
    html_file: str | None = None,
    options: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> int:
    """Check, print, and write the report where asked.

    Args:
        data: a config's name or path, or a data set's path.
        images: folder of the pictures of a data set, where it is not beside the annotations.
        read_images: look at the pictures too.
        num_queries: of the network; the config's by default.
        json_file, html_file: where to write the report.
        options: overrides of the config.
        strict: a single annotation that cannot be used is an error.

    Returns:
        1 where there is an error, else 0: for the shell.
    """
    console = Console(stderr=True, markup=False, emoji=False)
    if is_config(data):
        config = prepare_config(data, options=options)
        check_paths(config, "train", "val", "test")
        splits = splits_of_config(config)
        if num_queries is None:
            num_queries = config.model.network.get("num_queries")
    else:
        source = find_data(data, images, need_images=read_images)
        console.print(f"{data}: a data set in {source.format.upper()} format")
        splits = list(source.splits.values())
    report = check_data(
        splits,
        num_queries=num_queries,
        read_images=read_images,
        progress=console,
        name=_name(data),
        max_left_out=0.0 if strict else MAX_LEFT_OUT,
    )
    report.print(Console(soft_wrap=True, highlight=False, emoji=False))
    if json_file is not None:
        _write(json_file, json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    if html_file is not None:
        write_html(report, html_file)
        console.print(f"report written to {html_file}")
    return report.exit_code


def _name(data: str) -> str:
    """What people call it: a file's or folder's own name, with its parent's where that says nothing."""
    path = Path(data).expanduser().absolute()
    return (
        path.name
        if path.is_dir() or path.suffix == ".py" or not path.exists()
        else f"{path.parent.name}/{path.name}"
    )


def _write(path: str, text: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: it cannot be written: {error}") from error
