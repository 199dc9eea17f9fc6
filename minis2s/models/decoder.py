"""The decoder: one target token after the other, looking back at the source through attention.

Three kinds share this file and its operations:
  plain     no attention; all it knows of the source is its initial state (Sutskever et al. 2014)
  luong     attention AFTER the cell: the new state h_t asks (Luong et al. 2015)
  bahdanau  attention BEFORE the cell: the previous state h_{t-1} asks, and what it finds is
            part of the cell's input (Bahdanau et al. 2015)

Where the inputs of all steps are known beforehand and no step waits for another's attention,
`forward` runs all steps at once; otherwise it takes them one by one, as decoding does.

Two words of the papers: the attentional state is h mixed with the context that attention found,
and the readout is what makes it, on the way from the cells to the logits.
"""

from typing import NamedTuple

import numpy as np

from minis2s import functional as F
from minis2s.backend import Array, xp_of
from minis2s.data.vocabulary import BOS, PAD
from minis2s.models.encoder import embedded
from minis2s.nn import Attention, Dropout, Embedding, Layer, Linear, Stack
from minis2s.nn.basic import Lookup
from minis2s.nn.recurrent import State

KINDS = ("plain", "luong", "bahdanau")


class Memory(NamedTuple):
    """What the decoder may look at; the same at every step."""

    values: Array  # (S, B, M)  the encoder's states
    keys: Array  # (S, B, A)  the same, projected for the scores
    mask: Array | None  # (S, B)     True where the source position is real
    folded: bool = False  # whether the keys are those of Attention.fold: for decoding, which has no backward


class DecoderState(NamedTuple):
    """What one step hands to the next."""

    cells: list[State]  # per layer, parts (B, H)
    feed: Array | None  # (B, H)  the last attentional state, where it is fed back


class ReadoutCache(NamedTuple):
    combine: tuple | None  # of the Linear over [context; h]
    tanh: tuple | None
    dropped: tuple | None


class StepCache(NamedTuple):
    attention: tuple | None
    cells: tuple
    readout: ReadoutCache


class DecoderCache(NamedTuple):
    embedding: tuple
    dropped: tuple | None
    project: tuple | None  # of the keys
    steps: list[StepCache]  # one per step; or, run in parallel, a single one for all
    parallel: bool  # whether all steps ran at once
    fed: Array  # (T, B)  the tokens that went in, the model's own ones among them
    output: tuple | None  # None where the output layer was left out
    memory: Memory
    real: Array | None  # (T, B)  True at the tokens that are read out; None where all are


def packed(a: Array | None, real: Array) -> Array | None:
    """a (T, B, X) at the real positions alone: (1, N, X)."""
    return None if a is None else a[real][None]


def unpacked(a: Array | None, real: Array) -> Array | None:
    """`packed` read upward: (1, N, X) -> (T, B, X), zero elsewhere."""
    if a is None:
        return None
    out = xp_of(a).zeros((*real.shape, a.shape[-1]), dtype=a.dtype)
    out[real] = a[0]
    return out


def top(cells: list[State]) -> Array:
    """h (B, H) of the top layer: what asks the attention, and what is read out."""
    return cells[-1][0]


def add_to_top(dcells: list[State], dh: Array) -> list[State]:
    """The gradients `dcells` of all cell states, with dh (B, H) added to that of the top layer's h."""
    dh_top, *others = dcells[-1]
    return [*dcells[:-1], (dh_top + dh, *others)]


