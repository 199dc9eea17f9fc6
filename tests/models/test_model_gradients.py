"""The gradient of whole models against numeric differences, one verdict per parameter block."""

import numpy as np
import pytest

from minis2s.decode import greedy
from minis2s.gradcheck import check_loss
from minis2s.models import Bridge

ATTENTIONS = ("dot", "scaled", "general", "additive")

CONFIGS = {
    **{
        f"{cell}, {'both directions' if two else 'one direction'}": {"cell": cell, "bidirectional": two}
        for cell in ("rnn", "lstm", "gru")
        for two in (False, True)
    },
    **{
        f"{decoder}, {attention}": {"decoder": decoder, "attention": attention}
        for decoder in ("luong", "bahdanau")
        for attention in ATTENTIONS
    },
    **{f"plain, {cell}": {"attention": "none", "cell": cell} for cell in ("rnn", "lstm", "gru")},
    "bahdanau, gru": {"decoder": "bahdanau", "cell": "gru", "attention": "additive"},
    "bahdanau, rnn": {"decoder": "bahdanau", "cell": "rnn"},
    "input feeding": {"input_feeding": True},
    "input feeding, gru, additive": {"input_feeding": True, "cell": "gru", "attention": "additive"},
    "two layers": {"layers": 2},
    "two layers, plain, rnn": {"layers": 2, "attention": "none", "cell": "rnn"},
    "three layers, bahdanau, gru": {"layers": 3, "decoder": "bahdanau", "cell": "gru"},
    "bridge zero": {"bridge": "zero"},
    "bridge projection": {"bridge": "projection"},
    "bridge projection, two layers of gru": {"bridge": "projection", "layers": 2, "cell": "gru"},
    "bridge zero, bahdanau": {"bridge": "zero", "decoder": "bahdanau"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_model(tools, name):
    tools.check_gradients(tools.model(**CONFIGS[name]), tools.batch())


@pytest.mark.parametrize(
    "config",
    [
        {"layers": 2},
        {"layers": 2, "decoder": "bahdanau", "attention": "additive"},
        {"layers": 2, "input_feeding": True, "cell": "gru"},
        {"layers": 2, "attention": "none", "cell": "rnn"},
    ],
    ids=str,
)
def test_dropout_with_a_fixed_mask(tools, config):
    model = tools.model(dropout=0.3, **config)
    tools.check_gradients(model, tools.batch(), rng_seed=8)
    # the masks did something, or the test above would be one without dropout
    without, _ = model.loss(tools.batch())
    dropped, _ = model.loss(tools.batch(), rng=np.random.default_rng(8))
    assert abs(without - dropped) > 1e-3


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_options(tools, smoothing, reduction, stepwise):
    model = tools.model()
    tools.check_gradients(model, tools.batch(), smoothing=smoothing, reduction=reduction, stepwise=stepwise)


def test_every_entry_of_two_models(tools):
    small = {"hidden": 2, "embed": 2, "dropout": 0.3}
    tools.check_gradients(tools.model(**small), tools.batch(), rng_seed=4, all_entries=True)
    model = tools.model(decoder="bahdanau", attention="additive", cell="gru", **small)
    tools.check_gradients(model, tools.batch(), rng_seed=4, all_entries=True)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("decoder", ["luong", "bahdanau"])
@pytest.mark.parametrize("attention", ["general", "additive"])
def test_models_in_which_no_two_sizes_are_equal(tools, cell, decoder, attention):
    """Memory wider than the states, decoder layers of two sizes, three embedding and attention sizes."""
    tools.check_gradients(tools.uneven_model(decoder, attention, cell=cell), tools.batch(), stepwise=True)


def test_input_feeding_in_which_no_two_sizes_are_equal(tools):
    model = tools.uneven_model("luong", "additive", input_feeding=True, dropout=0.25)
    tools.check_gradients(model, tools.batch(), rng_seed=2)


def test_encoder_of_three_layers_for_a_decoder_of_one(tools):
    """The lower layers' last states are not looked at: their gradient is None, part by part."""
    model = tools.uneven_model("luong", "general", encoder_layers=3, decoder_sizes=(4,))
    tools.check_gradients(model, tools.batch())


# -- teacher forcing ------------------------------------------------------------------------------


def coins_for(batch) -> np.ndarray:
    coins = np.random.default_rng(6).random(batch.tgt_in.shape) < 0.4
    assert 0 < coins[1:].sum() < coins[1:].size
    return coins


@pytest.mark.parametrize(
    "config", [{}, {"decoder": "bahdanau"}, {"input_feeding": True}, {"attention": "none"}], ids=str
)
def test_the_models_own_tokens_as_inputs(tools, config):
    """The gradient with coins is that of the same tokens given from outside, and that is right."""
    model, batch = tools.model(**config), tools.batch()
    coins = coins_for(batch)
    _, cache = model.loss(batch, coins=coins)
    fed = cache.model.decoder.fed
    np.testing.assert_array_equal(fed[0], batch.tgt_in[0])
    np.testing.assert_array_equal(fed[coins], batch.tgt_in[coins])
    assert (fed != batch.tgt_in)[batch.tgt_mask].any()
    given = batch._replace(tgt_in=fed)

    loss, gradients = tools.run(model, batch, coins=coins)
    expected_loss, expected = tools.run(model, given)
    tools.close(loss, expected_loss, 1e-14)
    tools.close_gradients(gradients, expected, 1e-12)
    tools.check_gradients(model, given)


def test_the_models_own_tokens_are_its_best_ones(tools):
    """With all coins False, what goes in at t is the argmax of the logits at t - 1, PAD and BOS aside."""
    model, batch = tools.model(), tools.batch()
    # without the exclusion PAD would win everywhere, and BOS where PAD is excluded alone
    model.decoder.output.b.data[:2] = 60, 50
    logits, cache = model.forward(
        batch.src, batch.src_mask, batch.tgt_in, coins=np.zeros(batch.tgt_in.shape, bool)
    )
    fed = cache.decoder.fed
    np.testing.assert_array_equal(fed[0], batch.tgt_in[0])
    np.testing.assert_array_equal(fed[1:], 2 + logits[:-1, :, 2:].argmax(axis=-1))


def test_teacher_forcing_zero_is_greedy_search(tools):
    """The model's own tokens are the ones that decoding feeds."""
    for config in ({}, {"decoder": "bahdanau"}, {"input_feeding": True}):
        model, batch = tools.model(seed=3, **config), tools.batch()
        T = batch.tgt_in.shape[0]
        _, cache = model.forward(
            batch.src, batch.src_mask, batch.tgt_in, coins=np.zeros(batch.tgt_in.shape, bool)
        )
        found = greedy(model, batch.src, batch.src_mask, max_length=T - 1)
        assert any(h.tokens for h in found)
        for column, hypothesis in enumerate(found):
            fed = cache.decoder.fed[1:, column].tolist()
            assert fed[: len(hypothesis.tokens)] == hypothesis.tokens


def test_coins_are_drawn_with_the_given_chance(tools):
    model, batch = tools.model(), tools.batch()
    with pytest.raises(ValueError, match="pass rng"):
        model.loss(batch, teacher_forcing=0.5)
    gold, _ = model.loss(batch)
    assert model.loss(batch, teacher_forcing=1.0, rng=np.random.default_rng(0))[0] == gold
    own, _ = model.loss(batch, coins=np.zeros(batch.tgt_in.shape, bool))
    assert model.loss(batch, teacher_forcing=0.0, rng=np.random.default_rng(0))[0] == own != gold
    shares = []
    for seed in range(200):
        _, cache = model.loss(batch, teacher_forcing=0.7, rng=np.random.default_rng(seed))
        own = model.loss(batch, coins=np.zeros(batch.tgt_in.shape, bool))[1].model.decoder.fed
        gold_or_own = batch.tgt_in[1] != own[1]  # where the two can be told apart: at the first choice
        shares.append((cache.model.decoder.fed[1] == batch.tgt_in[1])[gold_or_own].mean())
    assert 0.6 < np.mean(shares) < 0.8


def test_every_sentence_and_every_step_has_a_coin_of_its_own(tools, monkeypatch):
    model, batch = tools.model(), tools.batch()
    forward, seen = model.forward, []
    monkeypatch.setattr(
        model,
        "forward",
        lambda *args, coins, **rest: seen.append(coins) or forward(*args, coins=coins, **rest),
    )
    for seed in range(200):
        model.loss(batch, teacher_forcing=0.5, rng=np.random.default_rng(seed))
    coins = np.stack(seen)
    assert coins.shape[1:] == batch.tgt_in.shape
    between = np.corrcoef(coins.reshape(200, -1).T) - np.eye(batch.tgt_in.size)
    assert np.abs(between).max() < 0.4  # of 200 throws; a coin that two share would give 1


# -- the bridge -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder_layers, decoder_layers", [(1, 1), (1, 3), (2, 3), (3, 2), (3, 1)])
@pytest.mark.parametrize("kind", ["copy", "projection"])
@pytest.mark.parametrize("parts", [1, 2])
def test_bridge_alone(tools, kind, encoder_layers, decoder_layers, parts):
    rng = np.random.default_rng(0)
    sizes = (4, 4) if kind == "copy" else (4, 3)
    bridge = Bridge(
        kind,
        *sizes,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        state_parts=parts,
        rng=rng,
        dtype=np.float64,
    )
    tools.scatter_weights(bridge, rng)
    states = [tuple(rng.standard_normal((2, 4)) for _ in range(parts)) for _ in range(encoder_layers)]
    out, cache = bridge.forward(states)
    dout = [tuple(rng.standard_normal((2, sizes[1])) for _ in range(parts)) for _ in range(decoder_layers)]
    assert [tuple(part.shape for part in layer) for layer in out] == [
        ((2, sizes[1]),) * parts
    ] * decoder_layers

    def loss() -> float:
        pairs = zip(bridge.forward(states)[0], dout, strict=True)
        return sum(
            float((o * d).sum()) for layer, dlayer in pairs for o, d in zip(layer, dlayer, strict=True)
        )

    dstates = bridge.backward(dout, cache)
    blocks = {name: p.data for name, p in bridge.parameters().items()}
    gradients = {name: p.grad for name, p in bridge.parameters().items()}
    used = range(max(encoder_layers - decoder_layers, 0), encoder_layers)
    for layer in range(encoder_layers):
        for part in range(parts):
            name = f"state {layer}.{part}"
            if layer in used:
                blocks[name], gradients[name] = states[layer][part], dstates[layer][part]
            else:
                assert dstates[layer][part] is None
    report = check_loss(loss, blocks, gradients)
    assert report.ok and all(block.error <= 1e-9 for block in report.blocks), report


def test_bridge_takes_the_top_layers(tools):
    """What serves which layer, told apart by value."""

    def served(encoder_layers, decoder_layers):
        bridge = Bridge(
            "copy",
            1,
            1,
            encoder_layers=encoder_layers,
            decoder_layers=decoder_layers,
            state_parts=1,
            rng=None,
        )
        out, _ = bridge.forward([(np.full((1, 1), float(n)),) for n in range(encoder_layers)])
        return [int(layer[0][0, 0]) for layer in out]

    assert served(2, 2) == [0, 1]
    assert served(3, 2) == [1, 2]
    assert served(3, 1) == [2]
    assert served(2, 4) == [0, 1, 1, 1]


def test_zero_bridge_gives_zeros_of_the_decoders_size():
    bridge = Bridge("zero", 4, 3, encoder_layers=2, decoder_layers=2, state_parts=2, rng=None)
    states = [tuple(np.ones((5, 4), np.float32) for _ in range(2)) for _ in range(2)]
    out, cache = bridge.forward(states)
    assert len(out) == 2
    for layer in out:
        for part in layer:
            assert part.shape == (5, 3) and part.dtype == np.float32 and not part.any()
    assert bridge.backward(out, cache) is None
    assert bridge.parameters() == {}
