"""Files are what is tested here, and networks of a few kinds are enough to make them."""

import pytest

from ..places import SMALL
from ..small_models import write_small_model

KINDS = ["Deformable DETR", "DETR", "RT-DETR", "RT-DETRv2", "D-FINE"]


@pytest.fixture(scope="session", params=KINDS)
def small_model(request, tmp_path_factory):
    """In place of every architecture's."""
    config = SMALL[request.param]
    return config, write_small_model(config, tmp_path_factory.mktemp("model"))
