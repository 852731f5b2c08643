"""The δ-mem mechanism: configuration, memory arithmetic, attaching, states and adapter files."""

from .adapter import Adapter
from .attach import attach_delta_mem, detach_delta_mem, hook_backbone, new_adapter
from .binding import Binding, GateSums, bind
from .checkpointing import checkpoint_layers
from .config import HFDeltaMemConfig
from .errors import AdapterError, ConfigError, DeltaMemError, MaskError, StateError
from .files import (
    adapter_hash,
    load_delta_mem_adapter,
    read_adapter,
    resolve_adapter,
    save_delta_mem_adapter,
    write_adapter,
)
from .functional import (
    collect_delta_mem_state_stats,
    get_delta_mem_online_state,
    load_delta_mem_online_state,
    reset_delta_mem_states,
    set_delta_mem_write_enabled,
    set_delta_mem_write_message_ids,
    set_delta_mem_write_sentence_ids,
)
from .layer import DeltaMemLayer
from .trace import TokenTrace

__all__ = [
    "Adapter",
    "AdapterError",
    "Binding",
    "ConfigError",
    "DeltaMemError",
    "DeltaMemLayer",
    "GateSums",
    "HFDeltaMemConfig",
    "MaskError",
    "StateError",
    "TokenTrace",
    "adapter_hash",
    "attach_delta_mem",
    "bind",
    "checkpoint_layers",
    "collect_delta_mem_state_stats",
    "detach_delta_mem",
    "get_delta_mem_online_state",
    "hook_backbone",
    "load_delta_mem_adapter",
    "load_delta_mem_online_state",
    "new_adapter",
    "read_adapter",
    "reset_delta_mem_states",
    "resolve_adapter",
    "save_delta_mem_adapter",
    "set_delta_mem_write_enabled",
    "set_delta_mem_write_message_ids",
    "set_delta_mem_write_sentence_ids",
    "write_adapter",
]
