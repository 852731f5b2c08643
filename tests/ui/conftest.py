"""A tiny model with two random adapters: everything of the page but the browser runs on it."""

import pytest
import torch

from deltamem.core.attach import empty_adapter
from deltamem.core.config import HFDeltaMemConfig
from deltamem.core.files import write_adapter
from deltamem.runtime import load_model
from ui.workspace import Workspace

VARIANTS = {
    "TSW": HFDeltaMemConfig(rank=4, alpha=8.0),
    "MSW": HFDeltaMemConfig(rank=4, alpha=8.0, num_state_heads=3, beta_bias_init=-3.0),
}


@pytest.fixture(scope="package")
def model(tiny_model_folder, tmp_path_factory):
    """The tiny model; default adapter TSW. Shared by the tests: do not change it."""
    model = load_model(tiny_model_folder, adapter=None, device="cpu")
    torch.manual_seed(1)
    for label, config in VARIANTS.items():
        adapter = empty_adapter(model.backbone, config)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.normal_(std=0.3)
        folder = tmp_path_factory.mktemp(label)
        write_adapter(adapter, folder)
        model.add_adapter(label, folder)
    return model


@pytest.fixture
def workspace(model):
    workspace = Workspace(model)
    yield workspace
    workspace.close()
