"""One small model for all tests of this folder; do not change it."""

import pytest

from tests.reliability.subjects import make_model


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    """Where the model and its adapter lie: tiny/ and adapter/."""
    return tmp_path_factory.mktemp("reliability")


@pytest.fixture(scope="package")
def model(place):
    return make_model(place)
