"""Recording: `with trace(model) as tape:` around one training step or one decode.

While the trace is open, `loss`, `backward` and `start` of this one model go through a thin wrapper that
notes what they were given: the batch, the weights, the dropout masks, the tokens that were fed. Nothing else
is slowed down, and afterwards everything is as before. The arrays themselves are made when they are
asked for, by taking the step again (replay.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minis2s.backend import to_numpy, xp_of
from minis2s.errors import UserError
from minis2s.files import write_text
from minis2s.models import Seq2Seq
from minis2s.trace import replay
from minis2s.trace.beam_tree import BeamNode, SearchLog, best_text, step_of_texts
from minis2s.trace.bptt import GradientPaths, gradient_paths
from minis2s.trace.record import LayerSpec, Record, Spec, dropout_masks, spec_of, weights_of
from minis2s.trace.what_if import Change, WhatIf, what_if
from minis2s.train.checkpoint import load_checkpoint, save_checkpoint

KIND = "minis2s trace"
ARRAYS = ("src", "src_mask", "tgt_in", "tgt_out", "tgt_mask", "fed", "coins")
WRAPPED = ("loss", "backward", "start", "on_search_step")
MISSING = object()


class Tape:
    """What one step of a model was made of.

    `tape["decoder.0/forward/f"]` is one array, `tape["decoder.0"]` all those whose name starts with that;
    `print(tape)` lists names and shapes. T target steps, S source positions, B sentences; time first, and
    of a layer that reads from right to left the time is that of the sentence all the same.

        LAYER/forward/NAME          (T or S, B, H)  the lines of the cell: x, h_prev, z_i, i, ..., h
        LAYER/backward/dNAME        (T or S, B, H)  their gradients; dh and dc are those of the state after the step
        LAYER/parts/h/EDGE          (T or S, B, H)  dh by the edge through which it came; c likewise
        attention/forward/...       query, scores, weights (T, B, S), context (T, B, M), keys, values (S, B, .)
        readout/forward/...         joined (T, B, M + H), mixed, attentional (T, B, H)
        output/forward/...          logits, probs (T, B, V);  loss/forward/surprise (T, B), in nats
        gradients/PATH              of every weight, by its path in the model

    The gradients are those of ``dloss * loss``, with the dloss that `model.backward` was given (1 without).
    """

    def __init__(self):
        self._record: Record | None = None
        self._cache = None  # what model.loss returned, while the trace is open
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
        """The activations of the step, replayed."""
        return replay.forward(self.record)

    @cached_property
    def backward(self) -> replay.Backward:
        """The gradients of the step, replayed."""
        return replay.backward(self.forward)

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
        """The gradient of every weight by its path; two layers that share one have each their own share of it."""
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
            note(f"{name}/forward", replay.stacked(fw.steps[name]))
            note(f"{name}/backward", replay.stacked(bw.steps[name]))
            for part in bw.parts[name][0]:
                note(f"{name}/parts/{part}", replay.stacked([parts[part] for parts in bw.parts[name]]))
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
        """Write the tape as one .npz file, whole or not at all: the record and, for other programs, all arrays.

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
        """Write the page as one HTML file that needs nothing else. Raises UserError when that is impossible."""
        write_text(path, self.html(row, source=source, target=target, title=title))

    def show(self, row: int = 0, *, source=None, target=None, title: str | None = None) -> "Shown":
        """The page as an object that a notebook displays."""
        return Shown(self.html(row, source=source, target=target, title=title))


class Shown:
    """A page for a notebook: it stands in a frame of its own, so that the styles do not meet."""

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        text = self.html.replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{text}" style="width: 100%; height: 720px; border: 0"></iframe>'


# -- recording ----------------------------------------------------------------------------------------


