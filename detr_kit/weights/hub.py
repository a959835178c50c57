"""Models of the Hugging Face hub: the files that make one, through huggingface_hub and in its cache.

The library locks, goes on where a connection breaks, and keeps whole files only; the hash that the hub tells
of a file becomes its name in the cache, and is compared here.
"""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

from ..errors import InputError
from .digest import sha256_of
from .places import hub_folder, is_offline
from .unreachable import NoAnswer

TIMEOUT = 10.0
"""Seconds in which the hub has to answer."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def hub_address(repo: str, revision: str) -> str:
    """The page of a model's files."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{repo}/tree/{revision}"


def fetch_model(repo: str, revision: str, sha256: str | None) -> Path:
    """The folder with a model's config.json and weights.

    Args:
        repo: OWNER/NAME; revision: a commit, which is fetched once, or a branch, which is asked for again.
        sha256: of model.safetensors; None takes the hub's word for it.

    Raises:
        NoAnswer: the hub cannot be reached, or must not be, and the files are not here.
        InputError: there is no such model, it needs a login, or a file is not what it should be; that file is
            not kept.
    """
    config = _file(repo, "config.json", revision)
    if config is None:
        raise _nothing(f"{repo}: no config.json in it; it is no model of transformers")
    for name in _WEIGHTS:
        weights = _file(repo, name, revision)
        if weights is not None:
            _check(repo, weights, sha256 if name == _WEIGHTS[0] else None)
            return config.parent
        index = _file(repo, f"{name}.index.json", revision)
        if index is not None:
            for part in sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())):
                piece = _file(repo, part, revision)
                if piece is None:
                    raise _nothing(f"{repo}: {part} is not in it, and {index.name} names it")
                _check(repo, piece, None)
            return config.parent
    raise _nothing(f"{repo}: neither {' nor '.join(_WEIGHTS)} is in it")


def is_model_here(repo: str, revision: str) -> bool:
    """Whether a model's weights are in the cache."""
    from huggingface_hub import try_to_load_from_cache

    folder = hub_folder()
    return any(
        isinstance(try_to_load_from_cache(repo, name, cache_dir=folder, revision=revision), str)
        for name in _WEIGHTS
    )


def _nothing(why: str) -> Exception:
    return NoAnswer("HF_HUB_OFFLINE is set") if is_offline() else InputError(why)


def _file(repo: str, name: str, revision: str) -> Path | None:
    """A file of a model, None where it has none of that name; offline, where it is not here."""
    from huggingface_hub import (
        _CACHED_NO_EXIST,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    folder, endpoint = hub_folder(), os.environ.get("HF_ENDPOINT")
    cached = try_to_load_from_cache(repo, name, cache_dir=folder, revision=revision)
    if cached is _CACHED_NO_EXIST or (cached is None and is_offline()):
        return None
    if cached is not None and (is_offline() or re.fullmatch("[0-9a-f]{40}", revision)):
        return Path(str(cached))
    try:
        if cached is None:
            # Without a network hf_hub_download tries for 24 seconds and prints each try; this fails at once.
            get_hf_file_metadata(
                hf_hub_url(repo, name, revision=revision, endpoint=endpoint), timeout=TIMEOUT
            )
        return Path(hf_hub_download(repo, name, revision=revision, cache_dir=folder, endpoint=endpoint))
    except LocalEntryNotFoundError as error:  # hf_hub_download's word for whatever went wrong when it asked
        cause = error.__cause__
        raise _told(cause if isinstance(cause, Exception) else error, repo, name, revision) from error
    except EntryNotFoundError:
        return None
    except Exception as error:  # the library's own, those of its HTTP client and of the file system
        raise _told(error, repo, name, revision) from error


def _told(error: Exception, repo: str, name: str, revision: str) -> Exception:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"{repo}: its owners give it to those who ask: {hub_address(repo, revision)}, then log in"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"{repo}: no such file or folder, and no such model on the hub, or one that needs a login "
            "(hf auth login)"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{repo}: the hub has no revision {revision} of it")
    if isinstance(error, errors.HfHubHTTPError):
        return InputError(f"{repo}: {name} cannot be fetched: {str(error).splitlines()[0]}")
    if isinstance(error, errors.FileMetadataError):
        return InputError(f"{repo}: {hub_address(repo, revision)} is no Hugging Face hub; see HF_ENDPOINT")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return NoAnswer(str(error))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return InputError(f"{repo}: there is no room for {name}; make some, or set HF_HOME or DETR_KIT_CACHE")
    if isinstance(error, OSError):  # whatever came of it was removed
        return InputError(f"{repo}: {name} breaks off ({str(error).splitlines()[0]}); try again later")
    return NoAnswer(str(error))


def _check(repo: str, path: Path, sha256: str | None) -> None:
    """Compare a file with its hash: the given one, or the hub's, the name of what `path` leads to."""
    stored = path.resolve()
    expected = sha256 or (stored.name if re.fullmatch("[0-9a-f]{64}", stored.name) else None)
    if expected is None or sha256_of(stored) == expected:
        return
    found = sha256_of(stored)
    path.unlink()
    stored.unlink(missing_ok=True)
    raise InputError(
        f"{repo}: {path.name} is not the file that was published: its SHA-256 begins {found[:8]}, not "
        f"{expected[:8]}. It was not opened, and was not kept; try again, or fetch it from elsewhere"
    )
