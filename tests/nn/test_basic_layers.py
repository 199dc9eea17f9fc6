"""Linear, Embedding, Dropout and Attention: gradients, options, a pair of one's own, refusals."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.nn import Attention, Dropout, Embedding, Linear
from minis2s.nn.attention import SCORES
from minis2s.op import Op

RNG = np.random.default_rng
SOURCE_MASK = np.arange(4)[:, None] < np.array([4, 1, 3])  # (S, B)


def draw(*shape: int) -> np.ndarray:
    return RNG(sum(shape)).standard_normal(shape)


def spy(op: Op) -> tuple[Op, list[str]]:
    """The same pair under another name, and a list of which half has been called."""
    calls = []

    def forward(*inputs):
        calls.append("forward")
        return op.forward(*inputs)

    def backward(dout, cache):
        calls.append("backward")
        return op.backward(dout, cache)

    return Op("mine", forward, backward), calls


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 5), (3, 5)])
def test_linear(tools, bias, shape):
    layer, x = Linear(5, 2, rng=RNG(0), bias=bias, dtype=np.float64), draw(*shape)
    tools.check(layer, lambda: layer.forward(x), layer.backward, x)
    assert list(layer.parameters()) == (["W", "b"] if bias else ["W"])
    out, _ = layer.forward(x)
    np.testing.assert_allclose(out, x @ layer.W.data + (layer.b.data if bias else 0), atol=1e-14)


def test_embedding(tools):
    layer = Embedding(7, 3, rng=RNG(0), dtype=np.float64)
    ids = np.array([[1, 2, 2], [2, 0, 1], [6, 6, 6]])  # repeats; 3, 4 and 5 do not occur
    tools.check(layer, lambda: layer.forward(ids), lambda d, c: layer.backward(d, c) or (), ())
    out, cache = layer.forward(ids)
    np.testing.assert_array_equal(out[1, 2], layer.W.data[1])
    layer.zero_grad()
    assert layer.backward(np.ones_like(out), cache) is None
    np.testing.assert_array_equal(layer.W.grad[:, 0], [1, 2, 3, 0, 0, 0, 3])


def test_embedding_deviation():
    for deviation in (0.1, 2.0):
        table = Embedding(500, 100, rng=RNG(0), deviation=deviation).W.data
        assert abs(table.std() / deviation - 1) < 0.02 and abs(table.mean()) < 0.02 * deviation


def test_dropout_passes_or_scales(tools):
    layer, x = Dropout(0.4), 1 + draw(50, 40) ** 2
    out, cache = layer.forward(x, rng=RNG(0))
    dropped = out == 0
    assert abs(dropped.mean() - 0.4) < 0.03
    np.testing.assert_allclose(out[~dropped], x[~dropped] / 0.6, rtol=1e-14)
    dout = draw(50, 40)
    np.testing.assert_allclose(layer.backward(dout, cache), np.where(dropped, 0, dout / 0.6), rtol=1e-14)
    y = draw(4, 3, 5)
    tools.check(layer, lambda: layer.forward(y, rng=RNG(1)), layer.backward, y)


def test_dropout_of_the_evaluation_is_nothing():
    x, dout = draw(4, 5), draw(4, 5)
    for layer, rng in ((Dropout(0.4), None), (Dropout(0.0), RNG(0))):
        out, cache = layer.forward(x, rng=rng)
        assert out is x and layer.backward(dout, cache) is dout
    rng = RNG(3)
    Dropout(0.0).forward(x, rng=rng)
    assert rng.random() == RNG(3).random()  # nothing was drawn


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_refuses(p):
    with pytest.raises(ValueError, match=f"at least 0 and below 1, got {p}"):
        Dropout(p)


def attention_of(kind: str, op: Op | None = None, dtype=np.float64) -> Attention:
    query, memory = (6, 6) if kind in ("dot", "scaled") else (6, 5)
    return Attention(kind, query, memory, 7, rng=RNG(0), op=op, dtype=dtype)


def inputs_for(layer: Attention):
    M = 6 if layer.kind in ("dot", "scaled") else 5
    A = 7 if layer.kind == "additive" else M
    return draw(2, 3, 6), draw(4, 3, A) - 0.3, draw(4, 3, M) + 0.2  # query (T, B, Q), keys, memory


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_gradient(tools, kind, masked):
    layer = attention_of(kind)
    query, keys, memory = inputs_for(layer)
    mask = SOURCE_MASK if masked else None
    if kind == "additive":
        del layer.keys  # the projection of the keys is another call, checked below
    tools.check(
        layer, lambda: layer.forward(query, keys, memory, mask), layer.backward, (query, keys, memory)
    )
    weights = layer.forward(query, keys, memory, mask)[1].softmax.weights
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-13)
    if masked:
        assert not weights[:, ~mask.T].any()


def test_projection_of_the_keys(tools):
    layer, memory = attention_of("additive"), draw(4, 3, 5)
    tools.check(layer.keys, lambda: layer.project(memory), layer.project_backward, memory)
    layer.zero_grad()
    keys, cache = layer.project(memory)
    assert keys.shape == (4, 3, 7)
    layer.project_backward(keys, cache)
    assert layer.keys.W.grad.any() and not layer.Wq.grad.any()
    for kind in ("dot", "scaled", "general"):
        plain = attention_of(kind)
        keys, cache = plain.project(memory)
        assert keys is memory and plain.project_backward(keys, cache) is memory


def test_attention_weights_by_kind():
    assert {kind: list(attention_of(kind).parameters()) for kind in SCORES} == {
        "dot": [],
        "scaled": [],
        "general": ["W"],
        "additive": ["keys.W", "keys.b", "Wq", "v"],
    }
    assert attention_of("general").W.data.shape == (6, 5)
    # without a size of its own, additive attention has that of the queries
    assert Attention("additive", 6, 5, rng=RNG(0)).v.data.shape == (6,)


def test_attention_refuses():
    with pytest.raises(ValueError, match="one of dot, scaled, general, additive, got 'cosine'"):
        Attention("cosine", 4, 4, rng=RNG(0))
    for kind in ("dot", "scaled"):
        with pytest.raises(ValueError, match=f"{kind} attention needs .* got 4 and 6"):
            Attention(kind, 4, 6, rng=RNG(0))


def test_scaled_is_dot_with_a_smaller_query():
    query, keys, memory = inputs_for(attention_of("dot"))
    dot, _ = attention_of("dot").forward(query / np.sqrt(6), keys, memory, SOURCE_MASK)
    scaled, _ = attention_of("scaled").forward(query, keys, memory, SOURCE_MASK)
    np.testing.assert_allclose(scaled, dot, rtol=1e-13)


@pytest.mark.parametrize("name", ["linear", "embedding", "dropout", *SCORES])
def test_ones_own_pair_is_used_and_trains_the_same_weights(tools, name):
    def build(op):
        options = {} if op is None else {"op": op}
        if name == "linear":
            return Linear(5, 2, rng=RNG(0), dtype=np.float64, **options), (draw(4, 3, 5),), {}
        if name == "embedding":
            return Embedding(7, 3, rng=RNG(0), dtype=np.float64, **options), (np.array([[1, 2], [2, 2]]),), {}
        if name == "dropout":
            return Dropout(0.4, **options), (draw(4, 3, 5),), {"rng": RNG(0)}
        layer = attention_of(name, op)
        return layer, inputs_for(layer), {}

    original = {"linear": F.linear, "embedding": F.embedding, "dropout": F.dropout, **SCORES}[name]
    mine, calls = spy(original)
    results = []
    for op in (None, mine):
        layer, inputs, options = build(op)
        out, cache = layer.forward(*inputs, **options)
        din = layer.backward(np.ones_like(out), cache)
        results.append([out, *tools.leaves(din), *(p.grad for p in layer.parameters().values())])
    assert calls == ["forward", "backward"]
    for usual, own in zip(*results, strict=True):
        np.testing.assert_array_equal(usual, own)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype(tools, dtype):
    x = draw(4, 3, 5).astype(dtype)
    linear, dropout = Linear(5, 2, rng=RNG(0), dtype=dtype), Dropout(0.3)
    made = []
    for layer, options in ((linear, {}), (dropout, {"rng": RNG(0)})):
        out, cache = layer.forward(x, **options)
        made += [out, layer.backward(out, cache)]
    table = Embedding(7, 3, rng=RNG(0), dtype=dtype)
    out, cache = table.forward(np.array([1, 1]))
    table.backward(out, cache)
    made += [out, table.W.data, table.W.grad, linear.W.grad, linear.b.grad]
    for kind in SCORES:
        attention = attention_of(kind, dtype=dtype)
        arrays = [a.astype(dtype) for a in inputs_for(attention)]
        context, cache = attention.forward(*arrays, SOURCE_MASK)
        made += [context, *attention.backward(context, cache)]
        made += [p.grad for p in attention.parameters().values()]
    assert {a.dtype for a in made} == {np.dtype(dtype)}
