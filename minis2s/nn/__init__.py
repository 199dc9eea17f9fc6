"""Layers: they own the weights, and call the functional pairs.

Every layer has ``forward(...) -> (out, cache)`` and ``backward(dout, cache) -> din``; backward
adds weight gradients into ``Parameter.grad``.
"""

from minis2s.nn.attention import Attention
from minis2s.nn.basic import Dropout, Embedding, Linear
from minis2s.nn.layer import Layer, Parameter
from minis2s.nn.recurrent import CELLS, GRU, LSTM, RNN, Bidirectional, Recurrent, Stack

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "Bidirectional",
    "Dropout",
    "Embedding",
    "Layer",
    "Linear",
    "Parameter",
    "Recurrent",
    "Stack",
]
