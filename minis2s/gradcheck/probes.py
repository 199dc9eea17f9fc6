"""Derivatives inside a watched layer: of the loss by a probe at an output, and of one operation by an input.

Measured as the whole problem's are (numeric.py): by the complex step where that works, else by the ladder of
differences, which finds a displacement for steep functions, too.
"""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.differences import change_of, ladder, scale_of
from minis2s.gradcheck.numeric import COMPLEX_STEP, Oracle
from minis2s.gradcheck.problem import Misbehaved
from minis2s.gradcheck.verdict import BORDER
from minis2s.gradcheck.watch import Call, Watch


class Probes:
    """What `calls`, recorded by `watch`, should have been told by backward.

    A derivative comes with the error that it may have. Raises Misbehaved where it cannot be measured.
    """

    def __init__(self, oracle: Oracle, watch: Watch):
        self.oracle, self.watch = oracle, watch
        self.calls = list(watch.calls)
        self.complex = oracle.method == "complex step"

    def along(self, number: int, part: int, direction: np.ndarray) -> tuple[float, float]:
        """The derivative of the loss along a probe at an output of a call."""
        oracle = self.oracle

        def terms(delta: np.ndarray, blocks: dict, measured: Callable) -> np.ndarray:
            self.watch.start(recording=False)
            self.watch.probe = (number, part, delta)
            try:
                return measured(blocks)
            finally:
                self.watch.probe = None

        if self.complex:
            blocks = {name: x.astype(np.complex128) for name, x in oracle.blocks.items()}
            return imaginary(terms(1j * COMPLEX_STEP * direction, blocks, oracle.terms).sum()), 0.0

        def changes(s: float) -> tuple[float, float]:
            right, left = (terms(d * s * direction, oracle.blocks, oracle.terms_or_nan) for d in (1, -1))
            return oracle.changes(right, left)

        call = self.calls[number]
        return self.climbed(changes, call.outs[part], oracle.value_noise, call)

    def gradient(self, number: int, part: int) -> np.ndarray:
        """The gradient of the loss by an output, entry by entry."""
        out = self.calls[number].outs[part]
        gradient, direction = np.zeros(out.shape), np.zeros(out.shape)
        for index in np.ndindex(out.shape):
            direction[index] = 1
            gradient[index] = self.along(number, part, direction)[0]
            direction[index] = 0
        return gradient

    def of_operation(self, call: Call, position: int, direction: np.ndarray) -> tuple[float, float]:
        """The derivative of an operation alone along one of its inputs, given what arrived at its outputs."""

        def terms(inputs: list) -> np.ndarray:
            out, _ = call.op.forward(*inputs)
            parts = out if isinstance(out, tuple) else (out,)
            arrived = [(p, d) for p, d in zip(parts, call.douts, strict=False) if d is not None]
            return np.concatenate([np.zeros(1), *((np.asarray(p) * d).reshape(-1) for p, d in arrived)])

        def moved(step: complex) -> np.ndarray:
            inputs = list(call.inputs)
            if self.complex:
                inputs = [x.astype(np.complex128) if n in call.floats else x for n, x in enumerate(inputs)]
            inputs[position] = inputs[position] + step * direction
            return terms(inputs)

        if self.complex:
            return imaginary(moved(1j * COMPLEX_STEP).sum()), 0.0
        here = moved(0.0)

        def changes(s: float) -> tuple[float, float]:
            right, left = moved(s), moved(-s)
            return change_of(right, left), change_of(right, here) + change_of(left, here)

        relative = self.oracle.value_noise / max(self.oracle.size, 1e-300)
        return self.climbed(changes, call.inputs[position], relative * float(np.abs(here).sum()), call)

    def climbed(self, changes: Callable, x: np.ndarray, noise: float, call: Call) -> tuple[float, float]:
        slope = ladder(changes, self.oracle.step * max(1.0, scale_of(x)), noise)
        if not np.isfinite(slope.value):
            raise Misbehaved(f"no derivative at {call.op.name} could be measured", f": {BORDER}")
        return slope.value, slope.noise


def imaginary(value) -> float:
    return float(np.imag(value) / COMPLEX_STEP)
