"""Which numbers of a block are measured, and the verdict from them: `judge` gives one Block for each.

Every entry, a sample of them, or one direction through all, as the time allows; then whether a wrong
block only sits on a kink (kinks.py), and whether a zero is proven to be right.
"""

import dataclasses
import time

import numpy as np

from minis2s.gradcheck.causes import Note
from minis2s.gradcheck.differences import EPS, unit_direction
from minis2s.gradcheck.kinks import (
    BETWEEN,
    NONE,
    OUTSIDE,
    SOME,
    at_kink,
    look_for_kinks,
    may_be_a_kink,
    right_beside,
    slope_here,
)
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.problem import TooSlow
from minis2s.gradcheck.run import Run, floor_of
from minis2s.gradcheck.verdict import (
    KINK,
    MISSING,
    RIGHT,
    UNCLEAR,
    VACUOUS,
    WRONG,
    Block,
    compared,
    smallest_of,
    verdict,
)

CALLS = {"complex step": 3, "Richardson": 6}  # what an entry costs, in calls with real numbers
FEW_ENTRIES = 400  # of a block, which are measured one by one where a direction is in doubt
ENTRIES_SECONDS = 4.0  # for the entries of one block
MOST_ENTRIES = 4000  # of a block, for which every entry is measured
FEWEST_ENTRIES = 20  # of a large block
SHARE = 0.3  # of the time that is left in all, the most for the entries of one block


def judge(
    run: Run, oracle: Oracle, rng: np.random.Generator, *, fast: bool, witness: bool
) -> dict[str, Block]:
    """One Block for each block of the problem.

    fast: one random direction for each block instead of every entry. witness: measure the Taylor slope.
    """
    blocks = {}
    for name, x in oracle.blocks.items():
        if name in run.missing:
            blocks[name] = Block(name, MISSING, error=float("inf"), notes=(run.missing[name],))
        elif x.size == 0:
            blocks[name] = Block(name, VACUOUS, notes=(Note("it has no entries"),))
        else:
            try:
                step_off_kinks(name, run, oracle)
                blocks[name] = (judge_direction if fast else judge_entries)(name, run, oracle, rng)
            except TooSlow as error:  # what was judged before stands
                blocks[name] = Block(name, UNCLEAR, notes=(Note(f"not measured: {error}"),))
            blocks[name] = unsteady(blocks[name], run)
    for name, block in blocks.items():
        if not witness or block.verdict not in (RIGHT, WRONG) or not np.isfinite(run.gradients[name]).all():
            continue
        direction = unit_direction(oracle.blocks[name], rng)
        try:
            block.slope = oracle.taylor_slope(name, direction, float((run.gradients[name] * direction).sum()))
        except TooSlow:  # a witness more or less
            break
    return blocks


def unsteady(block: Block, run: Run) -> Block:
    """Of a gradient that is another one from call to call, no number is right."""
    if block.name not in run.changing or block.verdict == WRONG:
        return block
    note = Note("backward gives other numbers from call to call; these are those of its first call")
    return dataclasses.replace(block, verdict=UNCLEAR, notes=(note,))


def step_off_kinks(name: str, run: Run, oracle: Oracle) -> None:
    """Where a gradient jumps at the inputs themselves because they sit on a kink, the jump is no rounding."""
    if name not in run.jumps or not may_be_a_kink(oracle, run.gradients[name]):
        return
    got = run.gradients[name]
    scale = float(np.abs(got).max())
    indices = [tuple(map(int, index)) for index in np.argwhere(run.jumps[name])[:SOME]]
    for index in indices:
        oracle.along(name, index)  # finds the displacement that fits there
        if at_kink(name, index, float(got[index]), scale, oracle) == NONE:
            return
    run.rounding[name] = floor_of(got, EPS)


def judge_direction(name: str, run: Run, oracle: Oracle, rng: np.random.Generator) -> Block:
    gradient = run.gradients[name]
    direction = unit_direction(gradient, rng)
    numeric, noise = oracle.along(name, direction)
    analytic = float((gradient.astype(np.float64) * direction).sum())
    # by chance a direction may be almost level: then the gradient's usual size is the measure
    usual = float(np.sqrt((gradient.astype(np.float64) ** 2).mean()))
    block = verdict(
        name, np.asarray(analytic), np.asarray(numeric), noise + run.rounding[name], smallest_of(run), usual
    )
    block.index = None
    if block.verdict == WRONG and may_be_a_kink(oracle, gradient):
        scale = max(abs(analytic), abs(numeric), usual)
        kink = at_kink(name, direction, analytic, scale, oracle)
        if gradient.size <= FEW_ENTRIES and (
            kink != NONE or slope_here(name, direction, oracle, analytic, numeric) == analytic
        ):
            return judge_entries(name, run, oracle, rng)  # perhaps the direction alone steps over a kink
        if kink == BETWEEN or (kink == OUTSIDE and right_beside(name, [direction], oracle, run, rng)):
            block.verdict = KINK
            block.notes = (Note("the direction leads over kinks, where the slopes to both sides differ"),)
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
            along.notes += (Note(f"one direction through all {got.size:,} entries measured"),)
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
        says = f"{len(indices):,} of {got.size:,} entries and one direction through all measured"
        block.notes += (Note(says),)
    block.got, block.expected = got, expected
    return settled_zero(block, got, oracle, rng)


def seconds_of_a_call(name: str, oracle: Oracle) -> float:
    start = time.perf_counter()
    oracle.moved(name, (0,) * oracle.blocks[name].ndim, oracle.step)
    return time.perf_counter() - start


def settled_zero(block: Block, got: np.ndarray, oracle: Oracle, rng: np.random.Generator) -> Block:
    """Where backward says zero, beside a numeric gradient that is rounding of terms that cancel or zero
    too: does the loss depend on the block at all?"""
    if block.verdict not in (WRONG, VACUOUS, UNCLEAR) or not np.isfinite(got).all():
        return block
    upstream = max((float(np.abs(d).max(initial=0)) for d in oracle.douts if d is not None), default=0.0)
    if np.abs(got).max() > 1e3 * EPS * upstream or not oracle.ignores(block.name, rng):
        return block
    note = f"the loss does not depend on {block.name} at all here: zero is right"
    return dataclasses.replace(block, verdict=VACUOUS, proven=True, notes=(Note(note),))
