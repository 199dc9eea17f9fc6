"""The same step once more, cell by cell, with every array under its name.

`forward` walks through the model as decoding does, one target token after the other, and `backward` walks
back. Both are slower than the model's own passes and equal to them (the tests hold loss and gradients of
every parameter together). What is different: each line of each cell keeps its array, and the gradient of
a state is kept in parts, one for each edge through which it arrives:

    readout         the decoder's top state, from the logits, past the attention
    attention       the decoder's top state as the query; the encoder's top states as what was looked at
    input feeding   the decoder's top state, through the attentional state that the next step read
    recurrent       from the next step, through the weights Wh
    carry           from the next step, past all weights: c through the forget gate, a GRU's h through u
    layer above     h was the input of the layer above
    bridge          the encoder's last state, through the decoder's first
    own h           c, through the h of the same step
"""

from dataclasses import dataclass

import numpy as np

from minis2s import functional as F
from minis2s.data.vocabulary import BOS, PAD
from minis2s.functional.cross_entropy import probs_and_surprise
from minis2s.nn.attention import SCORES
from minis2s.trace.cells import CELLS, Here, add_part, total
from minis2s.trace.record import LayerSpec, Record, Spec

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
    steps: dict[str, list[dict[str, Array]]]  # by layer, per position in the sentence, arrays (B, ...) by name
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


@dataclass
class Backward:
    """All gradients of a step; the names are those of the forward arrays with a d in front."""

    steps: dict[str, list[dict[str, Array]]]  # by layer, per position, arrays (B, ...) by name
    parts: dict[str, list[dict[str, dict[str, Array]]]]  # by layer, per position, "h" and "c": edge -> (B, H)
    attention: dict[str, Array]  # "dweights", "dscores" (T, B, S), "dcontext" (T, B, M), "dquery" (T, B, H)
    dattentional: Array  # (T, B, H)  of the loss and of input feeding
    dlogits: Array  # (T, B, V)
    dmemory: Array  # (S, B, M)
    dkeys: Array  # (S, B, A)
    dfirst: list[dict[str, Array]]  # per decoder layer, of its initial state, (B, H)
    dlast: list[dict[str, Array]]  # per encoder layer, what the bridge sends to its last state, (B, M)
    gradients: dict[str, Array]  # by path of the weight


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


# -- backward -------------------------------------------------------------------------------------


def counts(record: Record) -> Array:
    """What the surprise of each token counts in dloss * loss, (T, B)."""
    return (record.dloss * record.share * record.tgt_mask).astype(record.weights["decoder.output.W"].dtype)


def backward(run: Forward, weight: Array | None = None) -> Backward:
    """The gradients of sum over tokens of weight * surprise; weight (T, B), by default that of the loss itself."""
    return _Backward(run, counts(run.record) if weight is None else weight).run()


