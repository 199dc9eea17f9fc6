"""Numeric derivatives in float64, and the comparison of a backward pass with them.

The derivative of a function along a line is measured from a few of its values (`derivative`);
doing so for each entry of an array gives its gradient. `check_op` does it to one operation and
`check_loss` to a whole model. NumPy only.

One verdict per block, never one number for everything: the large gradients of one block would
hide a wrong small one in another. And never `out.sum()` as the loss: it gives a softmax, for
one, the gradient zero, and then a backward that returns zero looks right.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minis2s.op import Op

EPS = float(np.finfo(np.float64).eps)
STEP = 1e-2  # the largest displacement; the others are its halves
HALVINGS = 2


class Block(NamedTuple):
    """The verdict on one block: its worst entry (or its random direction)."""

    name: str
    error: float  # max |analytic - numeric| / max(|analytic|, |numeric|), both maxima over the block
    index: tuple[int, ...] | None  # where the two differ most; None for a direction
    analytic: float  # what backward says there
    numeric: float  # what the differences say there

    def __str__(self) -> str:
        place = self.name if self.index is None else f"{self.name}[{', '.join(map(str, self.index))}]"
        return (
            f"{place}: relative error {self.error:.2e}, "
            f"backward says {self.analytic:.12g}, differences say {self.numeric:.12g}"
        )


def derivative(difference: Callable[[float], float]) -> float:
    """f'(0), where difference(s) = f(s) - f(-s).

    Central differences at the displacements h, h/2 and h/4, with h = STEP. Their error is a
    series in h^2, so (4 D(h/2) - D(h)) / 3 removes its first term, and the same once more with
    16 the second (Richardson 1911). What is left is of the order h^6: the displacement can stay
    large, where rounding (of the order EPS/h) does no harm.
    """
    estimates = []
    for k in range(HALVINGS + 1):
        h = STEP / 2**k
        estimates.append(difference(h) / (2 * h))
    for m in range(1, HALVINGS + 1):
        finer, coarser = estimates[1:], estimates[:-1]
        estimates = [f + (f - c) / (4**m - 1) for f, c in zip(finer, coarser, strict=True)]
    return float(estimates[0])


def numeric_gradient(value: Callable[[], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The gradient of sum(value()) with respect to x, which `value` reads and which is moved in
    place, one entry at a time, and put back.

    `value` may return a whole array of terms: their differences are taken before their sum, which
    cancels less.
    """
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        before = x[index]

        def at(s: float, index=index, before=before) -> np.ndarray:
            x[index] = before + s
            return value()

        gradient[index] = derivative(lambda s, at=at: (at(s) - at(-s)).sum())
        x[index] = before
    return gradient


def check_op(
    op: Op,
    inputs: Sequence,
    n_differentiable: int,
    *,
    rng: np.random.Generator,
    without: Sequence[int] = (),
) -> dict[str, Block]:
    """Compare op.backward with the numeric gradient of each differentiable input, entry by entry.

    inputs: the arguments of op.forward, of which the first `n_differentiable` are float64 arrays
        (or None: left out of the check). They are copied, not changed.
    without: which parts of a tuple output get no upstream gradient (None); every other part gets
        a random one, drawn once.

    Returns a Block per differentiable input, by the name that it has in op.forward's signature.
    Raises ValueError when an input is not float64, when backward returns another number of
    gradients or another shape, or when a block is vacuous: without any gradient, it proves nothing.
    """
    inputs = [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs]
    names = list(inspect.signature(op.forward).parameters)
    out, cache = op.forward(*inputs)
    several = isinstance(out, tuple)
    dout = [None if k in without else rng.standard_normal(part.shape) for k, part in enumerate(as_tuple(out))]
    din = as_tuple(op.backward(tuple(dout) if several else dout[0], cache))
    if len(din) != n_differentiable:
        raise ValueError(f"{op.name}: backward returned {len(din)} gradients, expected {n_differentiable}")

    def terms() -> np.ndarray:
        """The terms of the loss sum(out * dout)."""
        parts = as_tuple(op.forward(*inputs)[0])
        return np.concatenate(
            [(p * d).reshape(-1) for p, d in zip(parts, dout, strict=True) if d is not None]
        )

    size = float(np.abs(terms()).sum())
    blocks = {}
    for name, x, dx in zip(names, inputs, din, strict=False):
        if x is None:
            continue
        if x.dtype != np.float64:
            raise ValueError(f"{op.name}: {name} must be float64 to be checked, got {x.dtype}")
        if dx is None or dx.shape != x.shape:
            got = "None" if dx is None else f"shape {dx.shape}"
            raise ValueError(f"{op.name}: the gradient of {name} must have shape {x.shape}, got {got}")
        blocks[name] = compare(f"{op.name}: {name}", dx, numeric_gradient(terms, x), size)
    return blocks


