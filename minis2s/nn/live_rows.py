"""No time for padding: a recurrent layer runs over the rows that are still going on.

A batch of sentences is a rectangle, and what lies below the shorter ones is padding. Sorted from the
longest sentence to the shortest, the rows that are real at a time step come first, and fewer and fewer
of them. The time axis is cut into segments; in each, only the first so many rows are computed, and the
others hand their state on. The numbers are the same as those of the whole rectangle with its mask.
"""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

import numpy as np

from minis2s.backend import Array

STEPS_OF_ROWS = 8  # rows are counted in eighths of the batch: fewer segments, each with a fixed cost
WORTH_IT = 0.92  # of the rectangle; a larger share is computed as it is
SMALLEST = 512  # entries of a mask; what is smaller is computed as it is


class Segment(NamedTuple):
    """Time steps start ... stop - 1, in which no row from number `rows` on is real."""

    start: int
    stop: int
    rows: int


class Plan(NamedTuple):
    """How to run over a ragged batch."""

    order: Array | None  # (B,) the rows from long to short; None where they lie so already
    segments: list[Segment]


class RaggedCache(NamedTuple):
    plan: Plan
    segments: list  # per segment, the cache of the operation; None where no row is left
    shape: tuple[int, int]  # (T, B)
    like: Array  # (B, H)  a part of the state, for its shape and dtype


def plan_for(mask: Array | None) -> Plan | None:
    """The segments of a mask (T, B); None where it does not pay, or the mask is on a GPU.

    There the answer would have to be waited for.
    """
    if not isinstance(mask, np.ndarray) or mask.size < SMALLEST or mask.mean() > WORTH_IT:
        return None
    T, B = mask.shape
    lengths = mask.sum(axis=0)
    order = None
    if (np.diff(lengths) > 0).any():
        order = np.argsort(-lengths, kind="stable")
        mask = mask[:, order]
    # the number of the last real row at each step, rounded up
    last = np.where(mask.any(axis=1), B - mask[:, ::-1].argmax(axis=1), 0)
    step = -(-B // STEPS_OF_ROWS)
    rows = np.minimum(-(-last // step) * step, B)
    segments, start = [], 0
    for n, run in groupby(rows.tolist()):
        stop = start + len(list(run))
        segments.append(Segment(start, stop, n))
        start = stop
    if not 0 < sum((s.stop - s.start) * s.rows for s in segments) <= WORTH_IT * T * B:
        return None
    return Plan(order, segments)


def forward(
    run: Callable, x: Array, state: tuple[Array, ...], mask: Array, plan: Plan
) -> tuple[tuple[Array, tuple[Array, ...]], RaggedCache]:
    """run(x, state, mask) -> ((hs, *last), cache), segment by segment.

    Shapes: x (T, B, ...); state, parts (B, H); mask (T, B). Returns ((hs (T, B, H), last), cache).
    """
    order, segments = plan
    T, B = mask.shape
    if order is not None:
        x, mask, state = x[:, order], mask[:, order], tuple(s[order] for s in state)
    hs = np.empty((T, B, state[0].shape[1]), dtype=state[0].dtype)
    now = [s.copy() for s in state]  # of all rows; those that have ended stay as they are
    caches = []
    for start, stop, rows in segments:
        if rows:
            part = mask[start:stop, :rows]
            (hs_part, *last), cache = run(
                x[start:stop, :rows], tuple(s[:rows] for s in now), None if part.all() else part
            )
            hs[start:stop, :rows] = hs_part
            for s, new in zip(now, last, strict=True):
                s[:rows] = new
        hs[start:stop, rows:] = now[0][rows:]
        caches.append(cache if rows else None)
    if order is not None:
        back = np.argsort(order)
        hs, now = hs[:, back], [s[back] for s in now]
    return (hs, tuple(now)), RaggedCache(plan, caches, (T, B), now[0])


def backward(
    run: Callable, dhs: Array | None, dstate: tuple[Array | None, ...], cache: RaggedCache
) -> tuple[Array | None, ...]:
    """`forward` read upward. run((dhs, *dstate), cache) -> (dx, *dstate before, *dweights), for a segment.

    Shapes: dhs (T, B, H) or None; dstate, parts (B, H), each may be None for zero. Returns what run
    returns, for the whole rectangle: dx (T, B, D), or None where run gives none.
    """
    (order, segments), caches, (T, B), like = cache
    parts = len(dstate)
    now = [np.zeros(like.shape, like.dtype) if d is None else d.copy() for d in dstate]
    if order is not None:
        dhs, now = None if dhs is None else dhs[:, order], [d[order] for d in now]
    dx, dweights = None, None
    for (start, stop, rows), inner in zip(reversed(segments), reversed(caches), strict=True):
        if dhs is not None:
            # a row that has ended shows its last state at every later step
            now[0][rows:] += dhs[start:stop, rows:].sum(axis=0)
        if not rows:
            continue
        dout = (None if dhs is None else dhs[start:stop, :rows], *(d[:rows] for d in now))
        dx_part, *rest = run(dout, inner)
        for d, before in zip(now, rest[:parts], strict=True):
            d[:rows] = before
        if dweights is None:
            dweights = rest[parts:]
        else:
            for total, dweight in zip(dweights, rest[parts:], strict=True):
                total += dweight
        if dx_part is not None:
            if dx is None:
                dx = np.zeros((T, B, dx_part.shape[-1]), dtype=dx_part.dtype)
            dx[start:stop, :rows] = dx_part
    if order is not None:
        back = np.argsort(order)
        dx, now = None if dx is None else dx[:, back], [d[back] for d in now]
    return dx, *now, *dweights
