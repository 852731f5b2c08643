"""Plain functions on the memory that `attach_delta_mem` gave a model, for use with `model(...)` and `generate()`."""

import torch
from torch import Tensor, nn

from .binding import Binding, base_of
from .errors import StateError, listing

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)  # of ids


def default_binding(model: nn.Module) -> Binding:
    """The attached memory. Raises StateError when nothing is attached."""
    hooks = getattr(base_of(model), "_delta_mem", None)
    if hooks is None or hooks.default is None:
        raise StateError("no δ-mem is attached to this model; call attach_delta_mem or load_delta_mem_adapter first")
    return hooks.default


def reset_delta_mem_states(model: nn.Module) -> None:
    """Forget everything: the next pass starts from zero states, in any batch size."""
    default_binding(model).reset()


def get_delta_mem_online_state(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the states: module name -> [B, r, r], or [B, H, r, r] with several state heads. Empty after a reset."""
    binding = default_binding(model)
    several = binding.adapter.config.num_state_heads > 1
    states = {name: binding.states[name].detach().clone() for name in binding.adapter.layers if name in binding.states}
    return {name: state if several else state.squeeze(1) for name, state in states.items()}


def load_delta_mem_online_state(model: nn.Module, states: dict[str, Tensor]) -> None:
    """Continue from states that `get_delta_mem_online_state` returned (an empty dict resets).

    Raises:
        StateError: names, shapes or values that do not fit; the live state is then untouched.
    """
    binding = default_binding(model)
    config, layers = binding.adapter.config, binding.adapter.layers
    if not isinstance(states, dict):
        given = type(states).__name__
        raise StateError(f"the states are a {given}; give the dict that get_delta_mem_online_state returned")
    if not states:
        return binding.reset()
    problems = [f"{name} is missing" for name in layers if name not in states]
    problems += [f"{name} is not attached" for name in states if name not in layers]
    batch = None
    loaded = {}
    for name in layers:
        if name not in states:
            continue
        state = states[name]
        side = (config.num_state_heads, config.rank, config.rank)
        expected = side if config.num_state_heads > 1 else side[1:]
        if not _are_floats(state) or tuple(state.shape[1:]) != expected or not len(state):
            given = f"{state.dtype} {list(state.shape)}" if isinstance(state, Tensor) else type(state).__name__
            problems.append(f"{name} is {given}, expected dense floats [batch, {', '.join(map(str, expected))}]")
        elif state.shape[0] != (batch := state.shape[0] if batch is None else batch):
            problems.append(f"{name} has batch {state.shape[0]}, the others {batch}")
        elif not bool((own := _own(state, layers[name].beta_bias.device)).isfinite().all()):
            problems.append(f"{name} holds values that are not finite")
        else:
            loaded[name] = own.reshape(batch, *side)
    if problems:
        raise StateError(f"this state does not fit the attached adapter: {listing(problems)}")
    binding.states, binding.dtype = loaded, None


def set_delta_mem_write_enabled(model: nn.Module, enabled: bool) -> None:
    """Writes on or off; when off, every token reads the fixed state."""
    default_binding(model).write = bool(enabled)


def set_delta_mem_write_message_ids(model: nn.Module, ids: Tensor | None) -> None:
    """Message id of each token [B, T] for the passes to come, -1 for tokens never written; None ends it.

    Matters to adapters that write messages (or sentences): one write per id and pass. The ids stay until set again; a
    single-token pass with ids of another length writes its token.

    Raises:
        StateError: not an integer tensor [B, T].
    """
    default_binding(model).message_ids = _checked(ids)


def set_delta_mem_write_sentence_ids(model: nn.Module, ids: Tensor | None) -> None:
    """Sentence id of each token, as `set_delta_mem_write_message_ids`. With both, each pair is one write."""
    default_binding(model).sentence_ids = _checked(ids)


def collect_delta_mem_state_stats(model: nn.Module) -> dict[str, dict[str, float]]:
    """Module name -> batch (rows), norm (Frobenius, mean over rows and state heads), mean_abs, max_abs of its state."""
    states = get_delta_mem_online_state(model)
    return {
        name: {
            "batch": state.shape[0],
            "norm": float(state.norm(dim=(-2, -1)).mean()),
            "mean_abs": float(state.abs().mean()),
            "max_abs": float(state.abs().max()),
        }
        for name, state in states.items()
    }


def _are_floats(state: object) -> bool:
    dense = isinstance(state, Tensor) and state.layout == torch.strided and not state.is_meta
    return dense and state.is_floating_point()


def _own(state: Tensor, device: torch.device) -> Tensor:
    """A float32 copy, checked only as such: a float64 can be finite and yet too large."""
    return state.detach().to(device, torch.float32, copy=True)


def _checked(ids: Tensor | None) -> Tensor | None:
    if ids is None:
        return None
    if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.dtype not in INTEGERS:
        given = f"{ids.dtype} {list(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise StateError(f"write ids are {given}; give an integer tensor [batch, tokens], or None")
    return ids.long()
