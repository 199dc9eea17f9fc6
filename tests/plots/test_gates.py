"""Gates: what is taken out of a cache is what the equations give, and what is drawn is what was taken."""

import numpy as np
import pytest

from minis2s import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    ModelConfig,
    Stack,
    Translator,
    encode_pairs,
    gate_activations,
    load_task,
    make_batch,
    plot_gates,
)
from minis2s.data import PAD, Pair
from minis2s.nn.live_rows import RaggedCache, plan_for
from minis2s.plots import png

T, B, D, H = 4, 3, 2, 5
LENGTHS = (2, 4, 3)
MASK = np.arange(T)[:, None] < np.array(LENGTHS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((T, B, D))


def test_an_lstm_gives_the_gates_of_its_equations(x):
    layer = LSTM(D, H, rng=np.random.default_rng(0), dtype=np.float64)
    _, cache = layer.forward(x, None, MASK)
    for row, length in enumerate(LENGTHS):
        (gates,) = gate_activations(cache, row).values()
        assert list(gates) == ["i", "f", "o", "g", "c", "h"]
        h = c = np.zeros(H)
        for t in range(length):
            z = x[t, row] @ layer.Wx.data + h @ layer.Wh.data + layer.b.data
            i, f, o = sigmoid(z[: 3 * H]).reshape(3, H)
            g = np.tanh(z[3 * H :])
            c = f * c + i * g
            h = o * np.tanh(c)
            for name, expected in {"i": i, "f": f, "o": o, "g": g, "c": c, "h": h}.items():
                np.testing.assert_allclose(gates[name][t], expected, atol=1e-12, err_msg=name)
        assert all(values.shape == (length, H) for values in gates.values())


def test_a_gru_and_an_rnn_give_theirs(x):
    gru = GRU(D, H, rng=np.random.default_rng(0), dtype=np.float64)
    gates = gate_activations(gru.forward(x)[1], 1)["0"]
    assert list(gates) == ["r", "u", "n", "h"]
    before = np.concatenate([np.zeros((1, H)), gates["h"][:-1]])
    np.testing.assert_allclose(gates["h"], (1 - gates["u"]) * gates["n"] + gates["u"] * before, atol=1e-12)
    first = x[0, 1] @ gru.Wx.data + gru.bx.data + gru.bh.data
    np.testing.assert_allclose(gates["r"][0], sigmoid(first[:H]), atol=1e-12)
    np.testing.assert_allclose(gates["u"][0], sigmoid(first[H : 2 * H]), atol=1e-12)

    rnn = RNN(D, H, rng=np.random.default_rng(0), dtype=np.float64)
    (hs, _), cache = rnn.forward(x)
    (states,) = gate_activations(cache, 2).values()
    np.testing.assert_array_equal(states["h"], hs[:, 2])


def test_a_layer_that_reads_backwards_is_turned_round(x):
    rng = np.random.default_rng(0)
    layer = Bidirectional(LSTM(D, H, rng=rng, dtype=np.float64), LSTM(D, H, rng=rng, dtype=np.float64))
    (hs, _), cache = Stack([layer]).forward(x, None, MASK)
    found = gate_activations(cache, 0)
    assert list(found) == ["0", "0.backwards"]
    both = np.concatenate([found["0"]["h"], found["0.backwards"]["h"]], axis=1)
    np.testing.assert_allclose(both, hs[: LENGTHS[0], 0], atol=1e-12)


def test_rows_that_were_sorted_by_length_are_found_again():
    lengths = np.random.default_rng(2).integers(1, 30, size=40)
    mask = np.arange(30)[:, None] < lengths
    assert plan_for(mask).order is not None
    inputs = np.random.default_rng(3).standard_normal((30, 40, D))
    layer = GRU(D, H, rng=np.random.default_rng(0), dtype=np.float64)
    (hs, _), cache = layer.forward(inputs, None, mask)
    assert isinstance(cache, RaggedCache)
    for row in (0, 7, 39):
        np.testing.assert_allclose(
            gate_activations(cache, row)["0"]["h"], hs[: lengths[row], row], atol=1e-12
        )


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_model_gives_all_its_layers_and_stepwise_the_same(cell):
    pairs = [Pair("abc", ("xyz",)), Pair("a", ("x",))]
    config = ModelConfig(cell=cell, layers=2, embed=3, hidden=4)
    translator = Translator.for_pairs(pairs, config, dtype=np.float64)
    batch = make_batch(encode_pairs(pairs, translator.source, translator.target, all_targets=False), [0, 1])
    _, cache = translator.model.loss(batch)
    _, steps = translator.model.loss(batch, stepwise=True)
    for row, length in ((0, 4), (1, 2)):
        found, again = gate_activations(cache, row), gate_activations(steps, row)
        assert list(found) == [
            "encoder.0", "encoder.0.backwards", "encoder.1", "encoder.1.backwards", "decoder.0", "decoder.1"
        ]  # fmt: skip
        for layer, gates in found.items():
            for name, values in gates.items():
                assert values.shape == (length, 4 if "decoder" in layer else 2)
                np.testing.assert_allclose(again[layer][name], values, atol=1e-12, err_msg=f"{layer} {name}")


@pytest.mark.parametrize("attention", ["general", "none"])
def test_padding_is_left_out_where_the_decoder_read_tokens_of_its_own(attention):
    pairs = [Pair("abc", ("xyz",)), Pair("a", ("x",))]
    translator = Translator.for_pairs(pairs, ModelConfig(embed=3, hidden=4, attention=attention))
    batch = make_batch(encode_pairs(pairs, translator.source, translator.target, all_targets=False), [0, 1])
    coins = np.zeros(batch.tgt_in.shape, dtype=bool)
    _, cache = translator.model.loss(batch, coins=coins)
    assert (cache.model.decoder.fed[~batch.tgt_mask] != PAD).all()
    for row, length in ((0, 4), (1, 2)):
        assert gate_activations(cache, row)["decoder.0"]["h"].shape == (length, 4)


def test_what_has_no_gates_and_a_row_that_is_not_there_are_refused(x):
    layer = RNN(D, H, rng=np.random.default_rng(0))
    _, cache = layer.forward(x)
    for row in (-1, 3):
        with pytest.raises(ValueError, match=f"3 sentences of the batch, 0 to 2, got {row}"):
            gate_activations(cache, row)
    with pytest.raises(ValueError, match="expected the cache of a recurrent layer.*got tuple"):
        gate_activations(())


# -- the picture ----------------------------------------------------------------------------------------


def test_each_gate_has_a_panel_with_its_numbers():
    i = np.array([[0.2, 0.4], [0.2, 0.9], [0.2, 0.5]])
    g = np.array([[-1.0, 0.5], [0.0, 2.0], [1.0, 0.0]])
    figure, sentence = plot_gates({"i": i, "g": g}, ["我", "$", "c"])
    left, right = (axes for axes in figure.axes if axes.images)
    np.testing.assert_array_equal(left.images[0].get_array(), i.T)
    np.testing.assert_array_equal(right.images[0].get_array(), g.T)
    assert left.images[0].get_clim() == (0, 1) and right.images[0].get_clim() == (-2, 2)
    assert [label.get_text() for label in left.get_xticklabels()][1:] == ["$", "c"]
    assert [axes.get_title() for axes in (left, right)] == ["i", "g"]
    assert sentence.startswith(
        "The means over steps and units are i 0.40, g 0.42; what moves most is unit 1 of gate i, "
        "between 0.40 and 0.90."
    )
    assert png(figure, sentence).startswith(b"\x89PNG")


def test_layers_stand_below_each_other_with_their_own_tokens():
    lstm = {name: np.full((2, 3), 0.5) for name in "if"}
    gru = {name: np.full((3, 2), 0.25) for name in "ru"}
    figure, sentence = plot_gates(
        {"encoder.0": lstm, "decoder.0": gru}, {"encoder": ["a", "b"], "decoder.0": ["x", "y", "z"]}
    )
    drawn = {
        axes.get_title(): [t.get_text() for t in axes.get_xticklabels()]
        for axes in figure.axes
        if axes.images
    }
    assert drawn == {
        "encoder.0 i": ["a", "b"],
        "encoder.0 f": ["a", "b"],
        "decoder.0 r": ["x", "y", "z"],
        "decoder.0 u": ["x", "y", "z"],
    }
    assert "encoder.0 i 0.50, f 0.50, decoder.0 r 0.25, u 0.25" in sentence


def test_the_states_are_not_called_what_moves_most_where_there_are_gates():
    _, sentence = plot_gates({"c": np.array([[-9.0], [9.0]]), "f": np.array([[0.1], [0.2]])})
    assert "unit 0 of gate f, between 0.10 and 0.20" in sentence
    assert "unit 0 of gate h, between -1.00 and 1.00" in plot_gates({"h": np.array([[-1.0], [1.0]])})[1]


@pytest.mark.parametrize(
    ("gates", "tokens", "says"),
    [
        ({}, None, "no gates to draw"),
        ({"encoder.0": {}}, None, "no gates to draw"),
        ({"i": np.zeros((2, 2)), "encoder.0": {"i": np.zeros((2, 2))}}, None, "a mixture"),
        ({"i": np.zeros(3)}, None, r"gate i: expected an array \(T, H\), got shape \(3,\)"),
        ({"i": np.zeros((0, 3))}, None, r"gate i: expected an array \(T, H\)"),
        (
            {"a": {"i": np.zeros((2, 3)), "f": np.zeros((2, 4))}},
            None,
            r"gate f of a: expected the shape \(2, 3\)",
        ),
        ({"i": np.array([[np.nan]])}, None, "gate i: some values are not finite"),
        ({"i": np.zeros((2, 3))}, ["a"], "gate i: 2 steps need as many tokens, got 1"),
    ],
)
def test_what_cannot_be_drawn_is_named(gates, tokens, says):
    with pytest.raises(ValueError, match=says):
        plot_gates(gates, tokens)


def test_a_trained_model_from_cache_to_picture():
    pairs = load_task("reverse", size=20).train
    translator = Translator.for_pairs(pairs, ModelConfig(embed=4, hidden=6))
    examples = encode_pairs(pairs, translator.source, translator.target, all_targets=False)
    batch = make_batch(examples, [0])
    _, cache = translator.model.loss(batch)
    source = [*translator.source.tokenizer.tokenize(pairs[0].source), "</s>"]
    figure, _ = plot_gates(gate_activations(cache), {"encoder": source})
    assert sum(bool(axes.images) for axes in figure.axes) == 18
    assert png(figure).startswith(b"\x89PNG")
