"""A derivative from differences of values: `ladder` finds the displacement that fits the function.

Central differences at three displacements are combined so that their first errors drop out; what the
last correction changed says how much is left.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

EPS = float(np.finfo(np.float64).eps)
STEP = 1e-2  # the largest displacement of Richardson, of numbers up to 1
SHORTER = 1.9  # each displacement is so much shorter; at halves sin(x / 1e-4) would pass for a slow wave
MORE = 2  # displacements, besides the first, for one extrapolation
RUNGS = 50  # displacements that are tried at most for one derivative
SETTLED = 1e-10  # of the derivative: an error as small as this is worth no further displacement


class Slope(NamedTuple):
    """A derivative, the error that it may have, and the displacement that gave it.

    nan with an infinite error where no displacement gave a number.
    """

    value: float
    noise: float
    step: float


def extrapolated(estimates: list[float]) -> tuple[float, float]:
    """(f'(0), an estimate of the error left in it) from central differences at h, h/r, h/r^2 ..., r = SHORTER.

    The error of a central difference is a series in h^2, so (r^2 D(h/r) - D(h)) / (r^2 - 1) removes its
    first term, and the same once more with r^4 the second. The last correction is the error before it was
    made; what is left is smaller by about the factor by which that correction is smaller than the one
    before. Where they do not shrink, or the first one changes the derivative much, h is too large for the
    function and nothing shrinks by a rule. By chance the last may be almost none: the first one's third
    power says what it could have been. The estimate is four times all that, since it is one.
    """
    corrections = [0.0]
    for m in range(1, len(estimates)):
        finer, coarser = estimates[1:], estimates[:-1]
        estimates = [f + (f - c) / (SHORTER ** (2 * m) - 1) for f, c in zip(finer, coarser, strict=True)]
        corrections.append(abs(estimates[-1] - finer[-1]))
    before, last = corrections[-2:]
    value = float(estimates[-1])
    if not 0 < before <= 0.1 * abs(value):
        return value, float(4 * last)
    shrinks = min(1.0, max(last / before, 1e-3))
    return value, float(4 * (last * shrinks + 2 * before * (before / value) ** 2))


def ladder(
    changes: Callable[[float], tuple[float, float]], step: float, noise: float, usual: float = 0.0
) -> Slope:
    """The derivative from that displacement, `step` or a smaller one, whose extrapolations agree best.

    changes(s) = f(s) - f(-s) and f(s) + f(-s) - 2 f(0), or nan where the function cannot be computed that
    far away. noise: of one value of f. usual: a size of derivative that is worth measuring; what is smaller
    than SETTLED times it is settled. Smooth functions are settled at once, which costs six values; each
    further displacement costs two.
    """
    best = Slope(float("nan"), float("inf"), step)
    estimates: list[float] = []
    bend_before = 0.0
    for _ in range(RUNGS):
        change, bend = changes(step)
        if not np.isfinite(change):  # beyond the border of where f is defined
            estimates, step = [], step / 8
            continue
        estimates = [*estimates[-MORE:], change / (2 * step)]
        # a bend grows with the step; one as large at the shorter step is a peak that both sides lie beyond
        beyond = abs(bend) > 16 * noise and abs(bend_before) < 1.5 * abs(bend)
        bend_before = bend
        if len(estimates) > MORE and not beyond:
            value, error = extrapolated(estimates)
            rounding = noise / step
            if error + rounding < best.noise:
                best = Slope(value, error + rounding, step * SHORTER**MORE)
            if error <= max(rounding, SETTLED * max(abs(value), usual)) or rounding > best.noise:
                break
        step /= SHORTER
    return best


def change_of(after: np.ndarray, before: np.ndarray) -> float:
    """The sum of the differences; nan, and no warning, where something is infinite."""
    with np.errstate(all="ignore"):
        return float((after - before).sum())


def scale_of(x: np.ndarray) -> float:
    """The usual size of a block's numbers; 1 where they are all zero and say nothing."""
    largest = float(np.abs(x).max(initial=0))
    return largest * float(np.sqrt(((x / largest) ** 2).mean())) if largest else 1.0


def unit_direction(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    direction = rng.standard_normal(x.shape)
    return direction / max(np.sqrt((direction**2).sum()), 1e-300)
