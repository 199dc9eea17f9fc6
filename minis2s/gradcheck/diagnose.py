"""Where and why: looking for the mistake that reproduces a student's numbers.

Whether a gradient is wrong has been decided by then, by numeric derivatives alone. Here the textbook
backward pass of the same kind is run with one mistake after the other (edits.py), on the same inputs and
the same upstream gradients, until the results are the student's in every block. Random inputs of a
dozen dimensions do not agree to nine digits by chance; where several mistakes agree, all of them are
named, and none is called certain.

The place is then read off two runs of the textbook, with and without that mistake: the first quantity
that differs, going backward from the loss. Without a match, it is read off the gradients of the gates,
which a widened input makes visible (`observe_gates`).
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.edits import Edit, edits, recorded, several, syntax_of, variables_of
from minis2s.gradcheck.kinds import Kind, Reference
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.verdict import MISSING, WRONG, Block, Run

CLOSE = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-4}  # of two computations of the same formula


class Cause(NamedTuple):
    """A mistake that explains the numbers.

    confidence: "certain" when this mistake, and no other known one, gives all the numbers; "likely" when
    it is one of several that do, or explains a part; "possible" for a sign that points to it.
    line, wrong: the right line of the textbook and the one that gives these numbers; equation: the
    forward line that it undoes.
    """

    cause: str
    says: str
    confidence: str
    line: str = ""
    wrong: str = ""
    equation: str = ""
    place: Place | None = None


class Form(NamedTuple):
    """How a function of a kind is laid out: the order of its gates, and its options."""

    gates: str
    options: dict


@dataclass
class Trial:
    """One setting in which a pair was checked."""

    setting: str
    values: dict  # every argument, in the layout of the function under test
    problem: Problem
    run: Run
    oracle: Oracle
    blocks: dict[str, Block] = field(default_factory=dict)
    arguments: tuple = ()  # (reference, arguments of its textbook), once they are made

    @property
    def wrong(self) -> list[str]:
        return [name for name, block in self.blocks.items() if block.verdict in (WRONG, MISSING)]


# -- the textbook in the layout of the function under test ---------------------------------------------


def standard(kind: Kind, form: Form, values: dict) -> dict:
    """The values as the textbook wants them: gates in the kind's order, options as the form says."""
    values = {**values, **form.options}
    for name in kind.gate_axes:
        if values.get(name) is not None:
            values[name] = reorder(values[name], form.gates, kind.gates)
    return values


def reorder(a: np.ndarray, have: str, want: str) -> np.ndarray:
    """Gate blocks on the last axis, from the order `have` to the order `want`."""
    if have == want:
        return a
    parts = np.split(a, len(have), axis=-1)
    return np.concatenate([parts[have.index(letter)] for letter in want], axis=-1)


def arguments_of(function: Callable, kind: Kind, reference: Reference, douts: list) -> dict:
    given = reference.quantities | kind.upstream(douts, reference)
    return {name: given[name] for name in inspect.signature(function).parameters}


def gradients_of(results, kind: Kind, form: Form, values: dict) -> dict[str, np.ndarray]:
    named = kind.downstream(results, values)
    return {
        name: reorder(g, kind.gates, form.gates) if name in kind.gate_axes else g for name, g in named.items()
    }


def find_form(kind: Kind, trial: Trial, declared: Form) -> tuple[Form | None, str]:
    """The form in which the textbook gives what the function's forward gives, and a remark.

    The declared form is tried first; then every order of the gates and, for a GRU, both places of the
    reset gate. None when the forward pass is none of these.
    """
    orders = [declared.gates, *("".join(p) for p in itertools.permutations(kind.gates))] if kind.gates else [""]
    variants = [declared.options]
    if kind.name.startswith("gru"):
        variants.append(declared.options | {"reset_after": not declared.options.get("reset_after", True)})
    close = CLOSE[trial.run.dtype]
    for options in variants:
        for gates in orders:
            form = Form(gates, options)
            outs = kind.reference(standard(kind, form, trial.values)).outs
            pairs = list(zip(trial.run.outs, outs, strict=False))
            if pairs and all(a.shape == b.shape and np.allclose(a, b, rtol=close, atol=close) for a, b in pairs):
                return form, remark_on(kind, form, declared)
    return None, (
        f"forward does not compute what a {kind.name} of this kind computes, so the place can only be told "
        "roughly; check the forward pass first (the gradient is judged against your own forward)"
    )