class _Backward:
    """One walk back; the object holds what is being added up."""

    def __init__(self, fw: Forward, weight: Array):
        self.fw, self.record, self.spec = fw, fw.record, fw.record.spec
        self.gradients = {path: np.zeros_like(w) for path, w in self.record.weights.items()}
        self.dlogits = self._dlogits(weight)
        self.dmemory, self.dkeys = np.zeros_like(fw.memory), np.zeros_like(fw.keys)
        lengths = {layer.name: len(fw.steps[layer.name]) for layer in self.spec.layers}
        self.steps = {name: [{}] * n for name, n in lengths.items()}
        self.parts = {name: [{}] * n for name, n in lengths.items()}
        self.looks: list[dict[str, Array]] = [{}] * len(fw.logits)

    def run(self) -> Backward:
        fw = self.fw
        dattentional, dfirst = self._decoder()
        dlast = self._bridge(dfirst)
        dmemory = self.dmemory.copy()
        if self.spec.attention == "additive":
            # keys = memory W + b
            dmemory += self._linear_backward("decoder.attention.keys", self.dkeys, fw.memory)
        elif self.spec.attention is not None:
            dmemory += self.dkeys
        self._encoder(dmemory if self.spec.attention is not None else None, dlast)
        looks = {name: np.concatenate([look[name] for look in self.looks]) for name in self.looks[0]}
        return Backward(
            self.steps, self.parts, looks, dattentional, self.dlogits, dmemory, self.dkeys, dfirst, dlast,
            self.gradients,
        )  # fmt: skip

    def _dlogits(self, weight: Array) -> Array:
        """surprise = -sum_v target_distribution * log softmax(logits)."""
        smoothing, V = self.record.smoothing, self.fw.probs.shape[-1]
        dlogits = (self.fw.probs - self.fw.probs.dtype.type(smoothing / V)) * weight[..., None]
        t, b = np.indices(weight.shape)
        dlogits[t, b, self.record.tgt_out] -= (1 - smoothing) * weight
        return dlogits

    def _linear_backward(self, path: str, dout: Array, x: Array) -> Array:
        """out = x W + b."""
        W = self.record.weights[f"{path}.W"]
        dout_rows = dout.reshape(-1, W.shape[1])
        self.gradients[f"{path}.W"] += x.reshape(-1, W.shape[0]).T @ dout_rows
        if f"{path}.b" in self.gradients:
            self.gradients[f"{path}.b"] += dout_rows.sum(axis=0)
        return (dout_rows @ W.T).reshape(x.shape)

    def _cell(self, layer: LayerSpec, t: int, dstate: dict, mask: Array | None) -> tuple[Array, dict]:
        """Gradient of the state after step t, in parts -> (dx, of the state before it, in parts)."""
        cell = CELLS[layer.cell]
        weights = cell_weights(self.record, layer)
        step = self.fw.steps[layer.name][t]
        named, parts, dx, before, dweights = cell.backward(dstate, step, weights, mask, layer.reset_after)
        self.steps[layer.name][t], self.parts[layer.name][t] = named, parts
        for name, dweight in zip(cell.weights, dweights, strict=True):
            self.gradients[f"{layer.weights}.{name}"] += dweight
        return dx, before

    def _embedding(self, path: str, ids: Array, dx: Array) -> None:
        np.add.at(self.gradients[path], ids, dx)

    # the decoder, last step first

    def _decoder(self) -> tuple[Array, list[dict[str, Array]]]:
        fw, record, spec = self.fw, self.record, self.spec
        levels = [spec.of("decoder", n)[0] for n in range(spec.levels("decoder"))]
        dout = self._linear_backward("decoder.output", self.dlogits, fw.attentional)
        # the gradient of each layer's state, in parts, as the later steps left it
        dstates = [{name: {} for name in CELLS[layer.cell].state} for layer in levels]
        dfeed = None
        E = record.weights["decoder.embedding.W"].shape[1]
        T = len(fw.logits)
        dattentional, dxs = [None] * T, [None] * T
        for t in reversed(range(T)):
            top = dstates[-1]["h"]
            arriving = {"readout": dout[t]}
            dattentional[t] = dout[t]
            if dfeed is not None:
                # the attentional state was read out, and fed to the next step as well
                arriving["input feeding"] = dfeed
                dattentional[t] = dout[t] + dfeed
            # attentional = tanh([context; h] W + b), then dropout
            dcontexts = {}
            for edge, da in arriving.items():
                da = masked(da, record, "readout", t)
                if spec.attention is None:
                    add_part(top, edge, da)
                    continue
                djoined = self._linear_backward("decoder.combine", da * (1 - fw.mixed[t] ** 2), fw.joined[t])
                M = fw.memory.shape[-1]
                dcontexts[edge] = djoined[:, :M]
                add_part(top, edge, djoined[:, M:])
            if spec.decoder == "luong":
                # context = attend(h); what input feeding asks of the context still comes by input feeding
                for edge, dquery in self._look_backward(t, dcontexts).items():
                    add_part(top, "attention" if edge == "readout" else edge, dquery)
            # the cells, top layer first
            for n in reversed(range(len(levels))):
                dx, dstates[n] = self._cell(levels[n], t, dstates[n], None)
                if n > 0:
                    add_part(dstates[n - 1]["h"], "layer above", masked(dx, record, f"decoder.{n}", t))
            if spec.decoder == "bahdanau":
                # x was [x; context], context = attend(h_prev)
                dcontext = dcontexts["readout"] + dx[:, E:]
                dquery = self._look_backward(t, {"readout": dcontext})["readout"]
                add_part(dstates[-1]["h"], "attention", dquery)
            elif spec.input_feeding:
                dfeed = dx[:, E:]  # x was [x; feed]
            dxs[t] = masked(dx[:, :E], record, "decoder.input", t)
        self._embedding("decoder.embedding.W", fw.fed, np.stack(dxs))
        dfirst = [
            {name: total(parts, fw.first[n][name]) for name, parts in state.items()}
            for n, state in enumerate(dstates)
        ]
        return np.stack(dattentional), dfirst

    def _look_backward(self, t: int, dcontexts: dict[str, Array]) -> dict[str, Array]:
        """dcontext (B, M) of target step t, in parts -> dquery (B, H) in the same parts; adds to dmemory, dkeys."""
        look = self.fw.attended[t]
        score_cache, softmax_cache, sum_cache = look.caches
        op = SCORES[self.spec.attention]
        noted: dict[str, Array] = {}
        dquerys = {}
        for edge, dcontext in dcontexts.items():
            # context = weights values
            dweights, dvalues = F.weighted_sum.backward(dcontext[None], sum_cache)
            # weights = softmax(scores)
            dscores = F.masked_softmax.backward(dweights, softmax_cache)
            dquery, dkeys, *rest = op.backward(dscores, score_cache)
            for path, dweight in zip(score_weights(self.record), rest, strict=True):
                self.gradients[path] += dweight
            self.dmemory += dvalues
            self.dkeys += dkeys
            dquerys[edge] = dquery[0]
            found = {"dcontext": dcontext[None], "dweights": dweights, "dscores": dscores, "dquery": dquery}
            for name, value in found.items():
                add_part(noted, name, value)
        self.looks[t] = noted
        return dquerys

    # the bridge and the encoder

    def _bridge(self, dfirst: list[dict[str, Array]]) -> list[dict[str, Array]]:
        """Gradients of the initial decoder states -> what reaches the last encoder states."""
        dlast: list[dict[str, Array]] = [{} for _ in self.fw.last]
        if self.spec.bridge == "zero":
            return dlast
        for level, source in enumerate(self.spec.bridge_source):
            for n, (name, ds) in enumerate(dfirst[level].items()):
                if self.spec.bridge == "projection":
                    # first = tanh(last W + b)
                    dz = ds * (1 - self.fw.first[level][name] ** 2)
                    path = f"bridge.projections.{level * len(dfirst[level]) + n}"
                    ds = self._linear_backward(path, dz, self.fw.last[source][name])
                add_part(dlast[source], name, ds)
        return dlast

    def _encoder(self, dmemory: Array | None, dlast: list[dict[str, Array]]) -> None:
        record, spec = self.record, self.spec
        S = len(record.src)
        edge, dhs = "attention", dmemory
        for level in reversed(range(spec.levels("encoder"))):
            start, dxs = 0, 0.0
            for layer in spec.of("encoder", level):
                columns = slice(start, start + layer.size)
                start += layer.size
                state = {name: {} for name in CELLS[layer.cell].state}
                for name, ds in dlast[level].items():
                    add_part(state[name], "bridge", ds[:, columns])
                dx = [None] * S
                for t in range(S) if layer.reversed else reversed(range(S)):
                    if dhs is not None:
                        add_part(state["h"], edge, dhs[t][:, columns])
                    mask = None if record.src_mask is None else record.src_mask[t]
                    dx[t], state = self._cell(layer, t, state, mask)
                dxs = dxs + np.stack(dx)
            place = f"encoder.{level}" if level > 0 else "encoder.input"
            dhs, edge = masked(dxs, record, place), "layer above"
        self._embedding("encoder.embedding.W", record.src, dhs)


def stacked(steps: list[dict[str, Array]]) -> dict[str, Array]:
    """Per position arrays (B, X) by name -> arrays (T, B, X) by name; an edge that is not there at a position is 0."""
    names = list(dict.fromkeys(name for step in steps for name in step))
    out = {}
    for name in names:
        like = next(step[name] for step in steps if name in step)
        out[name] = np.stack([step.get(name, np.zeros_like(like)) for step in steps])
    return out


def spec_layer(spec: Spec, name: str) -> LayerSpec:
    return next(layer for layer in spec.layers if layer.name == name)
