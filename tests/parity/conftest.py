"""The numbers of the originals were compared with two threads, and rounding depends on how many there are."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
