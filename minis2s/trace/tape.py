"""The tape: all arrays of one step by name, the questions that can be asked of it, and its file.

recording.py fills it. It holds the record of the step only; the arrays are made when they are asked for, by
taking the step again (replay.py, replay_backward.py).
"""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minis2s.errors import UserError
from minis2s.files import write_text
from minis2s.trace import replay, replay_backward
from minis2s.trace.beam_tree import BeamNode, SearchLog, best_text
from minis2s.trace.bptt import GradientPaths, gradient_paths
from minis2s.trace.record import ARRAYS, LayerSpec, Record, Spec
from minis2s.trace.what_if import Change, WhatIf, what_if
from minis2s.train.checkpoint import load_checkpoint, save_checkpoint

KIND = "minis2s trace"


class Tape:
    """What one step of a model was made of.

    `tape["decoder.0/forward/f"]` is one array, `tape["decoder.0"]` all those whose name starts with that;
    `print(tape)` lists names and shapes. T target steps, S source positions, B sentences; time first, and
    of a layer that reads from right to left the time is that of the sentence all the same.

        LAYER/forward/NAME          (T or S, B, H)  the lines of the cell: x, h_prev, z_i, i, ..., h
        LAYER/backward/dNAME        (T or S, B, H)  their gradients; dh and dc are of the state after the step
        LAYER/parts/h/EDGE          (T or S, B, H)  dh by the edge through which it came; c likewise
        attention/forward/...       query, scores, weights (T, B, S), context (T, B, M), keys, values
        readout/forward/...         joined (T, B, M + H), mixed, attentional (T, B, H)
        output/forward/...          logits, probs (T, B, V);  loss/forward/surprise (T, B), in nats
        gradients/PATH              of every weight, by its path in the model

    The gradients are those of ``dloss * loss``, with the dloss that `model.backward` was given (1 without).
    """

    def __init__(self):
        self._record: Record | None = None
        self._cache = None  # what model.loss returned, while the trace is open
        self._has_step = False
        self._had_backward = False
        self._search: SearchLog | None = None
        self._trees: list[list[BeamNode]] | None = None

    # -- what it holds ----------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """The step as it was given. Raises UserError when there was none."""
        if self._record is None:
            raise UserError(
                "this tape is empty: call model.loss(batch), beam_search(model, ...) or greedy(model, ...) "
                "inside the `with minis2s.trace(model)` block"
            )
        return self._record

    @property
    def layers(self) -> list[str]:
        """The names of the recurrent layers, encoder first, lowest first."""
        return [layer.name for layer in self.record.spec.layers]

    @cached_property
    def forward(self) -> replay.Forward:
        """The activations of the step, replayed.

        Raises UserError where they do not give the model's loss: then it is not made as a Seq2Seq is.
        """
        run, said = replay.forward(self.record), self.record.loss
        if said is not None and not np.isclose(run.loss, said, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise UserError(
                f"the step, taken again, has the loss {run.loss:.6g}, but the model said {said:.6g}: "
                "something in it is not the engine's own, such as a method in another's place"
            )
        return run

    @cached_property
    def backward(self) -> replay_backward.Backward:
        """The gradients of the step, replayed."""
        return replay_backward.backward(self.forward)

    @property
    def loss(self) -> float:
        """The loss, from the replay; of a decode, minus the log-probability of the best texts."""
        return float(self.forward.loss)

    @property
    def losses(self) -> np.ndarray:
        """What each right token cost, in nats: (T, B), 0 at padding."""
        return self.forward.surprise

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """The gradient of every weight by its path; of two layers that share one, each has its own part."""
        return self.backward.gradients

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name; see the class."""
        fw, bw, found = self.forward, self.backward, {}

        def note(prefix: str, arrays: dict[str, Any]) -> None:
            found.update({f"{prefix}/{name}": a for name, a in arrays.items() if a is not None})

        note("encoder.embedding/forward", {"out": fw.embedded["encoder"]})
        note("decoder.embedding/forward", {"out": fw.embedded["decoder"], "fed": fw.fed})
        for name in self.layers:
            note(f"{name}/forward", replay_backward.stacked(fw.steps[name]))
            note(f"{name}/backward", replay_backward.stacked(bw.steps[name]))
            for part in bw.parts[name][0]:
                note(
                    f"{name}/parts/{part}", replay_backward.stacked([parts[part] for parts in bw.parts[name]])
                )
        for level, (first, dfirst) in enumerate(zip(fw.first, bw.dfirst, strict=True)):
            note("bridge/forward", {f"decoder.{level}.{name}": a for name, a in first.items()})
            note("bridge/backward", {f"ddecoder.{level}.{name}": a for name, a in dfirst.items()})
        for level, dlast in enumerate(bw.dlast):
            note("bridge/backward", {f"dencoder.{level}.{name}": a for name, a in dlast.items()})
        if fw.attended is not None:
            for name in ("query", "scores", "weights", "context"):
                note("attention/forward", {name: np.concatenate([getattr(a, name) for a in fw.attended])})
            note("attention/forward", {"keys": fw.keys, "values": fw.memory})
            note("attention/backward", {**bw.attention, "dkeys": bw.dkeys, "dvalues": bw.dmemory})
        note("readout/forward", {"joined": fw.joined, "mixed": fw.mixed, "attentional": fw.attentional})
        note("readout/backward", {"dattentional": bw.dattentional})
        note("output/forward", {"logits": fw.logits, "probs": fw.probs})
        note("output/backward", {"dlogits": bw.dlogits})
        note("loss/forward", {"surprise": fw.surprise})
        note("gradients", bw.gradients)
        return found

    def __getitem__(self, name: str):
        """One array, or a dict of all below a name. Raises KeyError that says what there is."""
        if name in self.arrays:
            return self.arrays[name]
        below = {k[len(name) + 1 :]: a for k, a in self.arrays.items() if k.startswith(name + "/")}
        if not below:
            tops = dict.fromkeys(k.split("/")[0] for k in self.arrays)
            raise KeyError(f"no array is named {name!r}; there are {', '.join(tops)}")
        return below

    def __repr__(self) -> str:
        if self._record is None:
            return "Tape(empty)"
        T, B = self.record.tgt_in.shape
        head = f"Tape({self.record.kind}: {B} sentences, {len(self.record.src)} source and {T} target steps)"
        return "\n".join([head, *(f"  {name}: {a.shape}" for name, a in self.arrays.items())])

    # -- questions --------------------------------------------------------------------------------

    def bptt(self, row: int = 0) -> GradientPaths:
        """The gradient of every state of one sentence, by loss term and by path; see bptt.py."""
        return gradient_paths(self.record, self._row(row))

    def what_if(self, *changes: Change) -> WhatIf:
        """The step once more with something changed; see what_if.py."""
        return what_if(self.record, changes)

    @property
    def beam(self) -> list[list[BeamNode]]:
        """Per sentence, the nodes of the search's tree. Raises UserError when no search was traced."""
        if self._trees is None:
            raise UserError(
                "no search was traced: call beam_search(model, ...) or greedy(model, ...) in the block"
            )
        return self._trees

    def _row(self, row: int) -> int:
        B = self.record.tgt_in.shape[1]
        if not 0 <= row < B:
            raise ValueError(f"row must be between 0 and {B - 1} (the tape holds {B} sentences), got {row}")
        return row

    # -- files ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the tape as one .npz file, whole or not at all: the record, and all arrays for others.

        Raises UserError when the file cannot be written.
        """
        r = self.record
        arrays = {f"record/{name}": getattr(r, name) for name in ARRAYS if getattr(r, name) is not None}
        arrays |= {f"weights/{name}": a for name, a in r.weights.items()}
        arrays |= {f"keep/{name}": a for name, a in r.keep.items()}
        arrays |= {f"arrays/{name}": a for name, a in self.arrays.items()}
        meta = {
            "kind": KIND,
            "spec": asdict(r.spec),
            "smoothing": r.smoothing,
            "share": r.share,
            "dloss": r.dloss,
            "loss": r.loss,
            "of": r.kind,
            "trees": None if self._trees is None else [[list(node) for node in tree] for tree in self._trees],
        }
        save_checkpoint(path, arrays, meta)

    def page(self, row: int = 0, *, source=None, target=None, title: str | None = None) -> dict:
        """One sentence as the dict that the viewer shows; see page.py.

        source, target: Codec or Vocabulary of the two sides, for the tokens' texts; without, their numbers.
        """
        from minis2s.trace.page import page

        return page(self, self._row(row), source=source, target=target, title=title)

    def html(self, row: int = 0, *, source=None, target=None, title: str | None = None) -> str:
        """The page as one self-contained HTML text."""
        from minis2s.trace.html import page_html

        return page_html(self.page(row, source=source, target=target, title=title))

    def save_html(
        self, path: str | Path, row: int = 0, *, source=None, target=None, title: str | None = None
    ) -> None:
        """Write the page as one HTML file that needs nothing else. Raises UserError when that fails."""
        write_text(path, self.html(row, source=source, target=target, title=title))

    def show(self, row: int = 0, *, source=None, target=None, title: str | None = None) -> "Shown":
        """The page as an object that a notebook displays, in a frame of its own."""
        from minis2s.trace.html import notebook_html

        return Shown(notebook_html(self.page(row, source=source, target=target, title=title)))


class Shown:
    """HTML that a notebook displays when it is the value of a cell."""

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


def load_tape(path: str | Path) -> Tape:
    """The tape that `Tape.save` wrote. Nothing in the file can run code.

    Raises UserError when the file is missing, damaged, or not a tape.
    """
    arrays, meta = load_checkpoint(path)
    if not isinstance(meta, dict) or meta.get("kind") != KIND:
        raise UserError(f"{path} is not a tape that Tape.save wrote")
    tape = Tape()
    try:
        spec = {**meta["spec"], "layers": [LayerSpec(**layer) for layer in meta["spec"]["layers"]]}
        below = {
            group: {
                name.removeprefix(f"{group}/"): a
                for name, a in arrays.items()
                if name.startswith(f"{group}/")
            }
            for group in ("record", "weights", "keep")
        }
        given = {name: below["record"].get(name) for name in ARRAYS}
        numbers = {name: meta[name] for name in ("smoothing", "share", "dloss", "loss")}
        tape._record = Record(
            Spec(**spec), below["weights"], **given, keep=below["keep"], **numbers, kind=meta["of"]
        )
        if meta["trees"] is not None:
            tape._trees = [[BeamNode(*node) for node in tree] for tree in meta["trees"]]
        check_loaded(tape)
    except (
        LookupError, TypeError, ValueError, ArithmeticError, AttributeError, StopIteration, MemoryError,
    ) as error:  # fmt: skip
        raise UserError(f"{path} is a damaged tape ({error}); use another") from error
    return tape


def check_loaded(tape: Tape) -> None:
    """Raises one of many errors where the parts of a tape do not fit each other: all else relies on them."""
    r, spec = tape.record, tape.record.spec
    for name in ("smoothing", "share", "dloss", "loss"):
        value = getattr(r, name)
        if not (isinstance(value, int | float) or (name == "loss" and value is None)):
            raise TypeError(f"{name} should be a number, got {value!r}")
    asks = {"plain": False, "luong": True, "bahdanau": True}[spec.decoder]
    if asks != (spec.attention is not None):
        raise ValueError(f"a {spec.decoder!r} decoder with the attention {spec.attention!r}")
    if not all(isinstance(layer.name, str) for layer in spec.layers):
        raise TypeError("a layer has no name")
    for name in ARRAYS:
        a, of = getattr(r, name), r.src if name.startswith("src") else r.tgt_in
        if a is not None and (a.shape != of.shape or a.ndim != 2 or a.shape[1] != r.src.shape[1]):
            raise ValueError(f"{name} has the shape {a.shape}")
        if a is not None and (name.endswith("mask") or name == "coins") and not np.isin(a, (0, 1)).all():
            raise ValueError(f"{name} should be true or false")
    if any(w.dtype.kind != "f" for w in r.weights.values()):
        raise TypeError("weights should be real numbers")
    if tape._trees is not None:
        check_trees(tape._trees, r.src.shape[1])
    # it must be possible to take the step again
    tape.backward  # noqa: B018


def check_trees(trees: list[list[BeamNode]], B: int) -> None:
    """Raises ValueError or TypeError unless there are at most B trees, each parent before its children."""
    if not 0 < len(trees) <= B:
        raise ValueError(f"{len(trees)} trees for {B} sentences")
    for tree in trees:
        for n, node in enumerate(tree):
            if node.id != n or not (node.parent == -1 if n == 0 else 0 <= node.parent < n):
                raise ValueError(f"node {n} of a tree is number {node.id!r} with parent {node.parent!r}")
            if type(node.token) is not int or type(node.step) is not int:
                raise TypeError(f"node {n} of a tree has token {node.token!r} at step {node.step!r}")
        np.array([node[3:6] for node in tree], dtype=float)
        best_text(tree)  # there must be one
