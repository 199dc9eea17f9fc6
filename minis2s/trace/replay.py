"""The same step once more, cell by cell, with every array under its name.

`forward` walks through the model as decoding does, one target token after the other. It is slower than the
model's own pass and equal to it (the tests hold loss and gradients of every parameter together). What is
different: each line of each cell keeps its array, and a what-if can change any of them on the way. The way
back is in replay_backward.py.
"""

from dataclasses import dataclass

import numpy as np

from minis2s import functional as F
from minis2s.data.vocabulary import BOS, PAD
from minis2s.functional.cross_entropy import probs_and_surprise
from minis2s.nn.attention import SCORES
from minis2s.trace.cells import CELLS, Here
from minis2s.trace.record import LayerSpec, Record

Array = np.ndarray


class NoChanges:
    """The step as it was; `what_if.Changes` has the same methods and does something."""

    any = False
    here = Here()

    def at(self, layer: str | None, t: int | None) -> Here:
        """What is changed in a layer (None: outside the cells) at step t (None: before the first)."""
        return self.here

    def attention(self, t: int, weights: Array) -> Array:
        """The attention weights (B, S) of target step t."""
        return weights

    def fed(self, t: int, tokens: Array) -> Array:
        """The tokens (B,) that the decoder reads at step t."""
        return tokens


@dataclass
class Attended:
    """One look at the source, from one target step; each with a time axis of length 1."""

    query: Array  # (1, B, H)
    scores: Array  # (1, B, S)
    weights: Array  # (1, B, S)
    context: Array  # (1, B, M)
    caches: tuple


@dataclass
class Forward:
    """All activations of a step. T target steps, S source positions, B sentences."""

    record: Record
    steps: dict[
        str, list[dict[str, Array]]
    ]  # by layer, per position in the sentence, arrays (B, ...) by name
    embedded: dict[str, Array]  # "encoder" (S, B, E), "decoder" (T, B, E), before dropout
    memory: Array  # (S, B, M)
    keys: Array  # (S, B, A)
    last: list[dict[str, Array]]  # per encoder layer, its last h (and c), (B, M)
    first: list[dict[str, Array]]  # per decoder layer, its initial h (and c), (B, H)
    attended: list[Attended] | None  # per target step
    joined: Array | None  # (T, B, M + H)  [context; h], what the readout mixes
    mixed: Array  # (T, B, H)  attentional state before its dropout
    attentional: Array  # (T, B, H)
    fed: Array  # (T, B)
    logits: Array  # (T, B, V)
    probs: Array  # (T, B, V)
    surprise: Array  # (T, B)  nats, 0 at padding
    key_cache: tuple | None

    @property
    def loss(self) -> float:
        return self.record.share * self.surprise.sum()


def masked(x: Array, record: Record, place: str, t: int | None = None) -> Array:
    """Dropout with the recorded mask, and its backward, which is the same product; x itself where none was drawn."""
    if place not in record.keep:
        return x
    keep = record.keep[place] if t is None else record.keep[place][t]
    return x * keep * x.dtype.type(1 / (1 - record.spec.dropouts[place]))


def cell_weights(record: Record, layer: LayerSpec) -> tuple[Array, ...]:
    return tuple(record.weights[f"{layer.weights}.{name}"] for name in CELLS[layer.cell].weights)


def linear(record: Record, path: str, x: Array) -> Array:
    return F.linear.forward(x, record.weights[f"{path}.W"], record.weights.get(f"{path}.b"))[0]


def score_weights(record: Record) -> list[str]:
    names = {"general": ("W",), "additive": ("Wq", "v")}.get(record.spec.attention, ())
    return [f"decoder.attention.{name}" for name in names]


# -- forward --------------------------------------------------------------------------------------


def forward(record: Record, changes=None) -> Forward:
    """The step of a record, with what `changes` changes (default: nothing)."""
    changes = NoChanges() if changes is None else changes
    steps: dict[str, list] = {}
    x = record.weights["encoder.embedding.W"][record.src]
    embedded = {"encoder": x}
    memory, last = encode(record, masked(x, record, "encoder.input"), steps, changes)
    first = bridge(record, last, changes)
    return decode(record, memory, last, first, steps, embedded, changes)


def encode(record: Record, x: Array, steps: dict, changes) -> tuple[Array, list[dict[str, Array]]]:
    """x (S, B, E) -> (memory (S, B, M), last states per level)."""
    spec, mask, last = record.spec, record.src_mask, []
    S, B = record.src.shape
    for level in range(spec.levels("encoder")):
        if level > 0:
            x = masked(x, record, f"encoder.{level}")
        ends, hs = [], []
        for layer in spec.of("encoder", level):
            cell = CELLS[layer.cell]
            weights = cell_weights(record, layer)
            state = tuple(np.zeros((B, layer.size), dtype=x.dtype) for _ in cell.state)
            steps[layer.name] = [{}] * S
            for t in reversed(range(S)) if layer.reversed else range(S):
                step = cell.forward(
                    x[t],
                    state,
                    weights,
                    None if mask is None else mask[t],
                    layer.reset_after,
                    changes.at(layer.name, t),
                )
                steps[layer.name][t] = step
                state = tuple(step[name] for name in cell.state)
            ends.append(dict(zip(cell.state, state, strict=True)))
            hs.append(np.stack([step["h"] for step in steps[layer.name]]))
        x = np.concatenate(hs, axis=-1)
        last.append({name: np.concatenate([end[name] for end in ends], axis=-1) for name in ends[0]})
    return x, last


