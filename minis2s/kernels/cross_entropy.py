"""Softmax cross-entropy on a GPU: the logits are read three times and the probabilities written once.

The lines are those of functional/cross_entropy.py, which explains them. A row is the V logits of one
token. The largest logit and two sums need a whole row; all else is done element by element.
"""

from minis2s.backend import Array, xp_of
from minis2s.kernels import Kernel, RowSum

SUM_EXP = RowSum("sum_exp", "T logit, T largest", "exp(logit - largest)")
SUM_SHIFTED = RowSum("sum_shifted", "T logit, T largest", "logit - largest")

PROBABILITY = Kernel(
    "softmax",
    "T logit, T largest, T total",
    "T prob",
    """
    prob = exp(logit - largest) / total;
    """,
)

SURPRISE = Kernel(
    "surprise",
    "T logit, T largest, T total, T sum_shifted, T smoothing, T size",
    "T surprise",
    """
    T log_total = log(total);
    // surprise = -(1 - smoothing) * log_probs[target] - smoothing * mean_v log_probs
    T of_target = log_total - (logit - largest);
    T of_all = log_total - sum_shifted / size;
    surprise = (1 - smoothing) * of_target + smoothing * of_all;
    """,
)

BACKWARD = Kernel(
    "cross_entropy_backward",
    "T prob, I target, I column, T dsurprise, T smoothing, T size",
    "T dlogit",
    """
    // surprise = -sum_v target_distribution * log softmax(logits)
    T wanted = smoothing / size + (column == target ? T(1 - smoothing) : T(0));
    dlogit = (prob - wanted) * dsurprise;
    """,
)


def forward(logits: Array, targets: Array, smoothing: float) -> tuple[Array, Array]:
    """logits (T, B, V), targets (T, B) in [0, V) -> (probs (T, B, V), surprise (T, B))."""
    xp = xp_of(logits)
    T, B, V = logits.shape
    largest = logits.max(axis=-1, keepdims=True)
    total = SUM_EXP(xp, logits, largest)
    probs = PROBABILITY(xp, logits, largest, total)
    shifted = SUM_SHIFTED(xp, logits, largest)[..., 0] if smoothing else 0.0
    of_target = xp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    surprise = SURPRISE(xp, of_target, largest[..., 0], total[..., 0], shifted, smoothing, V)
    return probs, surprise


def backward(dsurprise: Array, probs: Array, targets: Array, smoothing: float) -> Array:
    """dsurprise (T, B), probs (T, B, V), targets (T, B) in [0, V) -> dlogits (T, B, V)."""
    xp = xp_of(probs)
    V = probs.shape[-1]
    column = xp.arange(V, dtype=targets.dtype)
    dsurprise = dsurprise.astype(probs.dtype, copy=False)[..., None]
    return BACKWARD(xp, probs, targets[..., None], column, dsurprise, smoothing, V)
