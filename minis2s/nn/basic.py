"""Linear, Embedding and Dropout as layers: weights, and a call of the functional pair."""

from typing import NamedTuple

import numpy as np

from minis2s import functional as F
from minis2s.backend import Array, xp_of
from minis2s.functional.dropout import draw_dropout_mask
from minis2s.nn import init
from minis2s.nn.layer import Layer, Parameter
from minis2s.op import Op


class Linear(Layer):
    """out = x W + b, with W (D, K) Glorot uniform and b (K,) zero."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        rng: np.random.Generator,
        bias: bool = True,
        op: Op = F.linear,
        dtype=np.float32,
    ):
        self.W = Parameter(init.glorot_uniform(rng, in_size, out_size).astype(dtype))
        self.b = Parameter(np.zeros(out_size, dtype)) if bias else None
        self.op = op

    def forward(self, x: Array):
        """x (..., D) -> (out (..., K), cache)."""
        return self.op.forward(x, self.W.data, None if self.b is None else self.b.data)

    def backward(self, dout: Array, cache) -> Array:
        """dout (..., K) -> dx (..., D)."""
        dx, dW, db = self.op.backward(dout, cache)
        self.W.grad += dW
        if self.b is not None:
            self.b.grad += db
        return dx

    def describe(self) -> str:
        return "{} -> {}".format(*self.W.data.shape)


class Lookup(NamedTuple):
    """Rows of a table that are not written out: x[t, b] = table[ids[t, b]]."""

    table: Array  # (V, D)
    ids: Array  # (T, B)


def reversed_in_time(x: Array | Lookup) -> Array | Lookup:
    """x (T, B, D), the last step first."""
    return Lookup(x.table, x.ids[::-1]) if isinstance(x, Lookup) else x[::-1]


class Embedding(Layer):
    """out[...] = W[ids[...]], with W (V, E) normal of deviation 0.1 unless told otherwise."""

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        *,
        rng: np.random.Generator,
        deviation: float = 0.1,
        op: Op = F.embedding,
        dtype=np.float32,
    ):
        self.W = Parameter(init.normal(rng, (vocabulary_size, size), deviation).astype(dtype))
        self.op = op

    def forward(self, ids: Array):
        """ids (...) of integers in [0, V) -> (out (..., E), cache)."""
        return self.op.forward(self.W.data, ids)

    def lookup_pays(self, ids: Array) -> bool:
        """Whether a recurrent layer should rather take `lookup`: few symbols that come again and again.

        The products of every symbol with the layer's weights must cost less than those of all ids, and
        the sum of the gradients by symbol, (V, N) (N, 4H), less than the two products that it saves.
        """
        V, E = self.W.data.shape
        return isinstance(ids, np.ndarray) and 4 * V <= ids.size and V <= E and self.op is F.embedding

    def lookup(self, ids: Array):
        """ids (T, B) -> (the rows as a Lookup, cache); backward takes the gradient of the table."""
        rows = Lookup(self.W.data, ids)
        return rows, rows

    def backward(self, dout: Array, cache) -> None:
        """dout (..., E), or (V, E) after `lookup`. The ids are no numbers to differentiate: nothing is returned."""
        self.W.grad += dout if isinstance(cache, Lookup) else self.op.backward(dout, cache)

    def describe(self) -> str:
        return "{} symbols, size {}".format(*self.W.data.shape)


class Dropout(Layer):
    """Sets a share p of the numbers to zero and scales the rest by 1/(1-p), in training only.

    Training is told from evaluation by the generator: with an `rng` there is dropout, without one
    x passes through untouched (and so does its gradient).
    """

    def __init__(self, p: float, *, op: Op = F.dropout):
        if not 0 <= p < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {p}")
        self.p = p
        self.op = op

    def forward(self, x: Array, *, rng: np.random.Generator | None = None):
        """x (...) -> (out (...), cache); the cache is None when nothing was dropped."""
        if rng is None or self.p == 0:
            return x, None
        keep = draw_dropout_mask(x.shape, self.p, rng, xp_of(x))
        return self.op.forward(x, keep, self.p)

    def backward(self, dout: Array, cache) -> Array:
        """dout (...) -> dx (...)."""
        return dout if cache is None else self.op.backward(dout, cache)

    def describe(self) -> str:
        return f"p={self.p}"
