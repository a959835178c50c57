"""Open connections: how many there may be, and how long each side may keep the other waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from prometheus_client import Counter
from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits

BURST = 512  # connections beyond the limit while those that wait are new
NEW = 1.0  # seconds
SPARE = 5.0  # seconds that a turn may last beyond the timeout: the application's own answer comes first


class Connections:
    """The open connections of a server.

    While a connection waits for its client (to ask, to finish a head, to read the answer, to stop sending a
    body that has been answered already), it can make room for another; that which has waited longest goes
    first. So somebody who connects is always heard; and, as a burst of connections may stand above the limit
    for a moment, he also has the time to ask.

    Args:
        limits: how many connections, and the timeout.
        cut: counts those that were cut, by reason.
    """

    def __init__(self, limits: Limits, cut: Counter) -> None:
        self.limits, self._cut = limits, cut
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, float] = {}  # for their clients, and since when; the longest first

    def __len__(self) -> int:
        return len(self._open)

    def connection(self, **arguments: Any) -> Connection:
        """The protocol of a new connection, as uvicorn makes it."""
        return Connection(self, **arguments)

    def add(self, connection: Connection) -> None:
        """A connection has been opened."""
        self._open.add(connection)
        if len(self._open) > self.limits.max_connections:
            # Not at once: a request that is here already is read first.
            connection.loop.call_soon(self._make_room)

    def waits_for_client(self, connection: Connection, waits: bool) -> None:
        """The other side's turn has begun."""
        self._waiting.pop(connection, None)
        if waits:
            self._waiting[connection] = time.monotonic()

    def remove(self, connection: Connection) -> None:
        """A connection has been closed."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def cut(self, connection: Connection, reason: str) -> None:
        """Close a connection, whatever has not been read or written."""
        self._cut.labels(reason).inc()
        self.remove(connection)
        connection.transport.abort()

    def _make_room(self) -> None:
        while self._waiting and (beyond := len(self._open) - self.limits.max_connections) > 0:
            connection, since = next(iter(self._waiting.items()))
            if beyond <= BURST and time.monotonic() - since < NEW:
                return
            self.cut(connection, "crowded")


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with an end to every turn.

    uvicorn waits without end for the rest of a head, for a body that nobody reads, and for a client that does
    not read its answer.
    """

    def __init__(self, table: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._table = table
        self._end_of_turn: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._table.add(self)
        self._begin_turn()

    def data_received(self, data: bytes) -> None:
        answered = self._answered
        super().data_received(data)
        if answered and not self._answered:
            self._begin_turn()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._begin_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._table.remove(self)
        if self._end_of_turn is not None:
            self._end_of_turn.cancel()

    @property
    def _answered(self) -> bool:
        """There is no request whose head is here and whose answer has not been written."""
        return self.cycle is None or self.cycle.response_complete

    def _begin_turn(self) -> None:
        if self._end_of_turn is not None:
            self._end_of_turn.cancel()
        timeout = self._table.limits.timeout
        # An answer may wait in its turn for a client that does not read the one before.
        seconds = (timeout if self._answered else 2 * timeout) + SPARE
        self._end_of_turn = self.loop.call_later(seconds, self._table.cut, self, "slow")
        self._table.waits_for_client(self, self._answered)
