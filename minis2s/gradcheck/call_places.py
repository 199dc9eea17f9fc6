"""Where a recorded call stands in its model: the axes of its arrays, its kind, its step of the decoder.

`place_in` names the place at which what arrived at a call differs from what should have arrived.
"""

import numpy as np

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.places import rows_of
from minis2s.gradcheck.watch import Call

WRONG_BY = 1e-6  # relative; rounding stays far below, and a mistake of calculus is not that small
NEEDED = {"ids", "targets", "keep_mask", "p"}  # of the extras of a kind, those that no call can leave out


def place_in(
    calls: list[Call], node: str, call: Call, got: np.ndarray, true: np.ndarray, letters: str
) -> Place:
    """The place of a difference at a call: the last step that differs, since backward comes to it first."""
    scale = max(float(np.abs(true).max(initial=0)), float(np.abs(got).max(initial=0)))
    differs = ~(np.abs(got - true) <= WRONG_BY * scale)
    step, rows = step_of(calls, call), None  # step by step, the T axis of a call has one entry alone
    if step is None and ("T" in letters or "S" in letters):
        axis = max(letters.find("T"), letters.find("S")) if letters[0] not in "TS" else 0
        times = np.flatnonzero(differs.any(axis=tuple(k for k in range(differs.ndim) if k != axis)))
        step = int(times[-1])
        differs = np.take(differs, [step], axis=axis)
    if "B" in letters and differs.ndim > letters.index("B"):
        nonzero = (got != 0) | (true != 0)
        if step is not None and nonzero.shape != differs.shape:
            nonzero = np.take(nonzero, [step], axis=axis)
        rows = rows_of(differs, nonzero, letters.index("B"))
    return Place(node, layer=call.path, step=step, rows=rows)


def step_of(calls: list[Call], call: Call) -> int | None:
    """At which step of the decoder a call was made; None where it was not made step by step."""
    steps = max(
        (
            sum(c.path == s.path and c.op.name == s.op.name for c in calls)
            for s in calls
            if s.op.name.endswith("_step")
        ),
        default=1,
    )
    count = sum(c.path == call.path and c.op.name == call.op.name for c in calls)
    if steps < 2 or count % steps or not call.path.startswith(("decoder", "layers", "cells")):
        return None
    return call.occurrence // (count // steps)


def letters_of(call: Call, out: str) -> str:
    kind = KINDS.get(call.op.name)
    letters = kind.outs.get(out, "") if kind else ""
    index = [call.name_of_out(n) for n in range(len(call.outs))].index(out) if letters else 0
    shape = call.outs[index].shape
    return (
        letters
        if len(letters) == len(shape)
        else "TB"[2 - len(shape) + 1 :] + "X"
        if len(shape) in (2, 3)
        else ""
    )


def kind_by_layer(call: Call) -> Kind | None:
    """The kind of an op of another name, from the weights that it is called with: a student's own."""
    shapes = [x.shape for x in call.inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    n = len(call.inputs)
    for kind in KINDS.values():
        sizes = [len(letters) for letters in kind.arguments.values()]
        if (
            [len(s) for s in shapes] == sizes
            and len(call.outs) == len(kind.outs)
            and len(sizes) + len(NEEDED.intersection(kind.extras)) <= n <= len(sizes) + len(kind.extras)
        ):
            if kind.gates:
                H = shapes[1][-1]
                widths = {shapes[list(kind.arguments).index("Wx")][1]}
                if widths != {len(kind.gates) * H}:
                    continue
            return kind
    return None


def place_of_inputs(kind: Kind, bad: list[str]) -> Place:
    if "attention" in kind.name or len(bad) > 1:
        return Place({"cross_entropy": "dlogits", "masked_softmax": "dscores"}.get(kind.name, f"d{bad[0]}"))
    return Place(f"d{bad[0]}")
