"""Nothing is kept between calls: caches live side by side, dtypes stay, randomness is the caller's."""

import copy

import numpy as np
import pytest

from minis2s.models import ModelConfig, Seq2Seq

KINDS = {
    "lstm, luong": {"layers": 2},
    "gru, additive": {"cell": "gru", "attention": "additive", "bridge": "projection"},
    "bahdanau": {"decoder": "bahdanau"},
    "input feeding": {"input_feeding": True, "cell": "rnn", "attention": "dot"},
    "plain": {"attention": "none"},
}


@pytest.fixture(params=KINDS)
def config(request):
    return KINDS[request.param] | {"dropout": 0.25}


def loss_of(model, batch, seed: int):
    return model.loss(batch, rng=np.random.default_rng(seed), teacher_forcing=0.6, smoothing=0.1)


def backward_of(model, cache) -> dict[str, np.ndarray]:
    model.zero_grad()
    model.backward(1.0, cache)
    return {name: p.grad.copy() for name, p in model.parameters().items()}


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[n], right[n]) for n in left)


def test_two_caches_live_at_once_in_either_order(tools, config):
    model, one, other = tools.model(**config), tools.batch(), tools.batch(3, 0)
    expected = []
    for n, batch in enumerate((one, other)):
        _, cache = loss_of(model, batch, n)
        expected.append(backward_of(model, cache))
    assert not same(*expected)
    for order in ((0, 1), (1, 0)):
        caches = [loss_of(model, batch, n)[1] for n, batch in enumerate((one, other))]
        # a search in between must not disturb them either
        model.step(model.start(other.src, other.src_mask), other.tgt_in[0])
        for n in order:
            assert same(backward_of(model, caches[n]), expected[n])


def test_backward_twice_gives_the_same_and_without_clearing_twice_as_much(tools, config):
    model = tools.model(**config)
    _, cache = loss_of(model, tools.batch(), 0)
    once = backward_of(model, cache)
    assert same(backward_of(model, cache), once)
    model.backward(1.0, cache)
    twice = {name: p.grad for name, p in model.parameters().items()}
    tools.close_gradients(twice, {name: 2 * g for name, g in once.items()}, 1e-14)


def test_gradients_of_two_batches_add_up(tools, config):
    model = tools.model(**config)
    caches = [loss_of(model, batch, n)[1] for n, batch in enumerate((tools.batch(), tools.batch(1, 2)))]
    first, second = (backward_of(model, cache) for cache in caches)
    model.zero_grad()
    for cache in caches:
        model.backward(1.0, cache)
    total = {name: p.grad for name, p in model.parameters().items()}
    tools.close_gradients(total, {name: first[name] + second[name] for name in first}, 1e-13)


def test_backward_scales_with_its_upstream_gradient(tools, config):
    model = tools.model(**config)
    _, cache = loss_of(model, tools.batch(), 0)
    once = backward_of(model, cache)
    model.zero_grad()
    model.backward(-2.0, cache)
    assert same({n: p.grad for n, p in model.parameters().items()}, {n: -2 * g for n, g in once.items()})


