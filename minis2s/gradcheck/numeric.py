"""Derivatives measured from values of the function alone, each with an estimate of its own error.

Three ways, the best that a function allows being chosen by trying it:

complex step   Im f(x + i h v) / h with h = 1e-20. There is no difference, so nothing cancels: exact to
               rounding (Squire and Trapp 1998). Needs a function that works on complex numbers and
               uses no abs, max or comparison on the way.
Richardson     central differences at three displacements h, combined so that the errors of the orders
               h^2 and h^4 drop out (Richardson 1911); h is made shorter until they agree, or rounding
               is more than what they differ by (Ridders 1982). For any smooth function in float64.
one-sided      (f(x + h) - f(x)) / h and (f(x) - f(x - h)) / h, to recognize a kink, where the two differ.

Differences are taken of the single terms of the loss and summed afterwards: less cancels that way.
"""

import itertools
import warnings

import numpy as np

from minis2s.gradcheck.differences import EPS, SETTLED, STEP, change_of, ladder, scale_of, unit_direction
from minis2s.gradcheck.problem import Blocks, Guard, Misbehaved, Problem

COMPLEX_STEP = 1e-20
NOISY = 1e-11  # of the values of a function: more than float64 explains
BEND = 1e-2  # a third difference that shrinks to less than this, at a tenth of the spacing, is no noise
MANY = 50_000  # numbers; with more, complex arithmetic is slower than the six real values of Richardson
# How far a block is moved, in units of its own size, to see whether the loss depends on it at all; and
# how far all the other blocks are moved before, since one of them may hide it where they are.
FAR, ELSEWHERE = (0.03, 1.0, 30.0, 1000.0), (0.0, 0.1, 1.0, 3.0)

Direction = np.ndarray | tuple[int, ...]  # of a block's shape, or the index of one entry


