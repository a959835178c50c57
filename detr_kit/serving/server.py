"""A server process: a socket, uvicorn, and an orderly end."""

from __future__ import annotations

import math
import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from ..errors import InputError
from .limits import Limits


def run_server(app: Starlette, limits: Limits, host: str, port: int) -> None:
    """Serve an app until SIGTERM or Ctrl-C, then answer what has been taken on and return.

    Args:
        app: of `create_app`.
        limits: its timeout is how long the last requests may take.
        host, port: where to listen; port 0 takes any free one. The address is printed.

    Raises:
        InputError: the address cannot be used.
    """
    listener = _listen(host, port)
    address = f"[{host}]" if ":" in host else host
    print(f"detr-kit listens on http://{address}:{listener.getsockname()[1]} (Ctrl-C ends it)", flush=True)
    if not _is_loopback(host):
        print(f"note: {host} is open to the network; put a proxy with TLS before it", file=sys.stderr)
    config = uvicorn.Config(
        app,
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
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: {reason}; port 0 takes any free one") from error


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
