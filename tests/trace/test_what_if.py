"""What-ifs: equal to the engine's own passes on a model that is changed accordingly."""

import numpy as np
import pytest

import minis2s
from minis2s import ModelConfig
from minis2s import functional as F
from minis2s.models.decoder import DecoderState
from minis2s.trace import AttentionRow, Cut, ForceToken, Pin

LSTM = ModelConfig("lstm", 1, False, 5, 6, "general")
FED = ModelConfig("lstm", 1, False, 5, 6, "general", input_feeding=True)
BAHDANAU = ModelConfig("gru", 1, False, 5, 6, "additive", "bahdanau")


def engine_loss(step, **options) -> float:
    """The loss of the model as it is now, on the batch of the tape."""
    return step.model.loss(step.batch, reduction="sum", **options)[0]


def changed(traced, config, **options):
    """A traced step whose loss is a sum; the model may be changed at will, the tape has its own weights."""
    return traced(config, reduction="sum", **options)


def close(result, loss) -> bool:
    return result.loss == pytest.approx(loss, abs=1e-10)


def test_without_a_change_nothing_changes(traced):
    step = changed(traced, LSTM)
    result = step.tape.what_if()
    assert result.loss == step.tape.loss
    np.testing.assert_array_equal(result.losses, step.tape.losses)
    right = np.exp(-result.losses)[step.batch.tgt_mask]
    np.testing.assert_allclose(result.right_p[step.batch.tgt_mask], right, atol=1e-12)


def test_the_tape_keeps_the_weights_of_its_step(traced):
    step = changed(traced, LSTM)
    for p in step.model.parameters().values():
        p.data[...] = 0
    assert step.tape.loss == pytest.approx(step.loss, abs=1e-12)


# -- pins: a gate whose weights are zero and whose bias is right holds a value ------------------------


def logit(p: float) -> float:
    return np.log(p / (1 - p))


@pytest.mark.parametrize("where", ["encoder", "decoder"])
@pytest.mark.parametrize(("cell", "gate", "number"), [
    ("lstm", "i", 0), ("lstm", "f", 1), ("lstm", "o", 2), ("gru", "r", 0), ("gru", "u", 1),
])  # fmt: skip
def test_pin_a_gate_at_all_steps(traced, where, cell, gate, number):
    step = changed(traced, ModelConfig(cell, 1, False, 5, 6, "general"))
    units = [1, 4]
    result = step.tape.what_if(Pin(f"{where}.0", gate, 0.3, units=units))
    stack = step.model.encoder.rnn if where == "encoder" else step.model.decoder.cells
    columns = [number * 6 + u for u in units]
    for p in stack.layers[0].weights():
        p.data[..., columns] = 0
    layer = stack.layers[0]
    (layer.b if cell == "lstm" else layer.bx).data[columns] = logit(0.3)
    assert not close(result, step.loss)
    assert close(result, engine_loss(step))


@pytest.mark.parametrize(("cell", "gate", "number"), [("lstm", "g", 3), ("gru", "n", 2)])
def test_pin_a_candidate(traced, cell, gate, number):
    step = changed(traced, ModelConfig(cell, 1, False, 5, 6, "general"))
    result = step.tape.what_if(Pin("decoder.0", gate, -0.5))
    layer = step.model.decoder.cells.layers[0]
    for p in layer.weights():
        p.data[..., number * 6 :] = 0
    (layer.b if cell == "lstm" else layer.bx).data[number * 6 :] = np.arctanh(-0.5)
    assert close(result, engine_loss(step))


def by_hand(step, at: int, *, state=None, weights=None) -> float:
    """The loss over the decoder's own steps, with something done before step `at`, or to the weights at it.

    state: a function of the DecoderState before that step; weights: of the model, undone after that step.
    """
    model, batch = step.model, step.batch
    (values, last), _ = model.encoder.forward(batch.src, batch.src_mask)
    cells, _ = model.bridge.forward(last)
    (memory, now), _ = model.decoder.start(values, batch.src_mask, cells)
    total = 0.0
    for t in range(len(batch.tgt_in)):
        kept = model.state()
        if t == at and state is not None:
            now = state(now)
        if t == at and weights is not None:
            weights(model)
        x, _ = model.decoder.embedding.forward(batch.tgt_in[t])
        (a, now), _ = model.decoder.step(x, now, memory)
        model.load_state(kept)
        logits, _ = model.decoder.output.forward(a[None])
        total += F.cross_entropy.forward(
            logits, batch.tgt_out[t : t + 1], batch.tgt_mask[t : t + 1], 0.0, "sum"
        )[0]
    return total


