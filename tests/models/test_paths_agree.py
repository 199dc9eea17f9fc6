"""Every way to compute one thing gives one number: all steps at once, step by step, and decoding."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.functional import log_softmax
from minis2s.models import attention_weights, seq2seq
from minis2s.models.seq2seq import memory_columns
from minis2s.nn import live_rows

PARALLEL = {
    **{f"luong, {a}": {"attention": a} for a in ("dot", "scaled", "general", "additive")},
    **{f"luong, {c}": {"cell": c} for c in ("rnn", "gru")},
    "luong, two layers": {"layers": 2},
    "plain, lstm": {"attention": "none"},
    "plain, two layers of gru": {"attention": "none", "cell": "gru", "layers": 2},
    "projection": {"bridge": "projection"},
}

DECODERS = {
    **PARALLEL,
    "bahdanau": {"decoder": "bahdanau"},
    "bahdanau, additive, gru": {"decoder": "bahdanau", "attention": "additive", "cell": "gru"},
    "bahdanau, two layers of rnn": {"decoder": "bahdanau", "cell": "rnn", "layers": 2},
    "input feeding": {"input_feeding": True},
    "input feeding, two layers of gru": {"input_feeding": True, "cell": "gru", "layers": 2},
}


@pytest.mark.parametrize("name", PARALLEL)
def test_all_steps_at_once_equal_one_by_one(tools, name):
    model, batch = tools.model(**PARALLEL[name]), tools.batch()
    at_once, cache_at_once = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    one_by_one, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in, stepwise=True)
    assert cache_at_once.decoder.parallel and not cache.decoder.parallel
    tools.close(at_once, one_by_one, 1e-12)
    # an upstream gradient at every logit, not only where the loss looks
    dlogits = np.random.default_rng(0).standard_normal(at_once.shape)
    gradients = []
    for c in (cache_at_once, cache):
        model.zero_grad()
        model.backward_out(dlogits, c)
        gradients.append({n: p.grad.copy() for n, p in model.parameters().items()})
    tools.close_gradients(*gradients, 1e-11)
    assert all(g.any() for g in gradients[0].values())

    loss, gradient = tools.run(model, batch, smoothing=0.1)
    loss_by_step, gradient_by_step = tools.run(model, batch, smoothing=0.1, stepwise=True)
    tools.close(loss, loss_by_step, 1e-13)
    tools.close_gradients(gradient, gradient_by_step, 1e-11)


@pytest.mark.parametrize("numbers", [1, 40, 80, 10**6])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_in_blocks_of_tokens_is_that_of_all_logits(tools, monkeypatch, numbers, reduction):
    """One step of the five at a time, or one or two, or all; padding counts for none."""
    monkeypatch.setattr(seq2seq, "LOGITS", numbers)
    model, batch = tools.model(), tools.batch()
    for how in ({}, {"smoothing": 0.1}, {"coins": np.zeros(batch.tgt_in.shape, bool)}):
        _, cache = model.loss(batch, reduction=reduction, **how)
        assert len(cache.blocks) == {1: 5, 40: 5, 80: 3, 10**6: 1}[numbers]
        loss, gradients = tools.run(model, batch, -1.3, reduction=reduction, **how)
        coins, smoothing = how.get("coins"), how.get("smoothing", 0.0)
        logits, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in, coins=coins)
        expected, of_loss = F.cross_entropy.forward(
            logits, batch.tgt_out, batch.tgt_mask, smoothing, reduction
        )
        tools.close(loss, expected, 1e-13)
        model.zero_grad()
        model.backward_out(F.cross_entropy.backward(-1.3, of_loss), cache)
        tools.close_gradients(gradients, {n: p.grad for n, p in model.parameters().items()}, 1e-11)


@pytest.mark.parametrize("numbers", [1, 20, 10**6])
def test_real_tokens_alone_go_through_the_loss_in_blocks_too(tools, monkeypatch, numbers):
    model, batch = tools.model(), tools.batch()
    expected = tools.run(model, batch)
    monkeypatch.setattr(seq2seq, "LOGITS", numbers)
    monkeypatch.setattr(live_rows, "SMALLEST", 1)
    _, cache = model.loss(batch)
    assert cache.attentional.shape[:2] == (1, batch.tgt_mask.sum()) == (1, 12)
    assert len(cache.blocks) == {1: 12, 20: 6, 10**6: 1}[numbers]
    loss, gradients = tools.run(model, batch)
    tools.close(loss, expected[0], 1e-13)
    tools.close_gradients(gradients, expected[1], 1e-11)


def test_a_batch_of_padding_alone_has_no_loss_and_no_gradient(tools):
    model, batch = tools.model(), tools.batch()
    batch = batch._replace(tgt_mask=np.zeros_like(batch.tgt_mask))
    loss, gradients = tools.run(model, batch)
    assert loss == 0 and not any(g.any() for g in gradients.values())


@pytest.mark.parametrize("name", PARALLEL)
def test_coins_that_all_fall_on_the_right_token(tools, name):
    model, batch = tools.model(**PARALLEL[name]), tools.batch()
    loss, gradient = tools.run(model, batch)
    same, same_gradient = tools.run(model, batch, coins=np.ones(batch.tgt_in.shape, bool))
    tools.close(same, loss, 1e-13)
    tools.close_gradients(same_gradient, gradient, 1e-11)


@pytest.mark.parametrize("name", DECODERS)
def test_decoding_under_forced_tokens_gives_the_logits_of_training(tools, name):
    model, batch = tools.model(**DECODERS[name]), tools.batch()
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    tools.close(tools.forced_log_probs(model, batch), log_softmax(logits), 1e-12)


@pytest.mark.parametrize("name", DECODERS)
def test_decoding_with_few_symbols_for_many_rows_gives_the_same(tools, name, monkeypatch):
    """Then the symbols' products are looked up, where the token alone goes into the cells."""
    model, batch = tools.model(embed=9, **DECODERS[name]), tools.batch(*range(4), *[0, 1, 2, 3] * 9)
    lookups, lookup = [], model.decoder.embedding.lookup
    monkeypatch.setattr(model.decoder.embedding, "lookup", lambda ids: lookups.append(ids) or lookup(ids))
    found = tools.forced_log_probs(model, batch)
    assert len(lookups) == (len(batch.tgt_in) if name in PARALLEL else 0)
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    tools.close(found, log_softmax(logits), 1e-12)


