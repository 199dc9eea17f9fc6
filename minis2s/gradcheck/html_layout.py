"""What the axes of each block of a report mean, and which gates lie on its last axis: for the pictures.

A known kind says it; in a model it is read off the shapes of a recurrent layer's weights.
"""

from typing import NamedTuple

import numpy as np

from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.report import Report


class Layout(NamedTuple):
    """Of a block: the letters of its axes, and of the gates on its last axis; "" where there are none."""

    axes: str
    gates: str


def layouts_of(report: Report, gates: str) -> dict[str, Layout]:
    """By block name: from the kind, or, in a model, from the shapes of a recurrent layer's weights."""
    kind = KINDS.get(report.kind)
    if kind is None:
        return layouts_in_a_model({b.name: np.shape(b.got) for b in report.blocks if b.got is not None})
    gates = gates or report.gates
    if sorted(gates) != sorted(kind.gates):
        gates = kind.gates
    return {
        name: Layout(axes, gates if name in kind.gate_axes else "") for name, axes in kind.arguments.items()
    }


def layouts_in_a_model(shapes: dict[str, tuple[int, ...]]) -> dict[str, Layout]:
    """Wx (D, n H) and Wh (H, n H) of one layer: n = 4 is an LSTM, n = 3 a GRU."""
    layouts = {}
    for name, shape in shapes.items():
        layer, _, weight = name.rpartition(".")
        states = shapes.get(f"{layer}.Wh".lstrip("."), ())
        axes = {"Wx": "DG", "Wh": "HG", "b": "G", "bx": "G", "bh": "G"}.get(weight, "")
        if len(states) == 2 and len(axes) == len(shape) > 0 and shape[-1] == states[1]:
            by_count = {len(KINDS[kind].gates): KINDS[kind].gates for kind in ("lstm", "gru")}
            layouts[name] = Layout(axes, by_count.get(states[1] // max(states[0], 1), ""))
    return layouts
