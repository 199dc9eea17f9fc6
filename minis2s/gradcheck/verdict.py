"""The verdict on each block: its gradient beside the numeric one.

The comparison needs no tolerance to be chosen. Both sides come with an estimate of their own noise: the
numeric one from its method, the other from moving all inputs by one rounding error and looking how far
the gradient moves (hygiene.py). A difference far above both is a mistake; where the noise is as large as
the gradient, the verdict is "cannot tell".
"""

import itertools
import time
from dataclasses import dataclass

import numpy as np

from minis2s.gradcheck.hygiene import Run
from minis2s.gradcheck.numeric import EPS, Oracle, unit_direction

RIGHT, WRONG, UNCLEAR, VACUOUS, KINK, MISSING = "right", "wrong", "cannot tell", "vacuous", "kink", "missing"

MARGIN = 100  # how far above the noise a difference must lie; noise is an estimate, rarely wrong by 10
# A mistake in the calculus is larger than this (relative). What lies between the noise and this is
# called right, and said: an epsilon in a logarithm that backward leaves out, or a sum in float32.
SMALLEST_MISTAKE = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-3}
SMALLER_STEPS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
FEW_ENTRIES = 400  # of a block, which are measured one by one where a direction is in doubt
ENTRIES_SECONDS = 4.0  # for the entries of one block
MOST_ENTRIES = 4000  # of a block, for which every entry is measured


@dataclass
class Block:
    """The verdict on the gradient of one input or weight.

    error: max |got - expected| / max(|got|, |expected|), both maxima over the block.
    index: the entry where the two differ most; None where only a direction was tried.
    noise: what rounding and the method may explain of the error, relative too.
    slope: the Taylor exponent (numeric.py): 2 for a right gradient, 1 for a wrong one; None: exact.
    got, expected: the whole block, for the pictures; None where there is none.
    """

    name: str
    verdict: str
    error: float = 0.0
    index: tuple[int, ...] | None = None
    analytic: float = 0.0
    numeric: float = 0.0
    noise: float = 0.0
    slope: float | None = None
    note: str = ""
    got: np.ndarray | None = None
    expected: np.ndarray | None = None

    def __str__(self) -> str:
        place = self.name if self.index is None else f"{self.name}[{', '.join(map(str, self.index))}]"
        if self.verdict == MISSING:
            return f"{self.name}: missing: {self.note}"
        if self.verdict == VACUOUS:
            return f"{self.name}: vacuous: {self.note or 'both gradients are zero, so nothing is proven'}"
        text = f"{place}: {self.verdict}: relative error {self.error:.1e}"
        text += f", backward says {self.analytic:.10g}, differences say {self.numeric:.10g}"
        return f"{text} ({self.note})" if self.note else text


def judge(
    run: Run, oracle: Oracle, rng: np.random.Generator, *, fast: bool, witness: bool
) -> dict[str, Block]:
    """One Block for each block of the problem.

    fast: one random direction for each block instead of every entry. witness: measure the Taylor slope.
    """
    blocks = {}
    for name, x in oracle.blocks.items():
        if name in run.missing:
            blocks[name] = Block(name, MISSING, error=float("inf"), note=run.missing[name])
        elif x.size == 0:
            blocks[name] = Block(name, VACUOUS, note="it has no entries")
        elif fast:
            blocks[name] = judge_direction(name, run, oracle, rng)
        else:
            blocks[name] = judge_entries(name, run, oracle, rng)
        if witness and blocks[name].verdict in (RIGHT, WRONG) and np.isfinite(run.gradients[name]).all():
            direction = unit_direction(x, rng)
            blocks[name].slope = oracle.taylor_slope(
                name, direction, float((run.gradients[name] * direction).sum())
            )
    return blocks


def judge_direction(name: str, run: Run, oracle: Oracle, rng: np.random.Generator) -> Block:
    gradient = run.gradients[name]
    direction = unit_direction(gradient, rng)
    numeric, noise = oracle.along(name, direction)
    analytic = float((gradient.astype(np.float64) * direction).sum())
    # by chance a direction may be almost level: then the gradient's usual size is the measure
    usual = float(np.sqrt((gradient.astype(np.float64) ** 2).mean()))
    block = verdict(
        name, np.asarray(analytic), np.asarray(numeric), noise + run.rounding[name], run.dtype, usual
    )
    block.index = None
    if block.verdict == WRONG and oracle.method == "Richardson" and gradient.size <= FEW_ENTRIES:
        return judge_entries(name, run, oracle, rng)  # perhaps the direction steps over a kink
    return block