class Decoder(Layer):
    """Embedding, cells, attention, and the readout to logits; see the module's docstring."""

    def __init__(
        self,
        kind: str,
        embedding: Embedding,
        cells: Stack,
        attention: Attention | None,
        combine: Linear | None,
        output: Linear,
        *,
        input_feeding: bool = False,
        dropout: float = 0.0,
    ):
        if kind not in KINDS:
            raise ValueError(f"decoder must be one of {', '.join(KINDS)}, got {kind!r}")
        if (kind == "plain") != (attention is None):
            raise ValueError(f"a {kind} decoder {'has no' if kind == 'plain' else 'needs an'} attention")
        if input_feeding and kind != "luong":
            raise ValueError(f"input feeding belongs to the luong decoder, not to {kind}")
        self.kind = kind
        self.embedding = embedding
        self.dropout = Dropout(dropout)
        self.cells = cells
        self.attention = attention
        self.combine = combine
        self.output = output
        self.input_feeding = input_feeding

    # -- one step, without the output layer -------------------------------------------------------

    def start(self, values: Array, mask: Array | None, cells: list[State]):
        """Encoder states (S, B, M), their mask, initial cell states -> ((memory, state), cache of the keys)."""
        keys, project_cache = values, None
        if self.attention is not None:
            keys, project_cache = self.attention.project(values)
        feed = None
        if self.input_feeding:
            feed = xp_of(values).zeros((values.shape[1], self.cells.hidden_size), dtype=values.dtype)
        return (Memory(values, keys, mask), DecoderState(cells, feed)), project_cache

    def step(
        self, x: Array | Lookup, state: DecoderState, memory: Memory, *, rng: np.random.Generator | None = None
    ):
        """One target token: x (B, E), embedded -> ((attentional state (B, H), next state), cache).

        Where `takes_lookups`, x may be a Lookup of ids (B,).

            plain      h = cells(x)               attentional = h
            luong      h = cells(x)               context = attend(h)      attentional = readout(context, h)
            bahdanau   context = attend(h_prev)   h = cells([x; context])  attentional = readout(context, h)

        With input feeding, x is joined by the attentional state of the step before: cells([x; feed]).
        Attention and readout work on (T, B, H); here T is 1.
        """
        xp = xp_of(top(state.cells))
        context = attention_cache = None
        if self.kind == "bahdanau":
            # context = attend(h_prev)
            context, attention_cache = self._attend(top(state.cells)[None], memory)
            x = xp.concatenate([x, context[0]], axis=-1)
        elif self.input_feeding:
            x = xp.concatenate([x, state.feed], axis=-1)
        # h = cells(x)
        cells, cells_cache = self.cells.step(x, state.cells, rng=rng)
        h = top(cells)[None]
        if self.kind == "luong":
            # context = attend(h)
            context, attention_cache = self._attend(h, memory)
        # attentional = readout(context, h)
        attentional, readout_cache = self._readout(context, h, rng)
        feed = attentional[0] if self.input_feeding else None
        next_state = DecoderState(cells, feed)
        return (attentional[0], next_state), StepCache(attention_cache, cells_cache, readout_cache)

    def step_backward(
        self, dattentional: Array, dstate: DecoderState, cache: StepCache, dmemory: Memory
    ) -> tuple[Array, DecoderState]:
        """`step` read upward: dattentional (B, H), gradient of the next state -> (dx (B, E), of the state before).

        What the memory gets is added into `dmemory`; weight gradients go where they belong by themselves.
        """
        H = self.cells.hidden_size
        if self.input_feeding:
            # the attentional state was read out, and fed to the next step as well
            dattentional = dattentional + dstate.feed
        # attentional = readout(context, h)
        dcontext, dh = self._readout_backward(dattentional[None], cache.readout)
        if self.kind == "luong":
            # context = attend(h)
            dh = dh + self._attend_backward(dcontext, cache.attention, dmemory)
        # h = cells(x)
        dx, dcells = self.cells.step_backward(add_to_top(dstate.cells, dh[0]), cache.cells)
        dfeed = None
        if self.kind == "bahdanau":
            # x was [x; context]: the context went into the cells and into the readout
            M = dcontext.shape[-1]
            dx, dcontext_of_cells = dx[:, :-M], dx[:, -M:]
            # context = attend(h_prev)
            dh_prev = self._attend_backward(dcontext + dcontext_of_cells, cache.attention, dmemory)
            dcells = add_to_top(dcells, dh_prev[0])
        elif self.input_feeding:
            # x was [x; feed]
            dx, dfeed = dx[:, :-H], dx[:, -H:]
        return dx, DecoderState(dcells, dfeed)

    # -- the pieces that the step path and the parallel path share --------------------------------

    def _attend(self, query: Array, memory: Memory):
        """query (T, B, H) -> (context (T, B, M), cache).

        While decoding, T is 1 and the B rows may be several hypotheses of each sentence, side by side: to
        the memory, of which there is one per sentence, they are several queries.
        """
        T, rows, H = query.shape
        sentences = memory.values.shape[1]
        if rows == sentences:
            return self.attention.forward(
                query, memory.keys, memory.values, memory.mask, folded=memory.folded
            )
        queries = query.reshape(sentences, rows // sentences, H).transpose(1, 0, 2)
        context, cache = self.attention.forward(
            queries, memory.keys, memory.values, memory.mask, folded=memory.folded
        )
        return context.transpose(1, 0, 2).reshape(T, rows, -1), cache

    def _attend_backward(self, dcontext: Array, cache, dmemory: Memory) -> Array:
        """dcontext (T, B, M) -> dquery (T, B, H); adds to dmemory.values and dmemory.keys."""
        dquery, dkeys, dvalues = self.attention.backward(dcontext, cache)
        dmemory.keys[...] += dkeys  # in place: every step adds to the same two arrays
        dmemory.values[...] += dvalues
        return dquery

    def _readout(self, context: Array | None, h: Array, rng: np.random.Generator | None):
        """attentional = tanh([context; h] W + b), or h itself without attention; then dropout.

        Shapes: context (T, B, M), h (T, B, H) -> (attentional (T, B, H), cache).
        Source: Luong et al. 2015, eq. 5.
        """
        combine_cache = tanh_cache = None
        attentional = h
        if context is not None:
            joined = xp_of(h).concatenate([context, h], axis=-1)
            z, combine_cache = self.combine.forward(joined)
            attentional, tanh_cache = F.tanh.forward(z)
        attentional, dropped = self.dropout.forward(attentional, rng=rng)
        return attentional, ReadoutCache(combine_cache, tanh_cache, dropped)

    def _readout_backward(self, dattentional: Array, cache: ReadoutCache):
        """dattentional (T, B, H) -> (dcontext (T, B, M) or None, dh (T, B, H))."""
        dattentional = self.dropout.backward(dattentional, cache.dropped)
        if cache.combine is None:
            return None, dattentional
        djoined = self.combine.backward(F.tanh.backward(dattentional, cache.tanh), cache.combine)
        H = self.cells.hidden_size
        return djoined[..., :-H], djoined[..., -H:]

    @property
    def takes_lookups(self) -> bool:
        """Whether the embedded token alone goes into the cells, and they can look it up."""
        return self.parallel and self.cells.takes_lookups

    # -- a whole target sentence ------------------------------------------------------------------

    @property
    def parallel(self) -> bool:
        """Whether all steps can run at once when their inputs are known."""
        return self.kind != "bahdanau" and not self.input_feeding

    def forward(
        self,
        values: Array,
        mask: Array | None,
        cells: list[State],
        tgt_in: Array,
        *,
        coins: Array | None = None,
        real: Array | None = None,
        rng: np.random.Generator | None = None,
        stepwise: bool = False,
        output: bool = True,
    ):
        """Encoder states (S, B, M), mask (S, B), initial cell states, tgt_in (T, B) -> (logits (T, B, V), cache).

        Without `output`, the attentional states (T, B, H) of which the output layer makes them.

        tgt_in is BOS and then the right tokens: teacher forcing. Where coins (T, B) is False the
        model's own best token of the step before goes in instead. `stepwise` takes the steps one by
        one even where they could run at once; the numbers are the same.

        Padding after the end of a target sentence needs no mask here: no real step comes after it,
        and its loss, hence its gradient, is zero. It only costs time. With `real` (T, B), False at the
        padding, all steps at once skip it: the result is that of the N real tokens alone, (1, N, ...), in
        the order of ``tgt_in[real]``.
        """
        (memory, state), project_cache = self.start(values, mask, cells)
        parallel = coins is None and self.parallel and not stepwise
        if not parallel and real is not None:
            raise ValueError("step by step every position is read out: leave out real")
        if parallel:
            x, embedding_cache, dropped = embedded(tgt_in, self.embedding, self.dropout, self.cells, rng)
            (hs, _), cells_cache = self.cells.forward(x, state.cells, mask=real, rng=rng)
            context, attention_cache = None, None
            if self.kind == "luong":
                context, attention_cache = self._attend(hs, memory)
            if real is not None:
                context, hs = packed(context, real), packed(hs, real)
            attentional, readout_cache = self._readout(context, hs, rng)
            steps = [StepCache(attention_cache, cells_cache, readout_cache)]
            fed = tgt_in
        else:
            attentional, fed, steps, dropped = self._steps(state, memory, tgt_in, coins, rng)
            # the rows were looked up step by step; once more in one call, for the cache of backward
            _, embedding_cache = self.embedding.forward(fed)
        out, output_cache = self.output.forward(attentional) if output else (attentional, None)
        return out, DecoderCache(
            embedding_cache, dropped, project_cache, steps, parallel, fed, output_cache, memory, real
        )

    def _steps(self, state: DecoderState, memory: Memory, tgt_in: Array, coins: Array | None, rng):
        """One step after the other -> (attentional (T, B, H), fed (T, B), step caches, dropout caches)."""
        xp = xp_of(tgt_in)
        attentional, fed, steps, dropped = [], [], [], []
        for t in range(tgt_in.shape[0]):
            tokens = tgt_in[t]
            if coins is not None and t > 0:
                tokens = xp.where(coins[t], tokens, self.best_token(attentional[-1]))
            x, _ = self.embedding.forward(tokens)
            x, x_dropped = self.dropout.forward(x, rng=rng)
            (a, state), cache = self.step(x, state, memory, rng=rng)
            attentional.append(a)
            fed.append(tokens)
            steps.append(cache)
            dropped.append(x_dropped)
        return xp.stack(attentional), xp.stack(fed), steps, dropped

    def best_token(self, attentional: Array) -> Array:
        """The most probable next token (B,), never PAD or BOS, for attentional states (B, H)."""
        logits, _ = self.output.forward(attentional)
        logits[:, PAD] = logits[:, BOS] = xp_of(logits).finfo(logits.dtype).min
        return logits.argmax(axis=-1)

    def backward(self, dout: Array, cache: DecoderCache):
        """dout of what `forward` returned -> (dvalues (S, B, M), gradients of the initial cell states).

        The choice of the model's own tokens is not differentiated: it is a step function, its
        gradient is zero wherever it exists (Bengio et al. 2015).
        """
        memory = cache.memory
        xp = xp_of(dout)
        dattentional = dout if cache.output is None else self.output.backward(dout, cache.output)
        if cache.parallel:
            step = cache.steps[0]
            dcontext, dhs = self._readout_backward(dattentional, step.readout)
            if cache.real is not None:
                dcontext, dhs = unpacked(dcontext, cache.real), unpacked(dhs, cache.real)
            if self.kind == "luong":
                dquery, dkeys, dvalues = self.attention.backward(dcontext, step.attention)
                dhs = dhs + dquery
                del dquery
            else:
                dvalues = xp.zeros_like(memory.values)
            del dcontext  # room for the gradients of the cells, the largest of all
            dx, dcells = self.cells.backward((dhs, None), step.cells)
            dx = self.dropout.backward(dx, cache.dropped)
        else:
            dvalues, dkeys = xp.zeros_like(memory.values), xp.zeros_like(memory.keys)
            dx, dcells = self._steps_backward(dattentional, cache, Memory(dvalues, dkeys, None))
        self.embedding.backward(dx, cache.embedding)
        if self.attention is not None:
            dvalues += self.attention.project_backward(dkeys, cache.project)
        return dvalues, dcells

    def _steps_backward(self, dattentional: Array, cache: DecoderCache, dmemory: Memory):
        """dattentional (T, B, H) -> (dx (T, B, E), gradients of the initial cell states)."""
        xp = xp_of(dattentional)
        B = dattentional.shape[1]

        def zeros(size: int) -> Array:
            return xp.zeros((B, size), dtype=dattentional.dtype)

        dstate = DecoderState(
            [
                tuple(zeros(layer.hidden_size) for _ in range(layer.state_parts))
                for layer in self.cells.layers
            ],
            zeros(self.cells.hidden_size) if self.input_feeding else None,
        )
        dxs = []
        for t in reversed(range(len(cache.steps))):
            dx, dstate = self.step_backward(dattentional[t], dstate, cache.steps[t], dmemory)
            dxs.append(self.dropout.backward(dx, cache.dropped[t]))
        return xp.stack(dxs[::-1]), dstate.cells

    def describe(self) -> str:
        return self.kind + (", input feeding" if self.input_feeding else "")
