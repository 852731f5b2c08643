"""The adapter configuration: validated once, readable and writable as the published `delta_mem_config.json`."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from reprlib import repr as short  # a file may hold a megabyte, or lists in lists, where a word belongs
from typing import Any

from .atomic import write_atomically
from .errors import ConfigError, listing

CONFIG_FILE = "delta_mem_config.json"
MAX_CONFIG_BYTES = 1 << 20
LARGEST = 1_000_000  # of any number that is multiplied: far above use, far below float32's overflow
HEADS = ("q", "k", "v", "o")

# Keys that the published code keeps but that have one working value. They are written back so that our folders stay
# readable there, and any other value is refused instead of ignored.
FIXED: dict[str, Any] = {
    "num_memory_partitions": 1,
    "num_global_memory_partitions": 0,
    "memory_partition_routing": "soft",
    "memory_partition_basis": "shared",
    "tie_memory_partition_read_write": False,
    "memory_partition_read_mode": "softmax",
    "memory_partition_sigmoid_gate_bias_init": -2.0,
    "slot_read_top_k": 0,
    "global_memory_mode": "shared_rw",
    "global_memory_read_top_k": 0,
    "global_memory_merge_mode": "gated_residual",
    "global_memory_gate_bias_init": -2.0,
    "global_memory_read_logit_bias": 0.0,
    "memory_reader_layers": [],
    "memory_reader_hidden_size": 1024,
    "memory_reader_residual_scale": 0.1,
    "memory_reader_read_only": True,
    "memory_readout_mode": "delta",
    "memory_write_source": "learned_hidden",
    "memory_write_proposals_per_message": 2,
    "synthetic_memory_slots": 1,
    "latent_memory_layers": [],
    "latent_memory_hidden_size": 1024,
    "latent_memory_residual_scale": 0.1,
    "latent_memory_slots": 4,
    "latent_memory_init_std": 0.002,
    "latent_gate_init": 0.01,
}

CHOICES: dict[str, tuple[str, ...]] = {
    "state_update_mode": ("standard", "lambda_outside", "no_lambda"),
    "memory_write_granularity": ("token", "message_mean", "sentence_mean"),
    "delta_scale_granularity": ("layer", "head"),
    "delta_scale_parameterization": ("alpha_over_rank",),
}


@dataclass(frozen=True)
class HFDeltaMemConfig:
    """Shape and behaviour of one δ-mem adapter.

    Attributes:
        rank: r, the state's side (1 to 256).
        alpha: the steer is multiplied by alpha / rank.
        beta_bias_init: initial bias of the write gate; -1.5 forgets with a half-life of 3.5 tokens, -4 of 38.
        normalize_qk: tanh and L2 norm on memory queries and keys; else the plain projections.
        couple_lambda: keep = 1 - beta; else lambda has its own projection and bias.
        state_update_mode: "standard"; "lambda_outside" (erase by lambda * beta); "no_lambda" (keep = 1).
        rankwise_gates: one gate per state row; else one per state head.
        output_init: how fresh steering weights start: "zero" or "base_slice". Loaded adapters may name any other.
        base_slice_ref_width, online_gain: columns of the backbone's projection and their factor for "base_slice".
        num_state_heads: H, parallel states a layer.
        memory_write_granularity: what one write covers: "token", "message_mean" or "sentence_mean".
        target_modules: last name component of the attention modules to attach to.
        target_layers: layer indices to attach to; empty for all.
        delta_heads: which projections are steered, of q, k, v, o.
        delta_o_rmsnorm, delta_o_rmsnorm_eps: RMS norm on the steer of o.
        trainable_delta_scale, delta_scale_init, delta_scale_max, delta_scale_granularity: a learnt factor
            sigmoid(raw) * max on alpha / rank, one per layer or one per head.

    Raises:
        ConfigError: a value out of range.
    """

    rank: int = 8
    alpha: float = 16.0
    beta_bias_init: float = -1.5
    normalize_qk: bool = True
    couple_lambda: bool = True
    state_update_mode: str = "standard"
    rankwise_gates: bool = True
    output_init: str = "zero"
    base_slice_ref_width: int = 8
    online_gain: float = 0.05
    num_state_heads: int = 1
    memory_write_granularity: str = "token"
    target_modules: tuple[str, ...] = ("self_attn",)
    target_layers: tuple[int, ...] = ()
    delta_heads: tuple[str, ...] = ("q", "o")
    delta_o_rmsnorm: bool = False
    delta_o_rmsnorm_eps: float = 1e-6
    trainable_delta_scale: bool = False
    delta_scale_init: float = 1.0
    delta_scale_max: float = 2.0
    delta_scale_granularity: str = "layer"
    delta_scale_parameterization: str = "alpha_over_rank"

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _typed(field.name, getattr(self, field.name), field.default))
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ConfigError(f"{name} is {short(value)}; use one of {', '.join(allowed)}")
        for name, low, high in (
            ("rank", 1, 256),
            ("num_state_heads", 1, 64),
            ("base_slice_ref_width", 1, 4096),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {short(value)}; it must be from {low} to {high}")
        for name in ("delta_o_rmsnorm_eps", "delta_scale_max"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.trainable_delta_scale and not 0 < self.delta_scale_init < self.delta_scale_max:
            raise ConfigError(
                f"delta_scale_init is {self.delta_scale_init}; it must lie between 0 and delta_scale_max "
                f"({self.delta_scale_max}), both excluded"
            )
        unknown = [head for head in self.delta_heads if head not in HEADS]
        if unknown or not self.delta_heads or len(set(self.delta_heads)) != len(self.delta_heads):
            named = short(list(self.delta_heads))
            raise ConfigError(f"delta_heads is {named}; name one or more of q, k, v, o, each once")
        if not self.target_modules:
            raise ConfigError('target_modules is empty; name the attention modules, for example ["self_attn"]')
        if any(index < 0 for index in self.target_layers):
            raise ConfigError(f"target_layers is {short(list(self.target_layers))}; layer indices start at 0")

    @property
    def variant(self) -> str:
        """ "SSW" when a segment is one write, however many the states; else "MSW" with several, "TSW" with one."""
        if self.memory_write_granularity != "token":
            return "SSW"
        return "MSW" if self.num_state_heads > 1 else "TSW"

    @property
    def width(self) -> int:
        """Numbers read from the state per token: num_state_heads * rank."""
        return self.num_state_heads * self.rank

    @property
    def gate_width(self) -> int:
        """Gates per token: one per state row, or one per state head."""
        return self.width if self.rankwise_gates else self.num_state_heads

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "HFDeltaMemConfig":
        """Read the published keys; absent ones take their defaults.

        Raises:
            ConfigError: unknown keys, or a value this library does not honour; the message names them.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"the adapter configuration is a {type(values).__name__}; it must be a JSON object")
        own = {field.name for field in fields(cls)}
        unknown = sorted(str(key) for key in values if key not in own and key not in FIXED)
        if unknown:
            raise ConfigError(f"unknown configuration keys: {listing(unknown)}; remove them or update this library")
        wrong = [
            f"{key} = {short(values[key])} (only {fixed!r})"
            for key, fixed in FIXED.items()
            if key in values and (isinstance(values[key], bool) != isinstance(fixed, bool) or values[key] != fixed)
        ]
        if wrong:
            raise ConfigError(f"configuration values that are not supported: {listing(wrong)}")
        return cls(**{key: value for key, value in values.items() if key in own})

    def to_dict(self) -> dict[str, Any]:
        """All published keys, in the published order of our own fields followed by the fixed ones."""
        own = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return own | FIXED

    @classmethod
    def load(cls, folder: str | Path) -> "HFDeltaMemConfig":
        """Read `delta_mem_config.json` from an adapter folder.

        Raises:
            ConfigError: no such file, not JSON, or values this library does not honour.
        """
        return cls.from_dict(read_values(folder))

    def save(self, folder: str | Path) -> None:
        """Write `delta_mem_config.json` into a folder, replacing an earlier one in one step."""
        write_atomically(Path(folder) / CONFIG_FILE, (json.dumps(self.to_dict(), indent=2) + "\n").encode())


