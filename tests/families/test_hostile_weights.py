"""Weights of strangers: whatever is missing or misshapen in them is one message, in every format."""

import pytest
import torch

from detr_kit import build_network
from detr_kit.checkpoints import convert_state_dict, detect_format
from detr_kit.errors import InputError
from detr_kit.families import family_of_network

from ..small_models import CONFIGS

DAMAGES = {
    "no dimension": lambda tensor: torch.tensor(3.0),
    "empty": lambda tensor: torch.zeros(0),
    "one dimension too many": lambda tensor: tensor[None],
    "not a number": lambda tensor: (
        torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor
    ),
}


@pytest.fixture(scope="module", params=CONFIGS)
def states(request):
    """A small network's weights in every format that knows it."""
    network = build_network(CONFIGS[request.param])
    formats = [names.format for names in family_of_network(network).key_names]
    return {name: convert_state_dict(network.state_dict(), to=name) for name in formats}


def _is_known_or_refused(state):
    try:
        detect_format(state)
    except InputError:
        return
    found = detect_format(state).architecture
    assert found.num_classes >= 0


def test_a_missing_tensor_is_one_message(states):
    for state in states.values():
        for key in state:
            _is_known_or_refused({name: tensor for name, tensor in state.items() if name != key})


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_misshapen_tensor_is_one_message(states, damage):
    for state in states.values():
        for key, tensor in state.items():
            _is_known_or_refused({**state, key: DAMAGES[damage](tensor)})


def test_a_truncated_file_is_one_message(states):
    for state in states.values():
        keys = list(state)
        for count in range(0, len(keys), 10):
            _is_known_or_refused({key: state[key] for key in keys[:count]})
