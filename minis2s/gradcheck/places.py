"""Where a gradient goes wrong first: read off two runs of the textbook, or off the gates of the pair itself.

With a mistake that explains the numbers, the textbook is run with it and without; the first quantity that
differs is the place. Without one, the gradients of the gates are made visible by a widened input
(`observe_gates`); else the blocks that are wrong must do.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.edits import recorded, syntax_of
from minis2s.gradcheck.hypotheses import CANNOT_RUN, Hypothesis
from minis2s.gradcheck.kind import Kind, Reference
from minis2s.gradcheck.problem import Guard, Misbehaved, copied
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.textbook import BEFORE, NODES
from minis2s.gradcheck.trial import Form, Pair, Trial, arguments_of, gradients_of, reorder, standard


def place_of(h: Hypothesis, kind: Kind, form: Form, trial: Trial, reference: Reference) -> Place | None:
    """The first quantity that the mistake makes wrong, walking backward through the textbook."""
    function = reference.backward
    arguments = arguments_of(function, kind, reference, trial.run.douts)
    right = recorded(syntax_of(function))(**arguments)
    if h.change is not None:
        arguments = h.change(arguments)
    source = (
        h.edit.function if h.edit is not None else (syntax_of(function) if h.change is not None else None)
    )
    if source is None:
        return None
    try:
        with np.errstate(all="ignore"):
            wrong = recorded(source)(**arguments)
    except CANNOT_RUN:
        return None
    place = first_difference(right, wrong, kind, trial)
    gates = {NODES.get(name, ("", ""))[1] for name in h.edit.variables} if h.edit is not None else set()
    if place is not None and place.node == "dz" and len(gates - {""}) > 1:
        place = replace(place, gate="".join(letter for letter in kind.gates if letter in gates))
    return place


def first_difference(right: list, wrong: list, kind: Kind, trial: Trial) -> Place | None:
    """The first assignment of the right run that the wrong run makes otherwise, or not at all."""
    made: dict = {}
    for name, t, value in wrong:
        made.setdefault((name, t), []).append(value)
    seen: dict = {}
    last = {(name, t): n for n, (name, t, _) in enumerate(right)}
    misshapen: Place | None = None  # a first difference that cannot be compared entry by entry
    for n, (name, t, expected) in enumerate(right):
        k = seen[name, t] = seen.get((name, t), -1) + 1
        values = made.get((name, t), [])
        got = values[k] if k < len(values) else np.full(expected.shape, np.nan)
        if expected.shape != got.shape:
            misshapen = misshapen or Place(NODES.get(name, (name, ""))[0], step=t)
        elif not np.allclose(expected, got, rtol=1e-9, atol=1e-12):
            place = named_place(name, t, expected, got, kind, trial, handed_back=k > 0 and last[name, t] == n)
            # the quantity made from the misshapen one tells the step and the rows
            return place if misshapen is None or place.node == misshapen.node else misshapen
    return misshapen


def named_place(
    name: str,
    t: int | None,
    expected: np.ndarray,
    got: np.ndarray,
    kind: Kind,
    trial: Trial,
    handed_back: bool,
) -> Place:
    """The place that goes with the first quantity that differs. handed_back: it is what a step gives to the one before."""
    node, gate = NODES.get(name, (name, ""))
    if name.startswith(("dW", "db", "dv")) and name != "dvalues":
        return Place(node)
    differs = ~np.isclose(expected, got, rtol=1e-9, atol=1e-12)
    if not (kind.gates or kind.name.startswith("rnn")):
        return place_without_time(node, differs, (expected != 0) | (got != 0), kind)
    rows = rows_of(differs, (expected != 0) | (got != 0), 0)
    if name in ("dz", "dzx", "dz_ru"):
        side_by_side = kind.gates[:2] if name == "dz_ru" else kind.gates
        H = expected.shape[1] // max(len(side_by_side), 1)
        letters = [g for k, g in enumerate(side_by_side) if differs[:, k * H : (k + 1) * H].any()]
        gate = "".join(letters) if len(letters) < len(kind.gates) else ""
    step = t
    if t is not None and (name in BEFORE or (handed_back and name in ("dh", "dc"))):
        step = t - 1  # it is the gradient of the state before step t
        if step < 0:
            node, step = f"{node}0", None
    elif t is None:
        step = len(trial.run.outs[0]) - 1  # the state after the last step
    return Place(node, step=None if kind.steps else step, gate=gate, rows=rows)


def place_without_time(node: str, differs: np.ndarray, nonzero: np.ndarray, kind: Kind) -> Place:
    """For operations that are no recurrence: cross-entropy has (T, B, V), attention (B, T, ...) in the textbook."""
    if kind.name.endswith("scores") and node == "dscores":
        node = "dquery"  # the gradient of the scores came from outside; what is made of it is wrong
    if differs.ndim < 3 or kind.name in ("linear", "embedding", "dropout", "tanh"):
        return Place(node)
    batch, time = (1, 0) if kind.name == "cross_entropy" else (0, 1)
    steps = np.flatnonzero(differs.any(axis=tuple(k for k in range(differs.ndim) if k != time)))
    if node in ("dkeys", "dvalues", "dmemory"):
        return Place(node)
    step = int(steps[-1])
    rows = rows_of(np.take(differs, [step], axis=time), np.take(nonzero, [step], axis=time), batch)
    return Place(node, step=step, rows=rows)


def rows_of(differs: np.ndarray, nonzero: np.ndarray, axis: int) -> tuple[int, ...] | None:
    """Which rows of the batch differ; None where all do, or all that have a gradient there at all."""
    if differs.ndim < 2:
        return None
    others = tuple(k for k in range(differs.ndim) if k != axis)
    bad, active = np.flatnonzero(differs.any(axis=others)), np.flatnonzero(nonzero.any(axis=others))
    if len(bad) == differs.shape[axis] or set(bad.tolist()) == set(active.tolist()):
        return None
    return tuple(map(int, bad))


class Gates(NamedTuple):
    """The gradients of all gates, dz (T, B, G) in the kind's order: those of a pair, and the right ones."""

    got: np.ndarray
    right: np.ndarray
    of: Callable  # a function with the textbook's arguments -> the same of it, or None


