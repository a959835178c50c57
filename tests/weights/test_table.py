"""The rows of published.yaml."""

import re

import pytest
import torch

from detr_kit import build_network
from detr_kit.config import config_names
from detr_kit.defaults import MODEL
from detr_kit.errors import InputError
from detr_kit.weights import all_published, close_name, fetch_weights, find_published, published_of
from detr_kit.weights.of_model import weights_of_model

ROWS = all_published()
# The acceptance figures: AP of the papers' and repositories' own checkpoints.
PAPERS = {
    "detr_r50": 42.0, "detr_r50_dc5": 43.3, "detr_r101": 43.5, "detr_r101_dc5": 44.9,
    "deformable_detr_r50": 44.5, "deformable_detr_r50_refine": 46.2, "deformable_detr_r50_two_stage": 46.9,
    "deformable_detr_r50_single_scale": 39.4, "deformable_detr_r50_dc5_single_scale": 41.5,
    "rt_detr_r18": 46.5, "rt_detr_r50": 53.1, "rt_detr_v2_r34": 49.9, "rt_detr_v2_r50": 53.4,
    "d_fine_n": 42.8, "d_fine_s": 48.5, "d_fine_m": 52.3, "d_fine_l": 54.0,
}  # fmt: skip

# Who numbers COCO's 80 classes from 0 on; the others keep its ids.
CONTIGUOUS = ("mmlab", "PekingU", "ustc-community")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_complete(row):
    assert row.config in config_names()
    assert (row.url is None) != (row.hub is None)
    assert (row.hub is None) == (row.revision is None)
    assert 30 < row.ap < 60
    assert row.licence
    assert row.source.startswith("https://")
    if row.url is not None:
        assert row.url.startswith("https://")
        assert re.search(r"-([0-9a-f]{8})\.pth$", row.url)[1] == row.sha256  # what torch's names mean
    elif row.sha256 is not None:
        assert re.fullmatch(r"[0-9a-f]{64}", row.sha256)
        assert re.fullmatch(r"[0-9a-f]{40}", row.revision)  # of a branch there is no hash


def test_names_and_places_are_found_and_mean_one_row():
    for row in ROWS:
        assert find_published(row.name) == find_published(row.place) == row
    assert len({row.name for row in ROWS}) == len({row.place for row in ROWS}) == len(ROWS)
    assert find_published("detr_r51") is None
    assert close_name("detr_r51") in ("detr_r50", "detr_r101")


@pytest.mark.parametrize("config", PAPERS)
def test_every_model_of_the_papers_has_weights_under_its_own_name(config):
    row = published_of(config)
    assert (row.name, row.ap) == (config, PAPERS[config])
    assert weights_of_model(config) == weights_of_model(f"configs/{config}.py") == config


def test_a_model_without_weights_has_none(tmp_path):
    assert weights_of_model("deformable_detr_r50_bccd") is None
    (tmp_path / "detr_r50.py").write_text('_base_ = "detr_r50"')  # another's, whatever it is called
    assert weights_of_model(tmp_path / "detr_r50.py") is None
    assert weights_of_model(None) == published_of(MODEL).name
    with pytest.raises(InputError, match="did you mean 'detr_r50'"):
        weights_of_model("detr_r51")


def test_parameters_are_those_of_the_network_with_the_checkpoints_classes(monkeypatch):
    for name in ("kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)  # numbers do not matter
    counted = {}
    for row in ROWS:
        classes = 250 if row.needs == "masks" else 80 if any(who in row.place for who in CONTIGUOUS) else 91
        if (row.config, classes) not in counted:
            network = build_network(row.config, num_classes=classes)
            counted[row.config, classes] = sum(parameter.numel() for parameter in network.parameters())
        assert row.parameters == counted[row.config, classes], row.name


def test_what_needs_more_than_there_is_says_so():
    (name, *_) = [row.name for row in ROWS if row.needs]
    with pytest.raises(InputError, match=f"{name}: published .*, but it needs masks, which detr-kit has not"):
        fetch_weights(name)
