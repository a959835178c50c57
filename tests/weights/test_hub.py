"""Models of the hub by their id, from a stand-in for its endpoint."""

import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub.file_download
import pytest
import torch
from safetensors.torch import load, save

from detr_kit import Detector, build_network
from detr_kit.checkpoints import convert_state_dict
from detr_kit.config import read_config
from detr_kit.errors import InputError
from detr_kit.weights import NotHere, fetch_weights, is_remote

from ..places import TINY
from .conftest import MODEL, NOWHERE, left_in, sha256
from .servers import Hub
from .test_download import FETCH, ROOT

ID = "owner/shapes"
WEIGHTS = f"/{ID}/resolve/main/model.safetensors"


@pytest.fixture
def model(hub, transformers_files):
    """The shapes detector as a model on the hub: its id."""
    hub.models[ID] = dict(transformers_files)
    return ID


@pytest.fixture
def pinned(hub, transformers_files, publish):
    """The same as published weights: their name."""
    hub.models[ID] = dict(transformers_files)
    weights = sha256(transformers_files["model.safetensors"])
    publish({"name": "net", "hub": ID, "revision": "a" * 40, "sha256": weights})
    return "net"


@pytest.fixture
def _no_waits(monkeypatch):
    """huggingface_hub waits a second before it tries again."""
    monkeypatch.setattr(huggingface_hub.file_download.time, "sleep", lambda _: None)


def weights_in(cache):
    """The contents of a cache that a reader could take for weights."""
    return [name for name in left_in(cache) if "model" in Path(name).name or "blobs" in name]


def test_the_files_that_make_a_model_are_fetched(hub, model):
    folder = fetch_weights(model)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert len(hub.gets()) == 2


def test_a_branch_is_asked_for_again_and_a_commit_is_not(hub, model, pinned):
    fetch_weights(pinned)
    before = len(hub.requests)
    fetch_weights(pinned)
    assert len(hub.requests) == before
    assert fetch_weights(model).name == "a" * 40  # the row of this id pins a commit
    hub.models["owner/other"] = hub.models[model]
    assert fetch_weights("owner/other").name == Hub.COMMIT
    hub.COMMIT = "b" * 40
    assert fetch_weights("owner/other").name == "b" * 40


def test_what_is_here_needs_no_network(hub, model, pinned, monkeypatch):
    hub.models["owner/other"] = hub.models[model]
    folders = [fetch_weights(name) for name in (pinned, "owner/other")]
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    assert [fetch_weights(name) for name in (pinned, "owner/other")] == folders
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert [fetch_weights(name) for name in (pinned, "owner/other")] == folders


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_one_message_comes_at_once(cache, monkeypatch, capfd, offline):
    """huggingface_hub by itself tries for 24 seconds, and prints each try."""
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    start = time.monotonic()
    with pytest.raises(NotHere) as caught:
        fetch_weights(ID)
    assert time.monotonic() - start < 5
    reason = "HF_HUB_OFFLINE is set" if offline else "[Errno 111] Connection refused"
    assert str(caught.value) == (
        f"{ID}: no such file or folder, and the weights at {NOWHERE}/{ID}/tree/main are not here and "
        f"cannot be fetched ({reason}). On a machine with a network fetch config.json and model.safetensors "
        "from there, put them into a folder here, and give its path as the checkpoint"
    )
    assert capfd.readouterr() == ("", "")
    assert weights_in(cache) == [] if cache.is_dir() else True


def test_weights_may_be_in_the_older_file(hub, model):
    state = load(hub.models[model].pop("model.safetensors"))
    path = Path(os.environ["DETR_KIT_CACHE"]).parent / "w.bin"
    torch.save(state, path)
    hub.models[model]["pytorch_model.bin"] = path.read_bytes()
    folder = fetch_weights(model)
    assert {path.name for path in folder.iterdir()} == {"config.json", "pytorch_model.bin"}
    assert Detector(MODEL, model, "cpu").class_names[0] == "circle"


def test_weights_may_be_in_several_files(hub, model):
    state = load(hub.models[model].pop("model.safetensors"))
    names, half = sorted(state), len(state) // 2
    parts = {"model-1.safetensors": names[:half], "model-2.safetensors": names[half:]}
    hub.models[model] |= {part: save({n: state[n] for n in keys}) for part, keys in parts.items()}
    index = {"weight_map": {name: part for part, keys in parts.items() for name in keys}}
    hub.models[model]["model.safetensors.index.json"] = json.dumps(index).encode()
    assert Detector(MODEL, model, "cpu").class_names[0] == "circle"
    del hub.models[model]["model-2.safetensors"]
    hub.COMMIT = "d" * 40
    with pytest.raises(InputError, match=r"model-2\.safetensors is not in it, and model\.safetensors\.index"):
        fetch_weights(model)


@pytest.mark.parametrize("keep", ["heads", "decoder"])
@pytest.mark.parametrize(("refine", "two_stage"), [(False, False), (True, False), (True, True)])
def test_files_there_hold_each_tensor_under_one_name(refine, two_stage, keep):
    """safetensors stores none twice: of refined models the heads' names in the decoder, of the base model one
    head."""
    config = read_config(TINY)
    config.model.network |= dict(refine=refine, two_stage=two_stage)
    state = {k: t for k, t in build_network(config).state_dict().items() if not k.endswith("batches_tracked")}
    for tensor in state.values():
        tensor.copy_(torch.rand(tensor.shape))
    theirs = convert_state_dict(state, to="huggingface")
    twice = [name for name in theirs if f"model.decoder.{name}" in theirs]
    dropped = twice if keep == "decoder" else [f"model.decoder.{name}" for name in twice]
    dropped += [] if refine else [name for name in theirs if re.match(r"(class|bbox)_embed\.[1-9]", name)]
    assert dropped
    ours = convert_state_dict({name: theirs[name] for name in theirs if name not in dropped})
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], state[name]) for name in state)


