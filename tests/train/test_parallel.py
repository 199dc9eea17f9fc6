"""One batch on several threads: the same gradient, weights in common and nothing else."""

import threading

import numpy as np
import pytest

from minis2s.data import Example, make_batch
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.train.parallel import Workers, replica

EXAMPLES = [
    Example([5, 4, 7, 4], [4, 5, 4]),
    Example([6, 6], []),
    Example([], [7, 7, 4, 4, 5]),
    Example([4, 7, 6], [6]),
    Example([7, 4, 5, 5, 4, 6], [4, 6]),
]


def make_model(dtype=np.float64, **config) -> Seq2Seq:
    options = {"embed": 3, "hidden": 4} | config
    return Seq2Seq(ModelConfig(**options), 8, 8, rng=np.random.default_rng(0), dtype=dtype)


def gradients(model) -> dict[str, np.ndarray]:
    return {name: p.grad.copy() for name, p in model.parameters().items()}


@pytest.fixture
def workers(request):
    """Makes Workers, and ends their threads after the test."""
    made = []

    def make(model, threads):
        made.append(Workers(model, threads))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_is_that_of_the_whole_batch(workers, threads, smoothing):
    """Also where a part has far fewer tokens than another, and with more threads than sentences."""
    model, batch = make_model(), make_batch(EXAMPLES)
    loss, cache = model.loss(batch, smoothing=smoothing)
    model.zero_grad()
    model.backward(1.0, cache)
    expected = gradients(model)
    team = workers(model, threads)
    for _ in range(2):  # what an earlier call left in the gradients does not matter
        got, tokens = team.gradient(batch, smoothing=smoothing)
        assert tokens == batch.tgt_mask.sum() == 16
        np.testing.assert_allclose(got, loss, rtol=1e-13)
        for name, p in model.parameters().items():
            assert np.abs(p.grad - expected[name]).max() <= 1e-12 * np.abs(expected[name]).max(), name


def test_parts_are_worked_on_by_different_models(workers):
    team = workers(make_model(), 3)
    team.gradient(make_batch(EXAMPLES))
    grads = [gradients(model)["decoder.output.W"] for model in team.models[1:]]
    assert all(g.any() for g in grads) and not np.array_equal(*grads)
    assert len(team.models) == 3


def test_a_replica_shares_weights_and_nothing_else():
    model = make_model(layers=2, attention="additive", bridge="projection", dropout=0.1)
    model.encoder.embedding.W = model.decoder.embedding.W  # a shared weight stays shared
    rng = np.random.default_rng(9)
    twin = replica(model, rng)
    mine, its = model.parameters(), twin.parameters()
    assert list(mine) == list(its)
    for name in mine:
        assert its[name] is not mine[name] and its[name].data is mine[name].data
        assert not np.may_share_memory(its[name].grad, mine[name].grad)
    assert twin.encoder.embedding.W is twin.decoder.embedding.W
    assert twin.rng is rng and twin.config == model.config
    assert twin.encoder.rnn.layers[0].forwards.op == model.encoder.rnn.layers[0].forwards.op
    # training moves the weights in place: the replica sees it
    batch = make_batch(EXAMPLES)
    before = twin.loss(batch)[0]
    for p in mine.values():
        p.data += 0.1
    assert twin.loss(batch)[0] == model.loss(batch)[0] != before
    # a gradient of one is none of the other
    _, cache = twin.loss(batch)
    twin.backward(1.0, cache)
    assert not any(p.grad.any() for p in mine.values())


def test_every_thread_has_dropout_and_coins_of_its_own(workers):
    team = workers(make_model(dropout=0.5), 3)
    draws = [tuple(model.rng.random(4)) for model in team.models]
    assert len(set(draws)) == 3


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_gradients_bit_for_bit(workers, threads):
    def run():
        model = make_model(np.float32, dropout=0.3)
        team = workers(model, threads)
        results = []
        for _ in range(3):
            loss, _ = team.gradient(make_batch(EXAMPLES), teacher_forcing=0.5)
            results.append((loss, gradients(model)))
        return results

    for (loss, first), (again, second) in zip(run(), run(), strict=True):
        assert loss == again
        assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_teacher_forcing_reaches_the_models(workers):
    team, batch = workers(make_model(), 2), make_batch(EXAMPLES)
    forced, _ = team.gradient(batch, teacher_forcing=1.0)
    free, _ = team.gradient(batch, teacher_forcing=0.0)
    own, _ = make_model().loss(batch, coins=np.zeros(batch.tgt_in.shape, bool))
    np.testing.assert_allclose(free, own, rtol=1e-13)
    assert abs(forced - free) > 1e-6


def test_float32_stays(workers):
    model = make_model(np.float32, dropout=0.2)
    loss, _ = workers(model, 2).gradient(make_batch(EXAMPLES), teacher_forcing=0.5, smoothing=0.1)
    assert loss.dtype == np.float32
    assert {p.grad.dtype for p in model.parameters().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("threads", [1, 3])
def test_map_keeps_the_order(workers, threads):
    assert workers(make_model(), threads).map(lambda a, b: a - b, range(20), range(0, 40, 2)) == [
        -n for n in range(20)
    ]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_spread_meets_every_item_once_and_keeps_the_order(workers, threads, count):
    met = []

    def meet(item):
        met.append(item)
        return -item

    assert workers(make_model(), threads).spread(meet, iter(range(count))) == [-n for n in range(count)]
    assert sorted(met) == list(range(count))


def test_spread_uses_all_threads(workers):
    """Two items, each of which waits for the other to be begun."""
    barrier = threading.Barrier(2, timeout=60)
    assert len(workers(make_model(), 2).spread(lambda _: barrier.wait(), range(2))) == 2


def test_an_error_in_a_thread_arrives(workers):
    batch = make_batch(EXAMPLES)
    with pytest.raises(IndexError):
        workers(make_model(), 2).gradient(batch._replace(src=batch.src + 100))


def test_threads_must_be_one_or_more():
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        Workers(make_model(), 0)