def bridge(record: Record, last: list[dict[str, Array]], changes) -> list[dict[str, Array]]:
    """Last encoder states -> initial decoder states."""
    spec, first = record.spec, []
    for level, source in enumerate(spec.bridge_source):
        state = {}
        for n, (name, s) in enumerate(last[source].items()):
            if spec.bridge == "zero":
                s = np.zeros((s.shape[0], spec.of("decoder", level)[0].size), dtype=s.dtype)
            elif spec.bridge == "projection":
                s = np.tanh(linear(record, f"bridge.projections.{level * len(last[source]) + n}", s))
            state[name] = changes.at(f"decoder.{level}", None).keep("bridge", s)
        first.append(state)
    return first


def attend(record: Record, query: Array, keys: Array, memory: Array, t: int, changes) -> Attended:
    """query (B, H) of target step t, keys (S, B, A), memory (S, B, M)."""
    op = SCORES[record.spec.attention]
    scores, score_cache = op.forward(query[None], keys, *(record.weights[p] for p in score_weights(record)))
    weights, softmax_cache = F.masked_softmax.forward(scores, record.src_mask)
    weights = changes.attention(t, weights[0])[None]
    context, sum_cache = F.weighted_sum.forward(weights, memory)
    context = changes.at(None, t).keep("attention", context[0])[None]
    return Attended(query[None], scores, weights, context, (score_cache, softmax_cache, sum_cache))


def decode(record: Record, memory, last, first, steps, embedded, changes) -> Forward:
    spec = record.spec
    T, B = record.tgt_in.shape
    keys, key_cache = memory, None
    if spec.attention == "additive":
        keys, key_cache = F.linear.forward(
            memory, record.weights["decoder.attention.keys.W"], record.weights["decoder.attention.keys.b"]
        )
    levels = [spec.of("decoder", n)[0] for n in range(spec.levels("decoder"))]
    for layer in levels:
        steps[layer.name] = []
    states = [tuple(state.values()) for state in first]
    feed = np.zeros((B, levels[-1].size), dtype=memory.dtype)
    attended, joined, mixed, attentional, logits, fed, xs = [], [], [], [], [], [], []
    for t in range(T):
        tokens = record.fed[t]
        if changes.any and record.coins is not None and t > 0:
            # the model's own token may be another one by now
            tokens = np.where(record.coins[t], record.tgt_in[t], best_token(logits[-1]))
        tokens = changes.fed(t, tokens)
        x = record.weights["decoder.embedding.W"][tokens]
        xs.append(x)
        x = masked(x, record, "decoder.input", t)
        context = None
        if spec.decoder == "bahdanau":
            # context = attend(h_prev)
            look = attend(record, states[-1][0], keys, memory, t, changes)
            context = look.context[0]
            x = np.concatenate([x, context], axis=-1)
        elif spec.input_feeding:
            x = np.concatenate([x, changes.at(None, t).keep("input feeding", feed)], axis=-1)
        for n, layer in enumerate(levels):
            if n > 0:
                x = masked(x, record, f"decoder.{n}", t)
            cell = CELLS[layer.cell]
            weights = cell_weights(record, layer)
            here = changes.at(layer.name, t)
            step = cell.forward(x, states[n], weights, None, layer.reset_after, here)
            steps[layer.name].append(step)
            states[n] = tuple(step[name] for name in cell.state)
            x = step["h"]
        h = x
        if spec.decoder == "luong":
            # context = attend(h)
            look = attend(record, h, keys, memory, t, changes)
            context = look.context[0]
        a = h
        if context is not None:
            # attentional = tanh([context; h] W + b)
            attended.append(look)
            joined.append(np.concatenate([context, h], axis=-1))
            a = np.tanh(linear(record, "decoder.combine", joined[-1]))
        mixed.append(a)
        a = masked(a, record, "readout", t)
        attentional.append(a)
        feed = a
        logits.append(linear(record, "decoder.output", a))
        fed.append(tokens)
    out = np.stack(logits)
    V = out.shape[-1]
    probs, surprise = probs_and_surprise(out.reshape(-1, V), record.tgt_out.reshape(-1), record.smoothing)
    embedded["decoder"] = np.stack(xs)
    return Forward(
        record, steps, embedded, memory, keys, last, first,
        attended or None, np.stack(joined) if joined else None, np.stack(mixed), np.stack(attentional),
        np.stack(fed), out, probs.reshape(out.shape), surprise.reshape(T, B) * record.tgt_mask, key_cache,
    )  # fmt: skip


def best_token(logits: Array) -> Array:
    """The most probable next token (B,), never PAD or BOS, for logits (B, V)."""
    logits = logits.copy()
    logits[:, PAD] = logits[:, BOS] = -np.inf
    return logits.argmax(axis=-1)
