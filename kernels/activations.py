"""Activations of the memory's projections, for kernels."""

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """Exact to rounding near 0 too, where (1 - e) / (1 + e) loses digits."""
    square = x * x
    near = x * (1.0 + square * (-1.0 / 3.0 + square * (2.0 / 15.0 - square * (17.0 / 315.0))))
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    return tl.where(tl.abs(x) < 0.2, near, tl.where(x < 0.0, -far, far))


@triton.jit
def unit(x):
    """x [r] as a vector of length 1; zeros stay zeros."""
    return x / tl.maximum(tl.sqrt(tl.sum(x * x, axis=0)), 1e-6)
