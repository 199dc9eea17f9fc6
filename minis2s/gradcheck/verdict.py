"""The verdict on each block: its gradient beside the numeric one.

The comparison needs no tolerance to be chosen. Both sides come with an estimate of their own noise: the
numeric one from its method, the other from moving all inputs by one rounding error and looking how far
the gradient moves (hygiene.py). A difference far above both is a mistake; where the noise is as large as
the gradient, the verdict is "cannot tell".
"""

from dataclasses import dataclass

import numpy as np

from minis2s.gradcheck.causes import Note
from minis2s.gradcheck.differences import EPS
from minis2s.gradcheck.run import Run

RIGHT, WRONG, UNCLEAR, VACUOUS, KINK, MISSING = "right", "wrong", "cannot tell", "vacuous", "kink", "missing"

MARGIN = 100  # how far above the noise a difference must lie; noise is an estimate, rarely wrong by 10
# A mistake in the calculus is larger than this (relative). What lies between the noise and this is
# called right, and said: an epsilon in a logarithm that backward leaves out, or a sum in float32.
SMALLEST_MISTAKE = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-3}
NOISY_MISTAKE = 1e-5  # of float64 numbers with more noise than float64 has: how much more is measured
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
    notes: tuple[Note, ...] = ()
    proven: bool = False
    got: np.ndarray | None = None
    expected: np.ndarray | None = None

    @property
    def note(self) -> str:
        """All notes in one line."""
        return "; ".join(map(str, self.notes))

    def __str__(self) -> str:
        place = self.name if not self.index else f"{self.name}[{', '.join(map(str, self.index))}]"
        if self.verdict == MISSING:
            return f"{self.name}: missing: {self.note}"
        if self.verdict == VACUOUS:
            return f"{self.name}: vacuous: {self.note or 'both gradients are zero, so nothing is proven'}"
        text = f"{place}: {self.verdict}: relative error {self.error:.1e}"
        text += f", backward says {self.analytic:.10g}, differences say {self.numeric:.10g}"
        return f"{text} ({self.note})" if self.note else text


def compared(name: str, got: np.ndarray, expected: np.ndarray, noise: np.ndarray, run: Run) -> Block:
    """The verdict from what `Oracle.gradient` gave, of which the entries that it left out are nan."""
    chosen = ~np.isnan(noise)
    noise = np.where(chosen, noise, np.median(noise[chosen])) + run.rounding[name]
    return verdict(name, np.where(chosen, got, 0), np.where(chosen, expected, 0), noise, smallest_of(run))


def smallest_of(run: Run) -> float:
    """The smallest relative error of a run that counts as a mistake."""
    return NOISY_MISTAKE if run.noisy else SMALLEST_MISTAKE[run.dtype]


def verdict(
    name: str,
    got: np.ndarray,
    expected: np.ndarray,
    noise: np.ndarray | float,
    smallest: float,
    usual: float = 0.0,
) -> Block:
    """The verdict on two gradients of one shape.

    noise: absolute, of each entry or of all; infinite, with `expected` nan, where none was measured.
    smallest: the relative error below which it is no mistake. usual: a size to measure errors by.
    """
    if not np.isfinite(got).all():
        worst = tuple(map(int, np.argwhere(~np.isfinite(got))[0]))
        return Block(name, WRONG, float("inf"), worst, float(got[worst]), float(expected[worst]))
    known = np.isfinite(expected)
    if not known.any():
        return Block(name, UNCLEAR, notes=(Note(f"no derivative could be measured: {BORDER}"),))
    unknown = ()
    if not known.all():
        unknown = (Note(f"{(~known).sum()} of its {got.size} entries could not be measured: {BORDER}"),)
    noise = np.broadcast_to(noise, got.shape)
    gap = np.where(known, np.abs(got - np.where(known, expected, 0)), 0)
    sizes = np.maximum(np.abs(got), np.abs(expected))[known]
    scale = max(float(sizes.max()), usual if np.isfinite(usual) else 0.0)
    above = (gap > MARGIN * noise) & (gap > smallest * scale)
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
        says = (
            "both gradients are zero up to rounding, so nothing is proven"
            if block.verdict == VACUOUS
            else f"the gradient is below the noise of the measurement ({usual_noise:.0e})"
        )
        block.notes = (Note(says), *unknown)
    elif above.any():
        block.verdict = WRONG
    elif not known.all():
        block.verdict, block.notes = UNCLEAR, unknown
    elif MARGIN * most_noise > 1e-2 * scale:
        block.verdict, block.notes = (
            UNCLEAR,
            (Note(f"noise of {most_noise / scale:.0e} could hide an error of 1 percent"),),
        )
    elif (gap > MARGIN * noise).any():
        says = f"a difference of {relative:.0e} is more than rounding explains"
        block.notes = (Note(says, tells="an epsilon that backward leaves out?"),)
    return block