def judge_entries(name: str, run: Run, oracle: Oracle, rng: np.random.Generator) -> Block:
    got = run.gradients[name].astype(np.float64)
    indices, along = None, None
    start = time.perf_counter()
    oracle.terms(oracle.blocks)
    most = int(min(MOST_ENTRIES, max(50, ENTRIES_SECONDS / (3 * (time.perf_counter() - start)))))
    if got.size > most:
        # a sample of the entries shows where; that all are right, only a direction through all can tell
        along = judge_direction(name, run, oracle, rng)
        chosen = rng.choice(got.size, most, replace=False)
        indices = [tuple(map(int, np.unravel_index(n, got.shape))) for n in chosen]
    expected, noise = oracle.gradient(name, indices)
    measured = ~np.isnan(noise)
    block = verdict(
        name,
        np.where(measured, got, 0),
        np.where(measured, expected, 0),
        float(np.nanmax(noise)) + run.rounding[name],
        run.dtype,
    )
    if block.verdict == WRONG and oracle.method == "Richardson" and not oracle.noisy:
        block = look_for_kinks(block, got, expected, oracle, run)
    if along is not None and along.verdict != RIGHT:
        block = along
    block.got, block.expected = got, expected
    return block


def verdict(
    name: str, got: np.ndarray, expected: np.ndarray, noise: float, dtype: np.dtype, usual: float = 0.0
) -> Block:
    """The verdict on two gradients of one shape; `noise` is absolute, `usual` a size to measure errors by."""
    if not np.isfinite(expected).all():
        return Block(name, UNCLEAR, note="the numeric derivative is not finite")
    if not np.isfinite(got).all():
        worst = tuple(map(int, np.argwhere(~np.isfinite(got))[0]))
        return Block(name, WRONG, float("inf"), worst, float(got[worst]), float(expected[worst]))
    gap = np.abs(got - expected)
    scale = max(float(np.abs(got).max()), float(np.abs(expected).max()), usual if np.isfinite(usual) else 0.0)
    worst = tuple(map(int, np.unravel_index(int(gap.argmax()), gap.shape)))
    largest = float(gap.max())
    relative = largest / scale if scale > 0 else 0.0
    block = Block(
        name,
        RIGHT,
        relative,
        worst,
        float(got[worst]),
        float(expected[worst]),
        noise / scale if scale > 0 else 0.0,
    )
    if scale <= MARGIN * noise or scale < 1e-200:
        block.verdict = VACUOUS if not got.any() or scale <= 1e3 * EPS else UNCLEAR
        block.note = (
            "both gradients are zero up to rounding, so nothing is proven"
            if block.verdict == VACUOUS
            else (f"the gradient is below the noise of the measurement ({noise:.0e})")
        )
    elif largest > MARGIN * noise and relative > SMALLEST_MISTAKE[dtype]:
        block.verdict = WRONG
    elif MARGIN * noise > 1e-2 * scale:
        block.verdict, block.note = UNCLEAR, f"noise of {noise / scale:.0e} could hide an error of 1 percent"
    elif largest > MARGIN * noise:
        block.note = f"a difference of {relative:.0e} is more than rounding explains: an epsilon that backward leaves out?"
    return block


def look_for_kinks(block: Block, got: np.ndarray, expected: np.ndarray, oracle: Oracle, run: Run) -> Block:
    """Is the disagreement only that the differences step over a kink (of abs, max, relu)?

    Entries that disagree are measured again with much smaller displacements, and from each side alone. `expected` is corrected in place where the smaller step settles it.
    """
    scale = max(float(np.abs(got).max()), float(np.abs(expected).max()))
    wrong = np.argwhere(np.abs(got - expected) > 1e-8 * scale)
    if len(wrong) > 64:
        return block
    at_kink, most_noise = 0, 0.0
    for index in map(tuple, wrong):
        direction = np.zeros(got.shape)
        direction[index] = 1
        # of neighbouring steps the two that agree best: those over a kink, or too long, do not
        values = [oracle.real_along(block.name, direction, h)[0] for h in SMALLER_STEPS]
        noise, near = min((abs(x - y), y) for x, y in itertools.pairwise(values))
        left, right = oracle.one_sided(block.name, direction, 1e-7)
        most_noise = max(most_noise, noise)
        slack = 1e-4 * scale
        if abs(left - right) > slack and min(left, right) - slack <= got[index] <= max(left, right) + slack:
            at_kink += 1
            expected[index] = got[index]
        else:
            expected[index] = near
    settled = verdict(block.name, got, expected, most_noise + run.rounding[block.name], run.dtype)
    if settled.verdict == WRONG:
        return block
    if at_kink:
        settled.verdict = KINK
        settled.note = f"{at_kink} entries sit on a kink, where the slopes to the left and right differ: any value between is right"
        return settled
    settled.note = "near a kink, or steep: the differences needed a smaller step"
    return settled
