"""One entry: the Triton kernel on a GPU, the plain form elsewhere."""

from torch import Tensor

from .heads import HeadNorms
from .naive import MemoryStep, attention_inputs_naive

try:  # CPU builds of torch come without Triton
    from .fused import attention_inputs_fused, fits_kernel
except ImportError:
    fits_kernel = None


def attention_inputs(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    places: Tensor,
    turn: tuple[Tensor, Tensor] | None = None,
    norms: HeadNorms | None = None,
    memory: MemoryStep | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Queries and reads; keys, values and the memory's new state go where they belong. See `attention_inputs_naive`.

    No gradients.
    """
    fast = q.is_cuda and fits_kernel is not None and fits_kernel(keys, memory)
    return (attention_inputs_fused if fast else attention_inputs_naive)(
        q, k, v, keys, values, places, turn, norms, memory
    )
