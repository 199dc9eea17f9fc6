"""The material for the checker is what it says: the right pairs are right, the wrong ones wrong.

The judge is written here and knows nothing of the checker: central differences of fourth order on
a random weighted sum of the outputs, entry by entry, on ragged random inputs.
"""

import importlib.util
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from minis2s.functional import OPS
from minis2s.gradcheck.causes import CAUSES


def load(name):
    """The data module NAME.py in this folder; tests/ is no package, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


ways, student_bugs = load("ways"), load("student_bugs")

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


# -- the wrong ones ----------------------------------------------------------------------------------

Right = namedtuple("Right", "kind forward backward options")  # what `measured` asks of a case
STEP_HINTS = {"last", "before last", "first", "inside", "padded", ""}


def base_of(bug):
    """The base that the bug was planted in, by the name of the factory that its functions come from."""
    factory = bug.forward.__qualname__.split(".")[0]
    return next(base for base in student_bugs.BASES if base.make.__name__ == factory)


def test_the_labels_of_the_bugs_are_words_of_the_checker():
    names = [(bug.kind, bug.name) for bug in student_bugs.BUGS]
    assert len(names) == len(set(names)) >= 80
    assert sum(not bug.classic for bug in student_bugs.BUGS) >= 30
    for bug in student_bugs.BUGS:
        assert {bug.cause, *bug.also} <= CAUSES.keys(), bug.name
        assert bug.cause not in bug.also and bug.node == bug.nodes[0]
        assert bug.step_hint in STEP_HINTS and bug.says
        assert set(bug.gate) <= set(ENGINE_GATES.get(bug.kind.removesuffix("_step"), "")), bug.name


@pytest.mark.parametrize("base", student_bugs.BASES, ids=lambda base: f"{base.kind}: {base.make.__name__}")
def test_without_a_bug_the_bases_are_right(base):
    case = Right(base.kind, *base.make(""), base.options)
    inputs, n, upstream, dout = measured(case)
    out, cache = case.forward(*inputs)
    for got, wanted in zip(parts(out), of_engine(case.kind, inputs, case.options), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    wanted = numeric_gradients(case.forward, inputs, n, upstream)
    assert max(errors(parts(case.backward(dout, cache)), wanted)) < 1e-6


@pytest.mark.parametrize("bug", student_bugs.BUGS, ids=lambda bug: f"{bug.kind}: {bug.name}")
def test_a_student_bug_computes_the_right_forward_and_a_wrong_gradient(bug):
    """Backward is called twice, after another forward: some are only wrong then."""
    inputs, n, upstream, dout = measured(bug)
    out, cache = bug.forward(*inputs)
    for got, wanted in zip(parts(out), of_engine(bug.kind, inputs, bug.options), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    bug.forward(*measured(bug, seed=8)[0])
    once, twice = (parts(bug.backward(dout, cache)) for _ in range(2))
    assert all(g.dtype == np.float64 and np.isfinite(g).all() for g in once)
    # a base without its bug is right (above), so it stands for the numeric gradient
    forward, backward = base_of(bug).make("")
    wanted = parts(backward(dout, forward(*inputs)[1]))
    assert max(errors(once, wanted) + errors(twice, wanted)) > 1e-5


BLOCKS = {"lstm": "dx dh0 dc0 dWx dWh db", "gru": "dx dh0 dWx dWh dbx dbh", "rnn": "dx dh0 dWx dWh db"}
RECURRENT = [bug for bug in student_bugs.BUGS if bug.kind in BLOCKS]


def wrong_entries(bug, steps, padded) -> dict[str, np.ndarray]:
    """For each block: where it is wrong, on the first `steps` steps, with the padding or without."""
    rng = np.random.default_rng(9)
    inputs, n = ways.draw_inputs(bug.kind, bug.forward, bug.options, rng)
    mask = [m[:steps] if padded else np.ones_like(m[:steps]) for m in inputs[n : n + 1]]
    inputs = (inputs[0][:steps], *inputs[1:n], *mask, *inputs[n + 1 :])
    forward, backward = base_of(bug).make("")
    out, cache = bug.forward(*inputs)
    dout = tuple(rng.standard_normal(part.shape) for part in out)
    bug.forward(*measured(bug)[0])
    _, got = (bug.backward(dout, cache) for _ in range(2))
    wanted = backward(dout, forward(*inputs)[1])
    names = BLOCKS[bug.kind].split()
    wrong = {
        name: np.abs(g - w) > 1e-9 * np.abs(w).max() for name, g, w in zip(names, got, wanted, strict=True)
    }
    return {name: where for name, where in wrong.items() if where.any()}


@pytest.mark.parametrize("bug", RECURRENT, ids=lambda bug: f"{bug.kind}: {bug.name}")
def test_the_label_of_a_recurrent_bug_fits_the_blocks_that_are_wrong(bug):
    order = bug.options.get("gates", ENGINE_GATES.get(bug.kind, ""))

    def wrong_gates(where):
        return {g for g, block in zip(order, np.split(where, max(len(order), 1), axis=-1)) if block.any()}

    if bug.step_hint == "padded":
        assert not wrong_entries(bug, ways.T, padded=False)
    if bug.step_hint == "before last":  # so in a sequence of one step only what is handed back is wrong
        assert wrong_entries(bug, 1, padded=False).keys() <= {"dh0", "dc0", *bug.nodes}
    if bug.step_hint == "last" and bug.nodes == ("dz",) and order:
        follows = {"r"} if bug.kind == "gru" and "n" in bug.gate else set()  # dr is made from dz of n
        bias = "db" if bug.kind == "lstm" else "dbx"
        assert wrong_gates(wrong_entries(bug, 1, padded=False)[bias]) - follows == set(bug.gate) - follows
    if set(bug.nodes) <= set(BLOCKS[bug.kind].split()):
        wrong = wrong_entries(bug, ways.T, padded=True)
        assert wrong.keys() <= set(bug.nodes)
        if bug.gate:
            assert all(wrong_gates(where) == set(bug.gate) for where in wrong.values())


# -- the ones that misbehave ---------------------------------------------------------------------------


def complaint(pair, capsys) -> str:
    """What is wrong with it beyond the numbers, or "": two calls, and a look at everything around them."""
    options = {}
    inputs, n = ways.draw_inputs(pair.kind, ways_of(pair.kind), options, np.random.default_rng(7))
    before = [np.copy(a) for a in inputs]
    capsys.readouterr()
    try:
        out, cache = pair.forward(*inputs)
        again, _ = pair.forward(*inputs)
        if np.shape(out) != np.shape(of_engine(pair.kind, before, options)[0]):
            return "shape of the output"
        if not np.array_equal(out, again):
            return "random"
        dout = np.random.default_rng(8).standard_normal(out.shape)
        given = dout.copy()
        pair.forward(*(2 * a if a.dtype == float else a for a in map(np.asarray, inputs)))
        once = pair.backward(dout, cache)
        kept = [np.copy(g) for g in parts(once)]
        twice = pair.backward(given.copy(), cache)
    except BaseException as error:  # noqa: BLE001  SystemExit and KeyboardInterrupt are among them
        return f"{type(error).__name__}"
    if not all(np.array_equal(a, b) for a, b in zip(inputs, before)):
        return "input changed"
    if not np.array_equal(dout, given):
        return "dout changed"
    if capsys.readouterr().out.count("\n") > 10:
        return "prints"
    if not isinstance(once, tuple | list | np.ndarray) or len(parts(once)) != n:
        return "structure"
    for gradient, later, copy, x in zip(parts(once), parts(twice), kept, before):
        if type(gradient) is not np.ndarray or gradient.dtype != np.float64 or gradient.shape != x.shape:
            return "type or shape"
        if not np.isfinite(gradient).all() or not gradient.any():
            return "not finite, or zero"
        if np.shares_memory(gradient, later) or np.shares_memory(gradient, dout):
            return "memory shared"
        if not np.array_equal(copy, later):
            return "not the same twice"
    if pair.name == "global state":
        wanted = pair.backward(dout, pair.forward(*inputs)[1])
        return "" if np.array_equal(wanted[1], kept[1]) else "stale"
    return ""


def ways_of(kind):
    """A forward with all arguments of that kind."""
    return OPS[kind].forward


@pytest.mark.parametrize("pair", [p for p in student_bugs.BAD_INPUT if p.ends], ids=lambda pair: pair.name)
def test_a_misbehaving_pair_misbehaves(pair, capsys):
    assert complaint(pair, capsys)


def test_there_are_enough_misbehaving_pairs():
    names = [pair.name for pair in student_bugs.BAD_INPUT]
    assert len(names) == len(set(names)) >= 15
    assert [pair.name for pair in student_bugs.BAD_INPUT if not pair.ends] == [
        "sleeps for ever",
        "loops for ever",
    ]
    assert all(pair.says for pair in student_bugs.BAD_INPUT)
