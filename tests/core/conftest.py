"""An adapter folder to spoil."""

import shutil

import pytest

from .golden import adapter_folder


@pytest.fixture
def folder(tmp_path):
    """A copy of a published adapter folder to spoil."""
    return shutil.copytree(adapter_folder("qwen3_tsw"), tmp_path / "adapter", copy_function=shutil.copyfile)
