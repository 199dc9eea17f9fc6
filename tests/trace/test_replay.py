"""The replay is the step: equal loss, equal gradient of every parameter, equal named arrays."""

import numpy as np
import pytest

from minis2s import ModelConfig
from minis2s import functional as F
from minis2s.trace.cells import CELLS, Here

KINDS = [
    ("none", "luong", False),
    ("dot", "luong", False),
    ("general", "luong", False),
    ("scaled", "luong", True),
    ("additive", "luong", True),
    ("general", "luong", True),
    ("additive", "bahdanau", False),
    ("general", "bahdanau", False),
]
BRIDGES = ("copy", "zero", "projection")


def difference(step) -> float:
    """The largest difference of the loss and of all gradients between the replay and the model itself."""
    found = [abs(step.tape.loss - step.loss)]
    gradients = step.tape.gradients
    assert gradients.keys() == step.model.parameters().keys()
    for name, p in step.model.parameters().items():
        assert gradients[name].dtype == p.grad.dtype
        found.append(np.abs(gradients[name] - p.grad).max())
    return max(found)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("attention", "decoder", "feeding"), KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_loss_and_gradients_are_those_of_the_step(traced, cell, attention, decoder, feeding, bidirectional):
    n = 0
    for layers in (1, 2):
        for dropout in (0.0, 0.3):
            for teacher_forcing in (1.0, 0.5):
                config = ModelConfig(
                    cell, layers, bidirectional, 5, 6, attention, decoder, feeding, BRIDGES[n % 3], dropout
                )
                n += 1
                step = traced(config, teacher_forcing=teacher_forcing, smoothing=0.1)
                assert difference(step) < 1e-10
                assert (step.tape.forward.fed == step.cache.model.decoder.fed).all()


def test_the_coins_did_feed_other_tokens(traced):
    step = traced(ModelConfig(hidden=6, embed=5), teacher_forcing=0.5, sentences=8)
    mask = step.batch.tgt_mask
    assert (step.tape.record.fed != step.batch.tgt_in)[mask].any()


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_options_of_the_loss(traced, stepwise, reduction):
    config = ModelConfig("lstm", 2, False, 5, 6, dropout=0.3)
    assert difference(traced(config, reduction=reduction, stepwise=stepwise, smoothing=0.2)) < 1e-10


@pytest.mark.parametrize("layers", [1, 2])
def test_reset_before(traced, layers):
    config = ModelConfig("gru", layers, False, 5, 6)
    assert difference(traced(config, reset_after=False)) < 1e-10


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_batches_that_the_engine_takes_without_the_padding_and_by_look_up(traced, cell, dropout):
    """Large ragged ones: rows that have ended are left out, few symbols are looked up, the readout is packed."""
    step = traced(ModelConfig(cell, 2, True, 12, 6, dropout=dropout), sentences=64, longest=20)
    assert step.cache.model.decoder.real is not None
    assert difference(step) < 1e-10


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("attention", "decoder", "feeding"), KINDS[:6:2] + KINDS[6:7])
def test_float32(traced, cell, attention, decoder, feeding):
    config = ModelConfig(cell, 2, True, 5, 6, attention, decoder, feeding, "projection", 0.3)
    step = traced(config, dtype=np.float32, teacher_forcing=0.5)
    assert difference(step) < 1e-5
    assert {a.dtype for a in step.tape.arrays.values()} <= {np.dtype("float32"), np.dtype("int64")}


def test_target_of_one_step(traced):
    for stepwise in (False, True):
        config = ModelConfig("lstm", 2, False, 5, 6, dropout=0.3)
        assert difference(traced(config, longest=2, sentences=1, stepwise=stepwise)) < 1e-10


