"""The table of cases: inputs for every operation, on which all generic tests run.

A test with an argument `case` runs once for each line of the table, one with `case_with_naive` for
each whose operation has a naive version; `cases` is the whole table.
The sizes are all different, the batch is ragged, ids repeat, biases are not zero and weights are
not small: a check with less misses wrong gradients.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest

from minis2s.functional import OPS, naive
from minis2s.op import Op

T, S, B = 4, 5, 3  # target length, source length, batch
D, H, Q, A, M, E, K = 5, 2, 6, 7, 8, 2, 6  # input, hidden, query, attention, memory, embedding, output
V = 9  # vocabulary


class Case(NamedTuple):
    name: str  # of the operation in OPS
    label: str  # what is special about this case
    inputs: tuple[Any, ...]  # arguments of forward
    n_differentiable: int  # how many of them, from the front, have a gradient

    @property
    def op(self) -> Op:
        return OPS[self.name]


def lengths_mask(lengths: list[int], longest: int) -> np.ndarray:
    """(longest, B): column b is True for its first lengths[b] steps."""
    return np.arange(longest)[:, None] < np.array(lengths)


def make_cases() -> list[Case]:
    rng = np.random.default_rng(20140901)

    def weights(*shape: int) -> np.ndarray:
        return 0.7 * rng.standard_normal(shape)

    ragged = lengths_mask([4, 2, 3], T)
    reverse = ragged[::-1].copy()  # as a backward direction sees it: padding first
    holes = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=bool)
    step_mask = np.array([True, False, True])
    source_mask = lengths_mask([5, 2, 3], S)
    empty_row = lengths_mask([5, 0, 3], S)
    targets = np.array([[4, 7, 4], [4, 8, 1], [2, 0, 4], [3, 0, 0]])  # 4 comes often; 0 pads
    ids = np.array([[1, 3, 3], [3, 1, 6], [2, 3, 1], [0, 6, 0]])
    logits = 2 * rng.standard_normal((T, B, V))
    softmax = np.exp(rng.standard_normal((T, B, S))) * source_mask.T
    attention_weights = softmax / softmax.sum(axis=-1, keepdims=True)

    def recurrent(name: str, states: int, gates: int, biases: int, form: str = "", options=()) -> list[Case]:
        state = [rng.standard_normal((B, H)) for _ in range(states)]
        b = [weights(gates * H) for _ in range(biases)]
        differentiable = (*state, weights(D, gates * H), weights(H, gates * H), *b)

        def one(name: str, label: str, x: np.ndarray, mask: np.ndarray | None) -> Case:
            return Case(name, f"{label}{form}", (x, *differentiable, mask, *options), 1 + len(differentiable))

        x = rng.standard_normal((T, B, D))
        return [
            one(f"{name}_step", "no mask", x[0], None),
            one(f"{name}_step", "mask", x[0], step_mask),
            one(name, "no mask", x, None),
            one(name, "ragged", x, ragged),
            one(name, "padding first", x, reverse),
            one(name, "holes", x, holes),
            one(name, "one step", x[:1], None),
        ]

    x = rng.standard_normal((T, B, D))
    query, keys = rng.standard_normal((T, B, A)), rng.standard_normal((S, B, A))
    query_q, memory = rng.standard_normal((T, B, Q)), rng.standard_normal((S, B, M))
    return [
        Case("linear", "bias", (x, weights(D, K), weights(K)), 3),
        Case("linear", "no bias", (x, weights(D, K), None), 3),
        Case("linear", "one row", (x[0, 0], weights(D, K), weights(K)), 3),
        Case("embedding", "sequence", (weights(V, E), ids), 1),
        Case("embedding", "one step", (weights(V, E), ids[0]), 1),
        Case("dropout", "mask", (x, rng.random(x.shape) >= 0.3, 0.3), 1),
        Case("tanh", "plain", (x,), 1),
        *recurrent("rnn", states=1, gates=1, biases=1),
        *recurrent("lstm", states=2, gates=4, biases=1),
        *recurrent("gru", states=1, gates=3, biases=2),
        *recurrent("gru", states=1, gates=3, biases=2, form=", reset before", options=(False,)),
        Case("dot_scores", "plain", (query, keys), 2),
        Case("dot_scores", "one step", (query[:1], keys), 2),
        Case("scaled_dot_scores", "plain", (query, keys), 2),
        Case("general_scores", "plain", (query_q, memory, weights(Q, M)), 3),
        Case("general_scores", "one step", (query_q[:1], memory, weights(Q, M)), 3),
        Case("additive_scores", "plain", (query_q, keys, weights(Q, A), weights(A)), 4),
        Case("additive_scores", "one step", (query_q[:1], keys, weights(Q, A), weights(A)), 4),
        Case("masked_softmax", "no mask", (2 * rng.standard_normal((T, B, S)),), 1),
        Case("masked_softmax", "ragged", (2 * rng.standard_normal((T, B, S)), source_mask), 1),
        Case("masked_softmax", "nothing real", (2 * rng.standard_normal((T, B, S)), empty_row), 1),
        Case("weighted_sum", "plain", (attention_weights, memory), 2),
        Case("weighted_sum", "one step", (attention_weights[:1], memory), 2),
        Case("cross_entropy", "no mask", (logits, targets), 1),
        Case("cross_entropy", "ragged", (logits, targets, ragged), 1),
        Case("cross_entropy", "ragged, sum", (logits, targets, ragged, 0.0, "sum"), 1),
        Case("cross_entropy", "ragged, smoothing", (logits, targets, ragged, 0.1), 1),
        Case("cross_entropy", "holes, smoothing, sum", (logits, targets, holes, 0.3, "sum"), 1),
    ]


CASES = make_cases()


CHOICES = {
    "case": CASES,
    "case_with_naive": [case for case in CASES if case.name in naive.OPS],
}


def pytest_generate_tests(metafunc):
    for argument in CHOICES.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(argument, CHOICES[argument], ids=lambda case: f"{case.name}: {case.label}")


@pytest.fixture
def cases() -> list[Case]:
    """The whole table."""
    return CASES


class Tools:
    """What the generic tests share: running a case and looking into what it returned."""

    @staticmethod
    def parts(x) -> tuple:
        """The parts of an output or a gradient, as a tuple."""
        return x if type(x) is tuple else (x,)

    @staticmethod
    def upstream(out, rng: np.random.Generator):
        """A random gradient in the structure, shapes and dtypes of `out`."""
        draw = [np.asarray(rng.standard_normal(p.shape), dtype=p.dtype) for p in Tools.parts(out)]
        return tuple(draw) if type(out) is tuple else draw[0]

    @staticmethod
    def arrays(x) -> list[np.ndarray]:
        """Every NumPy array inside nested tuples and lists."""
        if isinstance(x, np.ndarray):
            return [x]
        return [a for item in x for a in Tools.arrays(item)] if isinstance(x, tuple | list) else []

    @staticmethod
    def copy(x):
        """The same nested structure, with every array copied."""
        if isinstance(x, np.ndarray):
            return x.copy()
        if isinstance(x, tuple):
            items = [Tools.copy(item) for item in x]
            return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
        return x

    @staticmethod
    def assert_same(left, right) -> None:
        """Equal bit for bit, through nested tuples."""
        left, right = Tools.arrays(Tools.as_arrays(left)), Tools.arrays(Tools.as_arrays(right))
        assert len(left) == len(right) > 0
        for a, b in zip(left, right, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

    @staticmethod
    def as_arrays(x):
        """NumPy scalars as 0-d arrays, so that `arrays` finds them."""
        if isinstance(x, tuple):
            return tuple(Tools.as_arrays(item) for item in x)
        return np.asarray(x) if isinstance(x, np.generic) else x

    @staticmethod
    def relative_error(got, expected) -> float:
        """max |got - expected| / max |expected|; inf where shapes differ, NaN where a NaN is."""
        got, expected = np.asarray(got), np.asarray(expected)
        if got.shape != expected.shape:
            return float("inf")
        scale = np.abs(expected).max()
        return float(np.abs(got - expected).max() / (scale if scale > 0 else 1))


@pytest.fixture
def tools() -> type[Tools]:
    return Tools