def read_values(folder: str | Path) -> Any:
    """What `delta_mem_config.json` in a folder holds, unchecked. Raises ConfigError when it cannot be read."""
    path = Path(folder) / CONFIG_FILE
    if path.exists() and not path.is_file():  # a link to a device or a pipe would never end
        raise ConfigError(f"{path} is no file; an adapter folder holds {CONFIG_FILE}")
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} has {path.stat().st_size} bytes; a configuration has at most 1 MiB")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; an adapter folder holds {CONFIG_FILE}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from error
    return values


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value in its field's type, or a ConfigError."""
    if isinstance(default, bool):
        good = isinstance(value, bool)
    elif isinstance(default, int):
        good = isinstance(value, int) and not isinstance(value, bool)
    elif isinstance(default, float):
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = good and abs(value) <= LARGEST  # False for NaN
        value = float(value) if good else value
    elif isinstance(default, str):
        good = isinstance(value, str)
    else:
        item = int if name == "target_layers" else str
        good = isinstance(value, (list, tuple)) and all(type(entry) is item for entry in value)
        value = tuple(value) if good else value
    if not good:
        items = "a list of whole numbers" if name == "target_layers" else "a list of texts"
        number = f"a finite number up to {LARGEST:,}"
        kinds = {bool: "true or false", int: "a whole number", float: number, str: "a text", tuple: items}
        raise ConfigError(f"{name} is {short(value)}; it must be {kinds[type(default)]}")
    return value