# -- the cells against functional/ ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reset_after"), [("rnn", True), ("lstm", True), ("gru", True), ("gru", False)]
)
@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_is_the_step_of_functional(name, reset_after, masked):
    rng = np.random.default_rng(5)
    B, D, H = 4, 3, 5
    cell, op = CELLS[name], {"rnn": F.rnn_step, "lstm": F.lstm_step, "gru": F.gru_step}[name]
    blocks = {"rnn": 1, "lstm": 4, "gru": 3}[name] * H
    shapes = {"Wx": (D, blocks), "Wh": (H, blocks), "b": (blocks,), "bx": (blocks,), "bh": (blocks,)}
    weights = tuple(rng.standard_normal(shapes[w]) for w in cell.weights)
    x = rng.standard_normal((B, D))
    state = tuple(rng.standard_normal((B, H)) for _ in cell.state)
    mask = np.array([True, False, True, False]) if masked else None
    options = (reset_after,) if name == "gru" else ()

    out, cache = op.forward(x, *state, *weights, mask, *options)
    step = cell.forward(x, state, weights, mask, reset_after, Here())
    for mine, theirs in zip((step[n] for n in cell.state), out if name == "lstm" else (out,), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)

    # the gradient in two parts, which must not matter
    dout = [rng.standard_normal((B, H)) for _ in cell.state]
    parts = {n: {"one": 0.25 * d, "other": 0.75 * d} for n, d in zip(cell.state, dout, strict=True)}
    named, kept, dx, before, dweights = cell.backward(parts, step, weights, mask, reset_after)
    theirs = op.backward(tuple(dout) if name == "lstm" else dout[0], cache)
    mine = (dx, *(sum(before[n].values()) for n in cell.state), *dweights)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for n in cell.state:
        np.testing.assert_allclose(sum(kept[n].values()), named[f"d{n}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_every_equation_has_its_array(traced, name):
    step = traced(ModelConfig(name, 1, False, 5, 6))
    arrays = step.tape["decoder.0/forward"]
    for equation in CELLS[name].equations:
        assert equation.name in arrays


# -- names ------------------------------------------------------------------------------------------


def test_named_arrays_are_those_of_the_engine(traced):
    step = traced(ModelConfig("lstm", 1, False, 5, 6), stepwise=True)
    tape, decoder = step.tape, step.cache.model.decoder
    for t, inner in enumerate(decoder.steps):
        (cell,) = inner.cells.layers
        for name, gate in zip("ifog", cell.gates, strict=True):
            np.testing.assert_allclose(tape[f"decoder.0/forward/{name}"][t], gate, atol=1e-12)
        np.testing.assert_allclose(tape["decoder.0/forward/tanh_c"][t], cell.tanh_c, atol=1e-12)
        np.testing.assert_allclose(tape["decoder.0/forward/h_prev"][t], cell.h_prev, atol=1e-12)
        np.testing.assert_allclose(
            tape["attention/forward/weights"][t], inner.attention.softmax.weights[0], atol=1e-12
        )
        np.testing.assert_allclose(tape["readout/forward/mixed"][t], inner.readout.tanh.a[0], atol=1e-12)
    encoder = step.cache.model.encoder.rnn.layers[0]
    np.testing.assert_allclose(tape["encoder.0/forward/c"], encoder.cs[1:], atol=1e-12)
    np.testing.assert_allclose(tape["attention/forward/values"], decoder.memory.values, atol=1e-12)


def test_shapes_and_times(traced):
    step = traced(ModelConfig("gru", 2, True, 5, 6))
    (S, B), T = step.batch.src.shape, len(step.batch.tgt_in)
    tape = step.tape
    assert tape.layers == [
        "encoder.0", "encoder.0.backwards", "encoder.1", "encoder.1.backwards", "decoder.0", "decoder.1",
    ]  # fmt: skip
    assert tape["encoder.0.backwards/forward/r"].shape == (S, B, 3)
    assert tape["decoder.1/backward/dz_n"].shape == (T, B, 6)
    assert tape["attention/backward/dscores"].shape == (T, B, S)
    assert tape["output/forward/probs"].shape == (T, B, 9)
    # a layer that reads from the right has the word of time t as its input at time t, as the other one
    np.testing.assert_array_equal(tape["encoder.0/forward/x"], tape["encoder.0.backwards/forward/x"])
    h = tape["encoder.0.backwards/forward/h"]
    np.testing.assert_array_equal(tape["encoder.0.backwards/forward/h_prev"][:-1], h[1:])


def test_gradients_of_logits_and_attention_by_difference(traced):
    """Two arrays in the middle, measured: one score up a little, one logit up a little."""
    from minis2s.trace import replay

    step = traced(ModelConfig("lstm", 1, False, 5, 6), dloss=1.0)
    tape, h = step.tape, 1e-5

    class Nudged(replay.NoChanges):
        def __init__(self, t, b, s, by):
            self.place, self.by = (t, b, s), by

        def attention(self, t, weights):
            if t == self.place[0]:
                weights = weights.copy()
                weights[self.place[1:]] += self.by
            return weights

    for t, b, s in [(0, 0, 0), (1, 1, 1), (0, 2, 1)]:
        up = replay.forward(tape.record, Nudged(t, b, s, h)).loss
        down = replay.forward(tape.record, Nudged(t, b, s, -h)).loss
        assert tape["attention/backward/dweights"][t, b, s] == pytest.approx((up - down) / (2 * h), abs=1e-8)