def test_pin_a_gate_at_one_step(traced):
    step = changed(traced, LSTM)

    def closed(model):
        layer = model.decoder.cells.layers[0]
        for p in layer.weights():
            p.data[..., 6:12] = 0
        layer.b.data[6:12] = -1000  # sigmoid(-1000) is 0

    result = step.tape.what_if(Pin("decoder.0", "f", 0.0, step=1))
    assert not close(result, step.loss)
    assert close(result, by_hand(step, 1, weights=closed))
    # the term before the step is as it was
    np.testing.assert_array_equal(result.losses[0], step.tape.losses[0])


def test_pin_in_one_sentence_leaves_the_others(traced):
    step = changed(traced, LSTM)
    whole = step.tape.what_if(Pin("decoder.0", "f", 0.0))
    one = step.tape.what_if(Pin("decoder.0", "f", 0.0, row=1))
    np.testing.assert_allclose(one.losses[:, 1], whole.losses[:, 1], atol=1e-12)
    others = [0, 2, 3]
    np.testing.assert_array_equal(one.losses[:, others], step.tape.losses[:, others])


# -- cuts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("cell", "reset_after"), [("lstm", True), ("gru", True), ("gru", False), ("rnn", True)]
)
def test_cut_the_recurrent_path(traced, where, cell, reset_after):
    step = changed(traced, ModelConfig(cell, 1, False, 5, 6, "general"), reset_after=reset_after)
    result = step.tape.what_if(Cut("recurrent", layer=f"{where}.0"))
    stack = step.model.encoder.rnn if where == "encoder" else step.model.decoder.cells
    stack.layers[0].Wh.data[...] = 0
    assert not close(result, step.loss)
    assert close(result, engine_loss(step))


def test_cut_the_recurrent_path_everywhere(traced):
    step = changed(traced, ModelConfig("lstm", 2, True, 5, 6, "general"))
    result = step.tape.what_if(Cut("recurrent"))
    for name, p in step.model.parameters().items():
        if name.endswith(".Wh"):
            p.data[...] = 0
    assert close(result, engine_loss(step))


def test_cut_the_carry_is_a_closed_forget_gate(traced):
    step = changed(traced, LSTM)
    result = step.tape.what_if(Cut("carry", layer="encoder.0"))
    layer = step.model.encoder.rnn.layers[0]
    for p in layer.weights():
        p.data[..., 6:12] = 0
    layer.b.data[6:12] = -1000
    assert not close(result, step.loss)
    assert close(result, engine_loss(step))


def test_cut_the_carry_of_one_step(traced):
    step = changed(traced, LSTM)

    def forget(state):
        ((h, c),) = state.cells
        return DecoderState([(h, np.zeros_like(c))], state.feed)

    result = step.tape.what_if(Cut("carry", layer="decoder.0", step=2))
    assert close(result, by_hand(step, 2, state=forget))


def test_cut_the_carry_of_a_gru(traced):
    """h = (1 - u) n: by hand, over the named arrays of the tape."""
    step = changed(traced, ModelConfig("gru", 1, False, 5, 6, "none"))
    result = step.tape.what_if(Cut("carry", layer="decoder.0", step=0))
    first = step.tape["decoder.0/forward"]
    h = (1 - first["u"][0]) * first["n"][0]
    np.testing.assert_allclose(result.forward.steps["decoder.0"][0]["h"], h, atol=1e-12)

    # from there on, the engine with that state before step 1
    def state(_):
        return DecoderState([(h,)], None)

    later = by_hand(step, 1, state=state) - step.tape.losses[0].sum()
    assert result.losses[1:].sum() == pytest.approx(later, abs=1e-10)


