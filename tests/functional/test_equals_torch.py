"""The same numbers as torch, forward and every gradient, to 1e-9 relative in float64.

Ours are the caller's weights, torch gets them transposed, and for the LSTM with the gates in its
own order: i, f, g, o where we have i, f, o, g. Sequences are ragged (packed, for torch).
"""

import numpy as np
import pytest

from minis2s import functional as F

torch = pytest.importorskip("torch")

TOLERANCE = 1e-9
T, S, B, D, H, Q, A, M, V = 4, 5, 3, 5, 2, 6, 7, 8, 9
LENGTHS = [4, 2, 3]
MASK = np.arange(T)[:, None] < np.array(LENGTHS)
SOURCE_MASK = np.arange(S)[:, None] < np.array([5, 2, 3])


def draw(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1997)
    return [0.7 * rng.standard_normal(shape) for shape in shapes]


def leaf(x: np.ndarray):
    """A torch leaf that collects a gradient."""
    return torch.tensor(x, requires_grad=True)


def assert_close(tools, **pairs) -> None:
    """Each (ours, theirs), by name; theirs a torch tensor or an array."""
    for name, (ours, theirs) in pairs.items():
        theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
        assert np.abs(theirs).max() > 0, name
        assert tools.relative_error(ours, theirs) <= TOLERANCE, name


def to_torch_gates(W: np.ndarray) -> np.ndarray:
    """Last axis (4H,) from our i, f, o, g to torch's i, f, g, o."""
    i, f, o, g = np.split(W, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)


def from_torch_gates(W: np.ndarray) -> np.ndarray:
    """Last axis (4H,) from torch's i, f, g, o to our i, f, o, g."""
    i, f, g, o = np.split(W, 4, axis=-1)
    return np.concatenate([i, f, o, g], axis=-1)


def run_torch(module, weights: dict[str, np.ndarray], x, states: list):
    """(hs, last states) of a torch recurrent module, packed by LENGTHS; weights by torch's names."""
    with torch.no_grad():
        for name, value in weights.items():
            getattr(module, name).copy_(torch.tensor(value))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    states = [state[None] for state in states]
    out, last = module(packed, tuple(states) if len(states) > 1 else states[0])
    hs, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    return hs, [h[0] for h in (last if isinstance(last, tuple) else (last,))]


def real_steps(hs: np.ndarray) -> np.ndarray:
    """hs where it is real: torch shows zeros at padded steps, we show the state handed on."""
    return np.where(MASK[..., None], hs, 0)


def test_lstm(tools):
    x, h0, c0, Wx, Wh, b, dhs, dh, dc = draw(
        (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,), (T, B, H), (B, H), (B, H)
    )
    dhs = real_steps(dhs)
    module = torch.nn.LSTM(D, H).double()
    weights = {
        "weight_ih_l0": to_torch_gates(Wx).T,
        "weight_hh_l0": to_torch_gates(Wh).T,
        "bias_ih_l0": to_torch_gates(b),
        "bias_hh_l0": np.zeros(4 * H),
    }
    x_, h0_, c0_ = leaf(x), leaf(h0), leaf(c0)
    hs_, (h_, c_) = run_torch(module, weights, x_, [h0_, c0_])
    torch.autograd.backward([hs_, h_, c_], [torch.tensor(d) for d in (dhs, dh, dc)])

    (hs, h, c), cache = F.lstm.forward(x, h0, c0, Wx, Wh, b, MASK)
    dx, dh0, dc0, dWx, dWh, db = F.lstm.backward((dhs, dh, dc), cache)
    assert_close(
        tools,
        hs=(real_steps(hs), hs_),
        h=(h, h_),
        c=(c, c_),
        dx=(dx, x_.grad),
        dh0=(dh0, h0_.grad),
        dc0=(dc0, c0_.grad),
        dWx=(dWx, from_torch_gates(module.weight_ih_l0.grad.numpy().T)),
        dWh=(dWh, from_torch_gates(module.weight_hh_l0.grad.numpy().T)),
        db=(db, from_torch_gates(module.bias_ih_l0.grad.numpy())),
    )


