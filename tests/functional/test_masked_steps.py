"""Padding: what stands there never matters, and a padded step hands state and gradient on."""

import numpy as np
import pytest

from minis2s import functional as F

T, S, B, D, H, A, V = 4, 5, 3, 5, 2, 4, 6
LENGTHS = [4, 2, 3]
MASK = np.arange(T)[:, None] < np.array(LENGTHS)
SOURCE_MASK = np.arange(S)[:, None] < np.array([5, 2, 3])
CELLS = {  # operation: (states, gates, biases, options after the mask)
    "rnn": (1, 1, 1, ()),
    "lstm": (2, 4, 1, ()),
    "gru": (1, 3, 2, ()),
    "gru, reset before": (1, 3, 2, (False,)),
}


@pytest.fixture(params=CELLS)
def cell(request):
    """(op, step op, x, the other differentiable inputs, options, number of states)."""
    states, gates, biases, options = CELLS[request.param]
    rng = np.random.default_rng(9)
    name = request.param.split(",")[0]
    rest = [
        *(rng.standard_normal((B, H)) for _ in range(states)),
        0.7 * rng.standard_normal((D, gates * H)),
        0.7 * rng.standard_normal((H, gates * H)),
        *(rng.standard_normal(gates * H) for _ in range(biases)),
    ]
    return F.OPS[name], F.OPS[f"{name}_step"], rng.standard_normal((T, B, D)), rest, options, states


def run(op, x, rest, mask, options, seed=5):
    """Outputs and gradients, the upstream gradients drawn anew from the seed."""
    out, cache = op.forward(x, *rest, mask, *options)
    rng = np.random.default_rng(seed)
    return out, op.backward(tuple(rng.standard_normal(part.shape) for part in out), cache)


def test_what_stands_in_padding_changes_no_bit(cell):
    op, _, x, rest, options, _ = cell
    out, din = run(op, x, rest, MASK, options)
    other = np.where(MASK[..., None], x, 1e3 * np.random.default_rng(1).standard_normal(x.shape))
    other_out, other_din = run(op, other, rest, MASK, options)
    for a, b in zip((*out, *din), (*other_out, *other_din), strict=True):
        assert np.array_equal(a, b)
    assert not din[0][~MASK].any()  # and x receives no gradient there
    assert din[0][MASK].all()


def test_a_padded_step_hands_the_state_on(cell):
    op, _, x, rest, options, states = cell
    out, _ = op.forward(x, *rest, MASK, *options)
    hs, h_last = out[0], out[1]
    for b, length in enumerate(LENGTHS):
        assert all(np.array_equal(hs[t, b], hs[length - 1, b]) for t in range(length, T))
        assert np.array_equal(h_last[b], hs[length - 1, b])
        # and it is the state of the sentence alone, at its own length
        alone = [a[b : b + 1] for a in rest[:states]] + rest[states:]
        alone_out, _ = op.forward(x[:length, b : b + 1], *alone, None, *options)
        for got, expected in zip(out[1:], alone_out[1:], strict=True):
            assert np.abs(got[b] - expected[0]).max() <= 1e-14


def test_a_padded_step_hands_the_gradient_on(cell):
    """What arrives at the end, or at any padded step, arrives at the last real step."""
    op, _, x, rest, options, _ = cell
    out, cache = op.forward(x, *rest, MASK, *options)
    dout = [np.random.default_rng(2).standard_normal(part.shape) for part in out]
    moved = [d.copy() for d in dout]
    for b, length in enumerate(LENGTHS):
        moved[0][length - 1, b] = dout[0][length - 1 :, b].sum(axis=0)
        moved[0][length:, b] = 0
    for a, b in zip(op.backward(tuple(dout), cache), op.backward(tuple(moved), cache), strict=True):
        assert np.abs(a - b).max() <= 1e-13
    # the whole batch equals the sentences one by one: only then nothing was lost on the way
    dx = op.backward(tuple(dout), cache)[0]
    states = sum(a.shape == (B, H) for a in rest)
    for b, length in enumerate(LENGTHS):
        alone = [a[b : b + 1] for a in rest[:states]] + rest[states:]
        _, alone_cache = op.forward(x[:length, b : b + 1], *alone, None, *options)
        alone_dout = (moved[0][:length, b : b + 1], *(d[b : b + 1] for d in dout[1:]))
        assert np.abs(op.backward(alone_dout, alone_cache)[0][:, 0] - dx[:length, b]).max() <= 1e-13