def remark_on(kind: Kind, form: Form, declared: Form) -> str:
    notes = []
    if form.gates != declared.gates:
        notes.append(f"the gates lie in the order {', '.join(form.gates)}; stated is {', '.join(declared.gates)}")
    if form.options != declared.options:
        where = "before" if not form.options.get("reset_after", True) else "after"
        notes.append(f"the reset gate acts {where} the product with Wh; stated is the other form")
    return "; ".join(notes)


# -- hypotheses --------------------------------------------------------------------------------------------


class Hypothesis(NamedTuple):
    edit: Edit | None
    function: Callable
    cause: str
    says: str
    change: Callable | None = None  # of the arguments, for mistakes that no single line shows


# a change whose shapes do not fit, or that asks for something that is not there, is no candidate
CANNOT_RUN = (ValueError, TypeError, IndexError, NameError, AttributeError, ArithmeticError, np.exceptions.AxisError)


def sizes_for(kind: Kind) -> tuple:
    if kind.gates or kind.name.startswith("rnn"):
        return (("T", "len(x)"), ("B", "len(x[0])"), ("T * B", "len(x) * len(x[0])"))
    if "attention" in kind.name:
        return (("B", "len(query)"), ("T", "query.shape[1]"), ("S", "memory.shape[1]"), ("M", "memory.shape[2]"))
    if "scores" in kind.name:
        return (("B", "len(query)"), ("T", "query.shape[1]"), ("S", "keys.shape[1]"), ("the root of A", "query.shape[-1] ** 0.5"))
    if kind.name == "weighted_sum":
        return (("B", "len(values)"), ("T", "weights.shape[1]"), ("S", "values.shape[1]"), ("M", "values.shape[2]"))
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

    yield from substituted("real", lambda a: np.ones_like(a["real"]), "mask ignored", "the mask is ignored: padding is treated like real steps")
    yield from substituted("dhs", lambda a: np.zeros_like(a["dhs"]), "missing term", "the gradient dhs of the outputs is not added at any step")
    yield from substituted("dhs", lambda a: a["dhs"][::-1], "time shift", "dhs is read in the reversed order of time")
    yield from substituted("dhs", lambda a: shifted(a["dhs"], 1), "time shift", "at step t the gradient dhs[t - 1] is added, not dhs[t]")
    yield from substituted("dhs", lambda a: shifted(a["dhs"], -1), "time shift", "at step t the gradient dhs[t + 1] is added, not dhs[t]")
    yield from substituted("dhs", lambda a: only_last(a["dhs"]), "missing term", "dhs is added at the last step only")
    yield from substituted("dhs", lambda a: all_but_last(a["dhs"]), "missing term", "dhs is not added at the last step")
    yield from substituted("dhs", lambda a: a["dhs"] + only_last(a["dhs"]), "doubled", "the gradient of the last output is added twice")
    yield from substituted("dh_last", lambda a: np.zeros_like(a["dh_last"]), "missing term", "the gradient of the last state h is not taken over")
    yield from substituted("dc_last", lambda a: np.zeros_like(a["dc_last"]), "missing term", "the gradient of the last cell state c is not taken over")
    yield from substituted("dh_last", lambda a: 2 * a["dh_last"], "doubled", "the gradient of the last state h is added twice")
    yield from substituted("h_prev", lambda a: first_zero(a["h_prev"]), "missing term", "the initial state h0 is left out: it is taken as zero, or the first step skipped")
    yield from substituted("c_prev", lambda a: first_zero(a["c_prev"]), "missing term", "the initial cell state c0 is left out: it is taken as zero, or the first step skipped")
    for by, which in ((1, "before"), (-1, "after")):
        yield from substituted("real", lambda a, by=by: np.roll(a["real"], by, axis=0), "mask ignored", f"the mask of the step {which} is used")
    yield from of_another_step(function, list(names))
    for a, b in itertools.combinations([g for g in kind.gates if g in names], 2):
        says = f"the gates {a} and {b} are exchanged: they are taken from the cache in another order than they were put there"
        yield Hypothesis(None, function, "gate order", says, lambda q, a=a, b=b: {**q, a: q[b], b: q[a]})
    yield from substituted("probs", lambda a: np.exp(a["logits"]) / np.exp(a["logits"]).sum(axis=1, keepdims=True), "axis", "the softmax runs over the batch, not over the vocabulary")
    yield from substituted("probs", lambda a: np.exp(a["logits"]) / np.exp(a["logits"]).sum(axis=0, keepdims=True), "axis", "the softmax runs over time, not over the vocabulary")
    yield from substituted("keep", lambda a: 1 - a["keep"], "dropout ignored", "the dropout mask is inverted")
    yield from substituted("u", lambda a: 1 - a["u"], "wrong variable", "u and 1 - u are exchanged")
    for by, which in ((1, "before"), (-1, "after")):
        yield from substituted("onehot", lambda a, by=by: np.roll(a["onehot"], by, axis=0), "time shift", f"the target of the step {which} is subtracted")
    yield from substituted("onehot", lambda a: a["onehot"] * a["real"], "mask ignored", "the target is not subtracted at padded positions")
    yield from substituted("smoothing", lambda a: 0.0, "missing term", "the label smoothing is left out in backward")


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
    for chosen, what in ((gates, "the gates"), ([n for n in kept if n != "x"], "all that the cache keeps but x"), (kept, "the whole cache")):
        for which, turn in turns.items():
            if chosen:
                says = f"{what} of {which} is used: a list of caches is read at the wrong place"
                yield Hypothesis(None, function, "stale cache", says, lambda a, chosen=chosen, turn=turn: {**a, **{n: turn(a[n]) for n in chosen}})


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


