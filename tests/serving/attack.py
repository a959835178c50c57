"""Clients that keep a server waiting, over real sockets."""

import contextlib
import socket
import threading

HEAD = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def connect(client):
    """A socket to the server of an HTTP client."""
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=10)


def answer(sock):
    """All that a server sends until it closes the connection; head and body may come one by one."""
    parts = []
    while part := sock.recv(10_000):
        parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def attack(client, connections, start, every=0.5, more=b"", leaves=False):
    """Connections that each send `start`, and are replaced when the server ends them.

    Args:
        every: seconds between two looks at a connection.
        more: is sent at each look.
        leaves: disconnect at each look, and connect anew.
    """
    end, running = threading.Event(), threading.Event()

    def run():
        sockets = [_open(client, start) for _ in range(connections)]
        running.set()
        while not end.wait(every):
            for number, sock in enumerate(sockets):
                if leaves or not _alive(sock, more):
                    sock.close()
                    sockets[number] = _open(client, start)
        for sock in sockets:
            sock.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert running.wait(30)
        yield
    finally:
        end.set()
        thread.join()


def _open(client, start):
    sock = connect(client)
    with contextlib.suppress(OSError):  # it may be ended already
        sock.sendall(start)
    sock.setblocking(False)
    return sock


def _alive(sock, more):
    try:
        sock.send(more)
        return bool(sock.recv(10_000))
    except BlockingIOError:
        return True
    except OSError:
        return False
