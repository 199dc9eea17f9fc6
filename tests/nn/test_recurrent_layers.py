"""RNN, LSTM, GRU, Bidirectional, Stack: their gradients, and that steps and sequences agree."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.nn import CELLS, GRU, LSTM, RNN, Bidirectional, Stack
from minis2s.op import Op

MAKERS = {
    "rnn": lambda i, h, **o: RNN(i, h, **o),
    "lstm": lambda i, h, **o: LSTM(i, h, **o),
    "gru": lambda i, h, **o: GRU(i, h, **o),
    "gru, reset before": lambda i, h, **o: GRU(i, h, reset_after=False, **o),
}


def make(name: str, in_size: int = 5, hidden: int = 2, dtype=np.float64):
    return MAKERS[name](in_size, hidden, rng=np.random.default_rng(0), dtype=dtype)


def both(name: str, in_size: int = 5, left: int = 2, right: int = 3):
    return Bidirectional(make(name, in_size, left), make(name, in_size, right))


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def state_for(layer, B: int = 3) -> tuple[np.ndarray, ...]:
    return tuple(draw(B, layer.hidden_size) + n for n in range(layer.state_parts))


@pytest.fixture(params=MAKERS)
def name(request):
    return request.param


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_sequence_gradient(tools, name, masked):
    layer, x = make(name), draw(tools.T, tools.B, tools.D)
    state, mask = state_for(layer), tools.MASK if masked else None
    tools.check(layer, lambda: layer.forward(x, state, mask), layer.backward, (x, state))


@pytest.mark.parametrize("missing", ["outputs", "states", "h", "c"])
def test_sequence_gradient_without_a_part_of_the_upstream_one(tools, name, missing):
    layer, x = make(name), draw(tools.T, tools.B, tools.D)
    if missing == "c" and layer.state_parts == 1:
        missing = "h"
    state = state_for(layer)
    without = {"outputs": (0,), "states": (1, 2), "h": (1,), "c": (2,)}[missing]
    tools.check(
        layer, lambda: layer.forward(x, state, tools.MASK), layer.backward, (x, state), without=without
    )
    # None for the whole state is None for each of its parts
    _, cache = layer.forward(x, state, tools.MASK)
    dhs = draw(tools.T, tools.B, tools.H)
    whole, parts = (
        layer.backward((dhs, None), cache),
        layer.backward((dhs, (None,) * layer.state_parts), cache),
    )
    for a, b in zip(tools.leaves(whole), tools.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("masked", [False, True])
def test_step_gradient(tools, name, masked):
    layer, x = make(name), draw(tools.B, tools.D)
    state, mask = state_for(layer), np.array([True, False, True]) if masked else None
    tools.check(layer, lambda: layer.step(x, state, mask), layer.step_backward, (x, state))


@pytest.mark.parametrize("without", [(), (0,), (1, 2)])
def test_bidirectional_gradient(tools, name, without):
    layer, x = both(name), draw(tools.T, tools.B, tools.D)
    state = state_for(layer)

    def from_zeros(dout, cache):
        return layer.backward(dout, cache)[0]

    for forward, backward, inputs in (
        (lambda: layer.forward(x, state, tools.MASK), layer.backward, (x, state)),
        (lambda: layer.forward(x, None, tools.MASK), from_zeros, x),
    ):
        tools.check(layer, forward, backward, inputs, without=without, fast=True)


@pytest.mark.parametrize("without", [(), (0,), (1,)])
def test_stack_gradient(tools, name, without):
    stack = Stack([both(name), make(name, 5, 4), make(name, 4, 2)], dropout=0.3)
    x, states = draw(tools.T, tools.B, tools.D), [state_for(layer) for layer in stack.layers]

    def forward():
        return stack.forward(x, states, tools.MASK, rng=np.random.default_rng(4))

    tools.check(stack, forward, stack.backward, (x, states), without=without, fast=True)


def test_stack_step_gradient(tools, name):
    stack = Stack([make(name, 5, 4), make(name, 4, 2)], dropout=0.3)
    x, states = draw(tools.B, tools.D), [state_for(layer) for layer in stack.layers]
    tools.check(
        stack, lambda: stack.step(x, states, rng=np.random.default_rng(2)), stack.step_backward, (x, states)
    )


# -- steps and sequences --------------------------------------------------------------------------


def test_a_sequence_is_its_steps(tools, name):
    layer = tools.scatter_weights(make(name))
    x, state = draw(tools.T, tools.B, tools.D), state_for(layer)
    (hs, last), cache = layer.forward(x, state, tools.MASK)
    dhs, dlast = draw(*hs.shape), tools.each(lambda a: draw(*a.shape) - 1, last)

    caches, after = [], state
    for t in range(tools.T):
        after, step_cache = layer.step(x[t], after, tools.MASK[t])
        np.testing.assert_allclose(after[0], hs[t], rtol=0, atol=1e-14)
        caches.append(step_cache)
    for a, b in zip(after, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)

    layer.zero_grad()
    dx, dstate = layer.backward((dhs, dlast), cache)
    gradients = [p.grad.copy() for p in layer.parameters().values()]
    layer.zero_grad()
    after = dlast
    for t in reversed(range(tools.T)):
        dh, *others = after
        dx_t, after = layer.step_backward((dh + dhs[t], *others), caches[t])
        np.testing.assert_allclose(dx_t, dx[t], rtol=0, atol=1e-13)
    for a, b in zip(after, dstate, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)
    for p, expected in zip(layer.parameters().values(), gradients, strict=True):
        np.testing.assert_allclose(p.grad, expected, rtol=0, atol=1e-13)


def test_stack_step_is_a_sequence_of_one(tools, name):
    """With dropout too: one seed gives one mask."""
    stack = tools.scatter_weights(Stack([make(name, 5, 4), make(name, 4, 2)], dropout=0.5))
    x, states = draw(1, tools.B, tools.D), [state_for(layer) for layer in stack.layers]
    outputs = []
    for seed in (None, 0, 1):
        (hs, last), _ = stack.forward(x, states, rng=None if seed is None else np.random.default_rng(seed))
        after, _ = stack.step(x[0], states, rng=None if seed is None else np.random.default_rng(seed))
        for a, b in zip(tools.leaves(last), tools.leaves(after), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(hs[0], last[-1][0])
        outputs.append(hs.tobytes())
    assert len(set(outputs)) == 3


def test_both_kinds_of_gru_are_what_they_say(tools):
    x, state = draw(tools.T, tools.B, tools.D), (draw(tools.B, tools.H),)
    outputs = []
    for reset_after in (True, False):
        layer = tools.scatter_weights(make("gru" if reset_after else "gru, reset before"))
        weights = [p.data for p in (layer.Wx, layer.Wh, layer.bx, layer.bh)]
        expected, _ = F.gru.forward(x, *state, *weights, tools.MASK, reset_after)
        (hs, _), _ = layer.forward(x, state, tools.MASK)
        np.testing.assert_array_equal(hs, expected[0])
        outputs.append(hs)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_no_state_is_a_state_of_zeros(tools, name):
    x = draw(tools.T, tools.B, tools.D)
    for layer in (make(name), both(name)):
        zeros = tuple(np.zeros((tools.B, layer.hidden_size)) for _ in range(layer.state_parts))
        for a, b in zip(
            tools.leaves(layer.forward(x, None, tools.MASK)[0]),
            tools.leaves(layer.forward(x, zeros, tools.MASK)[0]),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_bidirectional_is_two_layers_that_read_each_sentence_from_its_two_ends(tools, name):
    """Column by column, without padding, the right-to-left layer reading the reversed sentence."""
    layer = tools.scatter_weights(both(name))
    x = draw(tools.T, tools.B, tools.D)
    (hs, last), _ = layer.forward(x, None, tools.MASK)
    for column, length in enumerate(tools.MASK.sum(axis=0)):
        alone = x[:length, column : column + 1]
        (left, last_left), _ = layer.forwards.forward(alone)
        (right, last_right), _ = layer.backwards.forward(alone[::-1])
        expected = np.concatenate([left, right[::-1]], axis=-1)
        np.testing.assert_allclose(hs[:length, column], expected[:, 0], rtol=0, atol=1e-14)
        for part in range(layer.state_parts):
            expected = np.concatenate([last_left[part], last_right[part]], axis=-1)[0]
            np.testing.assert_allclose(last[part][column], expected, rtol=0, atol=1e-14)


def test_every_layer_of_a_stack_knows_the_padding(tools, name):
    """The last states of each sentence are those of the sentence alone."""
    stack = tools.scatter_weights(Stack([both(name), make(name, 5, 4)]))
    x = draw(tools.T, tools.B, tools.D)
    (_, last), _ = stack.forward(x, None, tools.MASK)
    for column, length in enumerate(tools.MASK.sum(axis=0)):
        (_, alone), _ = stack.forward(x[:length, column : column + 1])
        for a, b in zip(tools.leaves(last), tools.leaves(alone), strict=True):
            np.testing.assert_allclose(a[column], b[0], rtol=0, atol=1e-14)


def test_dropout_of_a_stack_is_between_its_layers_and_only_in_training(tools, name):
    layers = [make(name, 5, 4), make(name, 4, 2)]
    stack = tools.scatter_weights(Stack(layers, dropout=0.5))
    x = draw(tools.T, tools.B, tools.D)
    (first, _), _ = layers[0].forward(x)
    (second, _), _ = layers[1].forward(first)
    (plain, _), _ = stack.forward(x)
    np.testing.assert_array_equal(plain, second)
    (trained, states), cache = stack.forward(x, rng=np.random.default_rng(0))
    assert np.abs(trained - plain).max() > 1e-3
    # the input of the first layer and the output of the last are whole
    np.testing.assert_array_equal(states[0][0], first[-1])
    assert cache.dropped[0] is None and cache.dropped[1].p == 0.5
    np.testing.assert_array_equal(trained[-1], states[-1][0])


# -- a student's own pair -------------------------------------------------------------------------


def counting(op: Op, scale: float = 1.0) -> tuple[Op, dict[str, int]]:
    """A pair that counts its calls, its weight gradients scaled."""
    calls = {"forward": 0, "backward": 0}

    def forward(*inputs):
        calls["forward"] += 1
        return op.forward(*inputs)

    def backward(dout, cache):
        calls["backward"] += 1
        return tuple(scale * d for d in op.backward(dout, cache))

    return Op("mine", forward, backward), calls


@pytest.mark.parametrize("cell", CELLS)
def test_ones_own_pair_is_used_in_both_directions(tools, cell):
    mine, calls = counting(F.OPS[cell], scale=3.0)
    my_step, step_calls = counting(F.OPS[f"{cell}_step"], scale=3.0)
    make_cell = CELLS[cell]
    layer = make_cell(5, 2, rng=np.random.default_rng(0), op=mine, step_op=my_step, dtype=np.float64)
    usual = make_cell(5, 2, rng=np.random.default_rng(0), dtype=np.float64)
    x, dhs = draw(tools.T, tools.B, tools.D), draw(tools.T, tools.B, tools.H)
    for each in (layer, usual):
        (hs, _), cache = each.forward(x, None, tools.MASK)
        each.backward((dhs, None), cache)
    assert calls == {"forward": 1, "backward": 1} and step_calls == {"forward": 0, "backward": 0}
    for name, parameter in layer.parameters().items():
        np.testing.assert_array_equal(parameter.grad, 3 * usual.parameters()[name].grad)
    state = state_for(layer)
    after, cache = layer.step(x[0], state)
    layer.step_backward(after, cache)
    assert step_calls == {"forward": 1, "backward": 1} and calls == {"forward": 1, "backward": 1}


# -- construction ---------------------------------------------------------------------------------


def test_initial_weights(name):
    layer = make(name, 300, 200)
    gates = {"rnn": 1, "lstm": 4}.get(name, 3)
    assert layer.Wx.data.shape == (300, gates * 200) and layer.Wh.data.shape == (200, gates * 200)
    for block in np.split(layer.Wh.data, gates, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(200), atol=1e-12)
    variance = 2 / (300 + 200)
    for block in np.split(layer.Wx.data, gates, axis=1):
        assert abs(block.var() / variance - 1) < 0.03
    if name == "lstm":
        i, f, o, g = np.split(layer.b.data, 4)
        assert (f == 1).all() and not i.any() and not o.any() and not g.any()
    else:
        biases = [p for n, p in layer.parameters().items() if n.startswith("b")]
        assert len(biases) == (1 if name == "rnn" else 2) and not any(b.data.any() for b in biases)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype(tools, name, dtype):
    layer = make(name, dtype=dtype)
    x = draw(tools.T, tools.B, tools.D).astype(dtype)
    (hs, last), cache = layer.forward(x, None, tools.MASK)
    dx, dstate = layer.backward((hs, last), cache)
    after, step_cache = layer.step(x[0], last)
    dx_t, before = layer.step_backward(after, step_cache)
    made = tools.leaves((hs, last, dx, dstate, after, dx_t, before))
    made += [a for p in layer.parameters().values() for a in (p.data, p.grad)]
    assert {a.dtype for a in made} == {np.dtype(dtype)}


def test_the_default_dtype_is_float32():
    for cell in CELLS.values():
        layer = cell(3, 2, rng=np.random.default_rng(0))
        assert {p.data.dtype for p in layer.parameters().values()} == {np.dtype(np.float32)}


def test_zero_state_follows_the_input(tools, name):
    layer = make(name)
    for x in (np.ones((7, 3, 5), np.float32), np.ones((3, 5), np.float32)):
        state = layer.zero_state(x)
        assert len(state) == layer.state_parts
        for part in state:
            assert part.shape == (3, 2) and part.dtype == np.float32 and not part.any()
