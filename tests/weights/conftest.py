"""Local servers in place of the real ones, an empty cache, and small published weights to fetch."""

import hashlib

import huggingface_hub.constants
import pytest
import torch
import yaml

from detr_kit import build_network
from detr_kit.checkpoints import convert_file, convert_state_dict, read_checkpoint, write_checkpoint
from detr_kit.data.shapes import SHAPES
from detr_kit.weights import download, table

from ..small_models import shake
from .servers import FileServer, Hub, serving

CLASSES = [*SHAPES]
MODEL = "deformable_detr_r18_shapes"
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of downloads, in which nothing is yet; no waits between tries."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DETR_KIT_CACHE", str(folder))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setattr(download, "WAIT", 0.0)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return folder


@pytest.fixture
def server(cache):
    """A FileServer with its `address`."""
    files = FileServer()
    with serving(files) as files.address:
        yield files


@pytest.fixture
def hub(cache, monkeypatch):
    """A Hub that is asked in place of huggingface.co."""
    hub = Hub()
    with serving(hub) as hub.address:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def publish(tmp_path):
    """Puts rows in place of the table of published weights; what a row leaves out is filled in."""

    def put(*rows):
        common = dict(
            config=MODEL, family="Deformable DETR", parameters=3701565, ap=78.3,
            licence="Apache-2.0", source="https://example.com/models",
        )  # fmt: skip
        path = tmp_path / "published.yaml"
        path.write_text(yaml.safe_dump([common | row for row in rows]))
        patch.setattr(table, "TABLE", path)
        table.all_published.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        yield put
    table.all_published.cache_clear()


@pytest.fixture(scope="session")
def shapes_detector(tmp_path_factory):
    """The file of a small Deformable DETR, which every project has a name for; it was not trained."""
    path = tmp_path_factory.mktemp("detector") / "shapes.safetensors"
    torch.manual_seed(0)
    network = build_network(MODEL)
    shake(network)
    for head in network.class_heads:
        torch.nn.init.normal_(head.bias)  # scores that no threshold leaves out
    write_checkpoint(path, network.state_dict(), {"classes": CLASSES, "config": MODEL})
    return path


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory, shapes_detector):
    """The shapes detector as each project publishes one: file name -> bytes."""
    folder = tmp_path_factory.mktemp("published")
    state = read_checkpoint(shapes_detector).state_dict
    torch.save({"model": convert_state_dict(state, to="official")}, folder / "official.pth")
    meta = {"dataset_meta": {"CLASSES": CLASSES}}
    torch.save({"meta": meta, "state_dict": convert_state_dict(state, to="mmdet")}, folder / "mmdet.pth")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {"shapes.safetensors": shapes_detector.read_bytes()}


@pytest.fixture(scope="session")
def transformers_files(tmp_path_factory, shapes_detector):
    """The same as transformers has it on the hub: file name -> bytes."""
    folder = tmp_path_factory.mktemp("hub") / "shapes"
    convert_file(shapes_detector, "huggingface", folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def left_in(folder):
    """The files of a cache, locks aside."""
    files = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(str(path.relative_to(folder)) for path in files if ".lock" not in str(path))
