"""The mistakes that are tried on a wrong pair: those of a line (edits.py), and those of a whole quantity.

A hypothesis is a textbook function with a mistake in it, or with changed arguments. `run_hypothesis`
gives the gradients that it makes, `explains` says whether they are the student's.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.edits import Edit, edits, several, variables_of
from minis2s.gradcheck.kind import Kind, Reference
from minis2s.gradcheck.textbook import NODES
from minis2s.gradcheck.trial import CLOSE, Form, Trial, arguments_of, gradients_of


class Hypothesis(NamedTuple):
    edit: Edit | None
    function: Callable
    cause: str
    says: str
    change: Callable | None = None  # of the arguments, for mistakes that no single line shows
    after: Callable | None = None  # (results, arguments, values) -> results, for mistakes in one result
    rare: bool = False  # one that few make


# a change whose shapes do not fit, or that asks for something that is not there, is no candidate
CANNOT_RUN = (
    ValueError,
    TypeError,
    IndexError,
    NameError,
    AttributeError,
    ArithmeticError,
    np.exceptions.AxisError,
)


def sizes_for(kind: Kind) -> tuple:
    if kind.gates or kind.name.startswith("rnn"):
        return (("T", "len(x)"), ("B", "len(x[0])"), ("T * B", "len(x) * len(x[0])"))
    if "attention" in kind.name:
        return (
            ("B", "len(query)"),
            ("T", "query.shape[1]"),
            ("S", "memory.shape[1]"),
            ("M", "memory.shape[2]"),
        )
    if "scores" in kind.name:
        return (
            ("B", "len(query)"),
            ("T", "query.shape[1]"),
            ("S", "keys.shape[1]"),
            ("the root of A", "query.shape[-1] ** 0.5"),
        )
    if kind.name == "weighted_sum":
        return (
            ("B", "len(values)"),
            ("T", "weights.shape[1]"),
            ("S", "values.shape[1]"),
            ("M", "values.shape[2]"),
        )
    if kind.name == "masked_softmax":
        return (("B", "len(weights)"), ("T", "weights.shape[1]"), ("S", "weights.shape[2]"))
    if kind.name == "linear":
        return (("N", "len(dout)"),)
    if kind.name == "cross_entropy":
        return (("T", "len(real)"), ("B", "real.shape[1]"), ("V", "probs.shape[-1]"))
    return ()


def substitutions(function: Callable, kind: Kind) -> Iterator[Hypothesis]:
    """Mistakes that change a quantity everywhere: the mask ignored, the outputs of another step used."""
    names = inspect.signature(function).parameters

    def substituted(name: str, change: Callable, cause: str, says: str) -> Iterator[Hypothesis]:
        if name in names:
            yield Hypothesis(None, function, cause, says, lambda a: {**a, name: change(a)})

    yield from substituted(
        "real",
        lambda a: np.ones_like(a["real"]),
        "mask ignored",
        "the mask is ignored: padding is treated like real steps",
    )
    yield from substituted(
        "real",
        lambda a: 1 - a["real"],
        "mask ignored",
        "the mask is inverted: real steps are treated like padding, and padding like real steps",
    )
    yield from substituted(
        "dhs",
        lambda a: np.zeros_like(a["dhs"]),
        "missing term",
        "the gradient dhs of the outputs is not added at any step",
    )
    yield from substituted(
        "dhs", lambda a: a["dhs"][::-1], "time shift", "dhs is read in the reversed order of time"
    )
    yield from substituted(
        "dhs",
        lambda a: shifted(a["dhs"], 1),
        "time shift",
        "at step t the gradient dhs[t - 1] is added, not dhs[t]",
    )
    yield from substituted(
        "dhs",
        lambda a: shifted(a["dhs"], -1),
        "time shift",
        "at step t the gradient dhs[t + 1] is added, not dhs[t]",
    )
    yield from substituted(
        "dhs", lambda a: only_last(a["dhs"]), "missing term", "dhs is added at the last step only"
    )
    yield from substituted(
        "dhs", lambda a: all_but_last(a["dhs"]), "missing term", "dhs is not added at the last step"
    )
    yield from substituted(
        "dhs",
        lambda a: a["dhs"] + only_last(a["dhs"]),
        "doubled",
        "the gradient of the last output is added twice",
    )
    yield from substituted(
        "dh_last",
        lambda a: np.zeros_like(a["dh_last"]),
        "missing term",
        "the gradient of the last state h is not taken over",
    )
    yield from substituted(
        "dc_last",
        lambda a: np.zeros_like(a["dc_last"]),
        "missing term",
        "the gradient of the last cell state c is not taken over",
    )
    yield from substituted(
        "dh_last", lambda a: 2 * a["dh_last"], "doubled", "the gradient of the last state h is added twice"
    )
    yield from substituted(
        "h_prev",
        lambda a: first_zero(a["h_prev"]),
        "missing term",
        "the initial state h0 is left out: it is taken as zero, or the first step skipped",
    )
    yield from substituted(
        "c_prev",
        lambda a: first_zero(a["c_prev"]),
        "missing term",
        "the initial cell state c0 is left out: it is taken as zero, or the first step skipped",
    )
    for by, which in ((1, "before"), (-1, "after")):
        yield from substituted(
            "real",
            lambda a, by=by: np.roll(a["real"], by, axis=0),
            "mask ignored",
            f"the mask of the step {which} is used",
        )
    yield from of_another_step(function, list(names))
    for a, b in itertools.combinations([g for g in kind.gates if g in names], 2):
        says = f"the gates {a} and {b} are exchanged: they are taken from the cache in another order than they were put there"
        yield Hypothesis(None, function, "gate order", says, lambda q, a=a, b=b: {**q, a: q[b], b: q[a]})
    yield from substituted(
        "probs",
        lambda a: np.exp(a["logits"]) / np.exp(a["logits"]).sum(axis=1, keepdims=True),
        "axis",
        "the softmax runs over the batch, not over the vocabulary",
    )
    yield from substituted(
        "probs",
        lambda a: np.exp(a["logits"]) / np.exp(a["logits"]).sum(axis=0, keepdims=True),
        "axis",
        "the softmax runs over time, not over the vocabulary",
    )
    yield from substituted("keep", lambda a: 1 - a["keep"], "dropout ignored", "the dropout mask is inverted")
    yield from substituted("u", lambda a: 1 - a["u"], "wrong variable", "u and 1 - u are exchanged")
    for by, which in ((1, "before"), (-1, "after")):
        yield from substituted(
            "onehot",
            lambda a, by=by: np.roll(a["onehot"], by, axis=0),
            "time shift",
            f"the target of the step {which} is subtracted",
        )
    yield from substituted(
        "onehot",
        lambda a: a["onehot"] * a["real"],
        "mask ignored",
        "the target is not subtracted at padded positions",
    )
    yield from substituted(
        "smoothing", lambda a: 0.0, "missing term", "the label smoothing is left out in backward"
    )


def of_another_step(function: Callable, names: list[str]) -> Iterator[Hypothesis]:
    """A cache of another step: the gates alone, or all that a step keeps."""
    gates = [name for name in ("i", "f", "o", "g", "r", "u", "n") if name in names]
    kept = [*gates, *(n for n in ("h_prev", "c_prev", "c", "tanh_c", "h", "zh_n", "rh", "x") if n in names)]
    turns = {
        "the step before (the first one from the last)": lambda q: np.roll(q, 1, axis=0),
        "the step before": lambda q: np.concatenate([q[:1], q[:-1]]),
        "the step after (the last one from the first)": lambda q: np.roll(q, -1, axis=0),
        "the step after": lambda q: np.concatenate([q[1:], q[-1:]]),
        "the last step": lambda q: np.repeat(q[-1:], len(q), axis=0),
        "the first step": lambda q: np.repeat(q[:1], len(q), axis=0),
        "the steps in reversed order": lambda q: q[::-1],
    }
    if not gates and "h_prev" not in names:
        return
    for chosen, what in (
        (gates, "the gates"),
        ([n for n in kept if n != "x"], "all that the cache keeps but x"),
        (kept, "the whole cache"),
    ):
        for which, turn in turns.items():
            if chosen:
                verb = "are" if what == "the gates" else "is"
                says = f"{what} of {which} {verb} used: a list of caches is read at the wrong place"
                yield Hypothesis(
                    None,
                    function,
                    "stale cache",
                    says,
                    lambda a, chosen=chosen, turn=turn: {**a, **{n: turn(a[n]) for n in chosen}},
                )


def shifted(a: np.ndarray, by: int) -> np.ndarray:
    out = np.zeros_like(a)
    if by > 0:
        out[by:] = a[:-by]
    else:
        out[:by] = a[-by:]
    return out


def only_last(a: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(a[:-1]), a[-1:]])


def all_but_last(a: np.ndarray) -> np.ndarray:
    return np.concatenate([a[:-1], np.zeros_like(a[-1:])])


def first_zero(a: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(a[:1]), a[1:]])


def hypotheses(
    function: Callable, kind: Kind, variables: list[str], rare: bool = False
) -> Iterator[Hypothesis]:
    """The single mistakes in the lines that compute these variables: the usual ones, or the rare ones."""
    sizes = sizes_for(kind)
    for variable in variables:
        for edit in edits(function, sizes, variable, rare):
            yield Hypothesis(edit, None, edit.cause, edit.says, rare=rare)
    if not rare:
        for edit in several(function, sizes, frozenset(variables)):
            yield Hypothesis(edit, None, edit.cause, edit.says)


def suspects(function: Callable, kind: Kind, wrong: set[str], place: Place | None) -> list[str]:
    """Which of the textbook's lines can be at fault, by what they compute; all, where nothing is known.

    wrong: the blocks that are wrong. place: where the gates show the first wrong gradient, if they do.
    """
    every = variables_of(function)
    weights = {f"d{name}" for name in kind.arguments if name.startswith(("W", "b", "v"))} | {
        "dWh_ru",
        "dWh_n",
    }
    if {f"d{name}" for name in wrong} <= weights:
        return [
            v for v in every if v in weights and (f"{v}_".startswith(tuple(f"d{name}_" for name in wrong)))
        ]
    inner = [v for v in every if v not in weights]
    if place is None or not kind.gates:
        return inner
    if place.node == "dx":
        return ["dx"]
    if place.node == "dz" and len(place.gate) == 1:
        own = [v for v in inner if NODES.get(v) == ("dz", place.gate)]
        return [*own, *(v for v in inner if v in ("dz", "dzx", "dz_ru"))]
    if place.node in ("dc", "dc0"):
        return [v for v in inner if v in ("dc", "dc_prev", "dc_kept", "t")]
    if place.node in ("dh", "dh0"):
        return [
            v
            for v in inner
            if v in ("dh", "dh_prev", "dh_kept", "dzh", "dzh_n", "dz_ru", "dz", "drh", "dc", "t")
        ]
    return inner


def run_hypothesis(
    h: Hypothesis, kind: Kind, form: Form, trial: Trial, reference: Reference
) -> dict[str, np.ndarray] | None:
    """The gradients that the mistake gives; None where it cannot be run (its shapes do not fit)."""
    if not trial.arguments or trial.arguments[0] is not reference:
        trial.arguments = (reference, arguments_of(reference.backward, kind, reference, trial.run.douts))
    arguments = trial.arguments[1]
    if h.change is not None:
        arguments = h.change(arguments)
    function = h.edit.run if h.edit is not None else h.function
    try:
        with np.errstate(all="ignore"):
            results = function(**arguments)
            if h.after is not None:
                results = h.after(results, arguments, trial.values)
            return gradients_of(results, kind, form, trial.values)
    except CANNOT_RUN:
        return None


def explains(results: dict[str, np.ndarray] | None, trial: Trial, names: list[str] | None = None) -> bool:
    """Are these the student's gradients (in the named blocks, by default in all that can be compared)?"""
    if results is None:
        return False
    close = CLOSE[trial.run.dtype]
    returned = trial.run.gradients | trial.run.misshapen
    if names is None and len(returned) < len(trial.blocks):
        return False  # a gradient that did not come is explained by no mistake in a line
    for name in returned if names is None else names:
        got, said = returned[name], results[name]
        if got.shape != np.shape(said) or not np.isfinite(got).all():
            return False
        scale = max(
            float(np.abs(got).max(initial=0)),
            float(np.abs(trial.blocks[name].expected).max(initial=0))
            if trial.blocks[name].expected is not None
            else 0.0,
        )
        if not np.abs(got - said).max(initial=0) <= close * scale + 1e-300:
            return False
    return True
