"""What the tests of the layers share: every layer checked by one function, whatever its structure.

Inputs, outputs and gradients are nested tuples and lists of arrays; `leaves` lists the arrays in
them, `each` maps them.
"""

from collections.abc import Callable

import numpy as np
import pytest

from minis2s.gradcheck import check_loss
from minis2s.nn import Layer

T, B, D, H = 4, 3, 5, 2
MASK = np.arange(T)[:, None] < np.array([4, 2, 3])  # (T, B) ragged


class Tools:
    T, B, D, H = T, B, D, H
    MASK = MASK

    @staticmethod
    def each(function: Callable, x):
        """`x` with every array replaced by function(array); None stays."""
        if x is None:
            return None
        if isinstance(x, tuple | list):
            items = [Tools.each(function, item) for item in x]
            return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
        return function(x)

    @staticmethod
    def leaves(x) -> list:
        """The arrays (and Nones) in nested tuples and lists, in order."""
        return [a for item in x for a in Tools.leaves(item)] if isinstance(x, tuple | list) else [x]

    @staticmethod
    def scatter_weights(layer: Layer, seed: int = 0) -> Layer:
        """Every weight of `layer` becomes 0.7 * N(0, 1), biases included."""
        rng = np.random.default_rng(seed)
        for parameter in layer.parameters().values():
            parameter.data[...] = 0.7 * rng.standard_normal(parameter.data.shape)
        return layer

    @staticmethod
    def check(
        layer: Layer,
        forward: Callable,
        backward: Callable,
        inputs,
        *,
        without: tuple[int, ...] = (),
        fast: bool = False,
        tolerance: float = 1e-8,
    ) -> None:
        """Check the gradients of all weights and of all arrays in `inputs`, entry by entry.

        forward() -> (out, cache), computed from the arrays in `inputs`, which are moved in place.
        backward(dout, cache) -> gradients in the structure of `inputs`.
        without: the numbers of the output arrays whose upstream gradient is None.
        fast: one random direction for each array instead of every entry.
        """
        rng = np.random.default_rng(1)
        Tools.scatter_weights(layer)
        out, cache = forward()
        dout = Tools.each(lambda a: rng.standard_normal(a.shape), out)
        weights = [None if n in without else d for n, d in enumerate(Tools.leaves(dout))]
        remaining = iter(weights)
        given = Tools.each(lambda a: next(remaining), dout)

        def loss() -> float:
            parts = Tools.leaves(forward()[0])
            return sum(float((o * d).sum()) for o, d in zip(parts, weights, strict=True) if d is not None)

        layer.zero_grad()
        # gradients are added: what stands there before stays
        for parameter in layer.parameters().values():
            parameter.grad += 1
        dinputs = Tools.leaves(backward(given, cache))
        blocks = {name: p.data for name, p in layer.parameters().items()}
        gradients = {name: p.grad - 1 for name, p in layer.parameters().items()}
        for n, (x, dx) in enumerate(zip(Tools.leaves(inputs), dinputs, strict=True)):
            blocks[f"input {n}"], gradients[f"input {n}"] = x, dx
        report = check_loss(loss, blocks, gradients, fast=fast, seed=1)
        assert report.ok and all(block.error <= tolerance for block in report.blocks), report


@pytest.fixture
def tools() -> type[Tools]:
    return Tools
