"""Shards, pictures and tables in an S3 bucket, of moto's server; s3fs and moto are in no extra."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

from detr_kit.cli import main
from detr_kit.data import CocoDataset, ShardDataset, ShardSampler, pad_collate

pq = pytest.importorskip("pyarrow.parquet")
s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def bucket():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        yield files
    server.stop()


def test_shards(bucket, shapes):
    line = ["data", "shard", str(shapes), "--out", "s3://bucket/set", "--shard-mb", "0.02"]
    assert main(line) == 0
    assert len(bucket.glob("bucket/set/shard-*.tar")) > 2
    ours = ShardDataset("s3://bucket/set")
    theirs = CocoDataset("train.json", "train", data_root=str(shapes))
    sampler = ShardSampler(ours, seed=1, shards_at_once=2)
    read = [
        list(DataLoader(data, 4, sampler=sampler, collate_fn=pad_collate, num_workers=workers))
        for data, workers in ((ours, 0), (ours, 2), (theirs, 0))
    ]
    for batches in read[:2]:
        assert all(torch.equal(a.images, b.images) for a, b in zip(batches, read[2], strict=True))


def test_pictures_and_tables(bucket, shapes, capsys):
    pictures = sorted((shapes / "train").iterdir())
    for path in pictures:
        bucket.pipe_file(f"bucket/photos/{path.name}", path.read_bytes())
    line = ["predict", "s3://bucket/photos/*.png", "--engine", "local", "--out", "s3://bucket/out"]
    line += ["--checkpoint", "builtin", "--device", "cpu", "--images-per-file", "10"]
    assert main(line) == 0
    rows = pq.read_table("bucket/out", filesystem=bucket).to_pylist()
    assert [row["path"] for row in rows] == [f"s3://bucket/photos/{path.name}" for path in pictures]
    assert json.loads(bucket.cat_file("bucket/out/_run/run.json"))["images_per_file"] == 10
    capsys.readouterr()
    assert main(line) == 0
    assert "24 were there already" in capsys.readouterr().out
