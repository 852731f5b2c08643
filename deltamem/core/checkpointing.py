"""Bounded memory in training: layers that keep only their input and run again in the backward pass."""

from torch import nn

from .attach import hook_backbone
from .hooks import replayed_pass


def checkpoint_layers(model: nn.Module) -> None:
    """Turn the backbone's gradient checkpointing on, memory included; it acts while the backbone is in train mode.

    A layer that runs again comes back to the pass it belongs to: same states before, same plan, nothing written twice.
    """
    dropout = getattr(model.config.get_text_config(), "attention_dropout", 0.0)
    random = bool(dropout) or any(isinstance(module, nn.Dropout) and module.p for module in model.modules())
    options = {
        "use_reentrant": False,
        "context_fn": replayed_pass,
        "preserve_rng_state": random,  # a CUDA graph refuses to look the generator's state up
    }
    hook_backbone(model).replays = True
    named = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # as older releases do
    getattr(model, f"{named}_checkpointing_enable")(options)
