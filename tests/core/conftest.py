"""One thread for tests whose tensors are too small to share among several, and an adapter folder to spoil."""

import shutil

import pytest
import torch

from .golden import adapter_folder


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    """A copy of a published adapter folder to spoil."""
    return shutil.copytree(adapter_folder("qwen3_tsw"), tmp_path / "adapter", copy_function=shutil.copyfile)