@pytest.mark.parametrize("bridge", ["copy", "projection"])
def test_cut_the_bridge(traced, bridge):
    step = changed(traced, ModelConfig("lstm", 2, True, 5, 6, "general", bridge=bridge))
    result = step.tape.what_if(Cut("bridge"))
    step.model.bridge.kind = "zero"
    assert not close(result, step.loss)
    assert close(result, engine_loss(step))


def test_cut_the_bridge_of_one_layer(traced):
    step = changed(traced, ModelConfig("gru", 2, False, 5, 6, "general"))

    def start(state):
        below, (h,) = state.cells
        return DecoderState([below, (np.zeros_like(h),)], state.feed)

    assert close(step.tape.what_if(Cut("bridge", layer="decoder.1")), by_hand(step, 0, state=start))


@pytest.mark.parametrize("config", [LSTM, FED, BAHDANAU], ids=["luong", "feeding", "bahdanau"])
def test_cut_the_attention(traced, config):
    step = changed(traced, config)
    result = step.tape.what_if(Cut("attention"))
    step.model.decoder.combine.W.data[:6] = 0  # the rows that the context meets
    if config.decoder == "bahdanau":
        step.model.decoder.cells.layers[0].Wx.data[5:] = 0
    assert not close(result, step.loss)
    assert close(result, engine_loss(step))


def test_cut_the_attention_of_one_step(traced):
    step = changed(traced, LSTM)

    def blind(model):
        model.decoder.combine.W.data[:6] = 0

    assert close(step.tape.what_if(Cut("attention", step=1)), by_hand(step, 1, weights=blind))


def test_cut_input_feeding(traced):
    step = changed(traced, FED)
    result = step.tape.what_if(Cut("input feeding"))
    step.model.decoder.cells.layers[0].Wx.data[5:] = 0
    assert not close(result, step.loss)
    assert close(result, engine_loss(step))


# -- attention rows and tokens -------------------------------------------------------------------------


@pytest.mark.parametrize("config", [LSTM, FED, BAHDANAU], ids=["luong", "feeding", "bahdanau"])
def test_overwrite_an_attention_row(traced, monkeypatch, config):
    """The engine, with an attention whose second call looks where it is told to."""
    step = changed(traced, config)
    S = len(step.batch.src)
    row = np.arange(S) / sum(range(S))
    result = step.tape.what_if(AttentionRow(1, row))
    attention, calls = step.model.decoder.attention, []

    def forward(query, keys, memory, mask=None, *, folded=False, original=attention.forward):
        calls.append(1)
        context, cache = original(query, keys, memory, mask)
        if len(calls) == 2:
            context = np.einsum("s,sbm->bm", row, memory)[None]
        return context, cache

    monkeypatch.setattr(attention, "forward", forward)
    assert not close(result, step.loss)
    assert close(result, engine_loss(step, stepwise=True))
    np.testing.assert_allclose(result.forward.attended[1].weights[0], np.tile(row, (4, 1)))


@pytest.mark.parametrize("config", [LSTM, FED, BAHDANAU], ids=["luong", "feeding", "bahdanau"])
def test_force_a_token(traced, config):
    step = changed(traced, config)
    tgt_in = step.batch.tgt_in.copy()
    token = tgt_in[2, 1] = 5 if tgt_in[2, 1] != 5 else 6
    result = step.tape.what_if(ForceToken(2, token, row=1))
    step = step._replace(batch=step.batch._replace(tgt_in=tgt_in))
    assert close(result, engine_loss(step))


def test_best_tokens(traced):
    step = changed(traced, LSTM)
    result = step.tape.what_if(Cut("attention"))
    step.model.decoder.combine.W.data[:6] = 0
    logits, _ = step.model.forward(step.batch.src, step.batch.src_mask, step.batch.tgt_in)
    logits[..., :2] = -np.inf
    np.testing.assert_array_equal(result.best, logits.argmax(axis=-1))


def test_with_coins_the_model_reads_what_it_would_now_write(traced):
    """All coins on the model's side: after a change the fed tokens are those of the changed model."""
    step = changed(traced, LSTM, teacher_forcing=0.3, sentences=8)
    result = step.tape.what_if(Cut("attention"))
    step.model.decoder.combine.W.data[:6] = 0
    loss, cache = step.model.loss(step.batch, reduction="sum", coins=step.tape.record.coins)
    assert (cache.model.decoder.fed != step.tape.record.fed).any()
    np.testing.assert_array_equal(result.forward.fed, cache.model.decoder.fed)
    assert close(result, loss)


