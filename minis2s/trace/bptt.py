"""Itemised backpropagation through time: which loss term pulls at which state, and through which edge.

The loss is a sum of terms, one for each target step s. For every term by itself, the gradient of every
state is computed, in the parts in which it arrives (replay.py lists the edges). All terms of one sentence
are walked back side by side: as many copies of the sentence as it has target steps, and in copy s the
loss counts at step s alone.
"""

from dataclasses import dataclass

import numpy as np

from minis2s.trace import replay, replay_backward
from minis2s.trace.cells import CELLS
from minis2s.trace.record import Record

Array = np.ndarray
EDGES = (
    "readout",
    "attention",
    "input feeding",
    "recurrent",
    "carry",
    "layer above",
    "bridge",
    "own h",
)


@dataclass(frozen=True)
class GradientPaths:
    """The gradients of one sentence's states by loss term and edge. T target steps.

    parts: by layer, by "h" and "c", by edge: (T or S, T, H), first the state's time, then the loss term's.
    dx: by layer, the gradient of the cell's input x: (T or S, T, D).
    """

    row: int
    parts: dict[str, dict[str, dict[str, Array]]]
    dx: dict[str, Array]
    run: replay.Forward  # of the copies of the sentence, one for each loss term
    back: replay_backward.Backward  # of the same copies

    def of(self, layer: str, t: int, step: int | None = None) -> dict[str, dict[str, Array]]:
        """The parts of the gradient of one state: {"dh": {edge: (H,)}, "dc": {edge: (H,)}}.

        step: of the loss term at that target step; without, of the whole loss of the sentence.

        Raises ValueError for a layer or a time that is not there.
        """
        self._check(layer, t, step)
        return {
            f"d{part}": {
                edge: a[t].sum(axis=0) if step is None else a[t, step] for edge, a in by_edge.items()
            }
            for part, by_edge in self.parts[layer].items()
        }

    def of_input(self, layer: str, t: int, step: int | None = None) -> dict[str, Array]:
        """The parts of the gradient of what a cell read at time t: {edge: (D,)}; they sum to its dx.

        An input is reached through the state of its own step alone: the edge is that by which the gradient
        came to this state. step: as in `of`.

        Raises ValueError for a layer or a time that is not there.
        """
        self._check(layer, t, step)
        record = self.run.record
        spec = record.spec.layer(layer)
        mask = record.src_mask[t] if spec.part == "encoder" and record.src_mask is not None else None
        weights, forward = replay.cell_weights(record, spec), self.run.steps[layer][t]
        arriving = self.back.parts[layer][t]
        found = {}
        for edge in EDGES:
            if edge == "own h" or not any(edge in parts for parts in arriving.values()):
                continue  # what c gets from its own h belongs to the edges of h
            dstate = {name: {edge: parts[edge]} if edge in parts else {} for name, parts in arriving.items()}
            _, _, dx, _, _ = CELLS[spec.cell].backward(dstate, forward, weights, mask, spec.reset_after)
            found[edge] = dx.sum(axis=0) if step is None else dx[step]
        return found

    def _check(self, layer: str, t: int, step: int | None) -> None:
        if layer not in self.parts:
            raise ValueError(f"layer must be one of {', '.join(self.parts)}, got {layer!r}")
        times, steps, _ = self.dx[layer].shape
        if not 0 <= t < times:
            raise ValueError(f"{layer} has the times 0 to {times - 1}, got t = {t}")
        if step is not None and not 0 <= step < steps:
            raise ValueError(f"the loss has terms at steps 0 to {steps - 1}, got step = {step}")

    def total(self, layer: str, part: str = "h") -> Array:
        """The gradient itself, (T or S, T, H): the sum of its parts."""
        return sum(self.parts[layer][part].values())

    def lengths(self, layer: str) -> dict[str, Array]:
        """By edge, the Euclidean length of what it brings to h and c together: (T or S, T)."""
        found = {}
        for edge in EDGES:
            squares = [(by[edge] ** 2).sum(axis=-1) for by in self.parts[layer].values() if edge in by]
            if squares:
                found[edge] = np.sqrt(sum(squares))
        return found


def gradient_paths(record: Record, row: int) -> GradientPaths:
    """The itemised gradients of one sentence of a record."""
    T = len(record.tgt_in)
    run = replay.forward(record.rows([row] * T))
    # copy s counts the term of step s alone: (T, T), diagonal
    weight = replay_backward.counts(run.record) * np.eye(T, dtype=run.probs.dtype)
    back = replay_backward.backward(run, weight)
    parts = {
        name: {part: replay_backward.stacked([step[part] for step in steps]) for part in steps[0]}
        for name, steps in back.parts.items()
    }
    dx = {name: replay_backward.stacked(steps)["dx"] for name, steps in back.steps.items()}
    return GradientPaths(row, parts, dx, run, back)
