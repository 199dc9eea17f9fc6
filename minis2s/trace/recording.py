"""Recording: `with trace(model) as tape:` around one training step or one decode.

While the trace is open, `loss`, `backward` and `start` of this one model go through a thin wrapper that
notes what they were given: the batch, the weights, the dropout masks, the tokens that were fed; and searches
tell it their steps. Nothing else is slowed down, and afterwards everything is as before.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from minis2s.backend import to_numpy, xp_of
from minis2s.errors import UserError
from minis2s.models import Seq2Seq
from minis2s.trace.beam_tree import SearchLog, best_text, step_of_texts
from minis2s.trace.record import ARRAYS, Record, Spec, dropout_masks, spec_of, weights_of
from minis2s.trace.tape import Tape

WRAPPED = ("loss", "backward", "start", "on_search_step")
MISSING = object()
# of two threads one only opens the trace of a model, and one only takes the step of a tape
LOCK = threading.Lock()


@contextmanager
def trace(model: Seq2Seq) -> Iterator[Tape]:
    """A Tape of the one training step or decode that runs inside the `with` block.

    Raises UserError for a model with other operations than the engine's own, for one that is being traced
    already, and, inside the block, for a second step.
    """
    spec = spec_of(model)
    tape, search = Tape(), SearchLog()
    with LOCK:
        if isinstance(vars(model).get("on_search_step"), _Wrapper):
            raise UserError("this model is being traced already: leave the other `with` block first")
        before = {name: vars(model).get(name, MISSING) for name in WRAPPED}
        model.on_search_step = _Wrapper(search.note)
        model.loss = _Wrapper(_loss(tape, model, spec, model.loss))
        model.backward = _Wrapper(_backward(tape, model.backward))
        model.start = _Wrapper(_start(tape, search, model, spec, model.start))
    try:
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

    def __reduce__(self):
        # the copy would go on calling this model, and be traced for ever
        raise UserError(
            "a model cannot be copied while it is traced, and neither can workers be made of it: do that "
            "before the `with minis2s.trace(model)` block, or after it"
        )


def _loss(tape: Tape, model: Seq2Seq, spec: Spec, original):
    def loss(batch, *, rng=None, teacher_forcing: float = 1.0, coins=None, **options):
        with _the_step_of(tape):
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
        with _the_step_of(tape):
            search.model = (spec, weights_of(model, spec), _copy(src), _copy(src_mask))
            state = original(src, src_mask)
            tape._search = search
        return state

    return start


@contextmanager
def _the_step_of(tape: Tape) -> Iterator[None]:
    """Around the step of a tape: a second one is refused, unless the first has failed."""
    with LOCK:
        if tape._has_step:
            raise UserError(
                "a tape holds one training step or one decode, and this trace has its own already: open a new "
                "`with minis2s.trace(model)` for the next (a training in several threads is several steps)"
            )
        tape._has_step = True
    try:
        yield
    except BaseException:
        tape._has_step = False
        raise


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
