"""Weights by name, address or id on the hub: where they lie on this machine, fetched once."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import InputError
from .digest import is_right
from .hub import fetch_model, hub_address
from .names import is_address
from .places import file_of, is_offline, mirrored
from .table import Published, find_published, others_of
from .unreachable import NoAnswer, NotHere


def fetch_weights(name: str) -> Path:
    """The file, or for a model of the hub the folder, of weights.

    They are fetched once; before their place is told their hash is compared, where one was published.

    Args:
        name: of published.yaml, an http(s) address, or OWNER/NAME on the Hugging Face hub.

    Raises:
        NotHere: they are not here, and there is no network or it must not be used.
        InputError: they need what detr-kit has not got, or cannot be fetched: see `download`, `fetch_model`.
    """
    row = find_published(name)
    if row is not None and row.needs is not None:
        raise InputError(
            f"{name}: published ({row.source}), but it needs {row.needs}, which detr-kit has not got yet"
        )
    sha256 = None if row is None else row.sha256
    try:
        if is_address(name):
            return _file(name, sha256)
        if row is not None and row.url is not None:
            return _file(row.url, sha256)
        return fetch_model(*_model(name, row), sha256)
    except NoAnswer as error:
        raise NotHere(f"{name}: {_advice(name, row, error)}") from error
    except InputError as error:
        raise InputError(f"{error}{_elsewhere(row)}") from error


def _file(url: str, sha256: str | None) -> Path:
    path = file_of(url)
    if path.is_file():
        if is_right(path, sha256):
            return path
        print(f"{path} is not the file that was published", file=sys.stderr, flush=True)
    if is_offline():
        raise NoAnswer("HF_HUB_OFFLINE is set")
    from .download import download  # its libraries, only where something is fetched

    download(mirrored(url), path, sha256)
    return path


def _model(name: str, row: Published | None) -> tuple[str, str]:
    """Id and revision on the hub."""
    return (name, "main") if row is None else (str(row.hub), str(row.revision))


def _advice(name: str, row: Published | None, error: NoAnswer) -> str:
    """What to do without a network."""
    url = name if is_address(name) else None if row is None else row.url
    if url is not None:
        place = mirrored(url)
        steps = f"fetch that file, and put it here as {file_of(url)}, or give its path as the checkpoint"
    else:
        place = hub_address(*_model(name, row))
        steps = (
            "fetch config.json and model.safetensors from there, put them into a folder here, and give its "
            "path as the checkpoint"
        )
    unknown = "no such file or folder, and " if row is None and url is None else ""
    return (
        f"{unknown}the weights at {place} are not here and cannot be fetched ({error}). On a machine with a "
        f"network {steps}"
    )


def _elsewhere(row: Published | None) -> str:
    others = [] if row is None else [other.name for other in others_of(row)]
    return f". The same network from elsewhere: {', '.join(others)}" if others else ""
