"""Does the code under test behave as a function: is a second call worth as much as the first?

No memory shared between results and what was handed in, backward the same when called again and after
another forward call, no buffer that a later call writes into.
"""

import itertools

import numpy as np

from minis2s.gradcheck.causes import Finding, fault, remark
from minis2s.gradcheck.hints import CACHE_REMEDY
from minis2s.gradcheck.linear import not_linear
from minis2s.gradcheck.problem import Misbehaved, arrays_inside, copied
from minis2s.gradcheck.run import as_float, call_backward, call_forward, same


def memory_shared(raw: dict, douts: list, cache, blocks: dict) -> Finding | None:
    """Where a gradient is a view of something else: adding to it in place would change that too.

    No number is wrong by it yet. Handing the upstream gradient on as it came, even twice (for a sum), is
    common and a remark; two gradients in one new array are a fault, since gradients are added to in place.
    A buffer that a later call writes into is a fault, too (`one_buffer`).
    """
    arrays = {name: value for name, value in raw.items() if isinstance(value, np.ndarray) and value.size}
    for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
        if np.may_share_memory(a, b) and np.shares_memory(a, b):
            as_it_came = any(d is not None and np.shares_memory(a, d) for d in douts)
            return (remark if as_it_came else fault)(
                f"the gradients of {one} and {other} share their memory",
                "aliased",
                f"d{other}",
                more=f": no number is wrong by it, but whoever adds to one in place (d{one} += ...) changes the other; "
                "return a copy (d.copy())",
            )
    groups = [("the gradient dout", [d for d in douts if d is not None]), ("the cache", arrays_inside(cache))]
    groups.append(("the inputs", list(blocks.values())))
    for name, value in arrays.items():
        for what, others in groups:
            if any(np.may_share_memory(value, a) and np.shares_memory(value, a) for a in others):
                seen = f"the gradient of {name} shares its memory with {what}"
                return remark(seen, "aliased", more=": return an array of its own (x.copy())")
    return None


def called_again(problem, guard, blocks, douts, cache, gradients, returned, rng) -> list[Finding]:
    """Backward twice on one cache, and after another forward call: both must give what the first call gave.

    returned: what the first call returned, the arrays themselves: no later call may write into them.
    """

    def differing(raw: dict) -> list[str]:
        return [
            name
            for name, g in gradients.items()
            if not (
                isinstance(raw.get(name), np.ndarray | np.generic | list) and same(g, as_float(raw[name], g))
            )
        ]

    found = []
    copies = copied(douts)
    try:
        second, _ = call_backward(problem, guard, copies, cache)
    except Misbehaved as error:
        if error.final:
            raise
        # the numbers of the first call can be judged all the same
        seen = f"called a second time with the same cache {error.seen}"
        found.append(fault(seen, "aliased", more=error.more + CACHE_REMEDY))
        second = None
    names = [] if second is None else differing(second)
    arrays = {
        n: x
        for n, x in returned.items()
        if second is not None and isinstance(x, np.ndarray) and isinstance(second.get(n), np.ndarray)
    }
    reused = [n for n, x in arrays.items() if x.size and np.shares_memory(x, second[n])]
    if reused and not names:
        found.append(one_buffer(reused))
    if names:
        doubled = all(np.allclose(as_float(second[n], gradients[n]), 2 * gradients[n], atol=0) for n in names)
        how = ": it is doubled, so the gradients of the first call are still there" if doubled else ""
        found.append(
            fault(
                f"calling backward twice gives another gradient of {', '.join(names)} the second time",
                "not cleared" if doubled else "aliased",
                f"d{names[0].rpartition('.')[2]}",
                more=how,
            )
        )
    elif second is not None:
        found += not_linear(problem, guard, douts, cache, gradients)
    _, cache = call_forward(problem, guard, {name: x.copy() for name, x in blocks.items()})
    try:
        call_forward(problem, guard, {name: elsewhere(x, rng) for name, x in blocks.items()})
    except Misbehaved as error:
        if error.final:
            raise
        found.append(
            remark(
                f"at inputs up to a third smaller {error}; whether backward survives another forward call is not known"
            )
        )
    problem.put(blocks)  # a layer's weights are no state: backward may read them
    names = differing(call_backward(problem, guard, copied(douts), cache)[0])
    if names and not any(f.ok is False for f in found):
        unsteady = from_call_to_call(problem, guard, blocks, douts, gradients)
        found.append(
            changing(unsteady)
            if unsteady
            else fault(
                f"after another forward call the gradient of {', '.join(names)} is that of the other call",
                "stale cache",
                f"d{names[0].rpartition('.')[2]}",
                more=": backward must use its cache only, nothing that is kept between calls",
            )
        )
    return found


def from_call_to_call(problem, guard, blocks, douts, gradients) -> list[str]:
    """The blocks of which another forward and backward pass at the same inputs gives another gradient."""
    _, cache = call_forward(problem, guard, {name: x.copy() for name, x in blocks.items()})
    raw, _ = call_backward(problem, guard, copied(douts), cache)
    return [name for name, g in gradients.items() if not same(g, as_float(raw.get(name), g))]


def changing(names: list[str]) -> Finding:
    """The fault that goes with `from_call_to_call`."""
    return fault(
        f"the gradient of {', '.join(names)} changes from call to call at the same inputs",
        "not cleared",
        f"d{names[0].rpartition('.')[2]}",
        more=": backward must keep nothing, and count nothing, between calls",
    )


def one_buffer(names: list[str]) -> Finding:
    return fault(
        f"later calls write the gradient of {', '.join(names)} into the same buffer",
        "aliased",
        f"d{names[0].rpartition('.')[2]}",
        more=": the one that an earlier call returned changes with it; make new arrays in each call",
    )


def elsewhere(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other values for a block: shrunk, so that what must be positive or below 1 stays so."""
    moved = x * (1 - 0.3 * rng.random(x.shape)) if x.any() else 0.3 * rng.standard_normal(x.shape)
    return np.asarray(moved, dtype=x.dtype)