def hypotheses(function: Callable, kind: Kind, variables: list[str], rare: bool = False) -> Iterator[Hypothesis]:
    """The single mistakes in the lines that compute these variables: the usual ones, or the rare ones."""
    sizes = sizes_for(kind)
    for variable in variables:
        for edit in edits(function, sizes, variable, rare):
            yield Hypothesis(edit, None, edit.cause, edit.says)
    if not rare:
        for edit in several(function, sizes, frozenset(variables)):
            yield Hypothesis(edit, None, edit.cause, edit.says)


def suspects(function: Callable, kind: Kind, wrong: set[str], place: Place | None) -> list[str]:
    """Which of the textbook's lines can be at fault, by what they compute; all, where nothing is known.

    wrong: the blocks that are wrong. place: where the gates show the first wrong gradient, if they do.
    """
    every = variables_of(function)
    weights = {f"d{name}" for name in kind.arguments if name.startswith(("W", "b", "v"))} | {"dWh_ru", "dWh_n"}
    if {f"d{name}" for name in wrong} <= weights:
        return [v for v in every if v in weights and (f"{v}_".startswith(tuple(f"d{name}_" for name in wrong)))]
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
        return [v for v in inner if v in ("dh", "dh_prev", "dh_kept", "dzh", "dzh_n", "dz_ru", "dz", "drh", "dc", "t")]
    return inner


def run_hypothesis(h: Hypothesis, kind: Kind, form: Form, trial: Trial, reference: Reference) -> dict[str, np.ndarray] | None:
    """The gradients that the mistake gives; None where it cannot be run (its shapes do not fit)."""
    if not trial.arguments or trial.arguments[0] is not reference:
        trial.arguments = (reference, arguments_of(reference.backward, kind, reference, trial.run.douts))
    arguments = trial.arguments[1]
    if h.change is not None:
        arguments = h.change(arguments)
    function = h.edit.run if h.edit is not None else h.function
    try:
        with np.errstate(all="ignore"):
            return gradients_of(function(**arguments), kind, form, trial.values)
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
        scale = max(float(np.abs(got).max(initial=0)), float(np.abs(trial.blocks[name].expected).max(initial=0)) if trial.blocks[name].expected is not None else 0.0)
        if not np.abs(got - said).max(initial=0) <= close * scale + 1e-300:
            return False
    return True


