"""Derivatives measured from values of the function alone, each with an estimate of its own error.

Three ways, the best that a function allows being chosen by trying it:

complex step   Im f(x + i h v) / h with h = 1e-20. There is no difference, so nothing cancels: exact to
               rounding (Squire and Trapp 1998). Needs a function that works on complex numbers and
               uses no abs, max or comparison on the way.
Richardson     central differences at h, h/2 and h/4, combined so that the errors of the orders h^2 and
               h^4 drop out (Richardson 1911). Works for any smooth function in float64.
one-sided      (f(x + h) - f(x)) / h and (f(x) - f(x - h)) / h, to recognize a kink, where the two differ.

Differences are taken of the single terms of the loss and summed afterwards: less cancels that way.
"""

import itertools
import warnings
from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.problem import Blocks, Guard, Misbehaved, Problem

EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 1e-20
STEP = 1e-2  # the largest displacement of Richardson; the others are its halves
HALVINGS = 2
MANY = 50_000  # numbers; with more, complex arithmetic is slower than the six real values of Richardson


def richardson(difference: Callable[[float], float], step: float = STEP) -> tuple[float, float]:
    """(f'(0), an estimate of the error that the method makes), where difference(s) = f(s) - f(-s).

    The error of a central difference is a series in h^2, so (4 D(h/2) - D(h)) / 3 removes its first
    term, and the same once more with 16 the second. What is left is of the order h^6: the displacement
    can stay large, where rounding (of the order EPS/h) does no harm. The last correction that was made
    is an upper estimate of what is left.
    """
    estimates = [difference(step / 2**k) / (2 * step / 2**k) for k in range(HALVINGS + 1)]
    change = 0.0
    for m in range(1, HALVINGS + 1):
        finer, coarser = estimates[1:], estimates[:-1]
        corrections = [(f - c) / (4**m - 1) for f, c in zip(finer, coarser, strict=True)]
        estimates = [f + d for f, d in zip(finer, corrections, strict=True)]
        change = abs(corrections[-1])
    # the last correction is of the order h^4; what remains is smaller by about (h/2)^2
    return float(estimates[0]), float(change) * step


