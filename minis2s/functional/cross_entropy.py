"""Softmax cross-entropy: how surprised the model is by the right next token.

Softmax and logarithm are one operation, because together they are simpler and safer than
apart: the gradient with respect to the logits is just (probability - target distribution).
"""

from typing import NamedTuple

import numpy as np

from minis2s.backend import Array, row_blocks, xp_of
from minis2s.kernels import cross_entropy as cross_entropy_kernels
from minis2s.kernels import fused
from minis2s.op import Op


class CrossEntropyCache(NamedTuple):
    probs: Array  # (T, B, V)  softmax(logits)
    targets: Array  # (T, B)     the right tokens
    weight: Array  # (T, B)     what each token's surprise counts: 0 for padding, else 1 (sum) or 1/N (mean)
    smoothing: float


def cross_entropy_forward(
    logits: Array,
    targets: Array,
    mask: Array | None = None,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array, CrossEntropyCache]:
    """The mean (or sum) over all real tokens of -log p(token), in nats.

        log_probs = logits - log sum_v exp(logits)
        surprise  = -(1 - smoothing) * log_probs[target] - smoothing * mean_v log_probs
        loss      = sum over tokens of weight * surprise

    where weight is 1 ("sum") or 1/N ("mean") for the N tokens whose mask is True, 0 for padding.
    With smoothing s, the target distribution is (1 - s) onehot(target) + s/V.

    Shapes: logits (T, B, V); targets (T, B) integers; mask (T, B) or None (all real).
    Returns (loss, a scalar of the dtype of logits, cache). Without any real token the loss is 0.

    Source of the smoothing: Szegedy et al. 2016, section 7.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
    xp = xp_of(logits)
    T, B, V = logits.shape
    if fused(xp):  # on a GPU: fewer passes over the logits
        probs, surprise = cross_entropy_kernels.forward(logits, targets, smoothing)
    else:
        probs, surprise = probs_and_surprise(logits.reshape(T * B, V), targets.reshape(-1), smoothing)
        probs, surprise = probs.reshape(T, B, V), surprise.reshape(T, B)
    # loss = sum over tokens of weight * surprise
    weight = xp.ones((T, B), dtype=logits.dtype) if mask is None else mask.astype(logits.dtype)
    if reduction == "mean":
        weight = weight / xp.maximum(weight.sum(), 1)
    loss = (weight * surprise).sum()
    return loss, CrossEntropyCache(probs, targets, weight, smoothing)


def probs_and_surprise(logits: Array, targets: Array, smoothing: float) -> tuple[Array, Array]:
    """logits (N, V), targets (N,) -> (softmax (N, V), surprise (N,)) of N tokens.

    A few rows at a time: with a large V that takes half of the time of each line over all rows.
    """
    N, V = logits.shape
    probs, surprise = np.empty((N, V), dtype=logits.dtype), np.empty(N, dtype=logits.dtype)
    for rows in row_blocks(logits):
        # log_probs = logits - log sum_v exp(logits)
        shifted = logits[rows] - logits[rows].max(axis=-1, keepdims=True)
        p = np.exp(shifted, out=probs[rows])
        total = p.sum(axis=-1)
        p /= total[:, None]
        log_total = np.log(total)
        # surprise = -(1 - smoothing) * log_probs[target] - smoothing * mean_v log_probs
        of_target = log_total - shifted[np.arange(len(p)), targets[rows]]
        if smoothing:
            of_all = log_total - shifted.mean(axis=-1)
            of_target = (1 - smoothing) * of_target + smoothing * of_all
        surprise[rows] = of_target
    return probs, surprise


def cross_entropy_backward(dout: Array | float, cache: CrossEntropyCache) -> Array:
    """dlogits = dloss * weight * (probs - target distribution).

    Shapes: dout = dloss, a scalar (1 for the loss itself). Returns dlogits (T, B, V).
    """
    probs, targets, weight, smoothing = cache
    xp = xp_of(probs)
    T, B, V = probs.shape
    # loss = sum over tokens of weight * surprise
    dsurprise = dout * weight
    if fused(xp):  # on a GPU: the lines below in one kernel
        return cross_entropy_kernels.backward(dsurprise, probs, targets, smoothing)
    # surprise = -sum_v target_distribution * log softmax(logits)
    dlogits = xp.empty((T, B, V), dtype=probs.dtype)  # in C order, so that the reshape below is a view
    xp.multiply(probs - smoothing / V if smoothing else probs, dsurprise[..., None], out=dlogits)
    rows, flat_targets = xp.arange(T * B), targets.reshape(-1)
    dlogits.reshape(T * B, V)[rows, flat_targets] -= (1 - smoothing) * dsurprise.reshape(-1)
    return dlogits


cross_entropy = Op("cross_entropy", cross_entropy_forward, cross_entropy_backward)
