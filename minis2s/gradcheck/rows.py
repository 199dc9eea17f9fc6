"""Mistakes with the rows of a sum: mixed up, left out, averaged, or all added together.

The gradient of a weight is a sum over all rows: batch and time. The textbook takes the rows as one long
list and never mentions batch or time, so no edit of its lines can mix the two up. These mistakes are tried
on its result instead: the right gradients, with one of them made in the wrong way.
"""

from collections.abc import Callable, Iterator

import numpy as np

from minis2s.gradcheck.hypotheses import Hypothesis
from minis2s.gradcheck.kind import Kind


def mistakes_with_rows(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """All of them for a kind; see the module's docstring."""
    of_this_kind = {"linear": of_a_product, "embedding": of_a_table, "weighted_sum": of_the_weights}.get(
        kind.name, of_a_recurrence if "Wh" in kind.arguments else of_the_targets
    )
    yield from of_this_kind(function, kind)


def with_result(function: Callable, n: int, cause: str, says: str, make: Callable) -> Hypothesis:
    """The mistake that result n of the textbook is make(arguments, values) instead."""

    def after(results: tuple, arguments: dict, values: dict) -> tuple:
        return *results[:n], make(arguments, values), *results[n + 1 :]

    return Hypothesis(None, function, cause, says, after=after)


def of_a_product(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """dW = x^T dout and db = sum of dout, with x (T, B, D) or (B, D)."""
    MIXED = "the rows of x and of the gradient come in different orders: one time by time, one sentence by sentence"

    def rows(a: dict, v: dict) -> tuple[np.ndarray, np.ndarray]:
        shape = v["x"].shape[:-1]
        return a["x"].reshape(*shape, -1), a["dout"].reshape(*shape, -1)

    def last_step(a: dict, v: dict) -> np.ndarray:
        x, dout = rows(a, v)
        return np.atleast_2d(x[-1]).T @ np.atleast_2d(dout[-1])

    def mixed(a: dict, v: dict) -> np.ndarray:
        x, _ = rows(a, v)
        return x.swapaxes(0, -2).reshape(len(a["dout"]), -1).T @ a["dout"]

    says = "only the last step is in the gradient of W: = stands where += belongs"
    yield with_result(function, 1, "overwritten", says, last_step)
    yield with_result(function, 1, "axis", MIXED, mixed)
    says = "the rows of x are in reversed order in the gradient of W"
    yield with_result(function, 1, "axis", says, lambda a, v: a["x"][::-1].T @ a["dout"])
    says = "only the last step is in the gradient of b: = stands where += belongs"
    yield with_result(
        function, 2, "overwritten", says, lambda a, v: np.atleast_2d(rows(a, v)[1][-1]).sum(axis=0)
    )
    says = "the sum for b runs over the outputs as well: every bias gets the gradient of all"
    yield with_result(function, 2, "axis", says, lambda a, v: np.full(len(a["b"]), a["dout"].sum()))


def of_a_table(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """dW[ids[n]] += dout[n]."""

    def added(ids: np.ndarray, rows: np.ndarray, W: np.ndarray) -> np.ndarray:
        dW = np.zeros_like(W)
        np.add.at(dW, ids, rows)
        return dW

    def only(a: dict, v: dict, step: int) -> np.ndarray:
        dW = np.zeros_like(a["W"])
        dW[a["ids"][::step]] = a["dout"][::step]  # of equal ids the last one assigned stays
        return dW

    def averaged(a: dict, v: dict) -> np.ndarray:
        counts = np.bincount(a["ids"], minlength=len(a["W"]))
        return added(a["ids"], a["dout"], a["W"]) / np.maximum(counts, 1)[:, None]

    def mixed(a: dict, v: dict) -> np.ndarray:
        return added(np.asarray(v["ids"]).T.reshape(-1), a["dout"], a["W"])

    says = (
        "of an id that comes several times only the last gradient is kept: dW[ids] += dout adds each id once"
    )
    yield with_result(function, 0, "repeated ids", says, lambda a, v: only(a, v, 1))
    says = "of an id that comes several times only the first gradient is kept"
    yield with_result(function, 0, "repeated ids", says, lambda a, v: only(a, v, -1))
    says = "the gradients of an id that comes several times are averaged, not added up"
    yield with_result(function, 0, "repeated ids", says, averaged)
    says = "ids and gradients come in different orders: one time by time, one sentence by sentence"
    yield with_result(function, 0, "axis", says, mixed)
    says = "the ids are sorted, the gradients that belong to them are not"
    yield with_result(
        function, 0, "wrong variable", says, lambda a, v: added(np.sort(a["ids"]), a["dout"], a["W"])
    )


def of_the_weights(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """dvalues = weights^T dcontext."""

    def alike(a: dict, v: dict) -> np.ndarray:
        weights = np.full_like(a["weights"], 1 / a["weights"].shape[-1])
        return weights.mT @ a["dcontext"]

    says = "every value gets the same share of the gradient, whatever its weight was"
    yield with_result(function, 1, "wrong variable", says, alike)


def of_a_recurrence(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """dWh = h_prev^T dz, summed over time: the states of other rows of the batch."""
    for turn, which in (
        (lambda q: q[:, ::-1], "in reversed order"),
        (lambda q: np.roll(q, 1, axis=1), "shifted by one"),
        (lambda q: np.roll(q, -1, axis=1), "shifted by one"),
    ):
        for name, weight in (("h_prev", "Wh"), ("x", "Wx")):
            says = f"the rows of {name} are {which} in the gradient of {weight}: those of other sentences"
            yield Hypothesis(
                None, function, "axis", says, lambda a, name=name, turn=turn: {**a, name: turn(a[name])}
            )


def of_the_targets(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """dlogits = probs - onehot, with (T, B, V)."""
    if kind.name == "cross_entropy":

        def mixed(a: dict) -> dict:
            return {**a, "onehot": a["onehot"].swapaxes(0, 1).reshape(a["onehot"].shape)}

        says = "logits and targets come in different orders: one time by time, one sentence by sentence"
        yield Hypothesis(None, function, "axis", says, mixed)
