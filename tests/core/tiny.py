"""Tiny random backbones of several families, and inputs for them."""

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from deltamem.core import HFDeltaMemConfig, new_adapter

FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


def make_model(family="llama", dtype=torch.float32, layers=3, hidden=32):
    """A random backbone in eval mode: 4 query heads, 2 key and value heads, vocabulary 64."""
    config_class, model_class = FAMILIES[family]
    torch.manual_seed(0)
    config = config_class(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return model_class(config).to(dtype).eval()


def make_adapter(model, seed=1, **config):
    """An adapter whose every weight matters, frozen."""
    torch.manual_seed(seed)
    adapter = new_adapter(model, HFDeltaMemConfig(**config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return adapter.requires_grad_(False)


def make_ids(batch=2, tokens=11, seed=0):
    """Random token ids [batch, tokens]."""
    return torch.randint(3, 64, (batch, tokens), generator=torch.Generator().manual_seed(seed))


def same(first, second):
    """Whether two online states agree bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
