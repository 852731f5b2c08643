"""Hanging adapters on a backbone and taking them off again, without touching its weights."""

import torch
from torch import nn

from . import generation
from .adapter import Adapter, initialise
from .binding import Binding, base_of
from .config import HEADS, HFDeltaMemConfig
from .errors import AdapterError, ConfigError, listing
from .hooks import BackboneHooks
from .layer import LayerShape


def attach_delta_mem(model: nn.Module, config: HFDeltaMemConfig | Adapter) -> list[str]:
    """Give the model a memory of its own, which plain calls and `generate()` read and write until it is reset.

    A configuration makes fresh, trainable weights (drawn from torch's default generator); an `Adapter` is used as it
    is. Each layer becomes the submodule `delta_mem` of its attention module. Attaching again replaces the adapter and
    drops its state. With writes on, `generate()` refuses (StateError) beam search, assisted decoding and running
    without a cache: each would leave writes in the memory that do not belong to the answer.

    Returns:
        The attached attention modules' names.

    Raises:
        ConfigError: the configuration selects no module, or cannot start fresh weights.
        AdapterError: the adapter's shapes do not fit the model.
    """
    modules = attention_modules(model)
    if isinstance(config, Adapter):
        adapter = config
        check_fit(model, adapter)
    else:
        adapter = new_adapter(model, config)
    hooks = hook_backbone(model)
    _remove_layers(modules)
    for name, layer in adapter.layers.items():
        modules[name].add_module("delta_mem", layer.to(modules[name].q_proj.weight.device))
    hooks.default = Binding(adapter)
    return list(adapter.layers)


def detach_delta_mem(model: nn.Module) -> None:
    """Take every layer and hook off; the backbone is bit-identical to before. A model without any is left as it is."""
    _remove_layers(attention_modules(model))
    base = base_of(model)
    if hasattr(base, "_delta_mem"):
        base._delta_mem.remove()
        del base._delta_mem
    generation.restore(model)


def hook_backbone(model: nn.Module) -> BackboneHooks:
    """Hook the model once, so that `bind` can run any adapter on it. Without a binding the backbone runs alone.

    Raises:
        ConfigError: the model has no attention module with the four projections, or was hooked under other names.
    """
    base = base_of(model)
    modules = attention_modules(model)
    if not modules:
        raise ConfigError(
            f"{type(model).__name__} has no attention module with q_proj, k_proj, v_proj and o_proj; "
            f"δ-mem needs all four (Qwen3, SmolLM3, Llama, Qwen2 and Mistral have them)"
        )
    if not hasattr(base, "_delta_mem"):
        base._delta_mem = BackboneHooks(base, modules)
    elif base._delta_mem.names != modules.keys():
        raise ConfigError(
            "this model was hooked through its outer or inner model, under other module names; "
            "use the same model object throughout, or call detach_delta_mem on it first"
        )
    generation.override(model)
    return base._delta_mem


def new_adapter(model: nn.Module, config: HFDeltaMemConfig) -> Adapter:
    """A fresh, trainable adapter for the model's shapes, which is not touched.

    Raises:
        ConfigError: the configuration selects no module, or names an `output_init` that cannot start fresh weights.
    """
    if not isinstance(config, HFDeltaMemConfig):
        raise ConfigError(f"the configuration is a {type(config).__name__}; give an HFDeltaMemConfig (or an Adapter)")
    modules = select_modules(model, config)
    with torch.inference_mode(False):  # weights made in inference mode could never be trained
        adapter = empty_adapter(model, config)
        for name, layer in adapter.layers.items():
            initialise(layer, {head: _weight(modules[name], head) for head in config.delta_heads})
    return adapter


def empty_adapter(model: nn.Module, config: HFDeltaMemConfig, device: torch.device | str | None = None) -> Adapter:
    """An adapter of zeros in the model's shapes, on `device` or each layer where its attention module lies.

    Raises ConfigError.
    """
    modules = select_modules(model, config)
    shapes = {name: _shape(module) for name, module in modules.items()}
    return Adapter(config, shapes, device or {name: _weight(module, "q").device for name, module in modules.items()})


def check_fit(model: nn.Module, adapter: Adapter) -> None:
    """Raise AdapterError unless every layer of the adapter has its attention module, in the same widths."""
    modules = attention_modules(model)
    missing = [name for name in adapter.layers if name not in modules]
    if missing:
        raise AdapterError(f"the adapter is for another backbone: this one has no {listing(missing)}")
    wrong = [
        f"{name} (adapter {tuple(layer.shape)}, backbone {tuple(_shape(modules[name]))})"
        for name, layer in adapter.layers.items()
        if layer.shape != _shape(modules[name])
    ]
    if wrong:
        found = listing(wrong, 2)
        raise AdapterError(f"the adapter is for another backbone; widths (hidden, q, k, v, o) differ: {found}")


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every module with the four projections, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if all(isinstance(getattr(module, f"{head}_proj", None), nn.Module) for head in HEADS)
    }


def select_modules(model: nn.Module, config: HFDeltaMemConfig) -> dict[str, nn.Module]:
    """The attention modules that a configuration attaches to, by name. Raises ConfigError when one is not there."""
    modules = attention_modules(model)
    named = {name: module for name, module in modules.items() if name.rpartition(".")[2] in config.target_modules}
    if not named:
        found = sorted({name.rpartition(".")[2] for name in modules})
        raise ConfigError(
            f"target_modules [{listing(list(config.target_modules))}] match no attention module; this model has: "
            f"{listing(found) or 'none with q_proj, k_proj, v_proj and o_proj'}"
        )
    if not config.target_layers:
        return named
    indices = {name: _layer_index(name) for name in named}
    absent = sorted(set(config.target_layers) - set(indices.values()))
    if absent:
        raise ConfigError(
            f"target_layers [{listing([str(index) for index in absent])}] do not exist; "
            f"this model has {len(set(indices.values()))} layers"
        )
    return {name: module for name, module in named.items() if indices[name] in config.target_layers}


def _layer_index(name: str) -> int:
    numbers = [int(part) for part in name.split(".") if part.isdecimal()]
    return numbers[-1] if numbers else -1


def _shape(module: nn.Module) -> LayerShape:
    widths = {head: getattr(module, f"{head}_proj").out_features for head in HEADS}
    return LayerShape(hidden=module.q_proj.in_features, **widths)


def _weight(module: nn.Module, head: str) -> torch.Tensor:
    return getattr(module, f"{head}_proj").weight


def _remove_layers(modules: dict[str, nn.Module]) -> None:
    for module in modules.values():
        module._modules.pop("delta_mem", None)
