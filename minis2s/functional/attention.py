"""Attention: four ways to score a query against the keys, and the weighted sum of the values.

    scores (T, B, S) --masked_softmax--> weights (T, B, S) --weighted_sum--> context (T, B, M)

T queries (decoder states) look at S source positions; the training path passes all T at once,
the step path passes T = 1 through the very same functions. All arrays are time-major, so the
batch is the middle axis; `by_row` brings it to the front, where matmul wants it (a view, no copy).
"""

from typing import NamedTuple

from minis2s.backend import Array, xp_of
from minis2s.op import Op


def by_row(x: Array) -> Array:
    """(T, B, X) -> (B, T, X) and back: one matrix for each sentence of the batch."""
    return x.transpose(1, 0, 2)


# -- dot: score = query . key -------------------------------------------------------------------


class DotScoresCache(NamedTuple):
    query: Array  # (T, B, A)
    keys: Array  # (S, B, A)


def dot_scores_forward(query: Array, keys: Array) -> tuple[Array, DotScoresCache]:
    """scores[t, b, s] = query[t, b] . keys[s, b].

    Shapes: query (T, B, A); keys (S, B, A). Returns (scores (T, B, S), cache).

    Source: Luong, Pham and Manning 2015, eq. 8, "dot".
    """
    # for each sentence: (T, A) (A, S) -> (T, S)
    scores = by_row(query) @ keys.transpose(1, 2, 0)
    return by_row(scores), DotScoresCache(query, keys)


def dot_scores_backward(dout: Array, cache: DotScoresCache) -> tuple[Array, Array]:
    """Shapes: dout = dscores (T, B, S). Returns (dquery (T, B, A), dkeys (S, B, A))."""
    query, keys = cache
    dscores = by_row(dout)  # (B, T, S)
    # scores = query keys^T, for each sentence
    dquery = by_row(dscores @ by_row(keys))
    dkeys = by_row(dscores.transpose(0, 2, 1) @ by_row(query))
    return dquery, dkeys


# -- scaled dot: score = query . key / sqrt(A) --------------------------------------------------


def scaled_dot_scores_forward(query: Array, keys: Array) -> tuple[Array, DotScoresCache]:
    """scores[t, b, s] = query[t, b] . keys[s, b] / sqrt(A).

    The sum of A products of unit variance has variance A; the division brings it back to one, so
    that the softmax does not saturate for large A.

    Shapes: as `dot_scores_forward`. Source: Vaswani et al. 2017, eq. 1.
    """
    scores, cache = dot_scores_forward(query, keys)
    return scores / query.shape[-1] ** 0.5, cache


def scaled_dot_scores_backward(dout: Array, cache: DotScoresCache) -> tuple[Array, Array]:
    """Shapes: as `dot_scores_backward`."""
    # scores = (query . key) / sqrt(A)
    return dot_scores_backward(dout / cache.query.shape[-1] ** 0.5, cache)


# -- general: score = (query W) . key -----------------------------------------------------------


class GeneralScoresCache(NamedTuple):
    query: Array  # (T, B, Q)
    W: Array  # (Q, M)
    dot: DotScoresCache  # of the projected query and the keys


def general_scores_forward(query: Array, keys: Array, W: Array) -> tuple[Array, GeneralScoresCache]:
    """scores[t, b, s] = (query[t, b] W) . keys[s, b].

    The query is projected, not the keys: the memory serves as keys untouched, whatever its size.

    Shapes: query (T, B, Q); keys (S, B, M); W (Q, M). Returns (scores (T, B, S), cache).

    Source: Luong, Pham and Manning 2015, eq. 8, "general".
    """
    # projected = query W
    projected = query @ W
    # scores = projected . keys
    scores, dot = dot_scores_forward(projected, keys)
    return scores, GeneralScoresCache(query, W, dot)


def general_scores_backward(dout: Array, cache: GeneralScoresCache) -> tuple[Array, Array, Array]:
    """Shapes: dout = dscores (T, B, S). Returns (dquery (T, B, Q), dkeys (S, B, M), dW (Q, M))."""
    query, W, dot = cache
    Q, M = W.shape
    # scores = projected . keys
    dprojected, dkeys = dot_scores_backward(dout, dot)
    # projected = query W
    rows = dprojected.reshape(-1, M)
    dquery = (rows @ W.T).reshape(query.shape)
    dW = query.reshape(-1, Q).T @ rows
    return dquery, dkeys, dW