def check_loss(
    loss: Callable[[], float],
    parameters: dict[str, np.ndarray],
    gradients: dict[str, np.ndarray],
    *,
    rng: np.random.Generator | None = None,
) -> dict[str, Block]:
    """Compare the gradients of a whole model with numeric ones, block by block.

    loss: computes the loss anew from `parameters`, float64 arrays that are moved in place and put
        back bit for bit. gradients: what backward gave, by the same names.
    rng: with it, one random direction per block is tried, six losses a block. That finds what
        trying every entry (the default, six losses an entry) finds; only the place is not shown.

    Returns a Block per parameter. Raises ValueError when a parameter is not float64, when a gradient
    has another shape, when the loss is not finite or two calls of it differ (a random mask that is
    not fixed), or when a block is vacuous.
    """
    value = float(loss())
    if not np.isfinite(value):
        raise ValueError(f"the loss is {value}: there is no gradient to check")
    if float(loss()) != value:
        raise ValueError("two calls of the loss gave two values: fix every random choice in it first")
    blocks = {}
    for name, x in parameters.items():
        if x.dtype != np.float64:
            raise ValueError(f"{name} must be float64 to be checked, got {x.dtype}")
        if gradients[name].shape != x.shape:
            raise ValueError(f"the gradient of {name} must have shape {x.shape}, got {gradients[name].shape}")
        if rng is None:
            analytic, numeric = gradients[name], numeric_gradient(lambda: np.array(loss()), x)
        else:
            direction = rng.standard_normal(x.shape)
            direction /= np.sqrt((direction**2).sum())
            before = x.copy()

            def at(s: float, x=x, before=before, direction=direction) -> float:
                x[...] = before + s * direction
                return loss()

            analytic = (gradients[name] * direction).sum()
            numeric = derivative(lambda s, at=at: at(s) - at(-s))
            x[...] = before
        blocks[name] = compare(name, np.asarray(analytic), np.asarray(numeric), abs(value))
    return blocks


def compare(name: str, analytic: np.ndarray, numeric: np.ndarray, size: float) -> Block:
    """The Block for two gradients of a function whose values are of the given size.

    A gradient that is not finite has the error inf. Raises ValueError when both are so small that
    the differences see rounding only: then there is nothing to compare.
    """
    finite = np.isfinite(analytic) & np.isfinite(numeric)
    if finite.all():
        gap = np.abs(analytic - numeric)
        scale = max(np.abs(analytic).max(), np.abs(numeric).max())
        if scale <= 16 * EPS * size / STEP:
            raise ValueError(f"{name}: both gradients are zero up to rounding, so the check is vacuous")
        error = float(gap.max() / scale)
    else:
        gap, error = ~finite, float("inf")
    worst = np.unravel_index(int(gap.argmax()), gap.shape)
    index = tuple(map(int, worst)) if gap.ndim else None
    return Block(name, error, index, float(analytic[worst]), float(numeric[worst]))


def require(blocks: dict[str, Block], tolerance: float) -> None:
    """Raise AssertionError naming every block whose error is not within the tolerance."""
    wrong = [str(block) for block in blocks.values() if not block.error <= tolerance]
    if wrong or not blocks:
        raise AssertionError("\n".join(wrong) or "no block was checked")


def as_tuple(x) -> tuple:
    """The parts of an output: of a plain tuple its items, else the one thing itself."""
    return x if isinstance(x, tuple) else (x,)
