"""What is measured: a backbone and its adapters, loaded or made of random numbers on the device."""

import copy
import dataclasses
import hashlib
from types import SimpleNamespace

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from deltamem.core import HFDeltaMemConfig, new_adapter
from deltamem.core.attach import hook_backbone
from deltamem.runtime.models import Model, load_model

GEOMETRIES = {
    "qwen3-4b-geometry": {
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6},
    },
    "tiny": {
        "vocab_size": 256,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    },
}
VARIANTS = {
    "TSW": {},
    "MSW": {"num_state_heads": 4},
    "SSW": {"memory_write_granularity": "message_mean"},
}


def make_subject(name, device, dtype, layers=None):
    """A runtime Model with the adapters TSW, MSW and SSW: a geometry with random weights, or anything load_model takes.

    Adapters that a loaded model lacks are made of random numbers. layers: fewer than the geometry has.
    """
    if name in GEOMETRIES:
        model = _random_model(name, device, dtype, layers)
    else:
        model = load_model(name, device=device, dtype=dtype)
    for label, options in VARIANTS.items():
        if label not in model.adapters:
            model.adapters[label] = _random_adapter(model.backbone, options)
    model.adapter_name = "TSW"
    return model


def in_float32(model):
    """The same model with weights in float32, itself when they are: what lower precision is judged by."""
    if model.dtype == torch.float32:
        return model
    backbone = _made(type(model.backbone), copy.deepcopy(model.backbone.config), model.device, torch.float32, "eager")
    backbone.load_state_dict(model.backbone.state_dict())
    return dataclasses.replace(model, backbone=backbone, dtype=torch.float32, attention="eager")


def token_ids(model, count, seed=0):
    """Random ids; frequent special tokens at the vocabulary's ends are left out."""
    size = model.backbone.config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(min(10, size // 4), size * 9 // 10, (count,), generator=generator).tolist()


def _made(kind, config, device, dtype, attention):
    """A hooked backbone with random weights, made where it stays."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            backbone = kind(config)
    finally:
        torch.set_default_dtype(before)
    backbone.set_attn_implementation(attention)
    hook_backbone(backbone.eval().requires_grad_(False))
    return backbone


def _random_model(name, device, dtype, layers):
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = getattr(torch, dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    torch.manual_seed(0)
    shape = GEOMETRIES[name] | ({"num_hidden_layers": layers} if layers else {})
    config = Qwen3Config(**shape, tie_word_embeddings=True)
    backbone = _made(Qwen3ForCausalLM, config, device, dtype, "sdpa")
    silent = SimpleNamespace(push=lambda token: "", flush=lambda: "")
    chat = SimpleNamespace(stop_ids=frozenset(), control_ids=frozenset(), stream=lambda: silent)
    return Model(
        backbone=backbone,
        tokenizer=None,
        chat=chat,
        name=f"{name} (random weights)",
        source=name,
        commit=None,
        device=device,
        dtype=dtype,
        attention="sdpa",
        fingerprint=hashlib.sha256(name.encode()).hexdigest(),
        max_context=config.max_position_embeddings,
    )


def _random_adapter(backbone, options):
    """An adapter whose memory is in use: gates that forget slowly, steering of about a tenth of what it corrects."""
    torch.manual_seed(1)
    adapter = new_adapter(backbone, HFDeltaMemConfig(output_init="base_slice", beta_bias_init=-4.0, **options))
    return adapter.requires_grad_(False)
