"""The material for the checker is what it says: the right pairs are right, the wrong ones wrong.

The judge is written here and knows nothing of the checker: central differences of fourth order on
a random weighted sum of the outputs, entry by entry, on ragged random inputs.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from minis2s.functional import OPS


def load(name):
    """The data module NAME.py in this folder; tests/ is no package, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


ways = load("ways")

ENGINE_GATES = {"lstm": "ifog", "gru": "run"}


def parts(x) -> list:
    return list(x) if isinstance(x, tuple | list) else [x]


def in_structure(out, arrays):
    return type(out)(arrays) if isinstance(out, tuple | list) else arrays[0]


def numeric_gradients(forward, inputs, n_differentiable, upstream, h=1e-3) -> list[np.ndarray]:
    """Of sum(out * upstream), entry by entry: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h."""

    def value(n, where, step):
        moved = [a.copy() if k == n else a for k, a in enumerate(inputs)]
        moved[n][where] += step
        return sum((np.asarray(o) * u).sum() for o, u in zip(parts(forward(*moved)[0]), upstream))

    gradients = []
    for n in range(n_differentiable):
        gradient = np.zeros_like(inputs[n])
        for where in np.ndindex(gradient.shape):
            near, far = (value(n, where, k * h) - value(n, where, -k * h) for k in (1, 2))
            gradient[where] = (8 * near - far) / (12 * h)
        gradients.append(gradient)
    return gradients


def errors(got, wanted) -> list[float]:
    """For each block: the largest error, against the largest entry."""
    assert [np.shape(g) for g in got] == [w.shape for w in wanted]
    return [np.abs(g - w).max() / max(np.abs(w).max(), 1e-3) for g, w in zip(got, wanted, strict=True)]


def measured(case, seed=7):
    """(inputs, upstream, its structure, numeric gradients) of a case of either list."""
    rng = np.random.default_rng(seed)
    inputs, n = ways.draw_inputs(case.kind, case.forward, case.options, rng)
    out, _ = case.forward(*inputs)
    upstream = [rng.standard_normal(np.shape(o)) for o in parts(out)]
    return inputs, n, upstream, in_structure(out, upstream)


def permuted(array, kind, gates, into):
    """The gate blocks of a weight, from the order `gates` into the order `into`."""
    blocks = dict(zip(gates, np.split(array, len(gates), axis=-1)))
    return np.concatenate([blocks[g] for g in into], axis=-1)


def in_engine_order(inputs, kind, gates):
    first_weight = 3 if kind.startswith("lstm") else 2
    return [
        permuted(a, kind, gates, ENGINE_GATES[kind.removesuffix("_step")]) if first_weight <= n < 6 else a
        for n, a in enumerate(inputs)
    ]


def of_engine(kind, inputs, options):
    """What the engine's forward says on the same inputs, as a list."""
    if "gates" in options:
        inputs = in_engine_order(inputs, kind, options["gates"])
    if kind.startswith("gru") and options.get("reset_after") is False:
        inputs = [*inputs[:7], *([None] if len(inputs) < 7 else []), False]
    if kind == "attention":
        scores = OPS["general_scores"].forward(*inputs[:3])[0]
    elif kind == "dot_attention":
        scores = OPS["dot_scores"].forward(*inputs[:2])[0]
    elif kind == "additive_attention":
        scores = OPS["additive_scores"].forward(inputs[0], *inputs[2:5])[0]
    else:
        return parts(OPS[kind].forward(*inputs)[0])
    weights = OPS["masked_softmax"].forward(scores, inputs[-1])[0]
    return [OPS["weighted_sum"].forward(weights, inputs[1])[0]]


def test_there_are_enough_ways_and_no_two_have_one_name():
    names = [(way.kind, way.name) for way in ways.RIGHT]
    assert len(names) == len(set(names)) >= 24


@pytest.mark.parametrize("way", ways.RIGHT, ids=lambda way: f"{way.kind}: {way.name}")
def test_a_right_way_computes_what_the_engine_computes(way):
    inputs, *_ = measured(way)
    tolerance = 1e-6 if "float32" in way.name else 1e-12
    for got, wanted in zip(
        parts(way.forward(*inputs)[0]), of_engine(way.kind, inputs, way.options), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("way", ways.RIGHT, ids=lambda way: f"{way.kind}: {way.name}")
def test_a_right_way_has_the_right_gradient(way):
    inputs, n, upstream, dout = measured(way)
    got = parts(way.backward(dout, way.forward(*inputs)[1]))
    assert len(got) == n
    if "float32" in way.name:  # its own differences are noise; the engine's forward has none
        wanted = numeric_gradients(
            lambda *x: (of_engine(way.kind, x, way.options), None), inputs, n, upstream
        )
        assert max(errors(got, wanted)) < 1e-5
    else:
        assert max(errors(got, numeric_gradients(way.forward, inputs, n, upstream))) < 1e-6
