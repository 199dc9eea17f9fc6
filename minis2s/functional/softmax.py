"""Softmax over the last axis: masked, for attention; as a logarithm, for decoding.

Both subtract the largest score first. It changes nothing (numerator and denominator shrink by
the same factor) and keeps exp from overflowing: scores of 1000 are as good as scores of 0.
"""

from typing import NamedTuple

from minis2s.backend import Array, row_blocks, xp_of
from minis2s.op import Op


class MaskedSoftmaxCache(NamedTuple):
    weights: Array  # (T, B, S)  the output; the derivative needs nothing else


def masked_softmax_forward(scores: Array, mask: Array | None = None) -> tuple[Array, MaskedSoftmaxCache]:
    """Scores over source positions -> attention weights that sum to one over the real positions.

        e       = exp(scores - max)        0 at masked positions
        weights = e / sum_s e

    Shapes: scores (T, B, S); mask (S, B), True where the source position is real, or None.
    A row without any real position has nothing to attend to: all its weights are 0.

    Returns (weights (T, B, S), cache).
    """
    xp = xp_of(scores)
    if mask is not None:
        real = mask.T  # (B, S), broadcast over T
        # the largest REAL score is subtracted; a padded one could be so much larger that all others vanish
        lowest = xp.finfo(scores.dtype).min
        scores = xp.where(real, scores, lowest)
    # e = exp(scores - max)
    e = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    if mask is not None:
        e *= real
    # weights = e / sum_s e
    total = e.sum(axis=-1, keepdims=True)
    weights = e / xp.where(total == 0, 1, total)
    return weights, MaskedSoftmaxCache(weights)


def masked_softmax_backward(dout: Array, cache: MaskedSoftmaxCache) -> Array:
    """dscores[s] = weights[s] * (dweights[s] - sum_r dweights[r] weights[r]).

    The sum is what a raised score takes from all the others: the off-diagonal part of the
    Jacobian diag(w) - w w^T. Masked positions have weight 0, hence gradient 0.

    Shapes: dout = dweights (T, B, S). Returns dscores (T, B, S).
    """
    weights = cache.weights
    return weights * (dout - (dout * weights).sum(axis=-1, keepdims=True))


def log_softmax(logits: Array) -> Array:
    """log(exp(logits) / sum_v exp(logits)) over the last axis, without ever forming the quotient.

    Shapes: logits (..., V) -> (..., V). The logarithm of a softmax that has rounded to 0 would be
    -inf; logits - max - log(sum) is right for any logits.
    """
    xp = xp_of(logits)
    out = xp.empty(logits.shape, dtype=logits.dtype)
    V = logits.shape[-1]
    scores, log_probs = logits.reshape(-1, V), out.reshape(-1, V)
    for rows in row_blocks(scores):
        largest = scores[rows].max(axis=-1, keepdims=True)
        shifted = xp.subtract(scores[rows], largest, out=log_probs[rows])
        shifted -= xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
    return out


masked_softmax = Op("masked_softmax", masked_softmax_forward, masked_softmax_backward)
