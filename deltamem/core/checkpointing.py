"""Bounded memory in training: layers that keep only their input and run again in the backward pass."""

from torch import nn

from .attach import hook_backbone
from .hooks import replayed_pass


def checkpoint_layers(model: nn.Module) -> None:
    """Turn the backbone's gradient checkpointing on, memory included; it acts while the backbone is in train mode.

    A layer that runs again comes back to the pass it belongs to: same states before, same plan, nothing written twice.
    """
    hook_backbone(model).replays = True
    named = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # as older releases do
    getattr(model, f"{named}_checkpointing_enable")({"use_reentrant": False, "context_fn": replayed_pass})
