"""One setting in which a pair was checked, and the textbook beside it, in the layout of the pair.

A pair may have its gates in another order, or a GRU its reset gate in another place: `find_form` finds
out by comparing the forward passes.
"""

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from minis2s.gradcheck.causes import Finding, Place
from minis2s.gradcheck.kind import Kind, Reference
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.problem import Problem
from minis2s.gradcheck.run import TRANSPOSED, Run
from minis2s.gradcheck.verdict import MISSING, WRONG, Block

# how far two computations of the same formula may differ
CLOSE = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-4, np.dtype(np.float16): 2e-2}


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


def causes_in(findings: list[Finding], wrong: bool) -> list[Cause]:
    """The faults of behaviour as causes. wrong: whether numbers are wrong, too; a fault need not explain them."""
    confidence = "possible" if wrong else "certain"
    return [Cause(f.cause, f.says, confidence) for f in findings if f.ok is False and f.cause]


def transposed(blocks: dict[str, Block]) -> list[Cause]:
    """The gradients that came transposed, as causes."""
    return [
        Cause("transpose", block.note, "likely")
        for block in blocks.values()
        if any(note.tells == TRANSPOSED for note in block.notes)
    ]


class Form(NamedTuple):
    """How a function of a kind is laid out: the order of its gates, and its options."""

    gates: str
    options: dict


class Pair(NamedTuple):
    """The two functions under test, and what they are said to be.

    form: as it is declared, until the forward pass was asked; then the one that it has, None where it has none.
    """

    name: str
    forward: Callable
    backward: Callable
    kind: Kind
    form: Form | None


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


def find_form(kind: Kind, trial: Trial, declared: Form) -> Form | None:
    """The form in which the textbook gives what the function's forward gives.

    The declared form is tried first; then every order of the gates and, for a GRU, both places of the
    reset gate. Returns None when the forward pass is none of these.
    """
    orders = (
        [declared.gates, *("".join(p) for p in itertools.permutations(kind.gates))] if kind.gates else [""]
    )
    variants = [declared.options]
    if kind.name.startswith("gru"):
        variants.append(declared.options | {"reset_after": not declared.options.get("reset_after", True)})
    for options in variants:
        for gates in orders:
            form = Form(gates, options)
            try:
                outs = kind.reference(standard(kind, form, trial.values)).outs
            except TypeError:  # it takes fewer arguments than the textbook needs, as an LSTM without a bias
                continue
            pairs = list(zip(trial.run.outs, outs, strict=False))
            if pairs and all(agree_in_forward(a, b, trial.run.dtype) for a, b in pairs):
                return form
    return None


def agree_in_forward(mine: np.ndarray, textbook: np.ndarray, dtype: np.dtype) -> bool:
    """Do two outs agree? dtype: in which the code is judged; what it returns may hold less, as float16 does."""
    close = max(CLOSE[dtype], CLOSE.get(mine.dtype, 0.0))
    return mine.shape == textbook.shape and np.allclose(mine, textbook, rtol=close, atol=close)


def how_it_differs(form: Form, declared: Form) -> str:
    """In words, how a form differs from the declared one; "" where it does not."""
    notes = []
    if form.gates != declared.gates:
        notes.append(
            f"the gates lie in the order {', '.join(form.gates)}; stated is {', '.join(declared.gates)}"
        )
    if form.options != declared.options:
        where = "before" if not form.options.get("reset_after", True) else "after"
        notes.append(f"the reset gate acts {where} the product with Wh; stated is the other form")
    return "; ".join(notes)
