"""Models, optimizers and searches on a device: the same numbers as on NumPy, and the host kept out.

Every test runs on the strict stand-in for CuPy, which counts what crosses between host and device,
and once more on CuPy where there is a GPU. Single operations: tests/functional/.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from minis2s.backend import scatter_add, to_numpy, xp_of
from minis2s.data import Example, Pair, make_batch
from minis2s.decode import beam_search, greedy, sample
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.nn.layer import Parameter
from minis2s.optim import SGD, Adam, AdamW, clip_global_norm, on_host
from minis2s.train.config import TrainConfig
from minis2s.train.loop import Diverged, Trainer
from minis2s.train.translator import Translator


@pytest.fixture(params=["stand-in", pytest.param("CuPy", marks=pytest.mark.gpu)])
def device_xp(request):
    return request.getfixturevalue("strict_xp" if request.param == "stand-in" else "gpu")


@contextmanager
def crossings(xp) -> Iterator[list[tuple[str, str, str]]]:
    """What crossed between host and device in the block: (kind, what, where). CuPy does not tell: nothing."""
    seen = []
    transfers = getattr(xp, "transfers", None)
    if transfers is not None:
        transfers.reset()
    yield seen
    if transfers is not None:
        seen += transfers.events


def moved(x, xp):
    """Every NumPy array in a nest of tuples and lists, moved to the array module `xp`."""
    if isinstance(x, np.ndarray):
        return xp.asarray(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(moved(part, xp) for part in x))
    if isinstance(x, tuple | list):
        return type(x)(moved(part, xp) for part in x)
    return x


def leaves(x) -> list:
    """The arrays and numbers of a nest of tuples and lists, in order."""
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    return [x]


def assert_same(found, expected, tolerance: float) -> None:
    """Two nests hold the same numbers, whatever module they are of; and the same dtypes."""
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert mine is None
            continue
        theirs = np.asarray(theirs)
        mine = np.asarray(mine) if isinstance(mine, np.generic) else to_numpy(mine)
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        error = np.abs(mine - theirs).max(initial=0)
        assert error <= tolerance * (1 + np.abs(theirs).max(initial=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scatter_add(device_xp, dtype):
    rng = np.random.default_rng(0)
    ids, values = rng.integers(0, 4, 9), rng.normal(size=(9, 2)).astype(dtype)
    expected, out = np.ones((4, 2), dtype), device_xp.ones((4, 2), dtype)
    np.add.at(expected, ids, values)
    device_ids, device_values = device_xp.asarray(ids), device_xp.asarray(values)
    with crossings(device_xp) as seen:
        scatter_add(out, device_ids, device_values)
        scatter_add(out, device_ids[:0], device_values[:0])
    assert seen == []
    assert_same(out, expected, 1e-6)


MODELS = {
    "plain": {"attention": "none"},
    "plain bidirectional rnn": {"attention": "none", "cell": "rnn", "bidirectional": True},
    "luong dot": {"attention": "dot"},
    "luong scaled, bidirectional": {"attention": "scaled", "bidirectional": True},
    "luong general, two layers": {"attention": "general", "layers": 2, "bidirectional": True},
    "luong additive, gru": {"attention": "additive", "cell": "gru", "bridge": "zero"},
    "luong input feeding": {"attention": "general", "input_feeding": True, "layers": 2},
    "bahdanau": {"attention": "additive", "decoder": "bahdanau", "bridge": "projection"},
    "bahdanau gru": {"attention": "dot", "decoder": "bahdanau", "cell": "gru", "bidirectional": True},
}

EXAMPLES = [
    Example([5, 6, 7], [4, 5, 5, 6]),
    Example([4], []),
    Example([7, 7, 4, 5, 6], [6]),
    Example([], [5, 4]),
]


def build(name: str, dropout: float = 0.0) -> Seq2Seq:
    options = {"bidirectional": False, "embed": 3, "hidden": 4, "dropout": dropout} | MODELS[name]
    model = Seq2Seq(ModelConfig(**options), 8, 7, rng=np.random.default_rng(3), dtype=np.float64)
    rng = np.random.default_rng(4)
    for parameter in model.parameters().values():  # biases too: no zero hides a slip
        parameter.data += 0.3 * rng.normal(size=parameter.data.shape)
    return model


def gradients(model: Seq2Seq, batch, **options):
    """(loss, the gradient of every parameter) of one training step."""
    model.zero_grad()
    loss, cache = model.loss(batch, **options)
    model.backward(1.0, cache)
    return loss, [parameter.grad for parameter in model.parameters().values()]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stepwise", [False, True])
def test_training_step(device_xp, name, stepwise):
    xp, batch = device_xp, make_batch(EXAMPLES)
    host, device = build(name), build(name).to(device_xp)
    device_batch = moved(batch, xp)
    coins = np.random.default_rng(5).random(batch.tgt_in.shape) < 0.5
    device_coins = xp.asarray(coins)
    for own, device_own in ((None, None), (coins, device_coins)):
        expected = gradients(host, batch, coins=own, stepwise=stepwise, smoothing=0.1)
        with crossings(xp) as seen:
            found = gradients(device, device_batch, coins=device_own, stepwise=stepwise, smoothing=0.1)
        assert seen == []
        assert_same(found, expected, 1e-12)


def test_the_only_crossings_of_a_random_step_are_its_masks_and_coins(device_xp):
    """What is drawn on the host must be moved; but that makes nobody wait, and the numbers are NumPy's."""
    batch = make_batch(EXAMPLES)
    name = "luong general, two layers"
    options = {"teacher_forcing": 0.7}
    expected = gradients(build(name, 0.3), batch, rng=np.random.default_rng(6), **options)
    device, device_batch = build(name, 0.3).to(device_xp), moved(batch, device_xp)
    with crossings(device_xp) as seen:
        found = gradients(device, device_batch, rng=np.random.default_rng(6), **options)
    assert {kind for kind, _, _ in seen} <= {"to_device"}
    assert {what for _, what, _ in seen} <= {"asarray()"}
    assert_same(found, expected, 1e-12)


