"""One small model for all tests of this folder; do not change it."""

import pytest
import torch

from tests.reliability.subjects import make_model


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    """Where the model and its adapter lie: tiny/ and adapter/."""
    return tmp_path_factory.mktemp("reliability")


@pytest.fixture(scope="package")
def model(place):
    threads = torch.get_num_threads()
    yield make_model(place)
    torch.set_num_threads(threads)
