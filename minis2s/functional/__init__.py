"""The mathematics: pure forward and backward pairs, one file an operation.

Nothing here owns weights or remembers anything; nn/ does. `OPS` lists every operation, and the
test suite checks the gradients of each one of them.
"""

from minis2s.functional.activations import tanh
from minis2s.functional.attention import (
    additive_scores,
    dot_scores,
    general_scores,
    scaled_dot_scores,
    weighted_sum,
)
from minis2s.functional.cross_entropy import cross_entropy
from minis2s.functional.dropout import dropout
from minis2s.functional.embedding import embedding
from minis2s.functional.gru import gru, gru_step
from minis2s.functional.linear import linear
from minis2s.functional.lstm import lstm, lstm_step
from minis2s.functional.rnn import rnn, rnn_step
from minis2s.functional.softmax import log_softmax, masked_softmax
from minis2s.op import Op

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        linear,
        embedding,
        dropout,
        tanh,
        rnn_step,
        rnn,
        lstm_step,
        lstm,
        gru_step,
        gru,
        dot_scores,
        scaled_dot_scores,
        general_scores,
        additive_scores,
        masked_softmax,
        weighted_sum,
        cross_entropy,
    )
}

__all__ = [
    "OPS",
    "additive_scores",
    "cross_entropy",
    "dot_scores",
    "dropout",
    "embedding",
    "general_scores",
    "gru",
    "gru_step",
    "linear",
    "log_softmax",
    "lstm",
    "lstm_step",
    "masked_softmax",
    "rnn",
    "rnn_step",
    "scaled_dot_scores",
    "tanh",
    "weighted_sum",
]