def test_dropout_stays_as_it_was_drawn(traced):
    step = changed(traced, ModelConfig("lstm", 2, False, 5, 6, "general", dropout=0.3))
    result = step.tape.what_if(Cut("recurrent"))
    for name, p in step.model.parameters().items():
        if name.endswith(".Wh"):
            p.data[...] = 0
    assert close(result, engine_loss(step, rng=np.random.default_rng(3)))


def test_several_changes_at_once(traced):
    step = changed(traced, LSTM)
    result = step.tape.what_if(Cut("attention"), Cut("recurrent", layer="decoder.0"))
    step.model.decoder.combine.W.data[:6] = 0
    step.model.decoder.cells.layers[0].Wh.data[...] = 0
    assert close(result, engine_loss(step))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Pin("decoder.3", "f", 0.0), "encoder.0, decoder.0, got 'decoder.3'"),
        (Pin("decoder.0", "u", 0.0), "gates i, f, o, g, got 'u'"),
        (Pin("decoder.0", "f", 0.0, units=[6]), "unit must be between 0 and 5, got 6"),
        (Pin("decoder.0", "f", 0.0, step=99), "step must be between 0 and"),
        (Pin("decoder.0", "f", 0.0, row=4), "row must be between 0 and 3, got 4"),
        (Pin(None, "f", 0.0), "encoder.0, decoder.0, got None"),
        (Pin("decoder.0", "f", np.nan), "finite, got nan"),
        (AttentionRow(None, np.ones(6)), "AttentionRow is for one step"),
        (AttentionRow(0, np.full(6, np.inf)), "weights must be finite"),
        (ForceToken(None, 5), "ForceToken is for one step"),
        (AttentionRow(0, [1.0]), r"shape \(\d+,\), got \(1,\)"),
        (ForceToken(0, 9), "token must be between 0 and 8, got 9"),
        (Cut("input feeding"), "carry, recurrent, bridge, attention, got 'input feeding'"),
        (Cut("attention", layer="decoder.0"), "leave out the layer"),
        (Cut("bridge", layer="encoder.0"), "decoder"),
        (Cut("bridge", step=1), "leave out the step"),
    ],
)
def test_a_change_that_does_not_fit_is_said(traced, change, said):
    with pytest.raises(ValueError, match=said):
        changed(traced, LSTM).tape.what_if(change)


@pytest.mark.parametrize(
    "change",
    [
        Pin("decoder.0", "f", 0.0, step=0.5),
        Pin("decoder.0", "f", 0.0, units=[1.7]),
        ForceToken(1, 4.5),
        Cut("attention", row=True),
    ],
)
def test_what_is_no_whole_number_changes_nothing_in_silence(traced, change):
    with pytest.raises(TypeError, match="must be a whole number, got"):
        changed(traced, LSTM).tape.what_if(change)


def test_what_is_no_change(traced):
    with pytest.raises(TypeError, match="Pin, AttentionRow, ForceToken or Cut, got str"):
        changed(traced, LSTM).tape.what_if("no attention")


def test_plain_model_has_no_attention_row(traced):
    with pytest.raises(ValueError, match="no attention"):
        changed(traced, ModelConfig("rnn", 1, False, 5, 6, "none")).tape.what_if(AttentionRow(0, [1.0]))


def test_the_models_own_tokens_are_never_padding(make_model, some_batch):
    """Where PAD and BOS are the most probable, the next best token goes in, as in the engine."""
    model, batch = make_model(LSTM), some_batch(8)
    model.decoder.output.b.data[:2] += 5
    with minis2s.trace(model) as tape:
        model.loss(batch, teacher_forcing=0.3, rng=np.random.default_rng(0))
    result = tape.what_if(Cut("attention"))
    assert result.forward.probs.argmax(axis=-1).max() < 2
    assert result.best.min() >= 2
    model.decoder.combine.W.data[:6] = 0
    _, cache = model.loss(batch, coins=tape.record.coins)
    np.testing.assert_array_equal(result.forward.fed, cache.model.decoder.fed)
