"""The affine map: out = x W + b.

The smallest pair of all, and the one that every other matrix product here repeats: for
y = x W the gradients are dx = dy W^T and dW = x^T dy, and a bias that was added to many rows
receives the sum over them.
"""

from typing import NamedTuple

from minis2s.backend import Array
from minis2s.op import Op


class LinearCache(NamedTuple):
    x: Array  # (..., D)
    W: Array  # (D, K)
    has_bias: bool


def linear_forward(x: Array, W: Array, b: Array | None = None) -> tuple[Array, LinearCache]:
    """out = x W + b, on the last axis of x.

    Shapes: x (..., D) with any number of leading axes; W (D, K); b (K,), or None for no bias.
    Returns (out (..., K), cache).

    The leading axes are flattened into rows first: one large matrix product instead of the
    many small ones that `@` makes of an array with three axes.
    """
    D, K = W.shape
    # out = x W + b
    out = x.reshape(-1, D) @ W
    if b is not None:
        out += b
    return out.reshape(*x.shape[:-1], K), LinearCache(x, W, b is not None)


def linear_backward(dout: Array, cache: LinearCache) -> tuple[Array, Array, Array | None]:
    """The gradients of `linear_forward`.

    Shapes: dout (..., K). Returns (dx (..., D), dW (D, K), db (K,)); db is None where b was.
    """
    x, W, has_bias = cache
    D, K = W.shape
    dout_rows = dout.reshape(-1, K)
    # out = x W + b
    dx = (dout_rows @ W.T).reshape(x.shape)
    dW = x.reshape(-1, D).T @ dout_rows
    db = dout_rows.sum(axis=0) if has_bias else None
    return dx, dW, db


linear = Op("linear", linear_forward, linear_backward)
