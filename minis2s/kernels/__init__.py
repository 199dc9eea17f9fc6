"""Fused kernels for CuPy: lines of functional/ that are many small operations there are one here.

On a GPU every operation of an array module reads its operands from memory, writes its result back and
costs a launch. A recurrent step has dozens of them on small arrays: launches, not arithmetic, are what
it waits for. A kernel does them all in one go. Each is written once, as lines of C for a single
element (`Kernel`); the readable NumPy version of the same lines stays in functional/, which asks
`fused(xp)` and hands over to lstm.py, gru.py or cross_entropy.py of this package.

The lines have no loops, no indices and no memory of their own. That keeps them readable, and lets the
tests evaluate them with NumPy, element by element, on machines without a GPU.
"""

from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minis2s.backend import Array


def fused(xp: ModuleType) -> bool:
    """Whether arrays of this module have fused kernels: all but NumPy's."""
    return xp is not np


class Kernel(NamedTuple):
    """An elementwise kernel: what happens to one element, as C, for ``cupy.ElementwiseKernel``.

    inputs, outputs: parameters as "T x, bool real". T is the dtype of the arrays, found at the call.
    An output that is handed in may be read before it is written: that is how a kernel works in place.
    """

    name: str
    inputs: str
    outputs: str
    lines: str

    def __call__(self, xp: ModuleType, *arguments: Array | float | bool):
        """Run on arrays of the module `xp`, which are broadcast, and numbers: inputs, then outputs.

        Outputs that are left out are made. Returns the output, or the tuple of them.
        """
        return compiled(xp, self)(*arguments)


@cache
def compiled(xp: ModuleType, kernel: Kernel):
    """CuPy's object for a kernel; CuPy compiles it at the first call, for each dtype and layout, and keeps it."""
    return xp.ElementwiseKernel(kernel.inputs, kernel.outputs, kernel.lines, f"minis2s_{kernel.name}")


class RowSum(NamedTuple):
    """The sum over the last axis of an expression in the inputs, for ``cupy.ReductionKernel``."""

    name: str
    inputs: str
    expression: str

    def __call__(self, xp: ModuleType, *arguments: Array) -> Array:
        """Inputs (..., V) and (..., 1), broadcast -> (..., 1)."""
        return compiled_sum(xp, self)(*arguments, axis=-1, keepdims=True)


@cache
def compiled_sum(xp: ModuleType, kernel: RowSum):
    """As `compiled`."""
    name = f"minis2s_{kernel.name}"
    return xp.ReductionKernel(kernel.inputs, "T total", kernel.expression, "a + b", "total = a", "0", name)


def columns(a: Array, blocks: int) -> list[Array]:
    """(B, blocks * H) -> as many views (B, H), side by side in `a`."""
    H = a.shape[1] // blocks
    return [a[:, k * H : (k + 1) * H] for k in range(blocks)]


def real_rows(mask: Array | None, t: int | None = None) -> Array | bool:
    """Which rows of a step are real, for a kernel's ``bool real``: (B, 1), or True for all of them.

    mask: (T, B) with the step t, or (B,) without; None when nothing is padding.
    """
    if mask is None:
        return True
    return (mask if t is None else mask[t])[:, None]
