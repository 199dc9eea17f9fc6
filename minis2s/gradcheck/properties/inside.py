"""A model made ready for questions, and a look at what flows between its parts.

`Case` puts weights into the model that hide nothing, for as long as the questions last. `look` runs
it forward and keeps, in the order in which they come about, the quantities through which one thing
could leak into another; `first_moved` tells which of them is the first to differ between two looks.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minis2s.backend import to_numpy
from minis2s.data.batching import Batch, Example, make_batch
from minis2s.data.vocabulary import PAD, SPECIAL_TOKENS
from minis2s.gradcheck.properties.finding import TOLERANCE, gap
from minis2s.nn import Bidirectional, Dropout, Layer

LENGTHS = [(4, 3), (2, 0), (0, 4), (3, 1)]  # of source and target; each with an EOS behind it


def layers_below(layer) -> Iterator[tuple[str, Layer]]:
    """Every Layer inside a layer, with its path; all attributes are looked at, not the Parameters only."""
    if isinstance(layer, Layer):
        for name, child in layer.children():
            if isinstance(child, Layer):
                yield name, child
                yield from ((f"{name}.{path}", deeper) for path, deeper in layers_below(child))


class Case:
    """A model, a ragged batch, and float64 weights drawn from about 0.7 N(0, 1), biases included.

    Use it as a context: at its end weights, gradients and dropout are what they were.
    """

    def __init__(self, model, *, seed: int, batch: Batch | None = None, source_size=None, target_size=None):
        self.model = model
        self.rng = np.random.default_rng(seed)
        self.V_source = source_size or len(model.encoder.embedding.W.data)
        self.V = target_size or len(model.decoder.embedding.W.data)
        self.original = self.ragged_batch() if batch is None else batch
        self.parameters = model.parameters() if hasattr(model, "parameters") else {}
        self.dropouts = {path: x for path, x in layers_below(model) if isinstance(x, Dropout)}

    def __enter__(self) -> "Case":
        self.saved = [(p, p.data, p.grad) for p in self.parameters.values()]
        self.rates = {path: layer.p for path, layer in self.dropouts.items()}
        for p in self.parameters.values():
            rows = p.data.shape[0] if p.data.ndim > 1 else 1
            # large sums would saturate every tanh, and nothing could move any more
            scale = 0.7 * min(1.0, np.sqrt(8 / rows))
            self.put(p, scale * self.rng.standard_normal(p.data.shape))
        return self

    def __exit__(self, *error) -> None:
        for p, data, grad in self.saved:
            p.data, p.grad = data, grad
        for path, layer in self.dropouts.items():
            layer.p = self.rates[path]

    @staticmethod
    def put(parameter, data: np.ndarray) -> None:
        parameter.data, parameter.grad = data, np.zeros_like(data)

    @contextlib.contextmanager
    def weights(self, change) -> Iterator[None]:
        """For a while every weight is ``change(name, data)``."""
        before = {name: p.data for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            self.put(p, change(name, p.data))
        try:
            yield
        finally:
            for name, p in self.parameters.items():
                self.put(p, before[name])

    @contextlib.contextmanager
    def dropout(self, rate: float) -> Iterator[None]:
        """For a while every Dropout layer drops at this rate."""
        before = {path: layer.p for path, layer in self.dropouts.items()}
        for layer in self.dropouts.values():
            layer.p = rate
        try:
            yield
        finally:
            for path, layer in self.dropouts.items():
                layer.p = before[path]

    @property
    def batch(self) -> Batch:
        """The batch, a copy each time: what one call does to it, another does not see."""
        return Batch(*(a.copy() for a in self.original))

    # -- batches ---------------------------------------------------------------------------------

    def ragged_batch(self) -> Batch:
        """Four sentences of different length, an empty source and an empty target among them."""
        rng = np.random.default_rng(0)

        def ids(length: int, V: int) -> list[int]:
            return rng.integers(min(len(SPECIAL_TOKENS), V - 1), V, length).tolist()

        return make_batch([Example(ids(s, self.V_source), ids(t, self.V)) for s, t in LENGTHS])

    def other_ids(self, ids: np.ndarray, where: np.ndarray, V: int) -> np.ndarray:
        """The ids, but at the places `where` each is another one."""
        return np.where(where, (ids + self.rng.integers(1, V, ids.shape)) % V, ids)

    def longer(self, batch: Batch, source: int, target: int) -> Batch:
        """The batch with more steps of padding behind its sources and its targets."""

        def padded(a: np.ndarray, steps: int) -> np.ndarray:
            fill = False if a.dtype == bool else PAD
            return np.concatenate([a, np.full((steps, a.shape[1]), fill, a.dtype)])

        steps = (source, source, target, target, target)
        return Batch(*(padded(a, n) for a, n in zip(batch[:5], steps, strict=True)), batch.index)

    @staticmethod
    def part(batch: Batch, column: int) -> Batch:
        """One sentence of the batch, alone and without padding."""
        S, T = int(batch.src_mask[:, column].sum()), int(batch.tgt_mask[:, column].sum())
        cut = (batch.src[:S], batch.src_mask[:S], batch.tgt_in[:T], batch.tgt_out[:T], batch.tgt_mask[:T])
        return Batch(*(a[:, column : column + 1].copy() for a in cut), batch.index[column : column + 1])

    # -- running ---------------------------------------------------------------------------------

    def loss(self, batch: Batch, **options) -> float:
        return float(self.model.loss(batch, **options)[0])

    def logits(self, batch: Batch, **options) -> np.ndarray:
        """(T, B, V), of teacher forcing."""
        logits, _ = self.model.forward(batch.src, batch.src_mask, batch.tgt_in, **options)
        return np.array(to_numpy(logits))

    def gradients(self, batch: Batch) -> dict[str, np.ndarray]:
        for p in self.parameters.values():
            p.grad = np.zeros_like(p.data)
        loss, cache = self.model.loss(batch)
        self.model.backward(1.0, cache)
        return {name: p.grad.copy() for name, p in self.parameters.items()}

    def decoded_logits(self, batch: Batch) -> np.ndarray:
        """Log-probabilities (T, B, V) of the targets' steps by start and step, as decoding goes."""
        state = self.model.start(batch.src, batch.src_mask)
        out = []
        for tokens in batch.tgt_in:
            log_probs, state = self.model.step(state, tokens)
            out.append(np.array(to_numpy(log_probs)))
        return np.stack(out)


