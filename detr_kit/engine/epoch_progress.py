"""How far a run is in its epoch, as a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpochProgress:
    """Batches of the epoch that are behind us.

    An epoch's length in batches depends on the batch size, the number of processes and the data: a count of
    iterations alone does not tell a run with other ones where it stands.

    Attributes:
        done: batches done in the epoch; length: batches of the epoch.
    """

    done: int
    length: int

    @property
    def is_at_an_end(self) -> bool:
        """Nothing of the epoch is done, or all of it."""
        return self.done in (0, self.length)

    def in_epoch_of(self, length: int) -> int | None:
        """The batches to leave out in an epoch of `length`; None where this place is not in it."""
        if self.length == length or self.done == 0:
            return self.done
        return length if self.is_at_an_end else None

    def to_meta(self) -> dict[str, int]:
        """Plain, for a checkpoint's meta."""
        return {"epoch_done": self.done, "epoch_length": self.length}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> EpochProgress | None:
        """What `to_meta` wrote; None for a checkpoint of before version 0.2."""
        if "epoch_length" not in meta:
            return None
        return cls(int(meta["epoch_done"]), int(meta["epoch_length"]))
