"""Encoder and bridge: from source tokens to a memory, and from its last state to the decoder's first."""

from typing import NamedTuple

import numpy as np

from minis2s import functional as F
from minis2s.backend import Array, xp_of
from minis2s.nn import Dropout, Embedding, Layer, Linear, Stack
from minis2s.nn.recurrent import State

BRIDGES = ("copy", "zero", "projection")


class EncoderCache(NamedTuple):
    embedding: tuple
    dropped: tuple | None
    rnn: tuple


def embedded(ids: Array, embedding: Embedding, dropout: Dropout, rnn: Stack, rng: np.random.Generator | None):
    """ids (T, B) -> (embeddings for rnn, (T, B, E) or a Lookup, cache of the embedding, cache of the dropout)."""
    dropping = rng is not None and dropout.p > 0  # then two equal tokens no longer have one embedding
    if not dropping and rnn.takes_lookups and embedding.lookup_pays(ids):
        return *embedding.lookup(ids), None
    x, cache = embedding.forward(ids)
    x, dropped = dropout.forward(x, rng=rng)
    return x, cache, dropped


class Encoder(Layer):
    """Embedding, dropout, and any stack of (bidirectional) recurrent layers."""

    def __init__(self, embedding: Embedding, rnn: Stack, *, dropout: float = 0.0):
        self.embedding = embedding
        self.dropout = Dropout(dropout)
        self.rnn = rnn

    def forward(self, src: Array, mask: Array | None = None, *, rng: np.random.Generator | None = None):
        """src (S, B) ids, mask (S, B) -> ((memory (S, B, M), last states per layer), cache)."""
        x, embedding_cache, dropped = embedded(src, self.embedding, self.dropout, self.rnn, rng)
        out, rnn_cache = self.rnn.forward(x, None, mask, rng=rng)
        return out, EncoderCache(embedding_cache, dropped, rnn_cache)

    def backward(self, dout: tuple[Array | None, list[State] | None], cache: EncoderCache) -> None:
        """dout = (dmemory (S, B, M), gradients of the last states); either may be None."""
        dx, _ = self.rnn.backward(dout, cache.rnn)
        dx = self.dropout.backward(dx, cache.dropped)
        self.embedding.backward(dx, cache.embedding)


class Bridge(Layer):
    """The decoder's initial states, made from the encoder's last ones: h and c of every layer.

    kind "copy":        as they are; encoder and decoder states must have one size.
    kind "zero":        ignored; the decoder starts from zeros.
    kind "projection":  tanh(state W + b), a Linear of its own for each layer and each part.

    With a bidirectional encoder a state holds both directions side by side. Where the decoder has
    more layers than the encoder, the encoder's top layer serves the remaining ones; where it has
    fewer, it takes the encoder's top layers.
    """

    def __init__(
        self,
        kind: str,
        encoder_size: int,
        decoder_size: int,
        *,
        encoder_layers: int,
        decoder_layers: int,
        state_parts: int,
        rng: np.random.Generator,
        dtype=np.float32,
    ):
        if kind not in BRIDGES:
            raise ValueError(f"bridge must be one of {', '.join(BRIDGES)}, got {kind!r}")
        if kind == "copy" and encoder_size != decoder_size:
            raise ValueError(
                f"a copy bridge needs states of one size, got {encoder_size} in the encoder and "
                f"{decoder_size} in the decoder: use a projection bridge, or make them equal"
            )
        self.kind = kind
        self.decoder_size = decoder_size
        self.encoder_layers = encoder_layers
        self.state_parts = state_parts
        skipped = max(encoder_layers - decoder_layers, 0)
        # source[l] is the encoder layer whose state the decoder's layer l starts from
        self.source = [min(skipped + n, encoder_layers - 1) for n in range(decoder_layers)]
        self.projections = []
        if kind == "projection":
            self.projections = [
                Linear(encoder_size, decoder_size, rng=rng, dtype=dtype)
                for _ in range(decoder_layers * state_parts)
            ]

    def forward(self, states: list[State]):
        """Last encoder states, parts (B, M) -> (initial decoder states, parts (B, H), cache)."""
        xp = xp_of(states[0][0])
        out, cache = [], []
        for layer, source in enumerate(self.source):
            parts = []
            for part, s in enumerate(states[source]):
                if self.kind == "zero":
                    s = xp.zeros((s.shape[0], self.decoder_size), dtype=s.dtype)
                elif self.kind == "projection":
                    z, linear_cache = self.projections[layer * self.state_parts + part].forward(s)
                    s, tanh_cache = F.tanh.forward(z)
                    cache.append((linear_cache, tanh_cache))
                parts.append(s)
            out.append(tuple(parts))
        return out, cache

    def backward(self, dstates: list[State], cache: list) -> list[State] | None:
        """Gradients of the initial decoder states -> of the last encoder states (None: all zero)."""
        if self.kind == "zero":
            return None
        dlast: list[list] = [[None] * self.state_parts for _ in range(self.encoder_layers)]
        for layer, source in enumerate(self.source):
            for part, ds in enumerate(dstates[layer]):
                if self.kind == "projection":
                    n = layer * self.state_parts + part
                    linear_cache, tanh_cache = cache[n]
                    ds = self.projections[n].backward(F.tanh.backward(ds, tanh_cache), linear_cache)
                known = dlast[source][part]
                dlast[source][part] = ds if known is None else known + ds
        return [tuple(parts) for parts in dlast]

    def describe(self) -> str:
        return self.kind
