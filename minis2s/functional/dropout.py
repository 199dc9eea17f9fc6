"""Dropout: in training, each unit is set to zero with probability p.

The mask is drawn outside and handed in, so the operation itself is a plain function: it can be
checked, repeated and traced. What is kept is scaled by 1/(1-p) already in training ("inverted"
dropout): the expected value stays, and at evaluation there is nothing to do.
"""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from minis2s.backend import Array
from minis2s.op import Op


class DropoutCache(NamedTuple):
    keep_mask: Array  # x's shape   True where the unit is kept
    p: float  # the probability with which units were dropped


def dropout_forward(x: Array, keep_mask: Array, p: float) -> tuple[Array, DropoutCache]:
    """out = x * keep_mask / (1 - p).

    Shapes: x and keep_mask (bool, from `draw_dropout_mask`) have one shape, which out has too.
    p: the probability of dropping a unit, in [0, 1).

    Source: Srivastava et al. 2014, section 10 for the scaling at training time.
    """
    # out = x * keep_mask / (1 - p)
    out = x * keep_mask
    out *= 1 / (1 - p)
    return out, DropoutCache(keep_mask, p)


def dropout_backward(dout: Array, cache: DropoutCache) -> Array:
    """dx: the gradient passes where the unit was kept, with the same scale.

    Shapes: dout and dx as x.
    """
    keep_mask, p = cache
    # out = x * keep_mask / (1 - p)
    dx = dout * keep_mask
    dx *= 1 / (1 - p)
    return dx


def draw_dropout_mask(
    shape: tuple[int, ...], p: float, rng: np.random.Generator, xp: ModuleType = np
) -> Array:
    """A bool array of `shape`, each entry False with probability p, else True (kept).

    It is drawn on the host and then moved to the array module `xp`: one seed gives one mask,
    whatever the backend. Raises ValueError when p is not in [0, 1).
    """
    if not 0 <= p < 1:
        raise ValueError(f"the dropout probability must be in [0, 1), got {p}")
    return xp.asarray(rng.random(shape, dtype=np.float32) >= p)


dropout = Op("dropout", dropout_forward, dropout_backward)