def search(kind: Kind, form: Form, trials: list[Trial], place: Place | None = None) -> list[Hypothesis]:
    """Every mistake that gives the student's numbers in every setting: the usual ones, else the rare ones.

    place: where the gates show the first wrong gradient; the lines there are tried first.
    """
    references = [kind.reference(standard(kind, form, t.values)) for t in trials]
    order = sorted(range(len(trials)), key=lambda n: not trials[n].wrong)  # a wrong one first: it filters most
    function = references[0].backward
    wrong = {name for t in trials for name in t.wrong}
    near = suspects(function, kind, wrong, place)
    far = [v for v in suspects(function, kind, wrong, None) if v not in near]

    def fitting(candidates: Iterator[Hypothesis]) -> list[Hypothesis]:
        return [
            h for h in candidates
            if all(explains(run_hypothesis(h, kind, form, trials[n], references[n]), trials[n]) for n in order)
        ]

    return (
        fitting(itertools.chain(substitutions(function, kind), hypotheses(function, kind, near)))
        or fitting(hypotheses(function, kind, near, rare=True))
        or fitting(hypotheses(function, kind, far))
    )


# -- the place ---------------------------------------------------------------------------------------------

# What the textbook's names are called as nodes, with the gate that they belong to.
NODES = {
    "do": ("dz", "o"), "df": ("dz", "f"), "di": ("dz", "i"), "dg": ("dz", "g"),
    "dz_o": ("dz", "o"), "dz_f": ("dz", "f"), "dz_i": ("dz", "i"), "dz_g": ("dz", "g"),
    "dr": ("dz", "r"), "drh": ("dz", "r"), "du": ("dz", "u"), "dn": ("dz", "n"),
    "dz_r": ("dz", "r"), "dz_u": ("dz", "u"), "dz_n": ("dz", "n"), "dzx": ("dz", ""), "dzh": ("dh", ""), "dzh_n": ("dh", ""),
    "dz_ru": ("dz", ""), "dWh_ru": ("dWh", ""), "dWh_n": ("dWh", ""),
    "dh_prev": ("dh", ""), "dc_prev": ("dc", ""), "dh_kept": ("dh", ""), "dc_kept": ("dc", ""),
    "taken": ("dscores", ""), "dproducts": ("dscores", ""), "da": ("dz", ""), "target": ("dlogits", ""), "dsurprise": ("dlogits", ""),
}  # fmt: skip
BEFORE = {"dh_prev", "dc_prev", "dh_kept", "dc_kept", "dzh", "dzh_n"}  # gradients of the state before step t


def place_of(h: Hypothesis, kind: Kind, form: Form, trial: Trial, reference: Reference) -> Place | None:
    """The first quantity that the mistake makes wrong, walking backward through the textbook."""
    function = reference.backward
    arguments = arguments_of(function, kind, reference, trial.run.douts)
    right = recorded(syntax_of(function))(**arguments)
    if h.change is not None:
        arguments = h.change(arguments)
    source = h.edit.function if h.edit is not None else (syntax_of(function) if h.change is not None else None)
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
    for n, (name, t, expected) in enumerate(right):
        k = seen[name, t] = seen.get((name, t), -1) + 1
        values = made.get((name, t), [])
        got = values[k] if k < len(values) else np.full(expected.shape, np.nan)
        if expected.shape != got.shape or not np.allclose(expected, got, rtol=1e-9, atol=1e-12):
            return named_place(name, t, expected, got, kind, trial, handed_back=k > 0 and last[name, t] == n)
    return None


