"""The kinds of operation that the checker knows: what goes in, what comes out, and a textbook of each.

A Kind says how to make inputs that hide nothing, which arrays are differentiated and what their axes
mean, computes the forward quantities by their textbook names, and runs a textbook backward pass on
them (textbook.py), the right one or one with an edit.

The recipe for the inputs: a batch of three with ragged lengths, four steps, repeated ids, weights
0.7 N(0, 1), biases that are not zero, no two sizes equal.
"""

from minis2s.gradcheck.attention_kinds import attention_kind, scores_kind, softmax_kind, weighted_sum_kind
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.output_kinds import (
    cross_entropy_kind,
    dropout_kind,
    embedding_kind,
    linear_kind,
    tanh_kind,
)
from minis2s.gradcheck.recurrent_kinds import gru_reference, lstm_reference, recurrent, rnn_reference

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(recurrent("rnn", "", 1, ("b",), rnn_reference, step) for step in (False, True)),
        *(recurrent("lstm", "ifog", 2, ("b",), lstm_reference, step) for step in (False, True)),
        *(recurrent("gru", "run", 1, ("bx", "bh"), gru_reference, step) for step in (False, True)),
        scores_kind("dot_scores", {}),
        scores_kind("scaled_dot_scores", {}, scaled=True),
        scores_kind("general_scores", {"W": "QM"}),
        scores_kind("additive_scores", {"Wq": "QA", "v": "A"}),
        attention_kind("dot_attention", {}),
        attention_kind("scaled_dot_attention", {}, scaled=True),
        attention_kind("attention", {"W": "QM"}),
        attention_kind("additive_attention", {"Wq": "QA", "v": "A"}),
        softmax_kind(),
        weighted_sum_kind(),
        cross_entropy_kind(),
        linear_kind(),
        embedding_kind(),
        dropout_kind(),
        tanh_kind(),
    )
}
ALIASES = {"general_attention": "attention", "softmax": "masked_softmax", "ce": "cross_entropy"}
