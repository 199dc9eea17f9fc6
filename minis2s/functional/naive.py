"""The obvious slow versions: what the fast pairs compute, with nothing made clever.

Sequences are loops over single steps, attention and the loss are loops over single numbers and
vectors. Read one before its fast counterpart; the test suite holds the two equal. Same names,
same shapes, same Op contract as in the other files; NumPy only.
"""

from typing import NamedTuple

import numpy as np

from minis2s.functional.gru import GRUStepCache, gru_step_backward, gru_step_forward
from minis2s.functional.lstm import LSTMStepCache, lstm_step_backward, lstm_step_forward
from minis2s.functional.rnn import RNNStepCache, rnn_step_backward, rnn_step_forward
from minis2s.op import Op

Array = np.ndarray

# -- recurrences: the step, again and again -------------------------------------------------------
# Forward keeps the cache of every step. Backward walks them in reverse: the gradient of a state is
# what comes from the output at that time plus what the later step hands back, and each weight,
# used at every step, receives the sum over the steps.


def at(dhs: Array | None, t: int) -> Array | float:
    """The gradient of the output at step t; None upstream means zero."""
    return 0.0 if dhs is None else dhs[t]


def at_end(d_last: Array | None, h: Array) -> Array:
    """The gradient that the last state receives from outside; None means zero."""
    return np.zeros_like(h) if d_last is None else d_last


def step_mask(mask: Array | None, t: int) -> Array | None:
    """Which rows of the batch are real at step t."""
    return None if mask is None else mask[t]


def rnn_forward(
    x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None = None
) -> tuple[tuple[Array, Array], list[RNNStepCache]]:
    """As rnn.rnn_forward."""
    h = h0
    hs, caches = [], []
    for t in range(len(x)):
        h, cache = rnn_step_forward(x[t], h, Wx, Wh, b, step_mask(mask, t))
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def rnn_backward(dout: tuple[Array | None, Array | None], caches: list[RNNStepCache]) -> tuple[Array, ...]:
    """As rnn.rnn_backward: (dx, dh0, dWx, dWh, db)."""
    dhs, dh_last = dout
    dh = at_end(dh_last, caches[-1].h_prev)
    dxs = []
    dweights = [0.0, 0.0, 0.0]
    for t in reversed(range(len(caches))):
        dx_t, dh, *dweights_t = rnn_step_backward(dh + at(dhs, t), caches[t])
        dxs.append(dx_t)
        dweights = [total + d for total, d in zip(dweights, dweights_t, strict=True)]
    return np.stack(dxs[::-1]), dh, *dweights


def lstm_forward(
    x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None = None
) -> tuple[tuple[Array, Array, Array], list[LSTMStepCache]]:
    """As lstm.lstm_forward."""
    h, c = h0, c0
    hs, caches = [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, step_mask(mask, t))
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(
    dout: tuple[Array | None, Array | None, Array | None], caches: list[LSTMStepCache]
) -> tuple[Array, ...]:
    """As lstm.lstm_backward: (dx, dh0, dc0, dWx, dWh, db)."""
    dhs, dh_last, dc_last = dout
    dh, dc = at_end(dh_last, caches[-1].h_prev), at_end(dc_last, caches[-1].c_prev)
    dxs = []
    dweights = [0.0, 0.0, 0.0]
    for t in reversed(range(len(caches))):
        dx_t, dh, dc, *dweights_t = lstm_step_backward((dh + at(dhs, t), dc), caches[t])
        dxs.append(dx_t)
        dweights = [total + d for total, d in zip(dweights, dweights_t, strict=True)]
    return np.stack(dxs[::-1]), dh, dc, *dweights


def gru_forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    bx: Array,
    bh: Array,
    mask: Array | None = None,
    reset_after: bool = True,
) -> tuple[tuple[Array, Array], list[GRUStepCache]]:
    """As gru.gru_forward."""
    h = h0
    hs, caches = [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, step_mask(mask, t), reset_after)
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout: tuple[Array | None, Array | None], caches: list[GRUStepCache]) -> tuple[Array, ...]:
    """As gru.gru_backward: (dx, dh0, dWx, dWh, dbx, dbh)."""
    dhs, dh_last = dout
    dh = at_end(dh_last, caches[-1].h_prev)
    dxs = []
    dweights = [0.0, 0.0, 0.0, 0.0]
    for t in reversed(range(len(caches))):
        dx_t, dh, *dweights_t = gru_step_backward(dh + at(dhs, t), caches[t])
        dxs.append(dx_t)
        dweights = [total + d for total, d in zip(dweights, dweights_t, strict=True)]
    return np.stack(dxs[::-1]), dh, *dweights


# -- embedding: one row after the other -----------------------------------------------------------


class EmbeddingCache(NamedTuple):
    W: Array  # (V, E)
    ids: Array  # (...)


