"""Shards kept on this machine's disk, as many as may be; all processes share them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from filelock import FileLock

from ...errors import InputError
from ...storage import join, read_bytes, write_whole

_PATIENCE = 20  # times that a shard may be gone again before it was read


class ShardCache:
    """The shards that were used last.

    Args:
        folder: for the shards of this and other sets; what else is in it is left alone.
        limit_gb: gigabytes (10⁹ bytes) that all files in it may take.
        url: of the set; names, sizes: of its shards.

    Raises:
        InputError: there is no room for two shards, of which one is read while the next one comes.
    """

    def __init__(
        self, folder: str | Path, limit_gb: float, url: str, names: list[str], sizes: list[int]
    ) -> None:
        self.folder, self.limit = Path(folder).expanduser(), int(limit_gb * 1e9)
        self.url, self.names, self.sizes = url, names, sizes
        need = 2 * max(sizes, default=0)
        if self.limit < need:
            raise InputError(
                f"disk_cache_gb={limit_gb:g}: two shards of {url} take {need / 1e9:.3g} GB; give more, or 0 "
                "to read each sample from its place"
            )
        self._mark = hashlib.blake2b(url.encode(), digest_size=6).hexdigest()

    def read(self, shard: int, start: int, end: int) -> bytes:
        """Bytes [start, end) of a shard, which is fetched where it is not here.

        Raises:
            InputError: it cannot be fetched, or kept.
        """
        path = self.folder / f"{self._mark}-{self.names[shard]}"
        for _ in range(_PATIENCE):
            try:
                with path.open("rb") as file:
                    os.utime(path)  # used last
                    file.seek(start)
                    return file.read(end - start)
            except FileNotFoundError:
                self._fetch(shard, path)
        raise InputError(f"{path}: removed again and again before it was read; give disk_cache_gb more room")

    def _fetch(self, shard: int, path: Path) -> None:
        """One process fetches it, the others wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{path.name}.lock"):
            if path.exists():
                return
            whole = read_bytes(join(self.url, self.names[shard]))
            if len(whole) != self.sizes[shard]:
                raise InputError(
                    f"{join(self.url, self.names[shard])}: {len(whole)} bytes, the index says "
                    f"{self.sizes[shard]}; write the set again"
                )
            with FileLock(self.folder / ".room.lock"):
                self._make_room(len(whole))
                write_whole(str(path), whole)

    def _make_room(self, size: int) -> None:
        """The shards that were not used for longest go."""
        kept = []
        for path in self.folder.glob("*.tar"):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            kept.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, there, path in sorted(kept):
            if total + size <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= there
