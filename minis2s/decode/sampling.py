"""Texts drawn at random, each as often as the model holds it probable.

Decoding looks for the best text; sampling shows what the model believes, doubts included. A
temperature below 1 makes it bolder (towards greedy), above 1 more varied.
"""

import numpy as np

from minis2s.backend import Array, to_numpy, xp_of
from minis2s.data.vocabulary import EOS
from minis2s.decode.greedy import follow
from minis2s.decode.hypothesis import Decodable, Hypothesis, reject_nan


def sample(
    model: Decodable,
    src: Array,
    src_mask: Array,
    *,
    max_length,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> list[Hypothesis]:
    """Draw every token from P(token) ** (1 / temperature), scaled to sum to 1, until EOS is drawn.

    Shapes: src (S, B) ids, src_mask (S, B) bool; max_length an int or one per sentence (B,), a
    bound on the number of steps. `rng` lives on the host, also when the model runs on a GPU.
    PAD and BOS are never drawn, nor is a token of probability 0.

    `log_prob` (and `score`, which equals it) is what the model itself gives the text, at
    temperature 1 as for every other decoder, whatever temperature it was drawn with. One draw is
    spent per sentence of the batch and step, so how long its batch-mates are does not change a text.

    Raises ValueError for a temperature that is not positive and finite, or arguments that do not fit.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature!r}; for 0 use greedy")
    B = src.shape[-1]

    def draw(log_probs, sentences):
        xp = xp_of(log_probs)
        allowed = log_probs[:, EOS:].astype(xp.float64)
        reject_nan(allowed)
        best = allowed.max(axis=1, keepdims=True)
        # a row without any possible token ends: its weights are all 0, and 0 columns are passed below
        weights = xp.exp((allowed - xp.where(best > -xp.inf, best, 0)) / temperature)
        cumulative = xp.cumsum(weights, axis=1)
        # column j is drawn when the point falls into [cumulative[j-1], cumulative[j])
        point = xp.asarray(rng.random(B)[sentences])[:, None] * cumulative[:, -1:]
        columns = ((cumulative <= point) & (point < cumulative[:, -1:])).sum(axis=1)
        return to_numpy(columns) + EOS, to_numpy(allowed[xp.arange(columns.size), columns])

    return follow(model, src, src_mask, max_length, draw)
