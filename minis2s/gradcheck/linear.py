"""Is backward linear in the gradient that it is given? Every derivative is.

With the upstream gradients a thousand times as large and of the other sign, all gradients must be so, too.
A clip, an abs or a threshold inside backward need not show at the usual size of the gradients.
"""

import numpy as np

from minis2s.gradcheck.causes import Finding, fault, remark
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem
from minis2s.gradcheck.run import as_float, call_backward, same

# A power of two: floating-point numbers that are multiplied by it keep all their digits, so that linear
# code gives exactly so much, however much of its numbers is rounding.
TIMES = -1024.0
# By how much of the largest entry the two may differ: no rounding, but a threshold for what is as good as zero.
CLOSE = {2: 2e-2, 4: 1e-3}  # by the bytes of a number; else 1e-7


NAMED = 4  # gradients, at most; of the others the number


def enlarged(douts: list, times: float = TIMES) -> list:
    """The upstream gradients, `times` what they are; None stays None."""
    with np.errstate(over="ignore"):
        return [None if d is None else np.asarray(times * d, dtype=d.dtype) for d in douts]


def not_linear(
    problem: Problem, guard: Guard, douts: list, cache, gradients: dict[str, np.ndarray]
) -> list[Finding]:
    """What one more call of backward, with the same cache and TIMES the douts, says: a fault, or nothing.

    gradients: those that the douts themselves gave.
    """

    def times(factor: float) -> dict[str, np.ndarray]:
        raw, _ = call_backward(problem, guard, enlarged(douts, factor), cache)
        return {name: as_float(raw.get(name), g) for name, g in gradients.items()}

    if not all(d is None or np.isfinite(d).all() for d in enlarged(douts)):
        return []  # float16 holds no such numbers
    try:
        large = times(TIMES)
        wrong = [name for name, g in gradients.items() if not proportional(large[name], TIMES * g)]
        if not wrong:
            return []
        if any(not same(g, other) for g, other in zip(gradients.values(), times(1.0).values(), strict=True)):
            return []  # it gives other numbers from call to call, which says nothing about large ones
        cause, how = what_it_is(
            *({name: a[name] for name in wrong} for a in (gradients, large, times(-TIMES), times(TIMES**2)))
        )
    except Misbehaved as error:
        if error.final:
            raise
        return [
            remark(f"with an upstream gradient of another size {error}; whether it is linear is not known")
        ]
    place = f"d{wrong[0].rpartition('.')[2]}"
    seen = "backward must be linear in the gradient that it is given"
    return [fault(seen, cause, place, more=f", but {how}", check="linear")]


def proportional(got: np.ndarray, expected: np.ndarray, close: float = 1e-7) -> bool:
    """Are these the same numbers? Where they are not finite they say nothing: they overflow, or are a fault already."""
    if got.shape != expected.shape or not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return True
    scale = max(float(np.abs(got).max(initial=0)), float(np.abs(expected).max(initial=0)))
    close = max(close, CLOSE.get(expected.dtype.itemsize, 0.0))
    return float(np.abs(got - expected).max(initial=0)) <= close * scale


def what_it_is(once: dict, large: dict, positive: dict, larger: dict) -> tuple[str, str]:
    """(cause, the rest of a sentence) from the gradients, by name, at 1, TIMES, -TIMES and TIMES**2 times the douts."""
    names = ", ".join(list(once)[:NAMED]) + (f" and {len(once) - NAMED} more" if len(once) > NAMED else "")
    are = f"the gradient{'s' if len(once) > 1 else ''} of {names} {'are' if len(once) > 1 else 'is'}"
    for name, g in once.items():
        limit = float(np.abs(large[name]).max())
        beyond = bool((np.abs(TIMES * g) > 1.001 * limit).any())
        if beyond and limit and proportional(large[name], np.clip(TIMES * g, -limit, limit)):
            says = (
                f"the gradient of {name} is clipped to {limit:.6g}: clipping belongs into the training loop"
            )
            return "clipping", says
    if all(proportional(positive[name], -TIMES * g) for name, g in once.items()):
        return (
            "not linear",
            f"{are} not of the other sign where that is: look for an abs, or a comparison with zero",
        )
    added = {name: (positive[name] + large[name]) / 2 for name in once}  # all that is linear cancels
    if all(proportional(added[name], g) for name, g in once.items()):
        return "missing factor", f"{are} the same whatever that is: it is ignored"
    if all(proportional(positive[n], -TIMES * g + (1 + TIMES) * added[n]) for n, g in once.items()):
        return "extra term", f"to {are.rpartition(' ')[0]} something is added that does not depend on it"
    sizes = [sum(float(np.abs(a).sum()) for a in at.values()) for at in (large, larger)]
    if sizes[1] <= 1.01 * abs(TIMES) * sizes[0]:
        says = "not in proportion to it where it is large: look for a clip, a threshold, or a norm that divides it"
        return "clipping", f"{are} {says}"
    return "not linear", f"{are} not in proportion to it: it grows faster, as with a square"