@pytest.mark.parametrize("make", [SGD, lambda p, lr: SGD(p, lr, 0.9, True, 0.1), Adam, AdamW])
def test_optimizer(device_xp, make):
    batch = make_batch(EXAMPLES)
    host, device = build("luong dot"), build("luong dot").to(device_xp)
    device_batch = moved(batch, device_xp)
    mine, theirs = make(device.parameters(), 0.1), make(host.parameters(), 0.1)
    for _ in range(3):
        gradients(host, batch)
        gradients(device, device_batch)
        norm = clip_global_norm(host.parameters(), 0.2)
        with crossings(device_xp) as seen:
            device_norm = clip_global_norm(device.parameters(), 0.2)
            mine.step()
        assert seen == []
        assert abs(float(device_norm) - norm) <= 1e-12 * norm
        theirs.step()
    assert_same(list(device.state().values()), list(host.state().values()), 1e-12)
    assert_same(list(mine.state().values()), list(theirs.state().values()), 1e-12)
    mine.load_state(theirs.state())
    device.load_state(host.state())
    assert all(xp_of(p.data) is device_xp for p in device.parameters().values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("max_norm", [1e-2, 5.0, 5e6, np.inf])
def test_clipping_does_what_it_does_on_the_host(device_xp, size, max_norm, dtype):
    """Too long, short enough, nothing at all, and what no factor can help: then it stays as it is."""
    rng = np.random.default_rng(8)
    gradients = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (4,))]
    with np.errstate(over="ignore"):
        gradients[1][2] = size
        host = {str(n): Parameter(np.zeros_like(dp)) for n, dp in enumerate(gradients)}
        device = {name: Parameter(device_xp.zeros(p.data.shape, dtype)) for name, p in host.items()}
        for name, dp in zip(host, gradients, strict=True):
            dp = dp * size if size == 0 else dp
            host[name].grad[...] = dp
            device[name].grad[...] = device_xp.asarray(dp)
        norm = clip_global_norm(host, max_norm)
    with crossings(device_xp) as seen:
        device_norm = clip_global_norm(device, max_norm)
    assert seen == []
    assert isinstance(device_norm, device_xp.ndarray) and device_norm.dtype == dtype
    np.testing.assert_allclose(float(device_norm), norm, rtol=1e-6)
    for name, p in host.items():
        np.testing.assert_allclose(to_numpy(device[name].grad), p.grad, rtol=2e-6)


def test_numbers_come_to_the_host_together(device_xp):
    a, b = (device_xp.asarray(np.array(x, np.float32)) for x in (1.5, np.nan))
    with crossings(device_xp) as seen:
        found = on_host(a, b)
    assert found[0] == 1.5 and np.isnan(found[1]) and {type(x) for x in found} == {float}
    if hasattr(device_xp, "transfers"):
        assert [kind for kind, _, _ in seen] == ["to_host"]
    assert on_host(np.float32(0.5), 2.0, np.array(3.0)) == [0.5, 2, 3]
    assert on_host(2.0, a) == [2, 1.5]  # a loss that came by way of the host, from other processes


def searches(model, src, mask):
    """What every search finds, as plain lists."""
    found = [greedy(model, src, mask, max_length=6)]
    for beam, penalty in ((1, 0.0), (3, 0.0), (4, 0.6)):
        found += beam_search(
            model, src, mask, beam=beam, max_length=6, length_penalty=penalty, nbest=min(beam, 2)
        )
    found.append(sample(model, src, mask, max_length=6, rng=np.random.default_rng(7), temperature=0.8))
    return [(h.tokens, h.score, h.log_prob, h.finished) for hypotheses in found for h in hypotheses]


