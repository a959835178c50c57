"""Sharded sets: the samples of the set they were made of, in an order that depends on positions alone."""

import functools
import http.server
import json
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from detr_kit import storage
from detr_kit.cli import main
from detr_kit.data import (
    AspectRatioBatchSampler,
    CocoDataset,
    EpochSampler,
    ShardDataset,
    ShardSampler,
    pad_collate,
)
from detr_kit.errors import InputError

FLIP = [dict(type="RandomHorizontalFlip", p=0.5)]


@pytest.fixture(scope="module")
def coco(shapes):
    return functools.partial(CocoDataset, "train.json", "train", data_root=str(shapes))


@pytest.fixture(scope="module")
def shards(shapes, tmp_path_factory):
    """The 24 shapes in shards of four or so."""
    out = tmp_path_factory.mktemp("shards") / "set"
    size = sum(path.stat().st_size for path in (shapes / "train").iterdir()) / 1e6
    assert main(["data", "shard", str(shapes), "--out", str(out), "--shard-mb", str(size / 6 + 0.02)]) == 0
    assert 4 <= len(list(out.glob("shard-*.tar"))) <= 8
    return out


def _assert_same(ours, theirs):
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.target.boxes, theirs.target.boxes)
    assert torch.equal(ours.target.labels, theirs.target.labels)
    for field in ("size", "original_size", "image_id"):
        assert getattr(ours.target, field) == getattr(theirs.target, field)


class TestSamples:
    @pytest.mark.parametrize("labels", ["contiguous", "category_id"])
    def test_they_are_those_of_the_set_itself(self, shards, coco, labels):
        ours = ShardDataset(str(shards), FLIP, labels=labels)
        theirs = coco(transforms=FLIP, labels=labels)
        assert len(ours) == len(theirs) == 24
        assert (ours.categories, ours.num_objects) == (theirs.categories, theirs.num_objects)
        assert np.array_equal(ours.aspect_ratios, theirs.aspect_ratios)
        for draw in EpochSampler(theirs, seed=3):
            _assert_same(ours[draw], theirs[draw])
            assert ours.labels_of_image(draw.image) == theirs.labels_of_image(draw.image)

    def test_empty_images_and_crowds(self, shapes, tmp_path):
        data = json.loads((shapes / "train.json").read_text())
        first = data["images"][0]["id"]
        for annotation in data["annotations"]:
            annotation["iscrowd"] = int(annotation["image_id"] == first)
        (tmp_path / "train.json").write_text(json.dumps(data))
        line = ["data", "shard", str(tmp_path / "train.json"), "--images", str(shapes / "train")]
        assert main([*line, "--out", str(tmp_path / "set")]) == 0
        root = dict(annotations=str(tmp_path / "train.json"), images=str(shapes / "train"))
        for options in (dict(keep_empty=False), dict(keep_crowd=True)):
            ours, theirs = ShardDataset(str(tmp_path / "set"), **options), CocoDataset(**root, **options)
            assert len(ours) == len(theirs)
            for index in range(len(theirs)):
                _assert_same(ours[index], theirs[index])

    def test_other_programs_read_them_as_webdataset(self, shards):
        wds = pytest.importorskip("webdataset")
        urls = sorted(map(str, shards.glob("*.tar")))
        rows = list(wds.WebDataset(urls, shardshuffle=False).decode("rgb8"))
        assert [row["__key__"] for row in rows] == [f"{number:08}" for number in range(24)]
        assert rows[0]["png"].shape == (64, 64, 3)
        assert rows[0]["json"]["annotations"][0]["image_id"] == rows[0]["json"]["images"][0]["id"]

    def test_writing_twice_gives_the_same_bytes(self, shapes, shards, tmp_path):
        size = max(path.stat().st_size for path in shards.glob("*.tar"))
        for name in ("a", "b"):
            line = ["data", "shard", str(shapes), "--out", str(tmp_path / name)]
            assert main([*line, "--shard-mb", str(size / 1e6)]) == 0
        a, b = ({p.name: p.read_bytes() for p in (tmp_path / n).glob("*.tar")} for n in ("a", "b"))
        assert a == b


class TestOrder:
    def test_few_shards_at_a_time_and_every_sample_once(self, shards):
        dataset = ShardDataset(str(shards))
        sampler = ShardSampler(dataset, seed=5, shards_at_once=2)
        epochs = []
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            draws = [draw.image for draw in sampler]
            assert sorted(draws) == list(range(24))
            visited = dataset.shard_of[draws].tolist()
            assert all(len({*visited[:at]} & {*visited[at:]}) <= 2 for at in range(24))
            epochs.append(draws)
        assert epochs[0] != epochs[1]
        assert epochs[0] != sorted(epochs[0])

    def test_two_processes_draw_together_what_one_does(self, shards):
        dataset = ShardDataset(str(shards))
        one = list(ShardSampler(dataset, seed=5, shards_at_once=2))
        halves = []
        for rank in range(2):
            sampler = ShardSampler(dataset, seed=5, shards_at_once=2)
            sampler.rank, sampler.world_size = rank, 2
            halves.append(list(sampler))
        assert [draw for pair in zip(*halves, strict=True) for draw in pair] == one

    def test_a_run_goes_on_in_the_middle_of_a_shard_and_reads_nothing_before(self, shards, monkeypatch):
        dataset = ShardDataset(str(shards), FLIP)
        sampler = ShardSampler(dataset, seed=5, shards_at_once=2)
        batches = AspectRatioBatchSampler(sampler, batch_size=2)
        loader = DataLoader(dataset, batch_sampler=batches, collate_fn=pad_collate)
        whole = list(loader)
        asked = []
        read = storage.read_bytes
        monkeypatch.setattr(
            "detr_kit.data.shards.dataset.read_bytes", lambda *place: asked.append(place) or read(*place)
        )
        batches.skip = 5
        rest = list(loader)
        assert len(asked) == 24 - 10
        for ours, theirs in zip(rest, whole[5:], strict=True):
            assert torch.equal(ours.images, theirs.images)