# -- looking inside --------------------------------------------------------------------------------


class Quantity(NamedTuple):
    name: str
    array: np.ndarray
    axes: str  # "SB": source positions first, "B": a row each sentence, "TBS", "TB"
    masked: bool | None = None  # whether the part that made it was given a mask; None: it takes none


class Look(NamedTuple):
    quantities: list[Quantity]  # in the order in which they came about; the logits last
    weights: np.ndarray | None  # (T, B, S)  of the attention
    logits: np.ndarray  # (T, B, V)


def look(case: Case, batch: Batch) -> Look:
    """Run the model forward and note what its parts hand to each other."""
    model, calls = case.model, []
    with contextlib.ExitStack() as stack:
        for name, layer in parts(model):
            stack.enter_context(listening(layer, name, calls))
        logits = case.logits(batch)
    quantities, weights, bridges = [], [], []
    for name, args, out in calls:
        masked = len(args) > 2 and args[2] is not None
        if name == "attention":
            weights.append(to_numpy(out[1].softmax.weights))
        elif name == "bridge":
            bridges = [
                Quantity(f"first state of decoder layer {n}", to_numpy(part), "B")
                for n, state in enumerate(out[0])
                for part in state
            ]
            quantities += bridges
        else:
            (hs, last), _ = out
            # the layer that reads from right to left got its input turned round
            hs = to_numpy(hs)[::-1] if name.endswith("right to left") else to_numpy(hs)
            quantities.append(Quantity(name, hs, "SB", masked))
            quantities += [Quantity(f"last state of {name}", to_numpy(part), "B", masked) for part in last]
    together = np.concatenate(weights) if weights else None
    if together is not None:
        quantities.append(Quantity("attention weights", together, "TBS"))
    quantities.append(Quantity("logits", logits, "TB"))
    return Look(quantities, together, logits)


def parts(model) -> Iterator[tuple[str, object]]:
    """The parts listened to, where they exist: recurrent layers of the encoder, bridge, attention."""
    rnn = getattr(getattr(model, "encoder", None), "rnn", None)
    for n, layer in enumerate(getattr(rnn, "layers", [])):
        if isinstance(layer, Bidirectional):
            yield f"encoder layer {n}, left to right", layer.forwards
            yield f"encoder layer {n}, right to left", layer.backwards
        else:
            yield f"encoder layer {n}", layer
    for name, owner in (("bridge", model), ("attention", getattr(model, "decoder", None))):
        if getattr(owner, name, None) is not None:
            yield name, getattr(owner, name)


@contextlib.contextmanager
def listening(layer, name: str, calls: list) -> Iterator[None]:
    """Note every call of ``layer.forward`` in `calls`, as (name, arguments, result)."""
    own, original = vars(layer).get("forward"), layer.forward

    def forward(*args, **options):
        out = original(*args, **options)
        calls.append((name, args, out))
        return out

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward
        if own is not None:
            layer.forward = own


def first_moved(
    before: Look, after: Look, batch: Batch, rows: np.ndarray | None = None
) -> tuple[Quantity | None, float]:
    """The first quantity that differs between two looks, and by how much; (None, 0) if none does.

    Compared is what belongs to real positions and real steps of `batch`, in the given rows.
    """
    rows = np.arange(batch.src.shape[1]) if rows is None else rows
    S, T = batch.src_mask.shape[0], batch.tgt_mask.shape[0]
    source, target = batch.src_mask[:, rows], batch.tgt_mask[:, rows]
    for old, new in zip(before.quantities, after.quantities, strict=False):
        if old.axes == "SB":
            a, b = (q.array[:S, rows][source] for q in (old, new))
        elif old.axes == "B":
            a, b = old.array[rows], new.array[rows]
        elif old.axes == "TBS":
            # weights at real positions of real steps
            a, b = (np.where(source.T[None], q.array[:T, rows, :S], 0)[target] for q in (old, new))
        else:
            a, b = (q.array[:T, rows][target] for q in (old, new))
        moved = gap(a, b)
        if moved > TOLERANCE * (1 + np.abs(a).max(initial=0.0)):
            return new, moved
    return None, 0.0
