"""Honest requests while others keep a server waiting, and what becomes of those."""

import contextlib
import http.client
import time

import pytest

from detr_kit.errors import InputError
from detr_kit.serving import Limits

from .attack import CHUNKED, HEAD, answer, attack, connect
from .process import metric, picture, slow_server, wait_for

JPEG = picture(kind="JPEG")
GAUGES = [
    f"detr_kit_{name}"
    for name in ("requests_in_house", "images_waiting", "uploads", "upload_bytes", "connections")
]


def ended(client, reason):
    return metric(client, f'detr_kit_uploads_ended_total{{reason="{reason}"}}')


def cut(client, reason):
    return metric(client, f'detr_kit_connections_cut_total{{reason="{reason}"}}')


def assert_nothing_is_left(client):
    """All gauges are back; the one connection is that which asks."""
    for name in GAUGES:
        wait_for(lambda name=name: metric(client, name) == name.endswith("connections"), seconds=15)


ATTACKS = {
    "two bytes of a body": dict(start=HEAD + b"\xff\xd8"),
    "a byte a second": dict(start=HEAD, more=b"x", every=1),
    "a chunked body without an end": dict(start=CHUNKED, more=b"1\r\nx\r\n", every=0.2),
    "a form that does not begin": dict(
        start=HEAD.replace(b"Host", b"Content-Type: multipart/form-data; boundary=b\r\nHost")
    ),
    "a body that stalls after a burst": dict(start=HEAD + bytes(60_000)),
    "a head and no body": dict(start=HEAD),
    "half a head": dict(start=HEAD[:30]),
    "nothing at all": dict(start=b""),
    "a body for an address that reads none": dict(start=HEAD.replace(b"/detect", b"/nowhere"), more=b"x"),
    "many who leave at once": dict(start=HEAD + b"\xff\xd8", leaves=True, every=2),
}


@pytest.fixture(scope="module")
def usual():
    """A server of the usual limits."""
    with slow_server(seconds=0.01) as (client, _, output):
        yield client
        assert "Traceback" not in output.read_text()


@pytest.mark.parametrize("name", ATTACKS)
def test_honest_requests_are_answered_while_300_connections_keep_the_server_waiting(usual, name):
    with attack(usual, 300, **ATTACKS[name]):
        statuses = [status(usual, "POST", "/detect", JPEG) for _ in range(50)]
        assert [status(usual, "GET", path) for path in ("/health", "/metrics") * 5] == [200] * 10
        assert metric(usual, "detr_kit_uploads") <= 128  # of one client
    assert statuses.count(200) >= 45, statuses
    assert_nothing_is_left(usual)


def status(client, method, path, body=None):
    """Of a request that comes on a connection of its own; or the name of an error."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=20)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def test_a_body_that_is_behind_is_ended_with_the_reason_and_one_that_keeps_pace_is_not():
    with slow_server(min_rate=100) as (client, *_), connect(client) as slow, connect(client) as steady:
        slow.sendall(HEAD + b"x" * 10)
        steady.sendall(HEAD.replace(b"100000", str(len(JPEG)).encode()))
        for start in range(0, len(JPEG), 100):
            steady.sendall(JPEG[start : start + 100])
            time.sleep(0.5)
        assert b" 200 " in steady.recv(1000)
        ended_with = answer(slow)
        assert b" 408 " in ended_with
        assert b"less than 100 bytes a second" in ended_with
        assert ended(client, "slow") == 1


def test_the_slowest_makes_room_for_a_newcomer():
    with slow_server(max_uploads=2, min_rate=100) as (client, *_), contextlib.ExitStack() as sockets:
        slow, quick, newcomer = (sockets.enter_context(connect(client)) for _ in range(3))
        slow.sendall(HEAD + b"x")
        wait_for(lambda: metric(client, "detr_kit_uploads") == 1)
        quick.sendall(HEAD + b"x" * 300)
        wait_for(lambda: metric(client, "detr_kit_uploads") == 2)
        newcomer.sendall(HEAD + b"x")
        assert b"others needed the room" in answer(slow)
        wait_for(lambda: metric(client, "detr_kit_upload_bytes") == 301)
        assert (ended(client, "crowded"), ended(client, "refused")) == (1, 0)


def test_a_newcomer_is_refused_where_no_body_is_slow():
    with slow_server(max_uploads=1, min_rate=1e-3) as (client, *_), connect(client) as first:
        first.sendall(HEAD + b"x")  # has paid in advance
        wait_for(lambda: metric(client, "detr_kit_upload_bytes") == 1)
        answers = [client.post("/detect", content=JPEG)]
        if answers[0].status_code == 429:  # a busy machine may take longer than the second that was paid for
            assert answers[0].json()["error"]["code"] == "too_many_uploads"
            assert answers[0].headers["retry-after"] == "1"
            assert ended(client, "refused") == 1
        time.sleep(1.2)
        assert client.post("/detect", content=JPEG).status_code == 200


def test_bodies_on_their_way_hold_no_more_bytes_than_allowed_and_the_stalled_ones_yield():
    limits = dict(max_bytes=100_000, max_upload_bytes=250_000)
    with slow_server(**limits) as (client, *_), contextlib.ExitStack() as sockets:
        for _ in range(3):
            sockets.enter_context(connect(client)).sendall(HEAD + bytes(80_000))
        wait_for(lambda: metric(client, "detr_kit_upload_bytes") == 240_000)
        time.sleep(1.2)  # now they are behind
        assert status(client, "POST", "/detect", bytes(50_000)) == 415
        assert ended(client, "crowded") == 1
        assert metric(client, "detr_kit_upload_bytes") == 160_000


def test_a_connection_that_never_asks_is_cut_and_counted():
    with slow_server(timeout=0.5) as (client, *_), connect(client) as silent, connect(client) as half:
        half.sendall(HEAD[:20])
        for sock in (silent, half):
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1000) == b""
        assert cut(client, "slow") == 2
        assert_nothing_is_left(client)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (dict(timeout=float("nan")), "--timeout nan"),
        (dict(timeout=float("inf")), "--timeout inf"),
        (dict(min_rate=0), "--min-rate 0"),
        (dict(max_upload_bytes=1000), "--max-upload-bytes 1000: it must be at least 16777216"),
        (dict(max_connections=100), "--max-connections 100: it must be at least 289"),
    ],
)
def test_limits_that_do_not_fit_together_are_named(limits, message):
    with pytest.raises(InputError, match=message):
        Limits(**limits)
