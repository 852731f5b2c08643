"""The buffers that the parts of one decode attention share: made once, used again by every layer and step."""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 64  # cache places that a part reads at a time
MAX_SPLITS = 64


class Workspace(NamedTuple):
    """Partial results. One workspace serves any number of calls in a row on one stream, of the shapes it was made for.

    Attributes:
        output: [B, Hq, splits, D] float32.
        sums: [B, Hq, splits, 2] float32: maximum and sum of exponentials of each part.
        arrived: [B, Hkv] int32, how many parts are done; 0 between calls.
    """

    output: Tensor
    sums: Tensor
    arrived: Tensor

    @property
    def splits(self) -> int:
        """Into how many parts a row's cache is cut at most."""
        return self.output.shape[2]

    def check(self, batch: int, heads: int, kv_heads: int, dim: int) -> None:
        """Raise ValueError when it was made for other sizes."""
        made = (*self.output.shape[:2], self.arrived.shape[1], self.output.shape[3])
        if made != (batch, heads, kv_heads, dim):
            raise ValueError(
                f"the workspace was made for B, Hq, Hkv, D = {made} and is given {(batch, heads, kv_heads, dim)}; "
                f"make another with new_workspace"
            )


def new_workspace(batch: int, heads: int, kv_heads: int, dim: int, device: torch.device) -> Workspace:
    """Buffers for q [batch, heads, dim] over caches [batch, kv_heads, capacity, dim] of any capacity.

    The number of parts is fixed by these numbers, so that a CUDA graph can hold the launch: about one program for each
    multiprocessor, whatever the capacity: one compiled kernel serves all. Caches of few blocks fill fewer of them.
    """
    cores = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 8
    splits = max(1, min(cores // (batch * kv_heads), MAX_SPLITS))
    splits = 1 << (splits.bit_length() - 1)  # joining works on powers of two
    return Workspace(
        torch.empty(batch, heads, splits, dim, dtype=torch.float32, device=device),
        torch.empty(batch, heads, splits, 2, dtype=torch.float32, device=device),
        torch.zeros(batch, kv_heads, dtype=torch.int32, device=device),
    )
