"""Files are what is tested here, and networks of a few kinds are enough to make them."""

import pytest

from ..places import SMALL

KINDS = ["Deformable DETR", "DETR", "RT-DETR", "RT-DETRv2", "D-FINE"]


@pytest.fixture(scope="session", params=KINDS)
def small_model(request, small_checkpoint):
    """In place of every architecture's."""
    config = SMALL[request.param]
    return config, small_checkpoint(config)