class TestHashes:
    def test_what_is_not_what_the_hub_says_is_not_kept(self, hub, model, cache):
        hub.hashes[model, "model.safetensors"] = "0" * 64
        with pytest.raises(InputError, match=r"model\.safetensors is not the file that was published: .*"):
            fetch_weights(model)
        assert not any("safetensors" in name or "0" * 64 in name for name in left_in(cache))
        hub.hashes.clear()
        assert (fetch_weights(model) / "model.safetensors").is_file()

    def test_nor_what_is_not_what_the_table_says(self, hub, pinned, cache):
        """The hub may have been taken over, or a mirror lie: both its file and its hash are others."""
        hub.models[ID]["model.safetensors"] += b" "
        with pytest.raises(InputError, match="is not the file that was published"):
            fetch_weights(pinned)
        assert not any("safetensors" in name for name in left_in(cache))

    def test_a_file_that_was_spoilt_in_the_cache_is_refused_and_then_fetched_again(self, hub, pinned):
        stored = (fetch_weights(pinned) / "model.safetensors").resolve()
        stored.write_bytes(b"spoilt")
        with pytest.raises(InputError, match="is not the file that was published"):
            fetch_weights(pinned)
        assert fetch_weights(pinned).is_dir()


@pytest.mark.usefixtures("_no_waits")
class TestBrokenConnections:
    def test_the_download_goes_on_where_it_broke(self, hub, model, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 2**16)  # of 10 MB
        hub.cuts[WEIGHTS] = [2_000_000, 10**9]
        folder = fetch_weights(model)
        assert (folder / "model.safetensors").read_bytes() == hub.models[model]["model.safetensors"]
        assert [bool(asked) for asked in hub.gets(WEIGHTS)] == [False, True]

    def test_what_always_breaks_off_is_not_kept(self, hub, model, cache):
        hub.cuts[WEIGHTS] = [2_000_000]
        with pytest.raises(InputError, match=f"^{ID}: "):
            fetch_weights(model)
        assert not any("safetensors" in name or "incomplete" in name for name in left_in(cache))

    def test_nor_what_finds_no_room(self, hub, model, cache, monkeypatch):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(huggingface_hub.file_download, "http_get", full)
        with pytest.raises(InputError, match=r"there is no room for config\.json; make some, or set HF_"):
            fetch_weights(model)
        assert weights_in(cache) == []


class TestRefusals:
    def test_a_model_that_is_not_there(self, hub):
        with pytest.raises(InputError, match="owner/gone: no such file or folder, and no such model on"):
            fetch_weights("owner/gone")

    def test_one_that_needs_a_login(self, hub, model):
        hub.gated.add(model)
        with pytest.raises(
            InputError, match=f"{ID}: its owners give it to those who ask: {hub.address}/{ID}"
        ):
            fetch_weights(model)

    def test_a_revision_that_is_not_there(self, hub, model, publish):
        publish({"name": "net", "hub": model, "revision": "v9"})
        with pytest.raises(InputError, match=f"{ID}: the hub has no revision v9 of it"):
            fetch_weights("net")

    def test_no_model_of_transformers(self, hub):
        hub.models["owner/files"] = {"net.pth": b"x"}
        with pytest.raises(InputError, match=r"owner/files: no config\.json in it"):
            fetch_weights("owner/files")
        hub.models["owner/config"] = {"config.json": b"{}"}
        with pytest.raises(InputError, match=r"neither model\.safetensors nor pytorch_model\.bin is in it"):
            fetch_weights("owner/config")

    def test_an_endpoint_that_is_no_hub(self, server, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        server.files |= {f"/{ID}/resolve/main/config.json": b"{}"}
        with pytest.raises(InputError, match=f"{ID}/tree/main is no Hugging Face hub; see HF_ENDPOINT"):
            fetch_weights(ID)

    def test_a_hub_that_is_down(self, hub, model):
        hub.statuses[f"/{ID}/resolve/main/config.json"] = [503]
        with pytest.raises(InputError, match=rf"{ID}: config\.json cannot be fetched: .*503"):
            fetch_weights(model)


def test_two_processes_fetch_a_model_once(hub, model):
    hub.pause = 0.002
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FETCH, model]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    (folder,) = folders
    assert len(hub.gets(WEIGHTS)) == 1
    assert (Path(folder) / "model.safetensors").read_bytes() == hub.models[model]["model.safetensors"]


def test_models_lie_where_transformers_has_them(hub, model, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "DETR_KIT_CACHE"}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", FETCH, model]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "home" / "hub" / "models--owner--shapes")


@pytest.mark.parametrize(("name", "is_one"), [
    ("facebook/detr-resnet-50", True), ("a/b.c-d_e", True), ("detr_r50", True), ("https://x.org/y.pth", True),
    ("a/b.pth", False), ("a/b.safetensors", False), ("a/b/c", False), ("./b", False), ("~/b", False),
    ("b", False), ("/b", False), ("a/", False), ("a/net.onnx", False), ("../b", False), ("a b/c", False),
    ("", False),
])  # fmt: skip
def test_ids_are_told_from_paths(name, is_one):
    assert is_remote(name) is is_one
