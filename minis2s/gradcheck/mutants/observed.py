"""What a check asks of an operation: which of the circumstances that bugs need does it ever bring about?"""

import inspect
from collections.abc import Callable

import numpy as np

from minis2s.op import Op


def observed(check: Callable[[Op], object], op: Op) -> set[str]:
    """The weaknesses (keys of situations.WEAKNESSES) that the check does not have, from one run on the right op."""
    names = list(inspect.signature(op.forward).parameters)
    met: set[str] = set()
    calls: dict[int, int] = {}

    def forward(*inputs, **keywords):
        given = dict(zip(names, inputs, strict=False)) | keywords
        met.update(conditions(op.name, given))
        out, cache = op.forward(*inputs, **keywords)
        return out, (cache,)  # in a tuple of its own, so that it is known again

    def backward(dout, wrapped):
        parts = dout if isinstance(dout, tuple) else (dout,)
        calls[id(wrapped)] = calls.get(id(wrapped), 0) + 1
        if calls[id(wrapped)] > 1:
            met.add("one call")
        if any(d is not None and np.any(np.asarray(d) != 1) for d in parts):
            met.add("sum of outputs")
        if any(d is not None and np.any(d) for d in parts[1:]):
            met.add("outputs only")
        if len(parts) > 1 and parts[0] is not None and np.any(parts[0]):
            met.add("last states only")
        return op.backward(dout, wrapped[0])

    check(Op(op.name, forward, backward))
    return met


def conditions(name: str, given: dict) -> set[str]:
    """The weaknesses that the inputs of one forward call do not have."""
    met = set()
    first = next((np.asarray(x) for x in given.values() if np.ndim(x) >= 1), np.zeros(0))
    single = name.endswith("_step") or first.ndim < 3
    batch, time = (0, None) if single else (1, 0)
    if name == "cross_entropy" or name == "embedding":
        batch, time = (1, 0) if np.ndim(given.get("ids", first)) > 1 else (0, None)
        first = np.asarray(given.get("ids", first))
    if first.ndim > batch and first.shape[batch] > 1:
        met.add("one row")
    if time is not None and first.ndim > time and first.shape[time] > 1:
        met.add("one step")
    longest = next((np.shape(given[key])[0] for key in ("keys", "values") if key in given), 0)
    if longest > 1 or (name == "masked_softmax" and first.shape[-1] > 1):
        met.add("one source")
    mask = given.get("mask")
    if mask is not None and not np.all(mask):
        met.add("no padding")
    ids = given.get("ids")
    if ids is not None and len(np.unique(ids)) < np.size(ids):
        met.add("no repeats")
    kept = given.get("keep_mask")
    if kept is not None and not np.all(kept):
        met.add("no dropout")
    if any(np.any(given[key]) for key in ("h0", "c0", "h_prev", "c_prev") if given.get(key) is not None):
        met.add("no initial state")
    if given.get("smoothing") or given.get("reduction", "mean") != "mean":
        met.add("mean only")
    if name.startswith("gru"):
        met.add("reset before" if given.get("reset_after", True) else "reset after")
    return met