def test_backward_changes_neither_cache_nor_batch_nor_weights(tools, config):
    model, batch = tools.model(**config), tools.batch()
    logits, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in, rng=np.random.default_rng(0))
    dlogits = np.random.default_rng(1).standard_normal(logits.shape)
    watched = [*tools.arrays(cache), *batch, dlogits, logits, *model.state().values()]
    before = [a.copy() for a in watched]
    model.backward_out(dlogits, cache)
    watched[-len(model.state()) :] = model.state().values()
    for now, then in zip(watched, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_no_gradient_is_a_view_of_a_weight_or_of_the_cache(tools, config):
    model = tools.model(**config)
    _, cache = loss_of(model, tools.batch(), 0)
    model.backward(1.0, cache)
    held = [*tools.arrays(cache), *(p.data for p in model.parameters().values())]
    for name, parameter in model.parameters().items():
        assert not any(np.may_share_memory(parameter.grad, a) for a in held), name


def test_a_loss_is_the_same_after_any_other_call(tools, config):
    model, batch = tools.model(**config), tools.batch()
    first, _ = model.loss(batch)
    loss_of(model, tools.batch(0), 1)
    again, _ = model.loss(batch)
    assert first == again
    # evaluation is not the training loss: there is no dropout in it
    assert abs(model.loss(batch, rng=np.random.default_rng(0))[0] - first) > 1e-6


def test_dropout_masks_differ_from_call_to_call_and_from_step_to_step(tools):
    model, batch = tools.model(dropout=0.5, input_feeding=True), tools.batch()
    rng = np.random.default_rng(0)
    losses = {float(model.loss(batch, rng=rng)[0]) for _ in range(4)}
    assert len(losses) == 4
    _, cache = model.loss(batch, rng=rng)
    masks = [step.readout.dropped.keep_mask for step in cache.model.decoder.steps]
    assert len({mask.tobytes() for mask in masks}) == len(masks) > 2
    masks = [dropped.keep_mask for dropped in cache.model.decoder.dropped]
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    # in a parallel call the mask covers every step of every sentence by itself
    _, cache = tools.model(dropout=0.5).loss(batch, rng=rng)
    mask = cache.model.decoder.steps[0].readout.dropped.keep_mask
    assert len({step.tobytes() for step in mask}) == len(mask) > 2


def test_where_dropout_is(tools):
    """On both embeddings, between layers, on the attentional state; never inside the recurrence."""
    model = tools.model(dropout=0.5, layers=3)
    _, cache = model.loss(tools.batch(), rng=np.random.default_rng(0))
    encoder, decoder = cache.model.encoder, cache.model.decoder
    assert encoder.dropped.p == decoder.dropped.p == decoder.steps[0].readout.dropped.p == 0.5
    for stack in (encoder.rnn, decoder.steps[0].cells):
        assert stack.dropped[0] is None and [d.p for d in stack.dropped[1:]] == [0.5, 0.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_dtype_from_end_to_end(tools, config, dtype):
    model, batch = tools.model(dtype=dtype, **config), tools.batch()
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    loss, cache = loss_of(model, batch, 0)
    state = model.start(batch.src, batch.src_mask)
    log_probs, after = model.step(state, batch.tgt_in[0])
    model.backward(1 / 7, cache)
    made = [*tools.arrays((cache, state, after, model.take(after, np.array([1, 0])))), logits, log_probs]
    made = [a for a in made if a.dtype.kind == "f"]
    made += [a for p in model.parameters().values() for a in (p.data, p.grad)]
    assert len(made) > 30 and {a.dtype for a in made} == {np.dtype(dtype)}
    assert loss.dtype == dtype
    assert {a.dtype.kind for a in tools.arrays(cache)} <= set("fib")


def test_float32_is_float64_but_for_rounding(tools, config):
    model, batch = tools.model(**config), tools.batch()
    loss, gradients = tools.run(model, batch, rng_seed=0)
    single = copy.deepcopy(model).to(dtype=np.float32)
    single_loss, single_gradients = tools.run(single, batch, rng_seed=0)
    tools.close(single_loss, loss, 1e-5)
    tools.close_gradients(single_gradients, gradients, 1e-4)


def test_equal_seeds_give_equal_models(tools):
    state = tools.model(seed=5).state()
    assert same(tools.model(seed=5).state(), state)
    assert not same(tools.model(seed=6).state(), state)


def test_the_models_generator_is_a_stream_of_its_own(tools):
    """What is drawn from model.rng (masks, coins) leaves the generator of the weights where it was."""
    draws = []
    for drawn in (0, 100):
        rng = np.random.default_rng(5)
        model = Seq2Seq(ModelConfig(embed=3, hidden=4), 8, 9, rng=rng)
        first = model.rng.random(1 + drawn)[0]
        draws.append((first, rng.random()))
    assert draws[0] == draws[1] and len(set(draws[0])) == 2
