"""Running over the rows that still go on, and looking up products by token, change time alone, no number."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.gradcheck import gradcheck
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.nn import GRU, LSTM, RNN, Bidirectional, Embedding, live_rows
from minis2s.nn.basic import Lookup
from minis2s.nn.live_rows import Segment, plan_for
from minis2s.op import Op

T, B, D, H = 24, 40, 5, 3
CELLS = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "gru, reset before": lambda *a, **k: GRU(*a, reset_after=False, **k),
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ragged(kind: str = "from long to short") -> np.ndarray:
    lengths = rng(1).integers(1, T + 1, B)
    lengths[0] = T
    mask = np.arange(T)[:, None] < np.sort(lengths)[::-1]
    return {
        "from long to short": mask,
        "in any order": mask[:, rng(2).permutation(B)],
        "padding first": mask[::-1],
        "holes": mask & (rng(3).random((T, B)) < 0.7),
        "a row of padding only": mask & (np.arange(B) != 7),
        "no row left at some steps": mask & (np.arange(T) % 6 > 2)[:, None],
    }[kind]


def cell(name: str, **options):
    layer = CELLS[name](D, H, rng=rng(4), dtype=np.float64, **options)
    for parameter in layer.parameters().values():
        parameter.data = rng(5).standard_normal(parameter.data.shape)
    return layer


def without_a_plan(layer):
    """The same layer with an operation that the layer does not know for its own: no short cuts."""
    layer.op = handed_in(layer.op)
    return layer


def handed_in(op: Op) -> Op:
    return Op(op.name, lambda *inputs: op.forward(*inputs), op.backward)


def results(layer, x, state, mask, dhs, dstate):
    layer.zero_grad()
    (hs, last), cache = layer.forward(x, state, mask)
    dx, dbefore = layer.backward((dhs, dstate), cache)
    gradients = {name: p.grad.copy() for name, p in layer.parameters().items()}
    return {
        "hs": hs,
        **dict(enumerate(last)),
        "dx": dx,
        **{f"d{n}": d for n, d in enumerate(dbefore)},
    } | gradients, cache


def equal(a: dict, b: dict) -> None:
    assert a.keys() == b.keys() and len(a) > 5
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-11, atol=1e-12, err_msg=str(name))


KINDS = (
    "from long to short",
    "in any order",
    "padding first",
    "holes",
    "a row of padding only",
    "no row left at some steps",
)


@pytest.mark.parametrize("upstream", ["all", "outputs", "last"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CELLS)
def test_live_rows_give_the_numbers_of_the_whole_rectangle(name, kind, upstream):
    mask, parts = ragged(kind), 2 if name == "lstm" else 1
    x, state = rng(6).standard_normal((T, B, D)), tuple(rng(7).standard_normal((parts, B, H)))
    dhs = rng(8).standard_normal((T, B, H)) if upstream != "last" else None
    dstate = tuple(rng(9).standard_normal((parts, B, H))) if upstream != "outputs" else None
    fast, cache = results(cell(name), x, state, mask, dhs, dstate)
    slow, plain = results(without_a_plan(cell(name)), x, state, mask, dhs, dstate)
    assert isinstance(cache, live_rows.RaggedCache) and not isinstance(plain, live_rows.RaggedCache)
    equal(fast, slow)


@pytest.mark.parametrize("kind", ["from long to short", "in any order", None])
@pytest.mark.parametrize("name", CELLS)
def test_a_lookup_gives_the_numbers_of_the_written_out_rows(name, kind):
    table, ids, mask = rng(1).standard_normal((4, D)), rng(2).integers(0, 4, (T, B)), kind and ragged(kind)
    dhs = rng(3).standard_normal((T, B, H))
    fast, _ = results(cell(name), Lookup(table, ids), None, mask, dhs, None)
    slow, _ = results(cell(name), table[ids], None, mask, dhs, None)
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, slow.pop("dx"))
    equal(fast, slow | {"dx": dtable})


@pytest.mark.parametrize("name", CELLS)
def test_a_step_of_a_lookup_gives_the_numbers_of_the_written_out_rows(name):
    table, ids = rng(1).standard_normal((4, D)), rng(2).integers(0, 4, B)
    parts = 2 if name == "lstm" else 1
    state, dafter = rng(7).standard_normal((2, parts, B, H))
    fast, slow = cell(name), cell(name)
    after, cache = fast.step(Lookup(table, ids), tuple(state))
    expected, plain = slow.step(table[ids], tuple(state))
    dtable, dbefore = fast.step_backward(tuple(dafter), cache)
    dx, dstate = slow.step_backward(tuple(dafter), plain)
    by_symbol = np.zeros_like(table)
    np.add.at(by_symbol, ids, dx)
    gradients = [layer.parameters().items() for layer in (fast, slow)]
    found, right = (
        dict(enumerate((*out, *d, table))) | {n: p.grad for n, p in grads}
        for out, d, table, grads in (
            (after, dbefore, dtable, gradients[0]),
            (expected, dstate, by_symbol, gradients[1]),
        )
    )
    equal(found, right)


def test_both_directions_share_the_gradient_of_one_table():
    table, ids, mask = rng(1).standard_normal((4, D)), rng(2).integers(0, 4, (T, B)), ragged()
    layer = Bidirectional(cell("lstm"), cell("lstm"))
    dhs = rng(3).standard_normal((T, B, 2 * H))
    fast, _ = results(layer, Lookup(table, ids), None, mask, dhs, None)
    slow, _ = results(layer, table[ids], None, mask, dhs, None)
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, slow.pop("dx"))
    equal(fast, slow | {"dx": dtable})


@pytest.mark.parametrize("op", [F.rnn, F.lstm, F.gru], ids=lambda op: op.name)
def test_ids_are_one_hot_rows(op):
    """The operations themselves, checked by numeric derivatives: the weights' gradient through a look-up."""
    gates, states, biases = {"rnn": (1, 1, 1), "lstm": (4, 2, 1), "gru": (3, 1, 2)}[op.name]
    ids, draw = np.array([[1, 0], [4, 1], [1, 2]]), rng(1).standard_normal
    start = [draw((2, H)) for _ in range(states)]
    weights = [draw((5, gates * H)), draw((H, gates * H)), *(draw(gates * H) for _ in range(biases))]

    def f(*arrays):
        out, cache = op.forward(ids, *arrays)
        return out, lambda dout: op.backward(dout, cache)[1:]

    assert gradcheck(f, *start, *weights).ok
    written_out, _ = op.forward(np.eye(5)[ids], *start, *weights)
    np.testing.assert_allclose(op.forward(ids, *start, *weights)[0][0], written_out[0], rtol=1e-13)
    assert op.backward((draw((3, 2, H)), *start), op.forward(ids, *start, *weights)[1])[0] is None