class _Server(http.server.ThreadingHTTPServer):
    """A folder over HTTP, with ranges; it counts the bytes it sends of tar files."""

    sent = 0


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        wanted = self.headers.get("Range")
        if wanted:
            start, end = wanted.removeprefix("bytes=").split("-")
            data = data[int(start) : int(end) + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if self.path.endswith(".tar"):
            self.server.sent += len(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(shards):
    pytest.importorskip("aiohttp")
    server = _Server(("127.0.0.1", 0), functools.partial(_Handler, directory=str(shards)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def _epoch(dataset, **options):
    sampler = ShardSampler(dataset, seed=5, shards_at_once=2)
    return list(DataLoader(dataset, 4, sampler=sampler, collate_fn=pad_collate, **options))


class TestPlaces:
    def test_over_http_by_ranges_whatever_the_workers(self, server, shards):
        expected = _epoch(ShardDataset(str(shards), FLIP))
        for options in ({}, dict(num_workers=2, multiprocessing_context="fork")):
            server.sent = 0
            found = _epoch(ShardDataset(server.url, FLIP), **options)
            assert all(torch.equal(a.images, b.images) for a, b in zip(found, expected, strict=True))
            assert server.sent < sum(path.stat().st_size for path in shards.glob("*.tar"))

    def test_a_cache_on_disk_is_bounded_and_asks_for_each_shard_once(self, server, shards, tmp_path):
        sizes = [path.stat().st_size for path in shards.glob("*.tar")]
        limit = 2.5 * max(sizes)
        dataset = ShardDataset(server.url, FLIP, disk_cache_gb=limit / 1e9, cache_dir=str(tmp_path))
        expected = _epoch(ShardDataset(str(shards), FLIP))
        assert all(torch.equal(a.images, b.images) for a, b in zip(_epoch(dataset), expected, strict=True))
        assert server.sent == sum(sizes)
        assert 0 < sum(path.stat().st_size for path in tmp_path.glob("*.tar")) <= limit

    def test_processes_share_a_cache(self, server, shards, tmp_path):
        limit = 3 * sum(path.stat().st_size for path in shards.glob("*.tar"))
        dataset = ShardDataset(server.url, disk_cache_gb=limit / 1e9, cache_dir=str(tmp_path))
        _epoch(dataset, num_workers=3, multiprocessing_context="fork")
        assert server.sent == limit // 3

    def test_a_bucket(self, shapes, coco):
        line = ["data", "shard", str(shapes), "--split", "train", "--out", "memory://bucket/set"]
        assert main([*line, "--shard-mb", "0.02"]) == 0
        assert fsspec.filesystem("memory").exists("/bucket/set/dataset.json")
        _assert_same(ShardDataset("memory://bucket/set")[7], coco()[7])


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda out: (out / "dataset.json").unlink(),
                r"dataset\.json: No such file.*data shard",
            ),
            (lambda out: (out / "dataset.json").write_text("{}"), "not as `detr-kit data shard` writes it"),
            (lambda out: (out / "samples.npz").write_bytes(b"PK"), "not as `detr-kit data shard` writes it"),
        ],
    )
    def test_no_set_or_a_broken_one(self, shards, tmp_path, change, message):
        for name in ("dataset.json", "samples.npz"):
            (tmp_path / name).write_bytes((shards / name).read_bytes())
        change(tmp_path)
        with pytest.raises(InputError, match=message):
            ShardDataset(str(tmp_path))

    def test_a_shard_that_is_not_the_one_of_the_index(self, shards, tmp_path):
        for path in shards.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        whole = (tmp_path / "shard-000000.tar").read_bytes()
        (tmp_path / "shard-000000.tar").write_bytes(whole[:1000])
        with pytest.raises(InputError, match=r"shard-000000.tar, sample 00000000: the shard and its index"):
            ShardDataset(str(tmp_path))[0]
        skipping = ShardDataset(str(tmp_path), unreadable="skip")
        assert len(skipping[0].skipped) == skipping.shard_of.tolist().count(0)

    def test_a_cache_without_room(self, shards):
        with pytest.raises(InputError, match=r"disk_cache_gb=1e-06: two shards of .* take"):
            ShardDataset(str(shards), disk_cache_gb=1e-6)

    def test_writing_where_a_set_is(self, shapes, shards, capsys):
        assert main(["data", "shard", str(shapes), "--out", str(shards)]) == 2
        assert "a sharded set is there already" in capsys.readouterr().err
        assert main(["data", "shard", str(shapes), "--split", "test", "--out", str(shards)]) == 2
        assert "no test split; there is train, val" in capsys.readouterr().err
