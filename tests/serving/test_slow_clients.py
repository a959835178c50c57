"""Honest requests while others keep a server waiting, and what becomes of those."""

import httpx2
import pytest

from .attack import CHUNKED, HEAD, attack
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
    "many who leave at once": dict(start=HEAD + b"\xff\xd8", leaves=True),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_honest_requests_are_answered_while_300_connections_keep_the_server_waiting(name):
    with slow_server(seconds=0.01) as (client, _, output):
        with attack(client, 300, **ATTACKS[name]):
            statuses = []
            for number in range(60):
                # Half of them keep their connection, half come anew.
                post = client.post if number % 2 else httpx2.Client(trust_env=False).post
                statuses.append(post(client.base_url.join("/detect"), content=JPEG).status_code)
                assert httpx2.get(client.base_url.join("/health"), trust_env=False).status_code == 200
                assert httpx2.get(client.base_url.join("/metrics"), trust_env=False).status_code == 200
                assert metric(client, "detr_kit_uploads") <= 128
        assert statuses.count(200) >= 54, statuses
        assert_nothing_is_left(client)
        assert "Traceback" not in output.read_text()
