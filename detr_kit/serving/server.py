"""A server process: a socket, uvicorn, and an orderly end."""

from __future__ import annotations

import math
import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from ..errors import InputError
from .connections import BURST
from .limits import Limits

BACKLOG = 512  # connections that the system, and one step of the event loop, may accept


def run_server(app: Starlette, limits: Limits, host: str, port: int) -> None:
    """Serve an app until SIGTERM or Ctrl-C, then answer what has been taken on and return.

    Args:
        app: of `create_app`.
        limits: its timeout is how long the last requests may take.
        host, port: where to listen; port 0 takes any free one. The address is printed.

    Raises:
        InputError: the address cannot be used, or the process may not open as many files as connections.
    """
    listener = _listen(host, port)
    _allow_open_files(limits.max_connections)
    address = f"[{host}]" if ":" in host else host
    print(f"detr-kit listens on http://{address}:{listener.getsockname()[1]} (Ctrl-C ends it)", flush=True)
    if not _is_loopback(host):
        print(f"note: {host} is open to the network; put a proxy with TLS before it", file=sys.stderr)
    config = uvicorn.Config(
        app,
        http=app.state.connections.connection,
        ws="none",
        backlog=BACKLOG,
        log_level="warning",
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(limits.timeout) + 5,
    )
    # uvicorn ends in order and then raises the signal again, for the handler that was there before.
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, previous)
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: {reason}; port 0 takes any free one") from error


def _allow_open_files(connections: int) -> None:
    """Raise the process's own limit of open files where it is lower than connections need.

    Beyond it nobody could connect, and nobody would be told.
    """
    needed = connections + BURST + BACKLOG + 256
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (ValueError, OSError) as error:
        raise InputError(
            f"--max-connections {connections}: they need {needed} open files, "
            f"and this process may open {hard}; lower it, or raise the limit (ulimit -Hn)"
        ) from error


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