def test_the_plan_of_a_small_example(monkeypatch):
    monkeypatch.setattr(live_rows, "SMALLEST", 1)
    mask = np.arange(6)[:, None] < np.array([6, 2, 2, 2, 4, 1, 1, 1])
    plan = plan_for(mask)
    assert plan.order.tolist() == [0, 4, 1, 2, 3, 5, 6, 7]
    assert plan.segments == [Segment(0, 1, 8), Segment(1, 2, 5), Segment(2, 4, 2), Segment(4, 6, 1)]
    assert plan_for(mask[:, plan.order]).order is None


@pytest.mark.parametrize("mask", [None, np.ones((T, B), bool), np.zeros((T, B), bool), ragged()[:2, :4]])
def test_without_gain_there_is_no_plan(mask):
    assert plan_for(mask) is None


def test_a_lookup_pays_for_few_symbols_only():
    ids = np.zeros((T, B), int)
    assert Embedding(8, 8, rng=rng()).lookup_pays(ids)
    assert not Embedding(9, 8, rng=rng()).lookup_pays(ids)  # more symbols than numbers in an embedding
    assert not Embedding(8, 8, rng=rng()).lookup_pays(ids[:1, :31])
    assert not Embedding(8, 8, rng=rng(), op=handed_in(F.embedding)).lookup_pays(ids)


MODELS = {
    "lstm": {},
    "two layers": {"layers": 2},
    "gru, one way": {"cell": "gru", "bidirectional": False},
    "no attention": {"attention": "none"},
    "additive": {"attention": "additive"},
    "dropout": {"dropout": 0.3, "layers": 2},
    "bahdanau": {"decoder": "bahdanau"},
    "own tokens": {"coins": True},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_skips_padding_learns_the_same(name, monkeypatch):
    from minis2s.data import Example, make_batch

    options = dict(MODELS[name])
    coins = options.pop("coins", None)
    config = ModelConfig(**{"embed": 12, "hidden": 6, **options})
    draw = rng(3)

    def sentence() -> list[int]:
        return draw.integers(4, 9, draw.integers(0, 22)).tolist()

    batch = make_batch([Example(sentence(), sentence()) for _ in range(B)])
    if coins:
        coins = rng(4).random(batch.tgt_in.shape) < 0.5

    def gradients() -> tuple[float, dict]:
        model = Seq2Seq(config, 9, 9, rng=rng(5), dtype=np.float64)
        loss, cache = model.loss(batch, rng=rng(6), coins=coins, smoothing=0.1)
        model.backward(-0.7, cache)
        skips = cache.model.decoder.real is not None
        assert skips == (coins is None and name != "bahdanau" and plan_for(batch.tgt_mask) is not None)
        return float(loss), {n: p.grad for n, p in model.parameters().items()}

    assert plan_for(batch.tgt_mask) is not None and plan_for(batch.src_mask) is not None
    loss, fast = gradients()
    monkeypatch.setattr(live_rows, "SMALLEST", 10**9)
    monkeypatch.setattr(Embedding, "lookup_pays", lambda self, ids: False)
    same, slow = gradients()
    if name != "dropout":  # its masks are drawn for other arrays
        assert abs(loss - same) < 1e-13
        for n in slow:
            scale = np.abs(slow[n]).max()
            np.testing.assert_allclose(fast[n], slow[n], rtol=0, atol=1e-12 * scale, err_msg=n)
            assert scale > 0
    else:
        assert abs(loss - same) < 0.2 and all(np.isfinite(g).all() and g.any() for g in fast.values())


def test_step_by_step_every_position_has_its_logits():
    model = Seq2Seq(ModelConfig(embed=4, hidden=4, decoder="bahdanau"), 9, 9, rng=rng())
    with pytest.raises(ValueError, match="leave out real"):
        model.forward(np.full((2, 2), 5), None, np.full((2, 2), 5), real=np.ones((2, 2), bool))


def test_an_operation_without_a_cache_is_not_taken_for_a_lookup():
    W = rng().standard_normal((5, 4))
    counted = Op("mine", lambda W, ids: (W[ids], None), lambda dout, cache: np.full((5, 4), dout.sum()))
    layer = Embedding(5, 4, rng=rng(), op=counted, dtype=np.float64)
    layer.W.data = W
    out, cache = layer.forward(np.array([[1, 2], [0, 1]]))
    layer.backward(np.ones_like(out), cache)
    assert (layer.W.grad == out.size).all()