def test_a_padded_single_step_is_the_identity(cell):
    _, step, x, rest, options, states = cell
    nothing = np.zeros(B, dtype=bool)
    out, cache = step.forward(x[0], *rest, nothing, *options)
    dout = np.random.default_rng(3).standard_normal((states, B, H))
    if states == 1:
        out, din = (out,), step.backward(dout[0], cache)
    else:
        din = step.backward(tuple(dout), cache)
    assert all(np.array_equal(new, old) for new, old in zip(out, rest, strict=False))
    assert all(np.array_equal(d, up) for d, up in zip(din[1 : 1 + states], dout, strict=True))
    assert not any(d.any() for d in (din[0], *din[1 + states :]))


def test_padded_tokens_do_not_count_in_the_loss():
    rng = np.random.default_rng(4)
    logits, targets = rng.standard_normal((T, B, V)), rng.integers(0, V, size=(T, B))
    other_logits = np.where(MASK[..., None], logits, 50 * rng.standard_normal(logits.shape))
    other_targets = np.where(MASK, targets, rng.integers(0, V, size=(T, B)))
    for smoothing in (0.0, 0.1):
        loss, cache = F.cross_entropy.forward(logits, targets, MASK, smoothing)
        other_loss, other_cache = F.cross_entropy.forward(other_logits, other_targets, MASK, smoothing)
        dlogits = F.cross_entropy.backward(1.0, cache)
        assert loss == other_loss
        assert np.array_equal(dlogits, F.cross_entropy.backward(1.0, other_cache))
        assert not dlogits[~MASK].any() and dlogits[MASK].all()


def test_the_mean_loss_counts_tokens_not_sentences():
    rng = np.random.default_rng(5)
    logits, targets = rng.standard_normal((T, B, V)), rng.integers(0, V, size=(T, B))
    whole, _ = F.cross_entropy.forward(logits, targets, MASK)
    alone = [F.cross_entropy.forward(logits[:n, [b]], targets[:n, [b]])[0] for b, n in enumerate(LENGTHS)]
    assert abs(whole - np.average(alone, weights=LENGTHS)) <= 1e-14
    assert abs(whole - np.mean(alone)) > 1e-3  # the two are not the same here


def test_a_padded_source_position_is_neither_seen_nor_moved():
    rng = np.random.default_rng(6)
    scores, values = rng.standard_normal((T, B, S)), rng.standard_normal((S, B, A))
    dcontext = rng.standard_normal((T, B, A))

    def attend(scores, values):
        weights, softmax_cache = F.masked_softmax.forward(scores, SOURCE_MASK)
        context, cache = F.weighted_sum.forward(weights, values)
        dweights, dvalues = F.weighted_sum.backward(dcontext, cache)
        return context, F.masked_softmax.backward(dweights, softmax_cache), dvalues

    other_scores = np.where(SOURCE_MASK.T, scores, 1e4)
    other_values = np.where(SOURCE_MASK[..., None], values, -1e4)
    context, dscores, dvalues = attend(scores, values)
    other_context, other_dscores, other_dvalues = attend(other_scores, other_values)
    assert np.abs(context - other_context).max() <= 1e-13
    assert np.abs(dscores - other_dscores).max() <= 1e-11
    assert np.array_equal(dvalues, other_dvalues)
    assert not dvalues[~SOURCE_MASK].any()
    assert not dscores[np.broadcast_to(~SOURCE_MASK.T, dscores.shape)].any()