@pytest.mark.parametrize("name", DECODERS)
def test_take_keeps_every_hypothesis_with_its_state(tools, name):
    """The columns change places at every step, and each still gives its own probabilities."""
    model, batch = tools.model(**DECODERS[name]), tools.batch()
    rng = np.random.default_rng(5)
    shuffled = tools.forced_log_probs(model, batch, lambda order: rng.permutation(len(order)))
    tools.close(shuffled, tools.forced_log_probs(model, batch), 1e-12)


@pytest.mark.parametrize("name", DECODERS)
def test_take_repeats_and_drops_and_leaves_the_old_state_alone(tools, name):
    model, batch = tools.model(**DECODERS[name]), tools.batch()
    state = model.start(batch.src, batch.src_mask)
    expected, _ = model.step(state, batch.tgt_in[0])
    index = np.array([2, 0, 2, 2, 1, 0])
    taken = model.take(state, index)
    got, _ = model.step(taken, batch.tgt_in[0][index])
    tools.close(got, expected[index], 1e-12)
    # the branches share nothing: one that goes on does not move another
    for part in tools.arrays(taken):
        part[...] = np.nan if part.dtype.kind == "f" else 0
    again, _ = model.step(state, batch.tgt_in[0])
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("name", DECODERS)
def test_a_step_leaves_its_state_alone(tools, name):
    """A search may step twice from one state."""
    model, batch = tools.model(**DECODERS[name]), tools.batch()
    state = model.start(batch.src, batch.src_mask)
    before = [a.copy() for a in tools.arrays(state)]
    first, after = model.step(state, batch.tgt_in[0])
    model.step(after, batch.tgt_in[1])
    second, _ = model.step(state, batch.tgt_in[0])
    np.testing.assert_array_equal(first, second)
    for a, b in zip(tools.arrays(state), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [n for n in DECODERS if not n.startswith("plain")])
def test_attention_weights_of_a_forward_call(tools, name):
    model, batch = tools.model(**DECODERS[name]), tools.batch()
    _, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    weights = attention_weights(cache)
    T, B = batch.tgt_in.shape
    assert weights.shape == (T, B, len(batch.src))
    tools.close(weights.sum(axis=-1), np.ones((T, B)), 1e-12)
    assert (weights >= 0).all() and not weights[:, ~batch.src_mask.T].any()
    _, by_step = model.forward(batch.src, batch.src_mask, batch.tgt_in, stepwise=True)
    tools.close(attention_weights(by_step), weights, 1e-12)


def test_no_attention_no_weights(tools):
    model, batch = tools.model(attention="none"), tools.batch()
    _, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    with pytest.raises(ValueError, match="no attention to show"):
        attention_weights(cache)


@pytest.mark.parametrize(
    "index, k, columns",
    [
        ([0, 1, 2], 1, [0, 1, 2]),
        ([0, 0, 1, 1], 1, [0, 1]),  # two hypotheses of each sentence, side by side
        ([3, 2, 0, 1], 2, [1, 0]),  # exchanged within and between sentences
        ([2, 3], 2, [1]),  # a sentence is done
        ([0, 0, 1], 1, [0, 0, 1]),  # unequally many: one for each row
        ([0, 1, 0], 1, [0, 1, 0]),  # not side by side
        ([], 2, []),
    ],
)
def test_hypotheses_of_a_sentence_share_its_memory(index, k, columns):
    assert memory_columns(np.array(index, int), k).tolist() == columns


@pytest.mark.parametrize("name", DECODERS)
def test_rows_that_share_a_memory_decode_as_rows_of_their_own(tools, name):
    model, batch = tools.model(**DECODERS[name]), tools.batch()
    start, B = model.start(batch.src, batch.src_mask), batch.src.shape[1]
    tokens = np.random.default_rng(0).integers(4, 9, 3 * B)
    index = np.repeat(np.arange(B), 3)
    shared = model.take(start, index)
    assert shared.memory.values.shape[1] == B and shared.decoder.cells[0][0].shape[0] == 3 * B
    scattered = np.random.default_rng(1).permutation(3 * B)  # no longer side by side
    log_probs, state = model.step(shared, tokens)
    own, own_state = model.step(model.take(start, index[scattered]), tokens[scattered])
    tools.close(log_probs[scattered], own, 1e-13)
    order = np.arange(3 * B).reshape(B, 3)[::-1].ravel()  # the sentences in another order
    again, _ = model.step(model.take(state, order), tokens[order])
    own_again, _ = model.step(own_state, tokens[scattered])
    tools.close(again, own_again[np.argsort(scattered)][order], 1e-13)
