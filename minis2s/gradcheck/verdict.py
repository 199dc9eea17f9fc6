"""The verdict on each block: its gradient beside the numeric one.

The comparison needs no tolerance to be chosen. Both sides come with an estimate of their own noise: the
numeric one from its method, the other from moving all inputs by one rounding error and looking how far
the gradient moves (hygiene.py). A difference far above both is a mistake; where the noise is as large as
the gradient, the verdict is "cannot tell".
"""

import dataclasses
import time
from dataclasses import dataclass

import numpy as np

from minis2s.gradcheck.hygiene import Run, as_float, call_backward, call_forward
from minis2s.gradcheck.numeric import EPS, Direction, Oracle, scale_of, unit_direction
from minis2s.gradcheck.problem import TooSlow

RIGHT, WRONG, UNCLEAR, VACUOUS, KINK, MISSING = "right", "wrong", "cannot tell", "vacuous", "kink", "missing"

MARGIN = 100  # how far above the noise a difference must lie; noise is an estimate, rarely wrong by 10
# A mistake in the calculus is larger than this (relative). What lies between the noise and this is
# called right, and said: an epsilon in a logarithm that backward leaves out, or a sum in float32.
SMALLEST_MISTAKE = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-3}
KINK_STEP = 1e-4  # of the displacement that measures the derivative; a kink shows at any
CALLS = {"complex step": 3, "Richardson": 6}  # what an entry costs, in calls with real numbers
FEW_ENTRIES = 400  # of a block, which are measured one by one where a direction is in doubt
ENTRIES_SECONDS = 4.0  # for the entries of one block
MOST_ENTRIES = 4000  # of a block, for which every entry is measured
FEWEST_ENTRIES = 20  # of a large block
SHARE = 0.3  # of the time that is left in all, the most for the entries of one block
NONE, BETWEEN, OUTSIDE = "none", "between", "outside"  # of a kink, and of a value there
BESIDE = 1e-3  # how far, in units of a block's size
SOME = 16  # entries that are tried beside their kink
BORDER = (
    "however small the step, the function is not defined on both sides (nan, infinite or an error); hand in "
    "inputs away from the border of its domain"
)


