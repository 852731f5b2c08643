"""What a session may be set to, checked before anything is kept."""

import re

from deltamem.quoting import quoted
from deltamem.runtime.errors import SessionError

MAX_STRENGTH = 4
MAX_PASSAGES = 32


def check_strength(strength):
    """The factor on the memory's steer. Raises SessionError."""
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= MAX_STRENGTH:
        raise SessionError(
            f"strength is {quoted(repr(strength))}; it must be from 0 to {MAX_STRENGTH} (1: as trained)."
        )
    return strength


def check_adapter(model, adapter):
    """An adapter's label (None: the model's default, perhaps none). Raises SessionError for an unknown one."""
    if adapter is not None and adapter not in list(model.adapters):  # a list compares what has no hash, too
        known = ", ".join(model.adapters) or "none"
        raise SessionError(
            f"The model has no adapter {quoted(repr(adapter))} (it has: {known}); add it to the model first."
        )
    return model.adapter_name if adapter is None else adapter


def check_layers(layers_off, adapter):
    """Layer numbers in ascending order. adapter: None without memory. Raises SessionError for one there is not."""
    try:
        wanted = list(layers_off)
    except TypeError as error:
        raise SessionError(f"layers_off is {quoted(repr(layers_off))}; give a list of layer numbers.") from error
    if not wanted:
        return ()
    if adapter is None:
        raise SessionError("Layers were turned off in a session without memory, which has none; leave them out.")
    known = layer_numbers(adapter.layers)
    strange = [number for number in wanted if type(number) is not int or number not in known]
    if strange:
        raise SessionError(
            f"There is no layer {quoted(repr(strange[0]))} to turn off; this adapter has {len(known)} layers, numbered "
            f"{min(known)} to {max(known)}."
        )
    return tuple(sorted(set(wanted)))


def layer_numbers(layers):
    """{number: attention module} as figures number them: the 3 of "model.layers.3.self_attn", else the position."""
    found = [re.search(r"\d+", name) for name in layers]
    if not all(found) or len({match.group() for match in found}) < len(found):
        return dict(enumerate(layers))
    return {int(match.group()): name for match, name in zip(found, layers, strict=True)}
