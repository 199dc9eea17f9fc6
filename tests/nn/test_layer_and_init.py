"""Parameter, Layer and the initial weights: who finds, saves, moves and prints the weights."""

import numpy as np
import pytest

from minis2s.nn import LSTM, Bidirectional, Embedding, Layer, Linear, Parameter, Stack, init


class Toy(Layer):
    """Weights of every kind of home: directly, in a layer, in a list, shared, and none."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.size = 3
        self.scale = Parameter(np.arange(2.0))
        self.first = Linear(2, 3, rng=rng, dtype=np.float64)
        self.rest = [Linear(3, 3, rng=rng, bias=False, dtype=np.float64), Parameter(np.ones(1)), "no layer"]
        self.again = self.first
        self.tied = Embedding(2, 3, rng=rng, dtype=np.float64)
        self.tied.W = self.first.W
        self.nothing = None

    def describe(self):
        return f"size {self.size}"


def test_parameters_by_path_each_once():
    toy = Toy()
    assert list(toy.parameters()) == ["scale", "first.W", "first.b", "rest.0.W", "rest.1"]
    assert toy.parameters()["first.W"] is toy.tied.W
    assert toy.count() == 2 + 6 + 3 + 9 + 1


def test_zero_grad_clears_every_gradient_in_place():
    toy = Toy()
    grads = [p.grad for p in toy.parameters().values()]
    for g in grads:
        g += 5
    toy.zero_grad()
    for p, g in zip(toy.parameters().values(), grads, strict=True):
        assert p.grad is g and not g.any()


def test_a_new_parameter_has_a_zero_gradient_of_its_kind():
    p = Parameter(np.ones((2, 3), np.float32))
    assert p.grad.shape == (2, 3) and p.grad.dtype == np.float32 and not p.grad.any()
    assert repr(p) == "Parameter(shape=(2, 3), dtype=float32)"
    with pytest.raises(TypeError, match="got builtins.list"):
        Parameter([1.0, 2.0])


def test_state_is_a_copy_and_loads_back():
    toy, other = Toy(), Toy()
    state = toy.state()
    other.load_state({name: a + 1 for name, a in state.items()})
    assert other.tied.W.data is other.first.W.data
    for name, p in other.parameters().items():
        np.testing.assert_array_equal(p.data, state[name] + 1)
    toy.scale.data += 1
    np.testing.assert_array_equal(state["scale"], [0, 1])
    state["scale"][...] = 9
    np.testing.assert_array_equal(toy.scale.data, [1, 2])


def test_load_state_copies_into_the_same_arrays_and_keeps_their_dtype():
    toy = Toy().to(dtype=np.float32)
    arrays = {name: p.data for name, p in toy.parameters().items()}
    state = {name: np.full(p.data.shape, 0.1) for name, p in toy.parameters().items()}
    toy.load_state(state)
    for name, p in toy.parameters().items():
        assert p.data is arrays[name] and p.data.dtype == np.float32 and (p.data == np.float32(0.1)).all()
        assert not np.may_share_memory(p.data, state[name])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("rest.0.W"), "weight 'rest.0.W' of the model is missing"),
        (lambda s: s.update(extra=np.ones(1)), "weight 'extra' is unknown to the model"),
        (lambda s: s.update(scale=np.ones(3)), r"weight 'scale': the model has shape \(2,\), got \(3,\)"),
        (lambda s: s.update(scale=np.ones((2, 1))), r"got \(2, 1\)"),
        (lambda s: s.update(scale=np.array(1.0)), r"got \(\)"),
    ],
)
def test_load_state_refuses_and_then_has_changed_nothing(change, words):
    toy = Toy()
    before = toy.state()
    state = {name: a + 1 for name, a in before.items()}
    change(state)
    with pytest.raises(ValueError, match=words):
        toy.load_state(state)
    for name, a in toy.state().items():
        np.testing.assert_array_equal(a, before[name])


def test_to_casts_weights_and_gradients():
    toy = Toy()
    before = toy.state()
    for p in toy.parameters().values():
        p.grad += 1
    assert toy.to(dtype=np.float32) is toy
    for name, p in toy.parameters().items():
        assert p.data.dtype == p.grad.dtype == np.float32 and not p.grad.any()
        np.testing.assert_array_equal(p.data, before[name].astype(np.float32))
    assert toy.tied.W is toy.first.W
    toy.to(np)
    assert toy.scale.data.dtype == np.float32


def test_to_another_array_module(strict_xp):
    toy = Toy()
    before = toy.state()
    toy.to(strict_xp, dtype=np.float32)
    assert all(isinstance(a, strict_xp.ndarray) for p in toy.parameters().values() for a in (p.data, p.grad))
    assert isinstance(toy.on_device(np.ones(2)), strict_xp.ndarray)
    for name, a in toy.state().items():
        assert isinstance(a, np.ndarray)
        np.testing.assert_array_equal(a, before[name].astype(np.float32))
    toy.load_state(before)
    toy.zero_grad()
    toy.to(np)
    assert isinstance(toy.scale.data, np.ndarray) and toy.on_device(before["scale"]) is before["scale"]


def test_the_print_of_a_layer():
    assert repr(Toy()).splitlines()[:6] == [
        "Toy(size 3)  21 weights",
        "  scale: (2,)",
        "  first: Linear(2 -> 3)  9 weights",
        "    W: (2, 3)",
        "    b: (3,)",
        "  rest.0: Linear(3 -> 3)  9 weights",
    ]
    rng = np.random.default_rng(0)
    stack = Stack([Bidirectional(LSTM(3, 500, rng=rng), LSTM(3, 500, rng=rng))], dropout=0.2)
    assert repr(stack).splitlines()[:4] == [
        "Stack(1 layers, dropout 0.2)  2,016,000 weights",
        "  layers.0: Bidirectional()  2,016,000 weights",
        "    forwards: LSTM(3 -> 500)  1,008,000 weights",
        "      Wx: (3, 2000)",
    ]


# -- initial weights ------------------------------------------------------------------------------


def test_glorot_variance_in_every_block():
    W = init.glorot_uniform(np.random.default_rng(0), 300, 100, blocks=4)
    assert W.shape == (300, 400) and W.dtype == np.float64
    limit = np.sqrt(6 / 400)
    for block in np.split(W, 4, axis=1):
        assert abs(block.var() / (2 / 400) - 1) < 0.03
        assert abs(block.mean()) < 0.05 * limit and np.abs(block).max() <= limit
    assert not np.array_equal(*np.split(W, 4, axis=1)[:2])


@pytest.mark.parametrize("size", [1, 2, 50])
def test_orthogonal_blocks(size):
    W = init.orthogonal(np.random.default_rng(0), size, blocks=3)
    blocks = np.split(W, 3, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(size), atol=1e-12)
        np.testing.assert_allclose(block.T @ block, np.eye(size), atol=1e-12)
    assert size == 1 or not np.array_equal(blocks[0], blocks[1])


def test_orthogonal_prefers_no_direction():
    """Without the correction of signs, QR gives matrices whose diagonal has one sign more often."""
    rng = np.random.default_rng(0)
    diagonals = np.array([np.diag(init.orthogonal(rng, 4)) for _ in range(2000)])
    assert (np.abs((diagonals > 0).mean(axis=0) - 0.5) < 0.05).all()


def test_normal():
    n = init.normal(np.random.default_rng(0), (200, 100), 0.3)
    assert n.shape == (200, 100) and abs(n.std() / 0.3 - 1) < 0.03 and abs(n.mean()) < 0.01
