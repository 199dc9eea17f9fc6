"""The trace around a step: it changes nothing, holds one step and gives all back."""

import copy
import pickle
import threading

import numpy as np
import pytest

import minis2s
from minis2s import (
    Adam,
    ModelConfig,
    Op,
    UserError,
    functional,
    greedy,
)
from minis2s.train.parallel import Workers

CONFIG = ModelConfig("lstm", 2, True, 5, 6, "general", dropout=0.3)


def test_the_name_is_a_package_and_a_function():
    from minis2s.trace import trace
    from minis2s.trace.recording import trace as original

    assert trace is original
    assert minis2s.trace.trace is trace
    assert callable(minis2s.trace)


@pytest.mark.parametrize("teacher_forcing", [1.0, 0.5])
def test_a_traced_training_is_the_training(make_model, some_batch, teacher_forcing):
    """Two steps with dropout and coins: the same weights, bit for bit, and the same random numbers drawn."""

    def train(traced: bool):
        model, batch, rng = make_model(CONFIG), some_batch(), np.random.default_rng(0)
        optimizer = Adam(model.parameters(), lr=0.1)
        for _ in range(2):
            model.zero_grad()
            if traced:
                with minis2s.trace(model):
                    _, cache = model.loss(batch, rng=rng, teacher_forcing=teacher_forcing)
                    model.backward(1.0, cache)
            else:
                _, cache = model.loss(batch, rng=rng, teacher_forcing=teacher_forcing)
                model.backward(1.0, cache)
            optimizer.step()
        return model.state(), rng.random()

    (with_trace, drawn), (without, drawn_too) = train(True), train(False)
    assert drawn == drawn_too
    for name, w in without.items():
        np.testing.assert_array_equal(with_trace[name], w)


def test_everything_is_given_back(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch()
    before = dict(vars(model))
    with minis2s.trace(model):
        model.loss(batch)
    assert vars(model) == before
    with pytest.raises(ZeroDivisionError), minis2s.trace(model):
        raise ZeroDivisionError
    assert vars(model) == before
    # what somebody else had put in a method's place is there again
    model.loss = original = lambda batch, **options: type(model).loss(model, batch, **options)
    with minis2s.trace(model) as tape:
        model.loss(batch)
    assert model.loss is original
    assert tape.loss > 0


def test_no_activation_is_kept_on_the_tape(traced):
    tape = traced(CONFIG).tape
    assert tape._cache is None


def test_another_model_is_not_recorded(make_model, some_batch):
    model, other, batch = make_model(CONFIG), make_model(CONFIG, seed=5), some_batch()
    with minis2s.trace(model) as tape:
        other.loss(batch)
    assert repr(tape) == "Tape(empty)"
    with pytest.raises(UserError, match="this tape is empty"):
        tape.loss  # noqa: B018


def test_a_second_trace_of_the_model_is_refused(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model) as tape:
        with pytest.raises(UserError, match="traced already"), minis2s.trace(model):
            pass
        model.loss(batch)
    assert tape.loss > 0


def test_two_models_at_once(make_model, some_batch):
    one, other, batch = make_model(CONFIG), make_model(CONFIG, seed=5), some_batch()
    with minis2s.trace(one) as a, minis2s.trace(other) as b:
        expected = other.loss(batch)[0], one.loss(batch)[0]
    assert (b.loss, a.loss) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("first", ["loss", "search"])
@pytest.mark.parametrize("second", ["loss", "search"])
def test_a_second_step_is_refused(make_model, some_batch, first, second):
    model, batch = make_model(CONFIG), some_batch()
    do = {
        "loss": lambda: model.loss(batch),
        "search": lambda: greedy(model, batch.src, batch.src_mask, max_length=3),
    }
    with minis2s.trace(model) as tape:
        do[first]()
        with pytest.raises(UserError, match="one training step or one decode"):
            do[second]()
    assert tape.record.kind == ("step" if first == "loss" else "decode")


def test_a_step_that_failed_may_be_tried_again(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model) as tape:
        with pytest.raises(IndexError):
            model.loss(batch._replace(src=batch.src + 1000))
        loss, _ = model.loss(batch)
    assert tape.loss == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps, lambda model: Workers(model, threads=2)])
def test_a_copy_of_a_traced_model_is_refused(make_model, some_batch, copied):
    """It would call the model that it was copied from, and never be given back."""
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model) as tape:
        with pytest.raises(UserError, match="cannot be copied while it is traced"):
            copied(model)
        model.loss(batch)
    assert tape.loss > 0
    copied(model)


