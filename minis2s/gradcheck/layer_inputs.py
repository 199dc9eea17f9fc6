"""Inputs for a single layer of the engine that hide nothing, by the recipe of kind.py.

`WholeAttention` makes one layer of an attention and the projection of its keys.
"""

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.kind import LENGTHS, SOURCE_LENGTHS, B, S, T, lengths_mask
from minis2s.models import Bridge, Decoder, Encoder
from minis2s.nn import Attention, Bidirectional, Dropout, Embedding, Layer, Linear, Stack
from minis2s.nn.recurrent import Recurrent


def inputs_for(layer: Layer, rng: np.random.Generator) -> list:
    """Arguments of layer.forward that hide nothing, for the layers of the engine."""
    normal = rng.standard_normal

    def state_of(one) -> tuple:
        if isinstance(one, Bidirectional):
            return tuple(normal((B, one.hidden_size)) for _ in range(one.forwards.state_parts))
        return tuple(normal((B, one.hidden_size)) for _ in range(one.state_parts))

    def size_of(one) -> int:
        while not isinstance(one, Recurrent):
            one = one.forwards if isinstance(one, Bidirectional) else one.layers[0]
        return one.Wx.data.shape[0]

    mask = lengths_mask(LENGTHS, T)
    source_mask = lengths_mask(SOURCE_LENGTHS, S)
    match layer:
        case Linear():
            return [normal((T, B, layer.W.data.shape[0]))]
        case Embedding():
            return [np.array([[1, 3, 3], [3, 1, 0], [2, 3, 1], [0, 1, 0]]) % layer.W.data.shape[0]]
        case Dropout():
            return [normal((T, B, 5))]
        case Stack():
            return [normal((T, B, size_of(layer))), [state_of(one) for one in layer.layers], mask]
        case Bidirectional() | Recurrent():
            return [normal((T, B, size_of(layer))), state_of(layer), mask]
        case Attention():
            Q, M, _ = attention_sizes(layer)
            return [normal((T, B, Q)), normal((S, B, M)), source_mask]
        case Encoder():
            return [
                np.array([[1, 3, 3], [3, 1, 0], [2, 3, 1], [0, 1, 0]]) % layer.embedding.W.data.shape[0],
                mask,
            ]
        case Bridge():
            size = layer.projections[0].W.data.shape[0] if layer.projections else layer.decoder_size
            return [
                [
                    tuple(normal((B, size)) for _ in range(layer.state_parts))
                    for _ in range(layer.encoder_layers)
                ]
            ]
        case Decoder():
            M = (
                attention_sizes(layer.attention)[1]
                if layer.attention is not None
                else layer.cells.hidden_size
            )
            ids = np.array([[1, 1, 1], [3, 1, 0], [2, 3, 1], [0, 1, 0]]) % layer.embedding.W.data.shape[0]
            return [normal((S, B, M)), source_mask, [state_of(one) for one in layer.cells.layers], ids]
    raise UserError(f"no inputs are known for a {type(layer).__name__}: hand them in, gradcheck(layer, x)")


class WholeAttention(Layer):
    """An attention with the projection of its keys: forward(query, memory, mask)."""

    def __init__(self, attention: Attention):
        self.attention = attention

    def forward(self, query, memory, mask=None):
        keys, projected = self.attention.project(memory)
        context, cache = self.attention.forward(query, keys, memory, mask)
        return context, (projected, cache)

    def backward(self, dcontext, cache):
        projected, attended = cache
        dquery, dkeys, dmemory = self.attention.backward(dcontext, attended)
        return dquery, dmemory + self.attention.project_backward(dkeys, projected)


def attention_sizes(layer: Attention) -> tuple[int, int, int]:
    """(query size, memory size, key size); where the weights do not say, 3."""
    if layer.kind == "general":
        Q, M = layer.W.data.shape
        return Q, M, M
    if layer.kind == "additive":
        Q, A = layer.Wq.data.shape
        return Q, layer.keys.W.data.shape[0], A
    return 3, 3, 3