def embedding_forward(W: Array, ids: Array) -> tuple[Array, EmbeddingCache]:
    """As embedding.embedding_forward."""
    out = np.empty((*ids.shape, W.shape[1]), dtype=W.dtype)
    for n in np.ndindex(ids.shape):
        out[n] = W[ids[n]]
    return out, EmbeddingCache(W, ids)


def embedding_backward(dout: Array, cache: EmbeddingCache) -> Array:
    """As embedding.embedding_backward: dW."""
    W, ids = cache
    dW = np.zeros_like(W)
    for n in np.ndindex(ids.shape):
        dW[ids[n]] += dout[n]  # += : the same id may come again
    return dW


# -- attention: one query, one sentence, one key at a time ------------------------------------------


class ScoresCache(NamedTuple):
    query: Array  # (T, B, Q)
    keys: Array  # (S, B, A)
    weights: tuple[Array, ...]  # () for dot, (W,) for general, (Wq, v) for additive


def pairs(query: Array, keys: Array):
    """Every (t, b, s): which query meets which key; both of the same sentence b."""
    return np.ndindex(query.shape[0], query.shape[1], keys.shape[0])


def dot_scores_forward(query: Array, keys: Array) -> tuple[Array, ScoresCache]:
    """As attention.dot_scores_forward."""
    scores = np.empty((*query.shape[:2], len(keys)), dtype=query.dtype)
    for t, b, s in pairs(query, keys):
        scores[t, b, s] = query[t, b] @ keys[s, b]
    return scores, ScoresCache(query, keys, ())


def dot_scores_backward(dout: Array, cache: ScoresCache) -> tuple[Array, Array]:
    """As attention.dot_scores_backward: (dquery, dkeys)."""
    query, keys, _ = cache
    dquery, dkeys = np.zeros_like(query), np.zeros_like(keys)
    for t, b, s in pairs(query, keys):
        # scores[t, b, s] = query[t, b] . keys[s, b]
        dquery[t, b] += dout[t, b, s] * keys[s, b]
        dkeys[s, b] += dout[t, b, s] * query[t, b]
    return dquery, dkeys


def general_scores_forward(query: Array, keys: Array, W: Array) -> tuple[Array, ScoresCache]:
    """As attention.general_scores_forward."""
    scores = np.empty((*query.shape[:2], len(keys)), dtype=query.dtype)
    for t, b, s in pairs(query, keys):
        scores[t, b, s] = query[t, b] @ W @ keys[s, b]
    return scores, ScoresCache(query, keys, (W,))


def general_scores_backward(dout: Array, cache: ScoresCache) -> tuple[Array, Array, Array]:
    """As attention.general_scores_backward: (dquery, dkeys, dW)."""
    query, keys, (W,) = cache
    dquery, dkeys, dW = np.zeros_like(query), np.zeros_like(keys), np.zeros_like(W)
    for t, b, s in pairs(query, keys):
        # scores[t, b, s] = query[t, b] W keys[s, b]
        dquery[t, b] += dout[t, b, s] * (W @ keys[s, b])
        dkeys[s, b] += dout[t, b, s] * (query[t, b] @ W)
        dW += dout[t, b, s] * np.outer(query[t, b], keys[s, b])
    return dquery, dkeys, dW


def additive_scores_forward(query: Array, keys: Array, Wq: Array, v: Array) -> tuple[Array, ScoresCache]:
    """As attention.additive_scores_forward."""
    scores = np.empty((*query.shape[:2], len(keys)), dtype=query.dtype)
    for t, b, s in pairs(query, keys):
        scores[t, b, s] = v @ np.tanh(query[t, b] @ Wq + keys[s, b])
    return scores, ScoresCache(query, keys, (Wq, v))


def additive_scores_backward(dout: Array, cache: ScoresCache) -> tuple[Array, Array, Array, Array]:
    """As attention.additive_scores_backward: (dquery, dkeys, dWq, dv)."""
    query, keys, (Wq, v) = cache
    dquery, dkeys, dWq, dv = (np.zeros_like(x) for x in (query, keys, Wq, v))
    for t, b, s in pairs(query, keys):
        # scores[t, b, s] = v . a, with a = tanh(z) and z = query[t, b] Wq + keys[s, b]
        a = np.tanh(query[t, b] @ Wq + keys[s, b])
        dv += dout[t, b, s] * a
        dz = dout[t, b, s] * v * (1 - a**2)
        dquery[t, b] += Wq @ dz
        dkeys[s, b] += dz
        dWq += np.outer(query[t, b], dz)
    return dquery, dkeys, dWq, dv


class MaskedSoftmaxCache(NamedTuple):
    weights: Array  # (T, B, S)  0 at masked positions, and so is their part of the Jacobian


