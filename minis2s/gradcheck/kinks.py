"""Does backward disagree with the differences only because an input sits on a kink (of abs, max, relu)?

A kink shows as two slopes, to the left and to the right, that differ however small the step; any value
between the two is right. Where many kinks meet, what backward says right beside them decides.
"""

import dataclasses

import numpy as np

from minis2s.gradcheck.causes import Note
from minis2s.gradcheck.differences import scale_of
from minis2s.gradcheck.numeric import Direction, Oracle
from minis2s.gradcheck.problem import copied
from minis2s.gradcheck.run import Run, as_float, call_backward, call_forward
from minis2s.gradcheck.verdict import KINK, MARGIN, RIGHT, Block, compared, smallest_of, verdict

KINK_STEP = 1e-4  # of the displacement that measures the derivative; a kink shows at any
NONE, BETWEEN, OUTSIDE = "none", "between", "outside"  # of a kink, and of a value there
BESIDE = 1e-3  # how far, in units of a block's size
SOME = 16  # entries that are tried beside their kink


def may_be_a_kink(oracle: Oracle, got: np.ndarray) -> bool:
    return oracle.method == "Richardson" and not oracle.noisy and bool(np.isfinite(got).all())


def at_kink(name: str, direction: Direction, value: float, scale: float, oracle: Oracle) -> str:
    """NONE where there is no kink; BETWEEN where the value lies between what its two sides allow, else OUTSIDE.

    Each term of the loss has its own kink, and may take any slope between its two.
    """
    step = KINK_STEP * oracle.steps[name]
    left, right = oracle.one_sided(name, direction, step)
    slack = 1e-9 * scale + 64 * oracle.value_noise / step
    if not np.isfinite(left).all() or not np.isfinite(right).all() or np.abs(left - right).sum() <= slack:
        return NONE
    low, high = float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum())
    return BETWEEN if low - slack <= value <= high + slack else OUTSIDE


def slope_here(name: str, direction: Direction, oracle: Oracle, *values: float) -> float:
    """The one of the values that is nearest to the slope over a step so short that few kinks lie on it."""
    left, right = oracle.one_sided(name, direction, KINK_STEP * oracle.steps[name])
    slope = float(left.sum() + right.sum()) / 2
    return min(values, key=lambda value: abs(value - slope))


def right_beside(
    name: str, directions: list[Direction], oracle: Oracle, run: Run, rng: np.random.Generator
) -> bool:
    """Do several kinks meet here (hidden units of which many are 0), and is backward right beside them?

    What each of several kinks allows cannot be read off the loss, so that a value outside its two slopes
    may be right. Beside a single one the gradient takes no more than two values.
    """
    x = oracle.blocks[name]
    got = []
    for _ in range(3):
        nudge = BESIDE * scale_of(x) * rng.standard_normal(x.shape)
        for sign in (1, -1):  # to both sides of each kink
            blocks = {**oracle.blocks, name: x + sign * nudge}
            gradient = gradient_at(blocks, name, oracle)
            if gradient is None:
                return False
            got.append([along_of(gradient, d) for d in directions])
    values = np.sort(np.array(got), axis=0)
    apart = np.diff(values, axis=0) > 0.02 * (values[-1] - values[0])
    if (apart.sum(axis=0) < 2).any():
        return False
    beside = Oracle(
        dataclasses.replace(oracle.problem, blocks=blocks), run.douts, oracle.guard, rng, "Richardson"
    )
    expected, noise = np.array([beside.along(name, d) for d in directions]).T
    error = noise + run.rounding[name]
    return verdict(name, np.array(got[-1]), expected, error, smallest_of(run)).verdict == RIGHT


def along_of(gradient: np.ndarray, direction: Direction) -> float:
    return float(gradient[direction] if isinstance(direction, tuple) else (gradient * direction).sum())


def gradient_at(blocks: dict, name: str, oracle: Oracle) -> np.ndarray | None:
    """What backward says at other inputs; None where that is no gradient."""
    _, cache = call_forward(oracle.problem, oracle.guard, {n: b.copy() for n, b in blocks.items()})
    douts = copied(oracle.douts)
    raw, _ = call_backward(oracle.problem, oracle.guard, douts, cache)
    gradient = as_float(raw.get(name), oracle.blocks[name])
    return gradient if gradient.shape == blocks[name].shape and np.isfinite(gradient).all() else None


def look_for_kinks(
    block: Block,
    got: np.ndarray,
    expected: np.ndarray,
    noise: np.ndarray,
    oracle: Oracle,
    run: Run,
    rng: np.random.Generator,
) -> Block:
    """Is the disagreement only that entries sit on a kink (of abs, max, relu)?

    `expected` is corrected in place where it is, so that a mistake elsewhere stands alone.
    """
    finite = np.isfinite(expected)
    scale = max(float(np.abs(got[finite]).max()), float(np.abs(expected[finite]).max()))
    error = run.rounding[block.name] + np.where(finite, noise, 0)
    gap = np.where(finite, np.abs(got - np.where(finite, expected, 0)), 0)
    found: dict[str, list] = {NONE: [], BETWEEN: [], OUTSIDE: []}
    for index in np.argwhere((gap > MARGIN * error) & (gap > 1e-8 * scale)):
        index = tuple(map(int, index))
        found[at_kink(block.name, index, float(got[index]), scale, oracle)].append(index)
    on_kinks = found[BETWEEN]
    if found[OUTSIDE] and right_beside(block.name, found[OUTSIDE][:SOME], oracle, run, rng):
        on_kinks = on_kinks + found[OUTSIDE]
    if not on_kinks:
        return block
    for index in on_kinks:
        expected[index] = got[index]
    sit = f"{len(on_kinks)} entries sit" if len(on_kinks) > 1 else "1 entry sits"
    note = f"{sit} on a kink, where the slopes to the left and right differ: any value between is right"
    settled = compared(block.name, got, expected, noise, run)
    if settled.verdict == RIGHT:
        settled.verdict = KINK
    settled.notes += (Note(note),)
    return settled