def observe_gates(pair: Pair, trial: Trial, guard: Guard) -> Place | None:
    """The first wrong gate, read off the function itself, whatever its mistake is."""
    both = gates_of(pair, trial, guard)
    return None if both is None else place_from_gates(both.got, both.right, pair.kind, trial)


def gates_of(pair: Pair, trial: Trial, guard: Guard) -> Gates | None:
    """dz (T, B, G) as the function makes it, and the right one, in the kind's order of the gates.

    The input is widened by one entry for each gate unit: x gets zeros there and Wx the unit matrix. The
    outputs stay what they were, and since z = x Wx + ..., the gradient of those entries of x is dz.
    """
    kind, form, values = pair.kind, pair.form, trial.values
    G = values["Wx"].shape[1]
    wide = dict(values)
    wide["x"] = np.concatenate([values["x"], np.zeros((*values["x"].shape[:-1], G))], axis=-1)
    wide["Wx"] = np.concatenate([values["Wx"], np.eye(G)])
    problem = pair_problem(pair, wide)
    if problem is None:
        return None
    try:
        with guard.watching("forward"):
            _, cache = problem.forward({name: x.copy() for name, x in problem.blocks.items()})
        with guard.watching("backward"):
            gradients, _ = problem.backward(copied(trial.run.douts), cache)
        dz = np.array(gradients["x"], dtype=np.float64)[..., -G:]
    except (Misbehaved, KeyError, IndexError, TypeError, ValueError):
        return None
    reference = kind.reference(standard(kind, form, wide))
    arguments = arguments_of(reference.backward, kind, reference, trial.run.douts)

    def of(function: Callable) -> np.ndarray | None:
        """What a textbook function, one with a mistake perhaps, makes of the gates; None where it cannot run."""
        try:
            with np.errstate(all="ignore"):
                made = gradients_of(function(**arguments), kind, form, wide)["x"][..., -G:]
        except CANNOT_RUN:
            return None
        return in_order(made) if made.shape == dz.shape else None

    def in_order(a: np.ndarray) -> np.ndarray:
        return reorder(a[None] if kind.steps else a, form.gates, kind.gates)

    right = of(reference.backward)
    return None if right is None else Gates(in_order(dz), right, of)


def place_from_gates(dz: np.ndarray, right: np.ndarray, kind: Kind, trial: Trial) -> Place | None:
    differs = ~(np.abs(dz - right) <= 1e-7 * np.abs(right).max())
    T, _, G = dz.shape
    gates = kind.gates or "z"
    H = G // len(gates)
    wrong_weights = [n for n in trial.wrong if n.startswith(("W", "b"))]
    if differs.any() and not wrong_weights and trial.wrong == ["x"]:
        return Place("dx")
    for t in reversed(range(T)):
        bad = [letter for k, letter in enumerate(gates) if differs[t, :, k * H : (k + 1) * H].any()]
        if not bad:
            continue
        chosen = rows_of(differs[t], (dz[t] != 0) | (right[t] != 0), 0)
        node, gate = node_of_gates("".join(bad), kind)
        if kind.name.startswith("rnn"):
            node, gate = "dz" if t == T - 1 else "dh", ""
        return Place(node, step=None if kind.steps else t, gate=gate, rows=chosen)
    if not trial.wrong:
        return None
    name = trial.wrong[0]
    return Place({"h_prev": "dh0", "c_prev": "dc0"}.get(name, f"d{name}"))


def node_of_gates(bad: str, kind: Kind) -> tuple[str, str]:
    """Which node is the first wrong one, when these gates' gradients are wrong at a step and none after it."""
    if len(bad) == len(kind.gates):
        return "dh", ""  # everything that h feeds
    if kind.name.startswith("lstm") and set(bad) == set("ifg"):
        return "dc", ""  # everything that c feeds, and nothing else
    if kind.name.startswith("gru") and set(bad) == set("rn"):
        return "dz", "n"  # r is reached through n
    return "dz", bad


def place_from_blocks(kind: Kind | None, wrong: list[str]) -> Place:
    """Roughly, from which blocks are wrong at all."""
    if kind is not None and "attention" in kind.name:
        if set(wrong) >= {"query", "memory"} or {"query", "keys"} <= set(wrong):
            return Place("dscores")
    if kind is not None and kind.name == "cross_entropy":
        return Place("dlogits")
    return Place(f"d{wrong[0]}")
