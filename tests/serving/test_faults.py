"""What a real server process does with too much, too large, too slow and too odd."""

import io
import socket
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from PIL import Image

from detr_kit.cli import main
from detr_kit.errors import InputError
from detr_kit.serving import Limits, run_server

from .process import metric, picture, slow_server, wait_for
from .slow_server import UNLUCKY

IN_HOUSE = "detr_kit_requests_in_house"


@pytest.fixture(scope="module")
def quick():
    """A server of small limits that answers at once."""
    with slow_server(max_bytes=100_000, max_pixels=1_000_000, timeout=5) as (client, *_):
        yield client


def bomb(width=60_000, height=60_000):
    """A PNG of a few bytes that would be 10 GB of pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def problem(response):
    """(status, code) of an error, which always is JSON of one form."""
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["message"]
    return response.status_code, error["code"]


JPEG = picture(kind="JPEG")
GARBAGE = {
    "nothing": (b"", 400, "no_image"),
    "text": (b"not an image at all", 415, "not_an_image"),
    "bytes": (bytes(range(256)) * 50, 415, "not_an_image"),
    "a bare PNG signature": (b"\x89PNG\r\n\x1a\n", 415, "not_an_image"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not_an_image"),
    "a TIFF, which is not taken": (picture(kind="TIFF"), 415, "not_an_image"),
    "a JPEG cut in its pixels": (JPEG[:-20], 400, "damaged_image"),
    "a PNG cut in its pixels": (picture()[:-30], 400, "damaged_image"),
    "a decompression bomb": (bomb(), 413, "too_many_pixels"),
    "a little too many pixels": (picture(1001, 1000), 413, "too_many_pixels"),
    "too many bytes": (bytes(100_001), 413, "too_many_bytes"),
    "far too many bytes": (bytes(20_000_000), 413, "too_many_bytes"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_harms_nobody(quick, name):
    body, status, code = GARBAGE[name]
    assert problem(quick.post("/detect", content=body)) == (status, code)
    assert quick.post("/detect", content=JPEG).status_code == 200


def test_a_body_of_no_stated_length_is_counted(quick):
    chunks = (bytes(10_000) for _ in range(1000))
    assert problem(quick.post("/detect", content=chunks)) == (413, "too_many_bytes")


def test_forms_are_held_to_the_same_limits(quick):
    assert quick.post("/detect", files={"image": JPEG}).status_code == 200
    assert problem(quick.post("/detect", files={"image": bytes(200_000)})) == (413, "too_many_bytes")
    assert problem(quick.post("/detect", files={"a": JPEG, "b": JPEG}))[0] == 400
    assert problem(quick.post("/detect", files={"image": b"text"})) == (415, "not_an_image")
    assert problem(quick.post("/detect", data={"image": "text"}, files={})) == (415, "not_an_image")
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert problem(quick.post("/detect", content=b"--x\r\nhello", headers=broken))[0] == 400
    assert (
        problem(quick.post("/detect", content=b"", headers={"content-type": "multipart/form-data"}))[0] == 400
    )


@pytest.mark.parametrize(
    "query", ["score_threshold=x", "score_threshold=2", "max_detections=-1", "max_detections=nan"]
)
def test_a_bad_parameter_is_named(quick, query):
    response = quick.post(f"/detect?{query}", content=JPEG)
    assert problem(response) == (400, "bad_parameter")
    assert query in response.json()["error"]["message"]


def test_other_paths_and_methods(quick):
    assert problem(quick.get("/nowhere")) == (404, "not_found")
    assert problem(quick.get("/detect")) == (405, "method_not_allowed")
    assert problem(quick.get("/")) == (404, "not_found")  # the page belongs to detr-kit demo


def test_turned_pictures_are_turned(quick):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (64, 48)).save(file, "JPEG", exif=exif)
    answer = quick.post("/detect", content=file.getvalue()).json()
    assert (answer["width"], answer["height"]) == (48, 64)


def test_a_full_house_says_when_to_come_back():
    with slow_server(seconds=0.5, queue_size=3, max_batch=1) as (client, *_), ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(client.post, "/detect", content=JPEG) for _ in range(3)]
        wait_for(lambda: metric(client, IN_HOUSE) == 3)
        refused = client.post("/detect", content=JPEG)
        assert problem(refused) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert [one.result().status_code for one in inside] == [200] * 3
        assert client.post("/detect", content=JPEG).status_code == 200
        assert metric(client, 'detr_kit_requests_total{path="/detect",status="429"}') == 1


def test_who_waits_too_long_is_told_and_not_run():
    with slow_server(seconds=0.6, timeout=0.3, max_batch=1) as (client, *_), ThreadPoolExecutor(2) as pool:
        both = [pool.submit(client.post, "/detect", content=JPEG) for _ in range(2)]
        assert [problem(one.result()) for one in both] == [(504, "timeout")] * 2
        wait_for(lambda: metric(client, "detr_kit_batch_size_count") == 1)
        wait_for(lambda: metric(client, "detr_kit_images_waiting") == 0)
        assert metric(client, IN_HOUSE) == 0


def test_a_body_that_does_not_come_holds_no_place():
    with slow_server(timeout=0.4, queue_size=1) as (client, *_):
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as sleepy:
            sleepy.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nstart")
            assert b" 408 " in sleepy.recv(1000)
        assert client.post("/detect", content=JPEG).status_code == 200


def test_a_client_that_leaves_holds_no_place():
    with slow_server(queue_size=1) as (client, _, output):
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as leaving:
            leaving.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nstart")
            wait_for(lambda: metric(client, "detr_kit_uploads") == 1)
            assert metric(client, IN_HOUSE) == 0
        wait_for(lambda: metric(client, "detr_kit_uploads") == 0, seconds=5)
        assert metric(client, 'detr_kit_requests_total{path="/detect",status="499"}') == 1
        assert "Traceback" not in output.read_text()


def test_what_nobody_waits_for_is_not_run():
    with slow_server(seconds=1, max_batch=1) as (client, *_), ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/detect", content=JPEG)
        wait_for(lambda: metric(client, IN_HOUSE) == 1)
        brief = httpx2.Timeout(10, read=0.1)
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(client.base_url.join("/detect"), content=JPEG, timeout=brief, trust_env=False)
        assert first.result().status_code == 200
        wait_for(lambda: metric(client, IN_HOUSE) == 0)
        assert metric(client, "detr_kit_batch_size_sum") == 1
        assert metric(client, 'detr_kit_requests_total{path="/detect",status="499"}') == 1


def test_an_image_that_breaks_the_detector_breaks_its_own_request_only():
    with slow_server(seconds=0.2, max_wait=0.5) as (client, *_), ThreadPoolExecutor(3) as pool:
        bodies = [JPEG, picture(red=UNLUCKY), picture()]
        answers = list(pool.map(lambda body: client.post("/detect", content=body), bodies))
        assert [answer.status_code for answer in answers] == [200, 500, 200]
        assert problem(answers[1]) == (500, "detector_failed")
        assert client.get("/health").json()["status"] == "ok"


def test_requests_that_come_together_share_a_batch():
    with slow_server(seconds=0.2, max_batch=4) as (client, *_), ThreadPoolExecutor(9) as pool:
        sizes = [(64, 48)] * 5 + [(48, 64)] * 4
        answers = list(pool.map(lambda size: client.post("/detect", content=picture(*size)).json(), sizes))
        assert [(answer["width"], answer["height"]) for answer in answers] == sizes
        assert [answer["detections"][0]["box"][2:] for answer in answers] == [list(size) for size in sizes]
        batches = metric(client, "detr_kit_batch_size_count")
        assert metric(client, "detr_kit_batch_size_sum") == 9
        assert batches < 9


def test_sigterm_answers_what_was_taken_on():
    with slow_server(seconds=0.3, max_batch=1) as (client, process, output), ThreadPoolExecutor(4) as pool:
        inside = [pool.submit(client.post, "/detect", content=JPEG) for _ in range(4)]
        wait_for(lambda: metric(client, IN_HOUSE) == 4)
        process.terminate()  # SIGTERM
        assert [one.result().status_code for one in inside] == [200] * 4
        process.join(10)
        assert process.exitcode == 0
        with pytest.raises(httpx2.ConnectError):
            httpx2.post(client.base_url, content=JPEG, trust_env=False)
        assert "Traceback" not in output.read_text()


def test_a_busy_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}.*in use"):
            run_server(None, Limits(), "127.0.0.1", port)


@pytest.mark.parametrize("option", ["max_batch", "queue_size", "max_bytes", "max_pixels", "timeout"])
def test_a_limit_that_lets_nothing_through_is_named(option):
    with pytest.raises(InputError, match=option.replace("_", "-")):
        Limits(**{option: 0})


def test_without_the_extra_one_message_says_what_to_install(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("detr_kit.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not installed
    assert main(["serve"]) == 2
    message = capsys.readouterr().err
    assert "uvicorn" in message
    assert 'pip install "detr-kit[serve]"' in message
