"""One entry to decode attention: the Triton kernel on a GPU, the plain form elsewhere and for gradients."""

from torch import Tensor

from ..launch import wants_gradients
from .naive import decode_attention_naive
from .workspace import Workspace

try:  # CPU builds of torch come without Triton
    from .split import DIMS, decode_attention_split
except ImportError:
    DIMS = ()


def decode_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor,
    scale: float | None = None,
    workspace: Workspace | None = None,
) -> Tensor:
    """Attention of one new token per row; see `decode_attention_naive`.

    Args:
        workspace: from `new_workspace`, for use again and again (as a CUDA graph wants it); made afresh by default.
    """
    if q.is_cuda and q.shape[-1] in DIMS and not wants_gradients(q, k, v):
        return decode_attention_split(q, k, v, lengths, scale, workspace)
    return decode_attention_naive(q, k, v, lengths, scale)