def masked_softmax_forward(scores: Array, mask: Array | None = None) -> tuple[Array, MaskedSoftmaxCache]:
    """As softmax.masked_softmax_forward."""
    T, B, S = scores.shape
    weights = np.zeros_like(scores)
    for t, b in np.ndindex(T, B):
        real = [s for s in range(S) if mask is None or mask[s, b]]
        if real:
            e = np.exp(scores[t, b, real] - scores[t, b, real].max())
            weights[t, b, real] = e / e.sum()
    return weights, MaskedSoftmaxCache(weights)


def masked_softmax_backward(dout: Array, cache: MaskedSoftmaxCache) -> Array:
    """As softmax.masked_softmax_backward: dscores, by the whole Jacobian of each row."""
    weights = cache.weights
    T, B, S = weights.shape
    dscores = np.zeros_like(weights)
    for t, b in np.ndindex(T, B):
        w = weights[t, b]
        jacobian = np.diag(w) - np.outer(w, w)  # dw_r / dscore_s
        dscores[t, b] = jacobian @ dout[t, b]
    return dscores


class WeightedSumCache(NamedTuple):
    weights: Array  # (T, B, S)
    values: Array  # (S, B, M)


def weighted_sum_forward(weights: Array, values: Array) -> tuple[Array, WeightedSumCache]:
    """As attention.weighted_sum_forward."""
    T, B, S = weights.shape
    context = np.zeros((T, B, values.shape[2]), dtype=values.dtype)
    for t, b, s in np.ndindex(T, B, S):
        context[t, b] += weights[t, b, s] * values[s, b]
    return context, WeightedSumCache(weights, values)


def weighted_sum_backward(dout: Array, cache: WeightedSumCache) -> tuple[Array, Array]:
    """As attention.weighted_sum_backward: (dweights, dvalues)."""
    weights, values = cache
    dweights, dvalues = np.zeros_like(weights), np.zeros_like(values)
    for t, b, s in np.ndindex(weights.shape):
        # context[t, b] = sum_s weights[t, b, s] values[s, b]
        dweights[t, b, s] = dout[t, b] @ values[s, b]
        dvalues[s, b] += weights[t, b, s] * dout[t, b]
    return dweights, dvalues


# -- cross-entropy: one token after the other -------------------------------------------------------


class CrossEntropyCache(NamedTuple):
    logits: Array  # (T, B, V)
    targets: Array  # (T, B)
    mask: Array  # (T, B)
    smoothing: float
    divisor: int  # what the sum over tokens was divided by


def log_probs_of(logits: Array) -> Array:
    """log softmax of one vector of logits (V,)."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def wanted(target: int, V: int, smoothing: float) -> Array:
    """The target distribution (V,): (1 - smoothing) on the target, smoothing spread over all."""
    q = np.full(V, smoothing / V)
    q[target] += 1 - smoothing
    return q


def cross_entropy_forward(
    logits: Array,
    targets: Array,
    mask: Array | None = None,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array, CrossEntropyCache]:
    """As cross_entropy.cross_entropy_forward: -sum_v q[v] log p[v] for each real token."""
    V = logits.shape[2]
    mask = np.ones(targets.shape, dtype=bool) if mask is None else mask
    total = 0.0
    for t, b in zip(*np.nonzero(mask), strict=True):
        total -= wanted(targets[t, b], V, smoothing) @ log_probs_of(logits[t, b])
    divisor = max(int(mask.sum()), 1) if reduction == "mean" else 1
    loss = np.array(total / divisor, dtype=logits.dtype)
    return loss, CrossEntropyCache(logits, targets, mask, smoothing, divisor)


def cross_entropy_backward(dout: Array | float, cache: CrossEntropyCache) -> Array:
    """As cross_entropy.cross_entropy_backward: dlogits."""
    logits, targets, mask, smoothing, divisor = cache
    V = logits.shape[2]
    dlogits = np.zeros_like(logits)
    for t, b in zip(*np.nonzero(mask), strict=True):
        p = np.exp(log_probs_of(logits[t, b]))
        dlogits[t, b] = dout / divisor * (p - wanted(targets[t, b], V, smoothing))
    return dlogits


OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("rnn", rnn_forward, rnn_backward),
        Op("lstm", lstm_forward, lstm_backward),
        Op("gru", gru_forward, gru_backward),
        Op("embedding", embedding_forward, embedding_backward),
        Op("dot_scores", dot_scores_forward, dot_scores_backward),
        Op("general_scores", general_scores_forward, general_scores_backward),
        Op("additive_scores", additive_scores_forward, additive_scores_backward),
        Op("masked_softmax", masked_softmax_forward, masked_softmax_backward),
        Op("weighted_sum", weighted_sum_forward, weighted_sum_backward),
        Op("cross_entropy", cross_entropy_forward, cross_entropy_backward),
    )
}
