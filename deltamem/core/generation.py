"""Three methods of a hooked model that make plain `generate()` work with the memory, or refuse where it cannot."""

import types
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn

from .binding import base_of, bound_to
from .errors import StateError

# A 1-tuple with the 2-D mask (or None: all valid) that belongs to the next pass.
_NOTED: ContextVar[tuple[Tensor | None] | None] = ContextVar("delta_mem_noted_mask", default=None)


def prepare_inputs_for_generation(
    self: nn.Module, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
) -> dict[str, Any]:
    """Notes the 2-D mask, out of which generate makes a 4-D one before the model sees it when the cache is static.

    `inputs_embeds` is named because generate looks for that name in the signature.
    """
    inputs = type(self).prepare_inputs_for_generation(self, *args, inputs_embeds=inputs_embeds, **kwargs)
    mask = kwargs.get("attention_mask")
    if mask is None or (isinstance(mask, Tensor) and mask.ndim == 2):
        _NOTED.set((mask,))
    return inputs


def get_compiled_call(self: nn.Module, config: Any) -> Callable:
    """The plain call: generate compiles static-cache steps on GPUs, and a compiled step could overwrite the states."""
    return self.__call__


def _validate_generation_mode(self: nn.Module, mode: Any, config: Any, *args: Any) -> None:
    """Refuses, while the memory takes writes, what feeds tokens twice or takes them back, and what moves rows about."""
    type(self)._validate_generation_mode(self, mode, config, *args)
    base = base_of(self)
    binding = bound_to(base, base._delta_mem.default)
    plain = mode in ("greedy_search", "sample") and config.use_cache is not False
    if binding is not None and binding.write and not plain:
        way = "without a cache" if mode in ("greedy_search", "sample") else f"by {getattr(mode, 'value', mode)}"
        raise StateError(
            f"generate() {way} feeds tokens more than once or moves rows, and the memory cannot take writes back; "
            f"use greedy search or sampling with a cache, or turn writes off"
        )


OVERRIDES = (prepare_inputs_for_generation, get_compiled_call, _validate_generation_mode)


def override(model: nn.Module) -> None:
    """Put the overrides on a model that can generate."""
    for method in OVERRIDES:
        if hasattr(type(model), method.__name__):
            setattr(model, method.__name__, types.MethodType(method, model))


def restore(model: nn.Module) -> None:
    """Take them off again."""
    for method in OVERRIDES:
        if getattr(vars(model).get(method.__name__), "__func__", None) is method:
            delattr(model, method.__name__)


def take_noted_mask() -> tuple[Tensor | None] | None:
    """The noted mask, once."""
    noted = _NOTED.get()
    _NOTED.set(None)
    return noted
