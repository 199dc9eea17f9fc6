"""Embedding: each id is replaced by its row of a table.

Forward copies rows out. Backward adds each row's gradient back to where it came from, and
that "adds" is the whole difficulty: an id that occurs three times receives three gradients.
"""

from typing import NamedTuple

from minis2s.backend import Array, scatter_add, xp_of
from minis2s.op import Op


class EmbeddingCache(NamedTuple):
    W: Array  # (V, E)   only its shape and dtype are used
    ids: Array  # (...)    integers


def embedding_forward(W: Array, ids: Array) -> tuple[Array, EmbeddingCache]:
    """out[n] = W[ids[n]].

    Shapes: W (V, E); ids of any shape (...), integers in [0, V). Returns (out (..., E), cache).

    The range of the ids is not checked here: it would cost a pass over them at each call, and
    on a GPU a wait for the answer. Who makes ids must see to it (a Vocabulary's `encode` never
    leaves [0, V)); NumPy raises IndexError on an id that is too large, but takes negative ones
    from the end, and CuPy wraps both around without a word.
    """
    # out[n] = W[ids[n]]
    return W[ids], EmbeddingCache(W, ids)


def embedding_backward(dout: Array, cache: EmbeddingCache) -> Array:
    """dW[v] = the sum of dout[n] over all n with ids[n] = v; zero where v does not occur.

    Shapes: dout (..., E). Returns dW (V, E).
    """
    W, ids = cache
    dW = xp_of(W).zeros_like(W)
    # out[n] = W[ids[n]]
    scatter_add(dW, ids.reshape(-1), dout.reshape(-1, W.shape[1]))
    return dW


embedding = Op("embedding", embedding_forward, embedding_backward)