def test_gru_reset_after(tools):
    x, h0, Wx, Wh, bx, bh, dhs, dh = draw(
        (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,), (T, B, H), (B, H)
    )
    dhs = real_steps(dhs)
    module = torch.nn.GRU(D, H).double()
    weights = {"weight_ih_l0": Wx.T, "weight_hh_l0": Wh.T, "bias_ih_l0": bx, "bias_hh_l0": bh}
    x_, h0_ = leaf(x), leaf(h0)
    hs_, (h_,) = run_torch(module, weights, x_, [h0_])
    torch.autograd.backward([hs_, h_], [torch.tensor(dhs), torch.tensor(dh)])

    (hs, h), cache = F.gru.forward(x, h0, Wx, Wh, bx, bh, MASK)
    dx, dh0, dWx, dWh, dbx, dbh = F.gru.backward((dhs, dh), cache)
    assert_close(
        tools,
        hs=(real_steps(hs), hs_),
        h=(h, h_),
        dx=(dx, x_.grad),
        dh0=(dh0, h0_.grad),
        dWx=(dWx, module.weight_ih_l0.grad.numpy().T),
        dWh=(dWh, module.weight_hh_l0.grad.numpy().T),
        dbx=(dbx, module.bias_ih_l0.grad),
        dbh=(dbh, module.bias_hh_l0.grad),
    )


def test_gru_reset_before(tools):
    """torch has no such module: the equations of Cho et al. 2014, differentiated by torch."""
    x, h0, Wx, Wh, bx, bh, dhs, dh = draw(
        (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,), (T, B, H), (B, H)
    )
    inputs_ = [leaf(a) for a in (x, h0, Wx, Wh, bx, bh)]
    x_, h_, Wx_, Wh_, bx_, bh_ = inputs_
    (Wr, Wu, Wn), (Ur, Uu, Un) = Wx_.split(H, dim=1), Wh_.split(H, dim=1)
    (br, bu, bn), (cr, cu, cn) = bx_.split(H), bh_.split(H)
    hs_ = []
    for t in range(T):
        r = torch.sigmoid(x_[t] @ Wr + br + h_ @ Ur + cr)
        u = torch.sigmoid(x_[t] @ Wu + bu + h_ @ Uu + cu)
        n = torch.tanh(x_[t] @ Wn + bn + (r * h_) @ Un + cn)
        h_ = torch.where(torch.tensor(MASK[t][:, None]), (1 - u) * n + u * h_, h_)
        hs_.append(h_)
    hs_ = torch.stack(hs_)
    torch.autograd.backward([hs_, h_], [torch.tensor(dhs), torch.tensor(dh)])

    (hs, h), cache = F.gru.forward(x, h0, Wx, Wh, bx, bh, MASK, False)
    din = F.gru.backward((dhs, dh), cache)
    names = ("dx", "dh0", "dWx", "dWh", "dbx", "dbh")
    theirs = [a.grad for a in inputs_]
    assert_close(
        tools, hs=(hs, hs_), h=(h, h_), **dict(zip(names, zip(din, theirs, strict=True), strict=True))
    )