@contextmanager
def trace(model: Seq2Seq) -> Iterator[Tape]:
    """A Tape of the one training step or decode that runs inside the `with` block.

    Raises UserError for a model with other operations than the engine's own, for one that is being traced
    already, and, inside the block, for a second step.
    """
    spec = spec_of(model)
    if isinstance(vars(model).get("on_search_step"), _Wrapper):
        raise UserError("this model is being traced already: leave the other `with` block first")
    tape = Tape()
    before = {name: vars(model).get(name, MISSING) for name in WRAPPED}
    search = SearchLog()
    try:
        model.loss = _Wrapper(_loss(tape, model, spec, model.loss))
        model.backward = _Wrapper(_backward(tape, model.backward))
        model.start = _Wrapper(_start(tape, search, model, spec, model.start))
        model.on_search_step = _Wrapper(search.note)
        yield tape
    finally:
        for name, value in before.items():
            if value is MISSING:
                vars(model).pop(name, None)
            else:
                vars(model)[name] = value
        tape._cache = None
        _finish(tape, search)


class _Wrapper:
    """A function in a method's place, told apart from what others may have put there."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args, **options):
        return self.function(*args, **options)


def _loss(tape: Tape, model: Seq2Seq, spec: Spec, original):
    def loss(batch, *, rng=None, teacher_forcing: float = 1.0, coins=None, **options):
        _one_only(tape)
        if coins is None and teacher_forcing < 1 and rng is not None:
            # drawn as model.loss draws them, so that what follows is the same
            coins = xp_of(batch.tgt_in).asarray(rng.random(batch.tgt_in.shape) < teacher_forcing)
        weights = weights_of(model, spec)
        value, cache = original(batch, rng=rng, teacher_forcing=teacher_forcing, coins=coins, **options)
        host = {name: _copy(getattr(batch, name)) for name in ARRAYS[:5]}
        if host["tgt_mask"] is None:
            host["tgt_mask"] = np.ones(host["tgt_in"].shape, dtype=bool)
        tape._record = Record(
            spec,
            weights,
            **host,
            fed=_copy(cache.model.decoder.fed),
            coins=_copy(coins),
            keep=dropout_masks(cache.model, host["tgt_mask"]),
            smoothing=float(options.get("smoothing", 0.0)),
            share=float(cache.share),
            loss=float(value),
        )
        tape._cache = cache
        return value, cache

    return loss


def _backward(tape: Tape, original):
    def backward(dloss, cache):
        if cache is tape._cache and tape._record is not None:
            if tape._had_backward:
                raise UserError("a tape holds one backward pass; open a new trace for another")
            tape._record = replace(tape._record, dloss=float(dloss))
            tape._had_backward = True
            # what was replayed before may have had another dloss
            for name in ("forward", "backward", "arrays"):
                vars(tape).pop(name, None)
        return original(dloss, cache)

    return backward


def _start(tape: Tape, search: SearchLog, model: Seq2Seq, spec: Spec, original):
    def start(src, src_mask):
        _one_only(tape)
        tape._search = search
        search.model = (spec, weights_of(model, spec), _copy(src), _copy(src_mask))
        return original(src, src_mask)

    return start


def _one_only(tape: Tape) -> None:
    if tape._record is not None or tape._search is not None:
        raise UserError(
            "a tape holds one training step or one decode, and this trace has its own already: open a new "
            "`with minis2s.trace(model)` for the next (a training in several threads is several steps)"
        )


def _finish(tape: Tape, search: SearchLog) -> None:
    """A decode becomes a step like any other: the one that learns the best texts that were found."""
    if tape._search is None or not search.nodes:
        return
    spec, weights, src, src_mask = search.model
    tape._trees = search.trees()
    texts = [best_text(tree) for tree in tape._trees]
    tape._record = Record(
        spec, weights, src, src_mask, **step_of_texts(texts), coins=None, kind="decode",
    )  # fmt: skip


def _copy(a):
    return None if a is None else np.array(to_numpy(a))


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
                name.removeprefix(f"{group}/"): a for name, a in arrays.items() if name.startswith(f"{group}/")
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
        tape.forward  # noqa: B018  it must be possible to take the step again
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
        raise UserError(f"{path} is a damaged tape ({error}); use another") from error
    return tape