# -- additive: score = v . tanh(query Wq + key) -------------------------------------------------


class AdditiveScoresCache(NamedTuple):
    query: Array  # (T, B, Q)
    Wq: Array  # (Q, A)
    v: Array  # (A,)
    a: Array  # (T, S, B, A)  tanh of each query with each key; the large array of this operation


def additive_scores_forward(
    query: Array, keys: Array, Wq: Array, v: Array
) -> tuple[Array, AdditiveScoresCache]:
    """scores[t, b, s] = v . tanh(query[t, b] Wq + keys[s, b]).

    The keys come projected (memory Wk + bk), since they are the same at every step.

    Shapes: query (T, B, Q); keys (S, B, A); Wq (Q, A); v (A,). Returns (scores (T, B, S), cache).

    Source: Bahdanau, Cho and Bengio 2015, appendix A.1.2.
    """
    xp = xp_of(query)
    # z = query Wq + keys, every query with every key
    z = (query @ Wq)[:, None] + keys[None]
    # a = tanh(z)
    a = xp.tanh(z, out=z)
    # scores = a v
    scores = (a @ v).transpose(0, 2, 1)  # (T, S, B) -> (T, B, S)
    return scores, AdditiveScoresCache(query, Wq, v, a)


def additive_scores_backward(dout: Array, cache: AdditiveScoresCache) -> tuple[Array, Array, Array, Array]:
    """Shapes: dout = dscores (T, B, S).

    Returns (dquery (T, B, Q), dkeys (S, B, A), dWq (Q, A), dv (A,)).
    """
    query, Wq, v, a = cache
    Q, A = Wq.shape
    dscores = dout.transpose(0, 2, 1)  # (T, B, S) -> (T, S, B)
    # scores = a v
    dv = dscores.reshape(-1) @ a.reshape(-1, A)
    # a = tanh(z);  da = dscores v
    dz = 1 - a**2
    dz *= v
    dz *= dscores[..., None]
    # z = query Wq + keys, every query with every key
    dprojected = dz.sum(axis=1)  # over the keys
    dkeys = dz.sum(axis=0)  # over the queries
    dquery = dprojected @ Wq.T
    dWq = query.reshape(-1, Q).T @ dprojected.reshape(-1, A)
    return dquery, dkeys, dWq, dv


# -- weighted sum: context = sum_s weight * value -----------------------------------------------


class WeightedSumCache(NamedTuple):
    weights: Array  # (T, B, S)
    values: Array  # (S, B, M)


def weighted_sum_forward(weights: Array, values: Array) -> tuple[Array, WeightedSumCache]:
    """context[t, b] = sum_s weights[t, b, s] values[s, b].

    Shapes: weights (T, B, S); values (S, B, M). Returns (context (T, B, M), cache).
    """
    # for each sentence: (T, S) (S, M) -> (T, M)
    context = by_row(weights) @ by_row(values)
    return by_row(context), WeightedSumCache(weights, values)


def weighted_sum_backward(dout: Array, cache: WeightedSumCache) -> tuple[Array, Array]:
    """Shapes: dout = dcontext (T, B, M). Returns (dweights (T, B, S), dvalues (S, B, M))."""
    weights, values = cache
    dcontext = by_row(dout)  # (B, T, M)
    # context = weights values, for each sentence
    dweights = by_row(dcontext @ values.transpose(1, 2, 0))
    dvalues = by_row(weights.transpose(1, 2, 0) @ dcontext)
    return dweights, dvalues


dot_scores = Op("dot_scores", dot_scores_forward, dot_scores_backward)
scaled_dot_scores = Op("scaled_dot_scores", scaled_dot_scores_forward, scaled_dot_scores_backward)
general_scores = Op("general_scores", general_scores_forward, general_scores_backward)
additive_scores = Op("additive_scores", additive_scores_forward, additive_scores_backward)
weighted_sum = Op("weighted_sum", weighted_sum_forward, weighted_sum_backward)
