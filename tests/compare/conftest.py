"""The tiny model with its three random adapters, and histories for it."""

import pytest

from tests.runtime.conftest import adapter_folders, model, plain, sent  # noqa: F401

HISTORY = [
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex!"},
    {"role": "user", "content": "He likes the sea."},
    {"role": "assistant", "content": "I am fine, thank you."},
]
OTHER = [{"role": "user", "content": "The memory keeps what the user said."}]


@pytest.fixture
def history():
    return [dict(message) for message in HISTORY]
