"""Weights of strangers: whatever is missing or misshapen in them is one message, in every format."""

import re

import pytest
import torch

from detr_kit import build_network
from detr_kit.checkpoints import convert_state_dict, detect_format
from detr_kit.errors import InputError

from ..places import SMALL
from ..small_models import formats_of

DAMAGES = {
    "no dimension": lambda tensor: torch.tensor(3.0),
    "empty": lambda tensor: torch.zeros(0),
    "one dimension too many": lambda tensor: tensor[None],
    "not a number": lambda tensor: (
        torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor
    ),
}


@pytest.fixture(scope="module", params=SMALL)
def network(request):
    return build_network(SMALL[request.param])


def _first_of_each(state):
    """Of layers, stages and blocks that are alike the first; the others are looked at in truncated files."""
    return [key for key in state if not re.search(r"\.[1-9]\d*\.", key)]


def _is_known_or_refused(state):
    try:
        found = detect_format(state)
    except InputError:
        return
    assert found.architecture.num_classes >= 0


def test_a_missing_tensor_is_one_message(network):
    state = network.state_dict()
    for key in _first_of_each(state):
        _is_known_or_refused({name: tensor for name, tensor in state.items() if name != key})


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_misshapen_tensor_is_one_message(network, damage):
    state = network.state_dict()
    for key in _first_of_each(state):
        _is_known_or_refused({**state, key: DAMAGES[damage](state[key])})


def test_a_truncated_file_is_one_message_in_every_format(network):
    for format in formats_of(network):
        state = convert_state_dict(network.state_dict(), to=format)
        keys = list(state)
        for count in range(0, len(keys), 25):
            _is_known_or_refused({key: state[key] for key in keys[:count]})
            _is_known_or_refused({key: state[key] for key in keys[count:]})