class Oracle:
    """The numeric side of a check: derivatives of loss = sum(outs * douts) for one Problem.

    method: "complex step" or "Richardson", chosen when the oracle is made.
    """

    def __init__(
        self, problem: Problem, douts: list, guard: Guard, rng: np.random.Generator, method: str = ""
    ):
        self.problem, self.douts, self.guard = problem, douts, guard
        self.blocks: Blocks = {name: x.astype(np.float64) for name, x in problem.blocks.items()}
        terms = self.terms(self.blocks)
        self.value = float(terms.sum())
        self.size = float(np.abs(terms).sum())  # rounding of the loss is EPS times this
        self.calls = 0
        self.step, self.value_noise = STEP, EPS * self.size
        size = sum(x.size for x in self.blocks.values())
        self.complex = (
            {} if size > MANY else {name: x.astype(np.complex128) for name, x in self.blocks.items()}
        )
        self.method = method or (
            "complex step" if self.complex and self.complex_step_works(rng) else "Richardson"
        )
        if self.method == "Richardson":
            self.value_noise = max(self.value_noise, self.measured_noise(rng))
            if self.value_noise > 1e-11 * self.size:  # computed in float32 somewhere inside
                self.step = 10 * STEP

    @property
    def noisy(self) -> bool:
        """Whether the values have much more noise than float64 explains."""
        return self.value_noise > 1e-11 * self.size

    def terms(self, blocks: Blocks) -> np.ndarray:
        """The terms of the loss, one for each number in the outs."""
        with self.guard.watching("forward"):
            outs, _ = self.problem.forward(blocks)
            parts = [
                np.asarray(out).reshape(-1) * dout.reshape(-1)
                for out, dout in zip(outs, self.douts, strict=False)
                if dout is not None
            ]
        return np.concatenate(parts) if parts else np.zeros(1)

    def moved(self, name: str, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.terms({**self.blocks, name: x})

    # -- one derivative along a direction ----------------------------------------------------------

    def along(self, name: str, direction: np.ndarray) -> tuple[float, float]:
        """The derivative of the loss along a direction of one block, and the noise in that number."""
        if self.method == "complex step":
            return self.complex_along(name, direction)
        return self.real_along(name, direction)

    def complex_along(self, name: str, direction: np.ndarray) -> tuple[float, float]:
        return self.complex_slope({name: direction})

    def complex_slope(self, directions: Blocks) -> tuple[float, float]:
        """The derivative along directions of several blocks at once, and the noise in it."""
        # all blocks are made complex: an array that takes its dtype from another block would drop the rest
        blocks = dict(self.complex)
        for name, direction in directions.items():
            blocks[name] = blocks[name] + 1j * COMPLEX_STEP * direction
        self.calls += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            terms = self.terms(blocks)
        if not np.iscomplexobj(terms):
            raise Misbehaved("forward turns complex numbers into real ones")
        slopes = terms.imag / COMPLEX_STEP
        # what cancels inside the function leaves rounding of the size of its values behind
        reach = max(float(np.abs(self.blocks[name]).max(initial=0)) for name in directions)
        return float(slopes.sum()), EPS * (float(np.abs(slopes).sum()) + self.size / max(reach, 1.0))

    def real_along(self, name: str, direction: np.ndarray, step: float | None = None) -> tuple[float, float]:
        x, step = self.blocks[name], self.step if step is None else step

        def difference(s: float) -> float:
            return float((self.moved(name, x + s * direction) - self.moved(name, x - s * direction)).sum())

        slope, error = richardson(difference, step)
        return slope, error + 4 * self.value_noise / step

    def measured_noise(self, rng: np.random.Generator) -> float:
        """The noise of one value of the loss, from values on a short line of points.

        Over so short a line the function is straight, and its third differences are nothing but noise:
        their root mean square is sqrt(20) times it (Moré and Wild 2011, section 2).
        """
        directions = {name: unit_direction(x, rng) for name, x in self.blocks.items()}
        values = [
            float(
                self.terms({name: x + n * 1e-6 * directions[name] for name, x in self.blocks.items()}).sum()
            )
            for n in range(8)
        ]
        return float(np.sqrt((np.diff(values, 3) ** 2).mean() / 20))

    def complex_step_works(self, rng: np.random.Generator) -> bool:
        """Does the complex step give, along a random direction of all blocks, what differences give?"""
        directions = {name: unit_direction(x, rng) for name, x in self.blocks.items()}
        try:
            exact, _ = self.complex_slope(directions)
        except Misbehaved as error:
            if isinstance(error.__cause__, SystemExit):
                raise
            return False

        def difference(s: float) -> float:
            left, right = (
                self.terms({name: x + sign * s * directions[name] for name, x in self.blocks.items()})
                for sign in (-1, 1)
            )
            return float((right - left).sum())

        slope, error = richardson(difference)
        noise = error + 4 * EPS * self.size / STEP
        return abs(exact - slope) <= 1e-6 * max(abs(exact), abs(slope)) + 1e3 * noise

    # -- a whole block -----------------------------------------------------------------------------

    def gradient(
        self, name: str, indices: list[tuple[int, ...]] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of one block, entry by entry, and the noise of each entry.

        With `indices` only these entries are measured; the others are nan.
        """
        x = self.blocks[name]
        gradient, noise = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        direction = np.zeros(x.shape)
        for index in np.ndindex(x.shape) if indices is None else indices:
            direction[index] = 1
            gradient[index], noise[index] = self.along(name, direction)
            direction[index] = 0
        return gradient, noise

    # -- second opinions ---------------------------------------------------------------------------

    def one_sided(self, name: str, direction: np.ndarray, step: float) -> tuple[float, float]:
        """The slopes to the left and to the right: they differ at a kink, however small the step."""
        x = self.blocks[name]
        here = self.terms(self.blocks)
        left = float((here - self.moved(name, x - step * direction)).sum()) / step
        right = float((self.moved(name, x + step * direction) - here).sum()) / step
        return left, right

    def taylor_slope(self, name: str, direction: np.ndarray, slope: float) -> float | None:
        """How fast |f(x + h v) - f(x) - h slope| shrinks with h: with h^2 (2.0) if `slope` is the
        derivative along v, with h (1.0) if it is not; no tolerance is needed to tell them apart.

        The exponent is the steepest one seen between neighbouring h, from those above rounding; None
        where all remainders are rounding, which is so for a linear function with a right slope.
        """
        x = self.blocks[name]
        here = self.terms(self.blocks)
        steps = [0.1 / 4**k for k in range(6)]
        floor = 64 * max(self.value_noise, EPS * abs(slope) * steps[0])
        remainders = [
            abs(float((self.moved(name, x + h * direction) - here).sum()) - h * slope) for h in steps
        ]
        pairs = [(a, b) for a, b in itertools.pairwise(remainders) if b > floor]
        if not pairs:
            return None
        a, b = pairs[-1]  # the smallest steps: the leading term of the remainder rules there
        return float(np.log(a / b) / np.log(4))


def unit_direction(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    direction = rng.standard_normal(x.shape)
    return direction / max(np.sqrt((direction**2).sum()), 1e-300)
