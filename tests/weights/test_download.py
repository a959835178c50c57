"""Files behind addresses: whole, checked and fetched once, or nothing."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from detr_kit.checkpoints import files as checkpoint_files
from detr_kit.checkpoints import read_checkpoint
from detr_kit.errors import InputError
from detr_kit.weights import NotHere, digest, download, fetch_weights

from .conftest import NOWHERE, left_in, sha256

ROOT = Path(__file__).resolve().parents[2]
DATA = bytes(range(256)) * 2000  # half a megabyte
PATH = "/models/net-0123.pth"
FETCH = "import sys; from detr_kit.weights import fetch_weights; print(fetch_weights(sys.argv[1]))"


@pytest.fixture
def url(server):
    """A file on the server, of which nothing is published but its address."""
    server.files[PATH] = DATA
    return server.address + PATH


@pytest.fixture
def published(server, publish):
    """The same file as published weights: their name."""
    server.files[PATH] = DATA
    publish({"name": "net", "url": server.address + PATH, "sha256": sha256(DATA)[:8]})
    return "net"


def refused(name, message):
    """The one error that `fetch_weights` ends with."""
    with pytest.raises(InputError, match=message) as caught:
        fetch_weights(name)
    return str(caught.value)


def test_a_file_is_fetched_once(server, url, cache):
    path = fetch_weights(url)
    assert path.read_bytes() == DATA
    assert path.parent == cache
    assert path.name.endswith("-net-0123.pth")
    assert fetch_weights(url) == path
    assert len(server.requests) == 1
    assert left_in(cache) == [path.name]


def test_published_weights_keep_the_name_of_their_file(published, cache):
    assert fetch_weights(published) == cache / "net-0123.pth"


def test_files_of_one_name_from_two_places_do_not_mix(server, cache):
    server.files |= {"/a/model.pth": b"a" * 100, "/b/model.pth": b"b" * 100}
    paths = [fetch_weights(f"{server.address}/{folder}/model.pth") for folder in "ab"]
    assert [path.read_bytes()[:1] for path in paths] == [b"a", b"b"]


def test_it_has_its_name_when_it_is_whole(server, published, cache):
    """The server is slow: so long there is only a part, which no reader takes for the file."""
    server.pause = 0.01
    seen = set()
    thread = threading.Thread(target=fetch_weights, args=[published])
    thread.start()
    while thread.is_alive():
        seen |= set(left_in(cache)) if cache.is_dir() else set()
        time.sleep(0.005)
    assert seen <= {"net-0123.pth.part", "net-0123.pth"}
    assert "net-0123.pth.part" in seen
    assert left_in(cache) == ["net-0123.pth"]


def test_redirects_are_followed(server, url, cache):
    server.redirects["/latest.pth"] = PATH
    assert fetch_weights(f"{server.address}/latest.pth").read_bytes() == DATA
    server.redirects["/loop.pth"] = "/loop.pth"
    refused(f"{server.address}/loop.pth", r"loop\.pth: it cannot be fetched: Exceeded 30 redirects")


class TestBrokenConnections:
    def test_the_download_goes_on_where_it_broke(self, server, published):
        server.cuts[PATH] = [100_000, 300_000, len(DATA)]
        assert fetch_weights(published).read_bytes() == DATA
        first, *later = [int(asked.strip("bytes=-")) for asked in server.gets()[1:]]
        assert 100_000 - download.PIECE < first <= 100_000  # what was whole of it
        assert [300_000 - download.PIECE < start <= 300_000 for start in later] == [True]

    def test_a_server_that_knows_no_ranges_sends_all_of_it_again(self, server, published):
        server.ranges = False
        server.cuts[PATH] = [100_000, len(DATA)]
        assert fetch_weights(published).read_bytes() == DATA
        assert [asked is None for asked in server.gets()] == [True, False]

    def test_a_busy_server_is_asked_again(self, server, published):
        server.statuses[PATH] = [503, 429, 500]
        assert fetch_weights(published).read_bytes() == DATA

    @pytest.mark.parametrize("ranges", [True, False])
    def test_what_always_breaks_off_is_given_up_and_nothing_is_kept(self, server, published, cache, ranges):
        server.ranges, server.cuts[PATH] = ranges, [100_000]
        message = refused(published, r"breaks off after \d+ bytes, 5 times in a row \(the connection broke\)")
        assert message.startswith(server.address + PATH)
        assert len(server.gets()) == download.TRIES + 1  # the first brought something
        assert left_in(cache) == []

    def test_so_is_what_nobody_has_published_a_hash_of(self, server, url, cache):
        server.cuts[PATH] = [100_000]
        refused(url, r"it breaks off after \d+ bytes")
        assert left_in(cache) == []

    def test_a_process_that_was_killed_is_followed_by_one_that_goes_on(self, server, publish, cache):
        server.files[PATH] = DATA
        publish({"name": "net", "url": server.address + PATH, "sha256": sha256(DATA)})
        server.pause = 0.05
        child = os.fork()
        if child == 0:  # a process of its own, with the table that this test has written
            fetch_weights("net")
            os._exit(0)
        part = cache / "net-0123.pth.part"
        _until(lambda: part.is_file() and part.stat().st_size > 50_000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        have, server.pause = part.stat().st_size, 0.0
        assert fetch_weights("net").read_bytes() == DATA
        assert server.gets() == [None, f"bytes={have}-"]
        assert left_in(cache) == ["net-0123.pth"]

    def test_more_than_there_is_was_of_another_version(self, server, published, cache):
        cache.mkdir()
        (cache / "net-0123.pth.part").write_bytes(b"old" * len(DATA))
        assert fetch_weights(published).read_bytes() == DATA

    def test_a_part_of_unknown_weights_is_not_gone_on_with(self, server, url, cache):
        """It may be of another version, and no hash would tell."""
        path = fetch_weights(url)
        path.rename(f"{path}.part")
        Path(f"{path}.part").write_bytes(b"old")
        assert fetch_weights(url).read_bytes() == DATA
        assert server.gets() == [None, None]


class TestRefusals:
    @pytest.mark.parametrize(("status", "message"), [
        (404, r"the server has no such file \(404 Not Found\); look for it where it was published"),
        (403, r"the server refuses to give it \(403 Forbidden\); fetch it by hand, or from a mirror"),
        (418, r"it cannot be fetched \(418"),
    ])  # fmt: skip
    def test_the_servers_word_is_told_at_once(self, server, published, cache, status, message):
        server.statuses[PATH] = [status]
        refused(published, message)
        assert len(server.requests) == 1
        assert left_in(cache) == []

    def test_other_places_of_the_same_network_are_named(self, server, publish):
        publish(
            {"name": "net", "url": server.address + "/gone.pth", "sha256": "01234567"},
            {"name": "net-elsewhere", "hub": "owner/net", "revision": "main"},
            {"name": "another", "config": "detr_r50", "hub": "owner/another", "revision": "main"},
            {"name": "masks", "needs": "masks", "hub": "owner/masks", "revision": "main"},
        )
        message = refused("net", "no such file")
        assert message.endswith(". The same network from elsewhere: net-elsewhere")

    def test_an_address_that_is_none(self, cache):
        refused("http:///x.pth", "it cannot be fetched: Invalid URL")


class TestHashes:
    def test_another_file_is_never_opened_and_not_kept(self, server, publish, cache, monkeypatch):
        server.files[PATH] = DATA
        publish({"name": "net", "url": server.address + PATH, "sha256": "01234567"})
        monkeypatch.setattr(checkpoint_files, "read_pickle", lambda _: pytest.fail("it was opened"))
        with pytest.raises(InputError, match="not the one that was published") as caught:
            read_checkpoint("net")
        assert f"its SHA-256 is {sha256(DATA)}, which does not begin with 01234567" in str(caught.value)
        assert left_in(cache) == []

    def test_a_file_that_was_put_there_is_taken_if_it_is_the_right_one(self, server, published, cache, capfd):
        cache.mkdir()
        path = cache / "net-0123.pth"
        path.write_bytes(DATA)
        assert fetch_weights(published) == path
        assert server.requests == []
        path.write_bytes(DATA[:-1])
        assert fetch_weights(published).read_bytes() == DATA
        assert "net-0123.pth is not the file that was published" in capfd.readouterr().err

    def test_one_process_reads_a_file_once_for_its_hash(self, published, monkeypatch):
        fetch_weights(published)
        fetch_weights(published)
        monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read again"))
        fetch_weights(published)
        assert digest._sha256.cache_info().hits > 0


class TestTheDisk:
    def test_a_disk_that_is_full_leaves_nothing_behind(self, published, cache, monkeypatch):
        class Full(download.tqdm):
            def update(self, _):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(download, "tqdm", Full)
        refused(published, rf"there is no room for it in {cache} \(\d+ MiB free\).*, or set DETR_KIT_CACHE")
        assert left_in(cache) == []

    def test_one_without_enough_room_is_not_filled(self, server, published, cache, monkeypatch):
        usage = shutil.disk_usage(cache.parent)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(DATA) - 1))
        refused(published, r"there is no room for it in .* \(0 MiB free\)")
        assert left_in(cache) == []

    def test_a_folder_that_cannot_be_written(self, published, cache, monkeypatch):
        cache.write_text("a file")
        refused(published, "it cannot be kept in .*; set DETR_KIT_CACHE to a folder that can be written")


class TestWithoutANetwork:
    def test_the_address_and_the_place_for_the_file_are_told(self, publish, cache):
        publish({"name": "net", "url": f"{NOWHERE}/net-0123.pth", "sha256": "01234567"})
        with pytest.raises(NotHere) as caught:
            fetch_weights("net")
        assert re.fullmatch(
            rf"net: the weights at {NOWHERE}/net-0123\.pth are not here and cannot be fetched "
            r"\(.*Connection refused.*\)\. On a machine with a network fetch that file, and put it here as "
            rf"{cache}/net-0123\.pth, or give its path as the checkpoint",
            str(caught.value),
        )
        assert left_in(cache) == []

    def test_a_server_that_says_nothing_is_one(self, server, published, cache, monkeypatch):
        monkeypatch.setattr(download, "TIMEOUT", (1, 0.2))
        server.pause = 1.0  # after the first piece, which is not whole
        with pytest.raises(NotHere, match=r"cannot be fetched \(Read timed out\.\)"):
            fetch_weights(published)
        assert left_in(cache) == []

    def test_what_a_killed_process_has_fetched_is_kept(self, publish, cache):
        cache.mkdir()
        (cache / "net-0123.pth.part").write_bytes(DATA[:1000])
        publish({"name": "net", "url": f"{NOWHERE}/net-0123.pth", "sha256": "01234567"})
        with pytest.raises(NotHere):
            fetch_weights("net")
        assert left_in(cache) == ["net-0123.pth.part"]

    @pytest.mark.parametrize("value", ["1", "true", "YES"])
    def test_nobody_is_asked_where_that_is_not_wanted(self, server, published, monkeypatch, value):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        with pytest.raises(NotHere, match=r"cannot be fetched \(HF_HUB_OFFLINE is set\)"):
            fetch_weights(published)
        assert server.requests == []
        monkeypatch.delenv("HF_HUB_OFFLINE")
        path = fetch_weights(published)
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert fetch_weights(published) == path


class TestEnvironment:
    def test_a_mirror_is_asked_instead(self, server, publish, monkeypatch):
        server.files["/mirror/weights.example.org/net-0123.pth"] = DATA
        publish({"name": "net", "url": "https://weights.example.org/net-0123.pth", "sha256": sha256(DATA)})
        monkeypatch.setenv("DETR_KIT_MIRROR", f"{server.address}/mirror/")
        assert fetch_weights("net").read_bytes() == DATA

    def test_files_lie_where_torch_hub_has_them(self, published, tmp_path, monkeypatch):
        monkeypatch.delenv("DETR_KIT_CACHE")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        assert fetch_weights(published) == tmp_path / "torch" / "hub" / "checkpoints" / "net-0123.pth"
        monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert fetch_weights(published) == tmp_path / "xdg" / "torch" / "hub" / "checkpoints" / "net-0123.pth"


def test_two_processes_fetch_a_file_once(server, url, cache):
    server.pause = 0.05  # long enough for both to be there
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FETCH, url]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    (path,) = {out.strip() for out, _ in answers}
    assert Path(path).read_bytes() == DATA
    assert len(server.gets()) == 1
    assert sum("waiting for another process" in err for _, err in answers) == 1


def _until(happens, seconds=20):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)