def test_of_several_threads_one_takes_the_step(make_model, some_batch, monkeypatch):
    """All are inside of `loss` at once, or would be."""
    model, batch, together = make_model(CONFIG), some_batch(), threading.Barrier(2)
    forward, said = model.forward, []

    def slow(*arguments, **options):
        together.wait(10)
        return forward(*arguments, **options)

    monkeypatch.setattr(model, "forward", slow)

    def step():
        try:
            said.append(model.loss(batch)[0])
        except UserError as error:
            said.append(str(error))
            together.wait(10)

    with minis2s.trace(model) as tape:
        threads = [threading.Thread(target=step) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    refused, loss = sorted(said, key=lambda one: isinstance(one, float))
    assert "one training step or one decode" in refused
    assert tape.loss == pytest.approx(loss, abs=1e-12)


def test_a_second_backward_is_refused(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model):
        _, cache = model.loss(batch)
        model.backward(1.0, cache)
        with pytest.raises(UserError, match="one backward pass"):
            model.backward(1.0, cache)


def test_without_backward_the_gradients_are_those_of_the_loss(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model) as tape:
        model.loss(batch)
        assert tape.loss > 0  # it can be read at once
    model.zero_grad()
    _, cache = model.loss(batch)
    model.backward(1.0, cache)
    for name, p in model.parameters().items():
        np.testing.assert_allclose(tape.gradients[name], p.grad, rtol=0, atol=1e-10)


def test_what_was_read_before_backward_does_not_stay(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model) as tape:
        _, cache = model.loss(batch)
        once = tape["gradients/decoder.output.b"].copy()
        model.backward(2.0, cache)
    np.testing.assert_allclose(tape["gradients/decoder.output.b"], 2 * once, atol=1e-12)


def test_a_shared_weight(make_model, some_batch):
    """Two embeddings that are one: each place has its own part of the gradient."""
    model, batch = make_model(ModelConfig("gru", 1, False, 5, 6)), some_batch()
    model.decoder.embedding.W = model.encoder.embedding.W
    with minis2s.trace(model) as tape:
        _, cache = model.loss(batch)
        model.backward(1.0, cache)
    both = tape.gradients["encoder.embedding.W"] + tape.gradients["decoder.embedding.W"]
    np.testing.assert_allclose(both, model.encoder.embedding.W.grad, rtol=0, atol=1e-10)


def test_an_output_layer_without_bias(make_model, some_batch):
    model, batch = make_model(ModelConfig("gru", 1, False, 5, 6)), some_batch()
    model.decoder.output.b = None
    with minis2s.trace(model) as tape:
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
    assert tape.loss == pytest.approx(loss, abs=1e-12)
    for name, p in model.parameters().items():
        np.testing.assert_allclose(tape.gradients[name], p.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("place", ["cell", "attention", "embedding"])
def test_operations_of_others_are_refused(make_model, place):
    model = make_model(ModelConfig("lstm", 1, False, 5, 6))
    if place == "cell":
        model.decoder.cells.layers[0].op = Op("mine", *functional.lstm[1:])
    elif place == "attention":
        model.decoder.attention.score_op = Op("mine", *functional.general_scores[1:])
    else:
        model.encoder.embedding.op = Op("mine", *functional.embedding[1:])
    with pytest.raises(UserError, match="engine's own"), minis2s.trace(model):
        pass


def test_a_model_that_computes_otherwise_is_found_out(make_model, some_batch, monkeypatch):
    model, batch = make_model(ModelConfig("lstm", 1, False, 5, 6)), some_batch()
    combine = model.decoder.combine
    monkeypatch.setattr(combine, "forward", lambda x, original=combine.forward: original(2 * x))
    with minis2s.trace(model) as tape:
        model.loss(batch)
    with pytest.raises(UserError, match="not the engine's own"):
        tape.loss  # noqa: B018


def test_on_the_strict_stand_in_for_a_gpu(make_model, some_batch, strict_xp):
    """The arrays of a tape are on the host, wherever the model is."""
    config = ModelConfig("lstm", 2, True, 5, 6, "general", dropout=0.3)
    tapes = []
    for on_gpu in (False, True):
        model, batch = make_model(config), some_batch()
        if on_gpu:
            model.to(strict_xp)
        with minis2s.trace(model) as tape:
            moved = type(batch)(*map(model.on_device, batch))
            _, cache = model.loss(moved, rng=np.random.default_rng(3), teacher_forcing=0.5)
            model.backward(1.0, cache)
        tapes.append(tape)
    a, b = tapes
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        assert type(b.arrays[name]) is np.ndarray
        np.testing.assert_allclose(b.arrays[name], array, rtol=0, atol=1e-12)


def test_what_is_no_model():
    with pytest.raises(UserError, match="Seq2Seq model, got dict"), minis2s.trace({}):
        pass


# -- names --------------------------------------------------------------------------------------------


def test_one_array_a_group_and_a_wrong_name(traced):
    tape = traced(CONFIG).tape
    forget = tape["decoder.0/forward/f"]
    assert tape["decoder.0/forward"]["f"] is forget
    assert tape["decoder.0"]["forward/f"] is forget
    with pytest.raises(KeyError, match="'decoder.9'.*encoder.0.*decoder.1.*attention"):
        tape["decoder.9"]
    assert "decoder.0/backward/dz_f: (" in repr(tape)
    assert repr(tape).startswith("Tape(step: 4 sentences, ")
