"""Numbers at the edge: huge scores, rows without anything real, certain and impossible tokens."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.functional.activations import sigmoid_

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_logits_give_a_finite_loss(dtype):
    logits = np.array([[[1000.0, 0.0, -1000.0]], [[1000.0, 0.0, -1000.0]]], dtype=dtype)
    targets = np.array([[0], [2]])
    loss, cache = F.cross_entropy.forward(logits, targets, None, 0.0, "sum")
    assert loss == 2000  # a certain right token costs nothing, an impossible one the whole distance
    dlogits = F.cross_entropy.backward(1.0, cache)
    assert np.array_equal(dlogits[:, 0], [[0, 0, 0], [1, 0, -1]])
    smooth, cache = F.cross_entropy.forward(logits, targets, None, 0.3, "sum")
    assert abs(smooth - (0.1 * (1000 + 2000) + 0.8 * 2000 + 0.1 * 1000)) <= 1e-3
    assert np.isfinite(F.cross_entropy.backward(1.0, cache)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_softmax_of_huge_logits(dtype):
    assert np.array_equal(F.log_softmax(np.array([1000.0, 0.0, -1000.0], dtype=dtype)), [0, -1000, -2000])


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_scores_give_finite_weights(dtype):
    scores = np.array([[[1000.0, 999.0, -1000.0, 5000.0]]], dtype=dtype)
    mask = np.array([[True], [True], [True], [False]])  # the largest score of all is padding
    weights, cache = F.masked_softmax.forward(scores, mask)
    assert abs(weights.sum() - 1) <= 1e-6 and weights[0, 0, 3] == 0
    assert abs(weights[0, 0, 0] - 1 / (1 + np.exp(-1))) <= 1e-6
    assert np.isfinite(F.masked_softmax.backward(np.ones_like(scores), cache)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_far_below_the_others_or_below_zero_have_weights_all_the_same(dtype):
    """The maximum that is subtracted is that of a row's real positions: not of all rows, not of padding."""
    scores = np.array([[[0.0, 1.0, 2.0], [-5000.0, -5001.0, 0.0]]], dtype=dtype)
    mask = np.array([[True, True], [True, True], [True, False]])
    weights, _ = F.masked_softmax.forward(scores, mask)
    assert np.abs(weights.sum(axis=-1) - 1).max() <= 1e-6
    assert abs(weights[0, 1, 0] - 1 / (1 + np.exp(-1))) <= 1e-6 and weights[0, 1, 2] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_with_nothing_to_attend_to_gets_zero_weights(dtype):
    scores = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(dtype)
    mask = np.ones((4, 3), dtype=bool)
    mask[:, 1] = False
    weights, cache = F.masked_softmax.forward(scores, mask)
    assert not weights[:, 1].any()
    assert np.abs(weights[:, [0, 2]].sum(axis=-1) - 1).max() <= 1e-6
    dscores = F.masked_softmax.backward(np.random.default_rng(1).standard_normal(scores.shape), cache)
    assert np.isfinite(dscores).all() and not dscores[:, 1].any() and dscores[:, 0].all()


def test_a_batch_without_any_real_token_costs_nothing():
    logits = np.random.default_rng(2).standard_normal((2, 3, 4))
    loss, cache = F.cross_entropy.forward(logits, np.zeros((2, 3), dtype=int), np.zeros((2, 3), dtype=bool))
    assert loss == 0
    assert not F.cross_entropy.backward(1.0, cache).any()


def test_an_unknown_reduction_is_named():
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'average'"):
        F.cross_entropy.forward(np.zeros((1, 1, 2)), np.zeros((1, 1), dtype=int), None, 0.0, "average")


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_does_not_overflow(dtype):
    z = np.array([-1e4, -2.0, 0.0, 2.0, 1e4], dtype=dtype)
    expected = np.array([0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-2)), 1])
    got = sigmoid_(z, np)
    assert got is z and got.dtype == dtype
    assert np.abs(got - expected).max() <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_saturated_cells_stay_finite(name):
    """Inputs of 1000 drive every gate to its end; the gradients there are zero, not NaN."""
    B, D, H = 2, 3, 2
    states, gates, biases = {"rnn": (1, 1, 1), "lstm": (2, 4, 1), "gru": (1, 3, 2)}[name]
    rng = np.random.default_rng(3)
    op = F.OPS[name]
    out, cache = op.forward(
        1000 * rng.standard_normal((5, B, D)),
        *(rng.standard_normal((B, H)) for _ in range(states)),
        rng.standard_normal((D, gates * H)),
        rng.standard_normal((H, gates * H)),
        *(rng.standard_normal(gates * H) for _ in range(biases)),
    )
    din = op.backward(tuple(np.ones_like(part) for part in out), cache)
    assert all(np.isfinite(a).all() for a in (*out, *din))
