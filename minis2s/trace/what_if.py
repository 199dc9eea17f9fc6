"""What if: the same step with one thing changed, computed anew from there on.

Nothing is estimated. The replay runs again with the change in its place, and loss, probabilities and best
tokens are those of the changed model. The tokens that the decoder reads stay the right ones, but for those
that are forced, and for steps whose coin gave the model its own token: there it reads what it would now
have written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minis2s.trace import replay
from minis2s.trace.cells import CELLS, Here
from minis2s.trace.record import Record

Array = np.ndarray


class Pin(NamedTuple):
    """Some units of a gate hold a value: whatever the gate computes, they are `value`."""

    layer: str
    gate: str  # i, f, o, g of an LSTM; r, u, n of a GRU; h of an RNN
    value: float
    step: int | None = None  # None: at all steps
    units: Sequence[int] | None = None  # None: all of them
    row: int | None = None  # None: in all sentences


class AttentionRow(NamedTuple):
    """At a target step the attention is this, not what the scores say: weights (S,)."""

    step: int
    weights: Sequence[float]
    row: int | None = None


class ForceToken(NamedTuple):
    """At a target step the decoder reads this token in place of the right one."""

    step: int
    token: int
    row: int | None = None


class Cut(NamedTuple):
    """Nothing goes along a path: zeros arrive in place of

    carry          the LSTM's c_prev in c = f * c_prev + i * g; the GRU's h_prev in h = ... + u * h_prev
    recurrent      h_prev wherever it is multiplied with Wh
    bridge         the decoder's initial state
    attention      the context
    input feeding  the attentional state of the step before
    """

    path: str
    layer: str | None = None  # for carry, recurrent and bridge; None: in all layers
    step: int | None = None  # None: at all steps
    row: int | None = None


Change = Pin | AttentionRow | ForceToken | Cut
IN_CELLS = ("carry", "recurrent")


@dataclass(frozen=True)
class WhatIf:
    """How the step came out. T target steps, B sentences."""

    loss: float
    losses: Array  # (T, B)  nats, 0 at padding
    best: Array  # (T, B)  the most probable tokens
    right_p: Array  # (T, B)  probabilities of the right tokens
    forward: replay.Forward  # all activations


def what_if(record: Record, changes: Sequence[Change]) -> WhatIf:
    """The step of a record with some changes.

    Raises ValueError, saying what there is, for a change that does not fit the step.
    """
    for change in changes:
        check(record, change)
    run = replay.forward(record, Changes(record, changes))
    return outcome(run)


def outcome(run: replay.Forward) -> WhatIf:
    T, B, V = run.logits.shape
    best = replay.best_token(run.logits.reshape(T * B, V)).reshape(T, B)
    right = np.take_along_axis(run.probs, run.record.tgt_out[..., None], axis=-1)[..., 0]
    return WhatIf(float(run.loss), run.surprise, best, right, run)


def in_range(name: str, value: int | None, size: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if not 0 <= value < size:
        raise ValueError(f"{name} must be between 0 and {size - 1}, got {value}")


def check(record: Record, change: Change) -> None:
    """Raises ValueError or TypeError where a change does not fit the step."""
    spec = record.spec
    T, B = record.tgt_in.shape
    names = [layer.name for layer in spec.layers]
    steps = T
    layer = getattr(change, "layer", None)
    if layer is not None or isinstance(change, Pin):
        if layer not in names:
            raise ValueError(f"layer must be one of {', '.join(names)}, got {layer!r}")
        layer = spec.layer(layer)
        steps = T if layer.part == "decoder" else len(record.src)
    if isinstance(change, Pin):
        gates = CELLS[layer.cell].gates
        if change.gate not in gates:
            raise ValueError(f"a {layer.cell} has the gates {', '.join(gates)}, got {change.gate!r}")
        if not np.isfinite(change.value):
            raise ValueError(f"the value of a gate must be finite, got {change.value}")
        for unit in () if change.units is None else change.units:
            in_range("a unit", unit, layer.size)
    elif isinstance(change, AttentionRow):
        if spec.attention is None:
            raise ValueError("this model has no attention whose weights could be overwritten")
        if np.shape(change.weights) != (len(record.src),):
            raise ValueError(
                f"the attention weights must have shape ({len(record.src)},), got {np.shape(change.weights)}"
            )
        if not np.isfinite(change.weights).all():
            raise ValueError("the attention weights must be finite")
    elif isinstance(change, ForceToken):
        in_range("token", change.token, len(record.weights["decoder.embedding.W"]))
    elif isinstance(change, Cut):
        known = cuts(record)
        if change.path not in known:
            raise ValueError(f"this model has the paths {', '.join(known)}, got {change.path!r}")
        if change.path not in (*IN_CELLS, "bridge") and layer is not None:
            raise ValueError(f"the path {change.path!r} is outside the cells: leave out the layer")
        if change.path == "bridge" and layer is not None and layer.part != "decoder":
            raise ValueError(f"the bridge leads to a layer of the decoder, got {layer.name!r}")
        if change.path == "bridge" and change.step is not None:
            raise ValueError("the bridge is before all steps: leave out the step")
        if change.path in IN_CELLS and layer is None:
            steps = max(T, len(record.src))
        if change.path == "carry" and layer is not None and layer.cell == "rnn":
            raise ValueError("an rnn has no carry")
    else:
        raise TypeError(f"a change is a Pin, AttentionRow, ForceToken or Cut, got {type(change).__name__}")
    if change.step is None and isinstance(change, AttentionRow | ForceToken):
        raise ValueError(f"{type(change).__name__} is for one step: say which")
    in_range("step", change.step, steps)
    in_range("row", change.row, B)


def cuts(record: Record) -> list[str]:
    """The paths of this model that can be cut."""
    spec = record.spec
    found = []
    if any(layer.cell != "rnn" for layer in spec.layers):
        found.append("carry")
    found.append("recurrent")
    if spec.bridge != "zero":
        found.append("bridge")
    if spec.attention is not None:
        found.append("attention")
    if spec.input_feeding:
        found.append("input feeding")
    return found


class Changes:
    """The changes as the replay asks for them; see replay.NoChanges."""

    any = True

    def __init__(self, record: Record, changes: Sequence[Change]):
        self.rows = np.arange(record.tgt_in.shape[1])
        self.changes = changes

    def _rows(self, change: Change) -> Array:
        return self.rows if change.row is None else self.rows[change.row : change.row + 1]

    def at(self, layer: str | None, t: int | None) -> Here:
        def here(change: Change) -> bool:
            if isinstance(change, Pin):
                return change.layer == layer and change.step in (None, t)
            if not isinstance(change, Cut):
                return False
            if change.path == "bridge":
                return t is None and change.layer in (None, layer)
            if t is None or change.step not in (None, t):
                return False
            return change.layer in (None, layer) if change.path in IN_CELLS else layer is None

        return Changed([(change, self._rows(change)) for change in self.changes if here(change)])

    def attention(self, t: int, weights: Array) -> Array:
        for change in self.changes:
            if isinstance(change, AttentionRow) and change.step == t:
                weights = weights.copy()
                weights[self._rows(change)] = change.weights
        return weights

    def fed(self, t: int, tokens: Array) -> Array:
        for change in self.changes:
            if isinstance(change, ForceToken) and change.step == t:
                tokens = tokens.copy()
                tokens[self._rows(change)] = change.token
        return tokens


class Changed(Here):
    """What is changed at one place and time: the changes, and in which rows."""

    def __init__(self, changes: list[tuple[Change, Array]]):
        self.changes = changes

    def pin(self, name: str, a: Array) -> Array:
        for change, rows in self.changes:
            if isinstance(change, Pin) and change.gate == name:
                a = a.copy()
                units = np.arange(a.shape[1]) if change.units is None else np.asarray(change.units, dtype=int)
                a[rows[:, None], units] = change.value
        return a

    def keep(self, path: str, a: Array) -> Array:
        for change, rows in self.changes:
            if isinstance(change, Cut) and change.path == path:
                a = a.copy()
                a[rows] = 0
        return a
