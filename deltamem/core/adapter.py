"""An adapter: one memory layer for each attention module of one backbone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HEADS, HFDeltaMemConfig
from .errors import ConfigError
from .layer import DeltaMemLayer, LayerShape, tensor_shapes


class Adapter(nn.Module):
    """The trained weights of a memory.

    Attributes:
        config: the configuration.
        layers: attention module name -> its `DeltaMemLayer`, in the backbone's order.
    """

    def __init__(
        self,
        config: HFDeltaMemConfig,
        shapes: dict[str, LayerShape],
        devices: dict[str, torch.device] | torch.device | str | None = None,
    ):
        """All weights zero.

        Args:
            shapes: attention module name -> widths.
            devices: where the layers go: one for all, or one each.
        """
        super().__init__()
        self.config = config
        of = devices if isinstance(devices, dict) else dict.fromkeys(shapes, devices)
        self.layers = {name: DeltaMemLayer(config, shape, of[name]) for name, shape in shapes.items()}
        self._registered = nn.ModuleList(self.layers.values())

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Published name -> shape, for everything an adapter file of this configuration holds."""
        return {
            f"{name}.{tensor}": size
            for name, layer in self.layers.items()
            for tensor, size in tensor_shapes(self.config, layer.shape).items()
        }

    def state_tensors(self) -> dict[str, Tensor]:
        """Published name -> detached tensor; inactive heads appear as zeros."""
        tensors = {}
        for name, layer in self.layers.items():
            for tensor, size in tensor_shapes(self.config, layer.shape).items():
                found = getattr(layer, tensor) if layer.is_active(tensor) else layer.beta_bias.new_zeros(size)
                tensors[f"{name}.{tensor}"] = found.detach()
        return tensors

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy published tensors, already checked, into the layers; inactive heads are left out."""
        with torch.no_grad():
            for name, layer in self.layers.items():
                for tensor, parameter in layer.named_parameters():
                    parameter.copy_(tensors[f"{name}.{tensor}"])

    def empty_states(self, batch: int, device: torch.device | str | None = None) -> dict[str, Tensor]:
        """Zero states [batch, H, r, r] float32, on `device` or where each layer lies."""
        size = (batch, self.config.num_state_heads, self.config.rank, self.config.rank)
        return {
            name: torch.zeros(size, dtype=torch.float32, device=device or layer.beta_bias.device)
            for name, layer in self.layers.items()
        }


def initialise(layer: DeltaMemLayer, projections: dict[str, Tensor]) -> None:
    """Give a layer its first weights for training, drawn from torch's default generator.

    Memory projections start small and random, gates at their bias alone, and steering weights at zero or, with
    "base_slice", at normalised first columns of the backbone's own projection.

    Args:
        projections: head -> weight [out, in] of the backbone's projection, for the active heads.

    Raises:
        ConfigError: an `output_init` that this library cannot start from.
    """
    config = layer.config
    if config.output_init not in ("zero", "base_slice"):
        raise ConfigError(
            f"output_init is {config.output_init!r}; fresh weights can start from 'zero' or 'base_slice' "
            f"(any name is fine for an adapter that is loaded)"
        )
    with torch.no_grad():
        for name in ("memory_q_proj", "memory_k_proj", "memory_v_proj"):
            weight = getattr(layer, name)
            weight.copy_(torch.randn(weight.shape) * layer.shape.hidden**-0.5)
        layer.beta_bias.fill_(config.beta_bias_init)
        if not config.couple_lambda:
            layer.lambda_bias.fill_(-config.beta_bias_init)  # keep = 1 - write at the start, as when coupled
        if config.delta_o_rmsnorm:
            layer.delta_o_rmsnorm_weight.fill_(1.0)
        if config.trainable_delta_scale:
            layer.delta_scale_raw.fill_(torch.logit(torch.tensor(config.delta_scale_init / config.delta_scale_max)))
        if config.output_init == "base_slice":
            for head in HEADS:
                if head in config.delta_heads:
                    getattr(layer, f"delta_{head}_proj").copy_(_base_slice(config, projections[head]))


def _base_slice(config: HFDeltaMemConfig, weight: Tensor) -> Tensor:
    """[out, H * r]: unit columns of the projection times the gain, repeated for wider ranks and for each state head."""
    columns = torch.arange(config.rank) % min(config.base_slice_ref_width, weight.shape[1])
    unit = F.normalize(weight[:, columns.to(weight.device)].float(), dim=0)
    return (unit * config.online_gain).repeat(1, config.num_state_heads)
