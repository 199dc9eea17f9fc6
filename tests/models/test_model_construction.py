"""What a configuration builds, what it refuses, and how a model prints."""

import numpy as np
import pytest

from minis2s.models import Bridge, ModelConfig, Seq2Seq
from minis2s.models.decoder import Decoder


@pytest.mark.parametrize(
    "config, words",
    [
        ({"cell": "lstn"}, "cell must be one of rnn, lstm, gru, got 'lstn'"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"embed": 0}, "embed must be at least 1, got 0"),
        ({"hidden": -2}, "hidden must be at least 1, got -2"),
        ({"hidden": 5}, "must be even, got 5"),
        (
            {"attention": "genral"},
            "attention must be one of none, dot, scaled, general, additive, got 'genral'",
        ),
        ({"decoder": "loung"}, "decoder must be one of luong, bahdanau, got 'loung'"),
        ({"decoder": "plain"}, "decoder must be one of luong, bahdanau, got 'plain'"),
        ({"bridge": "tunnel"}, "bridge must be one of copy, zero, projection, got 'tunnel'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": float("nan")}, "below 1, got nan"),
        (
            {"input_feeding": True, "decoder": "bahdanau"},
            "input feeding belongs to the luong decoder, not to bahdanau",
        ),
        (
            {"input_feeding": True, "attention": "none"},
            "input feeding belongs to the luong decoder, not to plain",
        ),
    ],
    ids=str,
)
def test_a_wrong_configuration_says_what_came(config, words):
    with pytest.raises(ValueError, match=words):
        Seq2Seq(ModelConfig(**{"embed": 3, "hidden": 4} | config), 8, 9, rng=np.random.default_rng(0))


def test_one_direction_may_have_an_odd_size(tools):
    assert tools.model(hidden=5, bidirectional=False).encoder.rnn.hidden_size == 5


def test_copy_bridge_needs_equal_sizes():
    with pytest.raises(ValueError, match="got 6 in the encoder and 4 in the decoder"):
        Bridge("copy", 6, 4, encoder_layers=1, decoder_layers=1, state_parts=1, rng=None)


def test_decoder_kinds_and_attention_fit(tools):
    def with_kind(kind, attention):
        d = tools.model().decoder
        return Decoder(kind, d.embedding, d.cells, attention, d.combine, d.output)

    with pytest.raises(ValueError, match="one of plain, luong, bahdanau, got 'other'"):
        with_kind("other", None)
    with pytest.raises(ValueError, match="a plain decoder has no attention"):
        with_kind("plain", tools.model().decoder.attention)
    with pytest.raises(ValueError, match="a luong decoder needs an attention"):
        with_kind("luong", None)


def expected_count(tools, layers, cell_gates, biases, embed, hidden, attention, projection):
    """The number of weights, counted from the equations."""
    V_source, V_target = tools.SOURCE_SIZE, tools.TARGET_SIZE
    half = hidden // 2

    def cell(i, h):
        return cell_gates * (i * h + h * h) + biases * cell_gates * h

    encoder = V_source * embed
    decoder = V_target * embed
    for n in range(layers):
        encoder += 2 * cell(embed if n == 0 else hidden, half)
        decoder += cell(embed if n == 0 else hidden, hidden)
    readout = 2 * hidden * hidden + hidden + hidden * V_target + V_target
    return encoder + decoder + readout + attention + projection


def test_number_of_weights(tools):
    E, H = 3, 4
    lstm = tools.model(layers=2, embed=E, hidden=H)
    assert lstm.count() == expected_count(tools, 2, 4, 1, E, H, H * H, 0)
    gru = tools.model(cell="gru", attention="additive", bridge="projection", embed=E, hidden=H)
    assert gru.count() == expected_count(tools, 1, 3, 2, E, H, 2 * H * H + 2 * H, H * H + H)
    dot = tools.model(cell="rnn", attention="dot", embed=E, hidden=H)
    assert dot.count() == expected_count(tools, 1, 1, 1, E, H, 0, 0)


def test_every_weight_has_a_path(tools):
    names = list(tools.model(layers=2, attention="additive", bridge="projection", cell="gru").parameters())
    for name in (
        "encoder.embedding.W",
        "encoder.rnn.layers.0.forwards.Wx",
        "encoder.rnn.layers.1.backwards.bh",
        "bridge.projections.1.b",
        "decoder.embedding.W",
        "decoder.cells.layers.1.Wh",
        "decoder.attention.keys.W",
        "decoder.attention.v",
        "decoder.combine.W",
        "decoder.output.b",
    ):
        assert name in names
    assert len(set(names)) == len(names)


def test_the_print_shows_the_model(tools):
    text = repr(tools.model(layers=2, dropout=0.1, input_feeding=True))
    lines = text.splitlines()
    assert lines[0].startswith("Seq2Seq(lstm, attention general)  ")
    for line in (
        "    embedding: Embedding(8 symbols, size 3)  24 weights",
        "    rnn: Stack(2 layers, dropout 0.1)  208 weights",
        "        forwards: LSTM(3 -> 2)  48 weights",
        "          Wx: (3, 8)",
        "  bridge: Bridge(copy)  0 weights",
        "  decoder: Decoder(luong, input feeding)  460 weights",
        "    attention: Attention(general)  16 weights",
        "    combine: Linear(8 -> 4)  36 weights",
    ):
        assert line in lines, text
    assert max(map(len, lines)) < 80 and len(lines) < 70


def test_a_loaded_state_gives_the_same_loss(tools):
    model, batch = tools.model(seed=1), tools.batch()
    other = tools.model(seed=2)
    assert other.loss(batch)[0] != model.loss(batch)[0]
    other.load_state(model.state())
    assert other.loss(batch)[0] == model.loss(batch)[0]


def test_embeddings_may_be_shared(tools):
    """One table for both sides (say, of one alphabet): both gradients land in it, and it is listed once."""
    model, batch = tools.model(), tools.batch()
    model.encoder.embedding.W = model.decoder.embedding.W
    assert "encoder.embedding.W" in model.parameters() and "decoder.embedding.W" not in model.parameters()
    tools.check_gradients(model, batch)