class Oracle:
    """The numeric side of a check: derivatives of loss = sum(outs * douts) for one Problem.

    method: "complex step" or "Richardson", chosen when the oracle is made.
    """

    def __init__(
        self, problem: Problem, douts: list, guard: Guard, rng: np.random.Generator, method: str = ""
    ):
        self.problem, self.douts, self.guard = problem, douts, guard
        self.blocks: Blocks = {name: x.astype(np.float64) for name, x in problem.blocks.items()}
        self.copies = False  # whether forward gets copies of the blocks
        self.here = self.terms(self.blocks)
        if any((x != problem.blocks[name]).any() for name, x in self.blocks.items()):  # it changes its inputs
            self.copies = True
            self.blocks = {name: x.astype(np.float64) for name, x in problem.blocks.items()}
            self.here = self.terms(self.blocks)
        self.value = float(self.here.sum())
        self.size = float(np.abs(self.here).sum())  # rounding of the loss is EPS times this
        self.calls = 0
        self.step, self.value_noise = STEP, EPS * self.size
        # by block: the displacement that fitted last, and the largest derivative that was seen
        self.steps: dict[str, float] = {}
        self.largest: dict[str, float] = {}
        size = sum(x.size for x in self.blocks.values())
        self.complex = (
            {} if size > MANY else {name: x.astype(np.complex128) for name, x in self.blocks.items()}
        )
        self.method = method or (
            "complex step" if self.complex and self.complex_step_works(rng) else "Richardson"
        )
        if self.method == "Richardson":
            coarse = self.noise_of_dtype()
            self.value_noise = max(self.value_noise, coarse, self.measured_noise(rng))
            if self.noisy:
                self.step = (100 if coarse > 1e-5 * self.size else 10) * STEP  # in float16

    @property
    def noisy(self) -> bool:
        """Whether the values have much more noise than float64 explains: float32 inside, or cancellation.

        A loss that is itself no more than rounding, as the sum of a layer norm, is not meant.
        """
        reach = max((scale_of(x) for x in self.blocks.values()), default=1.0)
        nothing = self.size <= 1e3 * self.value_noise <= 1e6 * EPS * reach
        return self.value_noise > NOISY * self.size and not nothing

    def terms(self, blocks: Blocks) -> np.ndarray:
        """The terms of the loss, one for each number in the outs."""
        with self.guard.watching("forward"):
            outs = self.outs(blocks)
            parts = [
                np.asarray(out).reshape(-1) * dout.reshape(-1)
                for out, dout in zip(outs, self.douts, strict=False)
                if dout is not None
            ]
        return np.concatenate(parts) if parts else np.zeros(1)

    def outs(self, blocks: Blocks) -> list:
        return self.problem.forward({n: x.copy() for n, x in blocks.items()} if self.copies else blocks)[0]

    def terms_or_nan(self, blocks: Blocks) -> np.ndarray:
        """`terms` away from the inputs of the problem, where the function may not be defined: nan there."""
        self.calls += 1
        try:
            return self.terms(blocks)
        except Misbehaved as error:
            if error.final:
                raise
            return np.full(self.here.shape, np.nan)

    def moved(self, name: str, direction: Direction, step: float) -> np.ndarray:
        """The terms with one block moved by `step` along a direction."""
        x = self.blocks[name]
        if isinstance(direction, tuple):
            x = x.copy()
            x[direction] += step
        else:
            x = x + step * direction
        return self.terms_or_nan({**self.blocks, name: x})

    # -- one derivative along a direction ----------------------------------------------------------

    def along(self, name: str, direction: Direction) -> tuple[float, float]:
        """The derivative of the loss along a direction of one block, and the noise in that number.

        (nan, inf) where it cannot be measured.
        """
        if self.method == "complex step":
            return self.complex_slope({name: direction})
        return self.real_along(name, direction)

    def complex_slope(self, directions: dict[str, Direction]) -> tuple[float, float]:
        """The derivative along directions of several blocks at once, and the noise in it."""
        # all blocks are made complex: an array that takes its dtype from another block would drop the rest
        blocks = dict(self.complex)
        for name, direction in directions.items():
            if isinstance(direction, tuple):
                blocks[name] = blocks[name].copy()
                blocks[name][direction] += 1j * COMPLEX_STEP
            else:
                blocks[name] = blocks[name] + 1j * COMPLEX_STEP * direction
        self.calls += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            terms = self.terms(blocks)
        if not np.iscomplexobj(terms):
            raise Misbehaved("forward turns complex numbers into real ones")
        slopes = terms.imag / COMPLEX_STEP
        if not np.isfinite(slopes).all():
            return float("nan"), float("inf")
        # what cancels inside the function leaves rounding of the size of its values behind
        reach = max(float(np.abs(self.blocks[name]).max(initial=0)) for name in directions)
        return float(slopes.sum()), EPS * (float(np.abs(slopes).sum()) + self.size / max(reach, 1.0))

    def real_along(self, name: str, direction: Direction) -> tuple[float, float]:
        x = self.blocks[name]
        at = abs(float(x[direction])) if isinstance(direction, tuple) else scale_of(x)
        longest = self.step * max(1.0, at)
        first = min(longest, 16 * self.steps.get(name, longest))  # a neighbour needs about the same

        def changes(s: float) -> tuple[float, float]:
            change, bend = self.changes(self.moved(name, direction, s), self.moved(name, direction, -s))
            if isinstance(direction, tuple):  # by how much the number really moved
                actual = float((x[direction] + s) - (x[direction] - s))
                change *= 2 * s / actual if actual else float("nan")
            return change, bend

        usual = self.largest.get(name, 0.0)
        slope = ladder(changes, first, self.value_noise, usual)
        if first < longest and not slope.noise <= 10 * SETTLED * max(abs(slope.value), usual):
            # that neighbour was an exception, as one beside a kink is
            slope = min(slope, ladder(changes, longest, self.value_noise, usual), key=lambda s: s.noise)
        if not np.isfinite(slope.value):
            return slope.value, slope.noise
        self.steps[name] = slope.step
        self.largest[name] = max(self.largest.get(name, 0.0), abs(slope.value))
        # moved numbers are rounded, too
        return slope.value, slope.noise + 4 * EPS * at * abs(slope.value) / slope.step

    def changes(self, right: np.ndarray, left: np.ndarray) -> tuple[float, float]:
        """Of the terms on both sides of the inputs: what `ladder` wants to know."""
        return change_of(right, left), change_of(right, self.here) + change_of(left, self.here)

    def noise_of_dtype(self) -> float:
        """The noise of a loss of outs that hold less than float64 does.

        The values on a short line show nothing of it: in float16 they are all the same.
        """
        with self.guard.watching("forward"):
            dtypes = [np.asarray(out).dtype for out in self.outs(self.blocks)]
        eps = max((float(np.finfo(d).eps) for d in dtypes if d.kind == "f"), default=EPS)
        return 0.0 if eps <= EPS else eps / 4 * float(np.sqrt((self.here.astype(np.float64) ** 2).sum()))

    def measured_noise(self, rng: np.random.Generator) -> float:
        """The noise of one value of the loss, from values on a short line of points.

        Over so short a line the function is straight, and its third differences are nothing but noise:
        their root mean square is sqrt(20) times it (Moré and Wild 2011, section 2).
        """
        # each number in proportion to itself: small ones stay on their side of zero, where a kink or a
        # border may be
        directions = {
            name: (np.abs(x) if x.any() else 1.0) * unit_direction(x, rng) for name, x in self.blocks.items()
        }
        noise = None
        for spacing in (1e-6, 1e-7, 1e-8, 1e-9):
            points = [
                {name: x + n * spacing * directions[name] for name, x in self.blocks.items()}
                for n in range(8)
            ]
            values = [float(self.terms_or_nan(point).sum()) for point in points]
            if not np.isfinite(values).all():
                continue  # the border of its domain is that near
            finer = float(np.sqrt((np.diff(values, 3) ** 2).mean() / 20))
            # a bend shrinks with the third power of the spacing; noise stays, though in numbers that are
            # rounded to float32 it shows less and less
            if noise is not None and finer > BEND * noise:
                break
            noise = finer
            if noise <= NOISY * self.size:
                break
        return noise or 0.0

    def complex_step_works(self, rng: np.random.Generator) -> bool:
        """Does the complex step give, along a random direction of all blocks, what differences give?"""
        directions = {name: unit_direction(x, rng) for name, x in self.blocks.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                values = np.real(self.terms(self.complex))
            rounding = NOISY * self.size + 1e3 * EPS * max(scale_of(x) for x in self.blocks.values())
            if not float(np.abs(values - self.here).sum()) <= rounding:
                return False  # complex numbers take another way, as past a rounding to float32
            exact, _ = self.complex_slope(directions)
        except Misbehaved as error:
            if error.final:
                raise
            return False

        def changes(s: float) -> tuple[float, float]:
            left, right = (
                self.terms_or_nan({name: x + sign * s * directions[name] for name, x in self.blocks.items()})
                for sign in (-1, 1)
            )
            return self.changes(right, left)

        slope = ladder(changes, STEP, self.value_noise)
        return abs(exact - slope.value) <= 1e-6 * max(abs(exact), abs(slope.value)) + 1e3 * slope.noise

    # -- a whole block -----------------------------------------------------------------------------

    def gradient(
        self, name: str, indices: list[tuple[int, ...]] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of one block, entry by entry, and the noise of each entry.

        With `indices` only these entries are measured; the others are nan.
        """
        x = self.blocks[name]
        gradient, noise = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        for index in np.ndindex(x.shape) if indices is None else indices:
            gradient[index], noise[index] = self.along(name, index)
        return gradient, noise

    # -- second opinions ---------------------------------------------------------------------------

    def one_sided(self, name: str, direction: Direction, step: float) -> tuple[np.ndarray, np.ndarray]:
        """The slopes of every term to the left and to the right: they differ at a kink, however small
        the step. A bend of the function alone makes no difference: its order is removed."""
        sides = []
        with np.errstate(all="ignore"):
            for s in (-step, step):
                once, twice = (self.moved(name, direction, n * s) - self.here for n in (1, 2))
                sides.append((4 * once - twice) / (2 * s))
        return sides[0], sides[1]

    def taylor_slope(self, name: str, direction: np.ndarray, slope: float) -> float | None:
        """How fast |f(x + h v) - f(x) - h slope| shrinks with h: with h^2 (2.0) if `slope` is the
        derivative along v, with h (1.0) if it is not; no tolerance is needed to tell them apart.

        The exponent is the steepest one seen between neighbouring h, from those above rounding; None
        where all remainders are rounding, which is so for a linear function with a right slope.
        """
        steps = [0.1 / 4**k for k in range(6)]
        floor = 64 * max(self.value_noise, EPS * abs(slope) * steps[0])
        remainders = [abs(change_of(self.moved(name, direction, h), self.here) - h * slope) for h in steps]
        pairs = [(a, b) for a, b in itertools.pairwise(remainders) if b > floor and np.isfinite(a)]
        if not pairs:
            return None
        a, b = pairs[-1]  # the smallest steps: the leading term of the remainder rules there
        return float(np.log(a / b) / np.log(4)) if a > 0 else None

    def ignores(self, name: str, rng: np.random.Generator) -> bool:
        """Whether the loss does not depend on a block at all: moved far, and wherever the other blocks
        are, it leaves the loss as it is but for rounding."""
        x = self.blocks[name]
        noise = max(self.value_noise, self.measured_noise(rng))
        for far in ELSEWHERE:
            there = {
                n: o if n == name or not far else o + far * scale_of(o) * rng.standard_normal(o.shape)
                for n, o in self.blocks.items()
            }
            before = self.terms_or_nan(there)
            for t in FAR:
                moved = x + t * scale_of(x) * rng.standard_normal(x.shape)
                change = change_of(self.terms_or_nan({**there, name: moved}), before)
                rounding = 64 * max(1.0, t) * (noise + EPS * float(np.abs(before).sum()))
                if not abs(change) <= rounding:  # nan does not prove anything either
                    return False
        return True
