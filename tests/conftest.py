"""Small data and a small config, made once."""

import os
import shutil
import tempfile
from pathlib import Path

# Tests share two cores with whatever else runs: waiting threads should sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# No test depends on a network, or on what was downloaded before (tests/weights has servers of its own).
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DETR_KIT_CACHE"] = str(Path(tempfile.gettempdir(), "detr_kit_tests_without_downloads"))

import hypothesis
import pytest
import torch

from .data_formats import WRITERS, small_set
from .places import SHARED, SMALL, TINY
from .reach import takes_long

# What needs mmengine or pycocotools is imported by the fixtures that use it: a bare GPU machine has neither,
# and runs the tests of the op.


# How long an example takes is no assertion on a machine that does other things beside.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(config, items):
    """`-m "not long"`, as `make quick` has it: what is long is read off the tests when somebody asks."""
    if "long" in config.option.markexpr:
        for item in items:
            if isinstance(item, pytest.Function) and takes_long(item):
                item.add_marker("long")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared():
    """The folder of real data beside the checkout."""
    if not (SHARED / "README.md").is_file():
        pytest.skip("needs ../shared")
    return SHARED


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A shapes set of 24 + 8 images of 64 pixels."""
    from detr_kit.data import write_shapes

    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, num_train=24, num_val=8, image_size=64)
    return folder


@pytest.fixture(scope="session")
def sets(shapes, tmp_path_factory):
    """The same shapes, 10 to train on and 4 to validate on, in every format."""
    folder = tmp_path_factory.mktemp("formats")
    pictures = folder / "pictures"
    pictures.mkdir()
    splits = {}
    for split, count in (("train", 10), ("val", 4)):
        splits[split] = small_set(shapes / f"{split}.json", count)
        for image in splits[split]["images"]:
            shutil.copy(shapes / split / image["file_name"], pictures / f"{split}_{image['file_name']}")
            image["file_name"] = f"{split}_{image['file_name']}"
    for name, write in WRITERS.items():
        write(folder / name, splits, pictures)
    return folder


@pytest.fixture(scope="session")
def trained(shapes, tmp_path_factory):
    """A run of two epochs of the tiny config: (work directory, runner)."""
    from detr_kit.engine import train

    work_dir = tmp_path_factory.mktemp("run")
    runner = train(TINY, work_dir=work_dir, options={"data_root": str(shapes)})
    return work_dir, runner


@pytest.fixture(scope="session", params=SMALL)
def small_model(request, tmp_path_factory):
    """Config and checkpoint of a small network, of each architecture in turn."""
    from .small_models import write_small_model

    config = SMALL[request.param]
    return config, write_small_model(config, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def small_detector(small_model):
    """A Detector of the small network."""
    from detr_kit import Detector

    return Detector(*small_model, device="cpu")