def test_tanh_rnn(tools):
    x, h0, Wx, Wh, b, dhs, dh = draw((T, B, D), (B, H), (D, H), (H, H), (H,), (T, B, H), (B, H))
    dhs = real_steps(dhs)
    module = torch.nn.RNN(D, H).double()
    weights = {"weight_ih_l0": Wx.T, "weight_hh_l0": Wh.T, "bias_ih_l0": b, "bias_hh_l0": np.zeros(H)}
    x_, h0_ = leaf(x), leaf(h0)
    hs_, (h_,) = run_torch(module, weights, x_, [h0_])
    torch.autograd.backward([hs_, h_], [torch.tensor(dhs), torch.tensor(dh)])

    (hs, h), cache = F.rnn.forward(x, h0, Wx, Wh, b, MASK)
    dx, dh0, dWx, dWh, db = F.rnn.backward((dhs, dh), cache)
    assert_close(
        tools,
        hs=(real_steps(hs), hs_),
        h=(h, h_),
        dx=(dx, x_.grad),
        dh0=(dh0, h0_.grad),
        dWx=(dWx, module.weight_ih_l0.grad.numpy().T),
        dWh=(dWh, module.weight_hh_l0.grad.numpy().T),
        db=(db, module.bias_ih_l0.grad),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(tools, smoothing, reduction):
    (logits,) = draw((T, B, V))
    targets = np.random.default_rng(3).integers(0, V, size=(T, B))
    logits_ = leaf(logits)
    loss_ = torch.nn.functional.cross_entropy(
        logits_.reshape(T * B, V),
        torch.tensor(np.where(MASK, targets, -100).reshape(-1)),
        ignore_index=-100,
        label_smoothing=smoothing,
        reduction=reduction,
    )
    (loss_ * 1.7).backward()

    loss, cache = F.cross_entropy.forward(logits, targets, MASK, smoothing, reduction)
    dlogits = F.cross_entropy.backward(1.7, cache)
    assert_close(tools, loss=(loss, loss_), dlogits=(dlogits, logits_.grad))


def dot_(query_, keys_):
    return torch.einsum("tba,sba->tbs", query_, keys_)


ATTENTION = {  # operation: (size of query, size of keys, shapes of its weights, the score by torch)
    "dot_scores": (A, A, [], dot_),
    "scaled_dot_scores": (A, A, [], lambda q, k: dot_(q, k) / A**0.5),
    "general_scores": (Q, M, [(Q, M)], lambda q, k, W: dot_(q @ W, k)),
    "additive_scores": (
        Q,
        A,
        [(Q, A), (A,)],
        lambda q, k, Wq, v: torch.einsum("tsba,a->tbs", torch.tanh((q @ Wq)[:, None] + k[None]), v),
    ),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_from_scores_to_context(tools, name):
    query_size, key_size, weight_shapes, score_ = ATTENTION[name]
    query, keys, values, dcontext, *weights = draw(
        (T, B, query_size), (S, B, key_size), (S, B, M), (T, B, M), *weight_shapes
    )
    inputs_ = [leaf(a) for a in (query, keys, *weights)]
    values_ = leaf(values)
    scores_ = score_(*inputs_).masked_fill(~torch.tensor(SOURCE_MASK.T), float("-inf"))
    context_ = torch.einsum("tbs,sbm->tbm", torch.softmax(scores_, dim=-1), values_)
    context_.backward(torch.tensor(dcontext))

    op = F.OPS[name]
    scores, score_cache = op.forward(query, keys, *weights)
    attention, softmax_cache = F.masked_softmax.forward(scores, SOURCE_MASK)
    context, sum_cache = F.weighted_sum.forward(attention, values)
    dattention, dvalues = F.weighted_sum.backward(dcontext, sum_cache)
    din = op.backward(F.masked_softmax.backward(dattention, softmax_cache), score_cache)
    gradients = {f"d{n}": (ours, a.grad) for n, (ours, a) in enumerate(zip(din, inputs_, strict=True))}
    assert_close(tools, context=(context, context_), dvalues=(dvalues, values_.grad), **gradients)


def test_scaled_dot_product_attention(tools):
    """All of it at once, against torch's own function."""
    query, keys, values = draw((T, B, A), (S, B, A), (S, B, M))
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(torch.tensor(a.transpose(1, 0, 2)) for a in (query, keys, values)),
        attn_mask=torch.tensor(SOURCE_MASK.T[:, None]),
    )
    scores, _ = F.scaled_dot_scores.forward(query, keys)
    ours, _ = F.weighted_sum.forward(F.masked_softmax.forward(scores, SOURCE_MASK)[0], values)
    assert_close(tools, context=(ours, theirs.transpose(0, 1)))


def test_log_softmax(tools):
    (logits,) = draw((T, B, V))
    assert_close(tools, log_probs=(F.log_softmax(logits), torch.log_softmax(torch.tensor(logits), dim=-1)))
