"""Inputs that are ids: one-hot rows that are never written out where a look-up will do.

A row of zeros with a single one, times Wx, is a row of Wx. Where few different tokens occur often, it
pays to multiply each of them with the weights once, and to look the product up at every time step.
"""

from types import ModuleType

from minis2s.backend import Array, xp_of


def rows_of(W_gates: Array, ids: Array, xp: ModuleType) -> Array:
    """W_gates (G, D, H), ids (T, B) in [0, D) -> (T, G, B, H): for each gate, the rows that belong to the ids."""
    T, B = ids.shape
    G, _, H = W_gates.shape
    out = xp.empty((T, G, B, H), dtype=W_gates.dtype)
    for t in range(T):
        # "clip" spares NumPy a copy that guards against ids out of range, of which there are none
        xp.take(W_gates, ids[t], axis=1, out=out[t], mode="clip")
    return out


def one_hot(ids: Array, size: int, dtype) -> Array:
    """ids (...) in [0, size) -> (..., size): zeros, with a one at each id."""
    xp = xp_of(ids)
    flat = ids.reshape(-1)
    out = xp.zeros((len(flat), size), dtype=dtype)
    out[xp.arange(len(flat)), flat] = 1
    return out.reshape(*ids.shape, size)