def assert_same_hypotheses(found, expected) -> None:
    assert len(found) == len(expected)
    for (tokens, *scores, finished), (tokens_2, *scores_2, finished_2) in zip(found, expected, strict=True):
        assert (tokens, finished) == (tokens_2, finished_2)
        np.testing.assert_allclose(scores, scores_2, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_search(device_xp, name):
    batch = make_batch(EXAMPLES)
    expected = searches(build(name), batch.src, batch.src_mask)
    device_batch = moved(batch, device_xp)
    device = build(name).to(device_xp)
    with crossings(device_xp) as seen:
        found = searches(device, device_batch.src, device_batch.src_mask)
    kinds = [kind for kind, _, _ in seen]
    # a step brings back two arrays, tokens and values, and asks once whether there is a NaN
    assert kinds.count("sync") <= kinds.count("to_host") / 2
    # what goes to the device is moved by name: CuPy would take a NumPy index too, and copy it in silence
    assert {what for kind, what, _ in seen if kind == "to_device"} <= {"asarray()"}
    assert_same_hypotheses(found, expected)


def trained(translator: Translator, **options):
    """The history of a short run, the clock left out, and the weights that it ends with."""
    pairs = [Pair(text, (text[::-1],)) for text in ("abc", "a", "bca", "cc", "cabba", "b", "ac", "bbcc")]
    config = TrainConfig(epochs=3, batch_tokens=12, lr=0.05, warmup=2, evaluations=3, **options)
    trainer = Trainer(translator, pairs, pairs[:3], config)
    trainer.run(quiet=True)
    history = [{key: x for key, x in row.items() if key != "seconds"} for row in trainer.history]
    return history, list(translator.model.state().values())


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_of_training_waits_once(strict_xp, optimizer):
    """For the loss and the gradient norm together; forward, backward, clipping and optimizer wait for nothing."""
    pairs = [Pair(text, (text[::-1],)) for text in ("abc", "a", "bca", "cc", "cabba", "b")]
    translator = Translator.for_pairs(pairs, ModelConfig(embed=4, hidden=6, dropout=0.2)).to(strict_xp)
    config = TrainConfig(
        epochs=3, batch_tokens=12, clip=0.01, teacher_forcing=0.6, lr=0.5, warmup=0, optimizer=optimizer
    )
    trainer = Trainer(translator, pairs, pairs[:3], config)
    for _ in range(3):
        before = [to_numpy(p.data) for p in trainer.parameters.values()]
        batch = trainer.next_batch()
        with crossings(strict_xp) as seen:
            trainer.update(batch)
        kinds = [kind for kind, _, _ in seen]
        assert (kinds.count("to_host"), kinds.count("sync")) == (1, 0)
        # the batch goes there, and what is drawn on the host: nothing after the loss has come back
        assert {what for kind, what, _ in seen if kind == "to_device"} <= {"asarray()"}
        assert kinds[-1] == "to_host"
        after = [to_numpy(p.data) for p in trainer.parameters.values()]
        assert all((a != b).any() for a, b in zip(before, after, strict=True) if a.size > 8)
        assert trainer.norm > 0.01 and type(trainer.norm) is float


def test_a_run_that_diverges_on_a_device_keeps_the_weights_before_it(device_xp):
    pairs = [Pair(text, (text[::-1],)) for text in ("abc", "a", "bca")]
    translator = Translator.for_pairs(pairs, ModelConfig(embed=4, hidden=6)).to(device_xp)
    trainer = Trainer(translator, pairs, pairs, TrainConfig(epochs=3))
    trainer.parameters["decoder.output.b"].data[0] = np.inf
    before = {name: to_numpy(p.data).copy() for name, p in trainer.parameters.items()}
    with pytest.raises(Diverged, match="the loss is nan and the gradient norm nan"):
        trainer.update(trainer.next_batch())
    for name, p in trainer.parameters.items():
        np.testing.assert_array_equal(to_numpy(p.data), before[name])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threads": 2},
        {"optimizer": "sgd", "smoothing": 0.1, "teacher_forcing": 0.5, "schedule": "plateau"},
    ],
)
def test_training_run(device_xp, options):
    pairs = [Pair("abc", ("cba",))]
    config = ModelConfig(embed=4, hidden=6, layers=2, dropout=0.2)
    host = Translator.for_pairs(pairs, config, dtype=np.float64)
    device = Translator.for_pairs(pairs, config, dtype=np.float64).to(device_xp)
    expected_history, expected_weights = trained(host, **options)
    history, weights = trained(device, **options)
    assert len(history) == len(expected_history) == 3
    for row, expected in zip(history, expected_history, strict=True):
        assert row == pytest.approx(expected, rel=1e-9)
    assert_same(weights, expected_weights, 1e-9)
    ((mine,),), ((theirs,),) = (t.translate(["abba"], beam=3) for t in (device, host))
    assert (mine.text, mine.score) == (theirs.text, pytest.approx(theirs.score, rel=1e-9))
    np.testing.assert_allclose(device.attention("ab", "ba")[0], host.attention("ab", "ba")[0], rtol=1e-9)