def named_place(name: str, t: int | None, expected: np.ndarray, got: np.ndarray, kind: Kind, trial: Trial, handed_back: bool) -> Place:
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


def observe_gates(forward: Callable, backward: Callable, kind: Kind, form: Form, trial: Trial, guard: Guard) -> Place | None:
    """The first wrong gate, read off the function itself, whatever its mistake is.

    The input is widened by one entry for each gate unit: x gets zeros there and Wx the unit matrix. The
    outputs stay what they were, and since z = x Wx + ..., the gradient of those entries of x is dz.
    """
    values, wide = trial.values, {}
    G = values["Wx"].shape[1]
    wide = dict(values)
    wide["x"] = np.concatenate([values["x"], np.zeros((*values["x"].shape[:-1], G))], axis=-1)
    wide["Wx"] = np.concatenate([values["Wx"], np.eye(G)])
    problem = pair_problem(kind.name, forward, backward, kind, wide)
    if problem is None:
        return None
    try:
        with guard.watching("forward"):
            _, cache = problem.forward({name: x.copy() for name, x in problem.blocks.items()})
        with guard.watching("backward"):
            gradients, _ = problem.backward([None if d is None else d.copy() for d in trial.run.douts], cache)
        dz = np.array(gradients["x"], dtype=np.float64)[..., -G:]
    except (Misbehaved, KeyError, TypeError, ValueError):
        return None
    reference = kind.reference(standard(kind, form, wide))
    results = reference.backward(**arguments_of(reference.backward, kind, reference, trial.run.douts))
    right = gradients_of(results, kind, form, wide)["x"][..., -G:]
    if dz.shape != right.shape:
        return None
    if kind.steps:
        dz, right = dz[None], right[None]
    return place_from_gates(reorder(dz, form.gates, kind.gates), reorder(right, form.gates, kind.gates), kind, trial)


def place_from_gates(dz: np.ndarray, right: np.ndarray, kind: Kind, trial: Trial) -> Place | None:
    differs = ~(np.abs(dz - right) <= 1e-7 * np.abs(right).max())
    T, _, G = dz.shape
    gates = kind.gates or "z"
    H = G // len(gates)
    last = {"x": "dx"}
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
    for name in trial.wrong:
        node = {"h0": "dh0", "c0": "dc0", "h_prev": "dh0", "c_prev": "dc0"}.get(name, last.get(name, f"d{name}"))
        return Place(node)
    return None


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


def causes_of(matches: list[Hypothesis], kind: Kind, form: Form, trial: Trial, reference) -> list[Cause]:
    """The mistakes that fit, in words; certain only if they are all the same one."""
    found: list[Cause] = []
    for h in matches:
        place = place_of(h, kind, form, trial, reference)
        edit = h.edit
        lines = (edit.line, edit.wrong, edit.equation) if edit is not None else ("", "", "")
        found.append(Cause(h.cause, h.says, "likely", *lines, place))
    found.sort(key=lambda c: plausibility(c))
    if found and len({c.cause for c in found}) == 1:
        found[0] = found[0]._replace(confidence="certain")
    return found


PLAUSIBLE = (  # of several mistakes that give the same numbers, the more usual one first
    "sign", "softmax jacobian", "gate order", "transpose", "carry dropped", "carry doubled", "carry scaled", "overwritten",
    "repeated ids", "batch sum", "mask ignored", "dropout ignored", "normalization", "missing factor", "wrong derivative",
    "missing term", "doubled", "axis", "time shift", "wrong variable", "scale",
)  # fmt: skip


def plausibility(cause: Cause) -> tuple:
    """A key to sort by: the usual kind of mistake first, in a line that is no mere bookkeeping, small ones first."""
    rank = PLAUSIBLE.index(cause.cause) if cause.cause in PLAUSIBLE else len(PLAUSIBLE)
    bookkeeping = "real" in cause.line or "_kept" in cause.line
    return rank, bookkeeping, "np." in cause.wrong and "np." not in cause.line, len(cause.wrong)
