"""A tiny model with three random adapters, read from disk like real ones."""

import numpy as np
import pytest
import torch

from deltamem.core.attach import empty_adapter
from deltamem.core.binding import base_of, bound_to
from deltamem.core.config import HFDeltaMemConfig
from deltamem.core.files import write_adapter
from deltamem.runtime import load_model

VARIANTS = {
    "TSW": HFDeltaMemConfig(rank=4, alpha=8.0),
    "MSW": HFDeltaMemConfig(rank=4, alpha=8.0, num_state_heads=3, beta_bias_init=-3.0),
    "SSW": HFDeltaMemConfig(rank=4, alpha=8.0, memory_write_granularity="message_mean"),
}


@pytest.fixture(scope="session")
def adapter_folders(tiny_model_folder, tmp_path_factory):
    """{label: folder} of random adapters whose steer is strong enough to change answers."""
    backbone = load_model(tiny_model_folder, adapter=None, device="cpu").backbone
    torch.manual_seed(1)
    folders = {}
    for label, config in VARIANTS.items():
        adapter = empty_adapter(backbone, config)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.normal_(std=0.3)
        folders[label] = tmp_path_factory.mktemp(label)
        write_adapter(adapter, folders[label])
    return folders


@pytest.fixture(scope="session")
def model(tiny_model_folder, adapter_folders):
    """The tiny model; default adapter TSW. Shared by the tests: do not change it."""
    model = load_model(tiny_model_folder, adapter=None, device="cpu")
    for label, folder in adapter_folders.items():
        model.add_adapter(label, folder)
    return model


class Sent:
    """What reached the backbone: for each pass its ids, the ids that were written, and the KV length before it."""

    def __init__(self):
        self.passes = []
        self.bindings = []

    def note(self, backbone, args, kwargs):
        ids, binding = kwargs["input_ids"][0].tolist(), bound_to(base_of(backbone), None)
        marks = [False] * len(ids)
        if binding is not None and binding.write:
            marks = [True] * len(ids) if binding.write_mask is None else binding.write_mask[0].tolist()
            if binding.message_ids is not None:
                marks = (binding.message_ids[0] >= 0).tolist()
        written = [i for i, mark in zip(ids, marks, strict=True) if mark]
        self.passes.append((ids, written, kwargs["past_key_values"].get_seq_length()))
        if binding is not None and all(binding is not one for one in self.bindings):
            self.bindings.append(binding)

    @property
    def ids(self):
        return [i for ids, _, _ in self.passes for i in ids]

    @property
    def written(self):
        return [i for _, written, _ in self.passes for i in written]

    def clear(self):
        self.passes.clear()
        self.bindings.clear()


@pytest.fixture
def plain(model, monkeypatch):
    """Answers decode by the plain loop, pass after pass."""
    monkeypatch.setattr(model.decoder, "works", lambda: False)


@pytest.fixture
def sent(model, plain):
    """Records every pass over the shared model during a test; all of them are plain ones."""
    record = Sent()
    handle = model.backbone.register_forward_pre_hook(record.note, with_kwargs=True)
    yield record
    handle.remove()


def same_states(a, b, tolerance=0.0):
    """Whether two sessions' memories agree, bit for bit unless a tolerance is given."""
    pairs = list(zip(a.snapshots, b.snapshots, strict=True))
    return all(np.abs(x.states - y.states).max() <= tolerance for x, y in pairs)