@dataclass
class Block:
    """The verdict on the gradient of one input or weight.

    error: max |got - expected| / max(|got|, |expected|), both maxima over the block.
    index: the entry where the two differ most; None where only a direction was tried.
    noise: what rounding and the method may explain of the error, relative too.
    slope: the Taylor exponent (numeric.py): 2 for a right gradient, 1 for a wrong one; None: exact.
    proven: of a vacuous block, that the loss does not depend on it wherever the other blocks are: zero is
        then not a gradient that something hides, but the right one.
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
    proven: bool = False
    got: np.ndarray | None = None
    expected: np.ndarray | None = None

    def __str__(self) -> str:
        place = self.name if not self.index else f"{self.name}[{', '.join(map(str, self.index))}]"
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
        else:
            try:
                blocks[name] = (judge_direction if fast else judge_entries)(name, run, oracle, rng)
            except TooSlow as error:  # what was judged before stands
                blocks[name] = Block(name, UNCLEAR, note=f"not measured: {error}")
    for name, block in blocks.items():
        if not witness or block.verdict not in (RIGHT, WRONG) or not np.isfinite(run.gradients[name]).all():
            continue
        direction = unit_direction(oracle.blocks[name], rng)
        try:
            block.slope = oracle.taylor_slope(name, direction, float((run.gradients[name] * direction).sum()))
        except TooSlow:  # a witness more or less
            break
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
    if block.verdict == WRONG and may_be_a_kink(oracle, gradient):
        if gradient.size <= FEW_ENTRIES:
            return judge_entries(name, run, oracle, rng)  # perhaps the direction steps over a kink
        scale = max(abs(analytic), abs(numeric), usual)
        kink = at_kink(name, direction, analytic, scale, oracle)
        if kink == BETWEEN or (kink == OUTSIDE and right_beside(name, [direction], oracle, run, rng)):
            block.verdict = KINK
            block.note = "the direction leads over kinks, where the slopes to both sides differ"
    return settled_zero(block, gradient, oracle, rng)


def judge_entries(name: str, run: Run, oracle: Oracle, rng: np.random.Generator) -> Block:
    """The verdict from every entry; where there is no time for that, from a sample of the entries and one
    direction through all."""
    got = run.gradients[name].astype(np.float64)
    indices, along = None, None
    left = oracle.guard.end - time.monotonic()
    cost = CALLS[oracle.method] * min(seconds_of_a_call(name, oracle) for _ in range(2))
    most = int(min(MOST_ENTRIES, SHARE * left / cost, max(FEWEST_ENTRIES, ENTRIES_SECONDS / cost)))
    if got.size > most:
        # a sample of the entries shows where; that all are right, only a direction through all can tell
        along = judge_direction(name, run, oracle, rng)
        if most == 0:
            along.note = joined(along.note, f"one direction through all {got.size:,} entries measured")
            return along
        # half of them where backward says something: of a large embedding few rows are used at all
        used = np.flatnonzero(got)
        chosen = {*rng.choice(used, min(used.size, most // 2), replace=False).tolist()}
        chosen |= {*rng.choice(got.size, most - len(chosen), replace=False).tolist()}
        indices = [tuple(map(int, np.unravel_index(n, got.shape))) for n in sorted(chosen)]
    expected, noise = oracle.gradient(name, indices)
    block = compared(name, got, expected, noise, run)
    if block.verdict == WRONG and may_be_a_kink(oracle, got):
        block = look_for_kinks(block, got, expected, noise, oracle, run, rng)
    if along is not None and along.verdict != RIGHT and block.verdict != WRONG:
        block = along
    if along is not None:
        block.note = joined(
            block.note, f"{len(indices):,} of {got.size:,} entries and one direction through all measured"
        )
    block.got, block.expected = got, expected
    return settled_zero(block, got, oracle, rng)


def seconds_of_a_call(name: str, oracle: Oracle) -> float:
    start = time.perf_counter()
    oracle.moved(name, (0,) * oracle.blocks[name].ndim, oracle.step)
    return time.perf_counter() - start


def compared(name: str, got: np.ndarray, expected: np.ndarray, noise: np.ndarray, run: Run) -> Block:
    """The verdict from what `Oracle.gradient` gave, of which the entries that it left out are nan."""
    chosen = ~np.isnan(noise)
    noise = np.where(chosen, noise, np.median(noise[chosen])) + run.rounding[name]
    return verdict(name, np.where(chosen, got, 0), np.where(chosen, expected, 0), noise, run.dtype)


def joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def verdict(
    name: str,
    got: np.ndarray,
    expected: np.ndarray,
    noise: np.ndarray | float,
    dtype: np.dtype,
    usual: float = 0.0,
) -> Block:
    """The verdict on two gradients of one shape.

    noise: absolute, of each entry or of all; infinite, with `expected` nan, where none was measured.
    usual: a size to measure errors by.
    """
    if not np.isfinite(got).all():
        worst = tuple(map(int, np.argwhere(~np.isfinite(got))[0]))
        return Block(name, WRONG, float("inf"), worst, float(got[worst]), float(expected[worst]))
    known = np.isfinite(expected)
    if not known.any():
        return Block(name, UNCLEAR, note=f"no derivative could be measured: {BORDER}")
    unknown = (
        "" if known.all() else f"{(~known).sum()} of its {got.size} entries could not be measured: {BORDER}"
    )
    noise = np.broadcast_to(noise, got.shape)
    gap = np.where(known, np.abs(got - np.where(known, expected, 0)), 0)
    sizes = np.maximum(np.abs(got), np.abs(expected))[known]
    scale = max(float(sizes.max()), usual if np.isfinite(usual) else 0.0)
    above = (gap > MARGIN * noise) & (gap > SMALLEST_MISTAKE[dtype] * scale)
    worst = tuple(
        map(int, np.unravel_index(int((np.where(above, gap, 0) if above.any() else gap).argmax()), gap.shape))
    )
    relative = float(gap[worst]) / scale if scale > 0 else 0.0
    usual_noise, most_noise = float(np.median(noise[known])), float(noise[known].max())
    block = Block(
        name,
        RIGHT,
        relative,
        worst,
        float(got[worst]),
        float(expected[worst]),
        most_noise / scale if scale > 0 else 0.0,
    )
    if scale <= MARGIN * usual_noise or scale < 1e-200:
        block.verdict = VACUOUS if not got.any() or scale <= 1e3 * EPS else UNCLEAR
        block.note = (
            "both gradients are zero up to rounding, so nothing is proven"
            if block.verdict == VACUOUS
            else f"the gradient is below the noise of the measurement ({usual_noise:.0e})"
        )
        block.note = joined(block.note, unknown)
    elif above.any():
        block.verdict = WRONG
    elif not known.all():
        block.verdict, block.note = UNCLEAR, unknown
    elif MARGIN * most_noise > 1e-2 * scale:
        block.verdict, block.note = (
            UNCLEAR,
            f"noise of {most_noise / scale:.0e} could hide an error of 1 percent",
        )
    elif (gap > MARGIN * noise).any():
        block.note = f"a difference of {relative:.0e} is more than rounding explains: an epsilon that backward leaves out?"
    return block


# -- zero, and kinks -------------------------------------------------------------------------------


def settled_zero(block: Block, got: np.ndarray, oracle: Oracle, rng: np.random.Generator) -> Block:
    """Where backward says zero, beside a numeric gradient that is rounding of terms that cancel or zero
    too: does the loss depend on the block at all?"""
    if block.verdict not in (WRONG, VACUOUS, UNCLEAR) or not np.isfinite(got).all():
        return block
    upstream = max((float(np.abs(d).max(initial=0)) for d in oracle.douts if d is not None), default=0.0)
    if np.abs(got).max() > 1e3 * EPS * upstream or not oracle.ignores(block.name, rng):
        return block
    note = f"the loss does not depend on {block.name} at all here: zero is right"
    return dataclasses.replace(block, verdict=VACUOUS, proven=True, note=note)


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
    return verdict(name, np.array(got[-1]), expected, noise + run.rounding[name], run.dtype).verdict == RIGHT


def along_of(gradient: np.ndarray, direction: Direction) -> float:
    return float(gradient[direction] if isinstance(direction, tuple) else (gradient * direction).sum())


def gradient_at(blocks: dict, name: str, oracle: Oracle) -> np.ndarray | None:
    """What backward says at other inputs; None where that is no gradient."""
    _, cache = call_forward(oracle.problem, oracle.guard, {n: b.copy() for n, b in blocks.items()})
    douts = [None if d is None else d.copy() for d in oracle.douts]
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
    note = f"{len(on_kinks)} entries sit on a kink, where the slopes to the left and right differ: any value between is right"
    settled = compared(block.name, got, expected, noise, run)
    if settled.verdict == RIGHT:
        settled.verdict = KINK
    settled.note = joined(settled.note, note)
    return settled
