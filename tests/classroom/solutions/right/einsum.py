import numpy as np


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    D, H = len(Wx), len(Wh)
    U, V = Wx.reshape(D, 4, H), Wh.reshape(H, 4, H)
    z = np.einsum("bd,dkh->kbh", x, U) + np.einsum("bj,jkh->kbh", h_prev, V) + b.reshape(4, 1, H)
    a = np.where(np.arange(4)[:, None, None] == 3, np.tanh(z), 1 / (1 + np.exp(-z)))
    c = np.einsum("bh,bh->bh", a[1], c_prev) + np.einsum("bh,bh->bh", a[0], a[3])
    m = np.ones(len(x)) if mask is None else mask.astype(np.float64)
    h = np.einsum("b,bh,bh->bh", m, a[2], np.tanh(c)) + np.einsum("b,bh->bh", 1 - m, h_prev)
    out = h, np.einsum("b,bh->bh", m, c) + np.einsum("b,bh->bh", 1 - m, c_prev)
    return out, (x, h_prev, c_prev, U, V, a, c, m)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, U, V, a, c, m = cache
    dh, dc = [np.zeros_like(c) if d is None else d for d in dout]
    t = np.tanh(c)
    e = np.einsum("b,bh->bh", m, dc) + np.einsum("b,bh,bh,bh->bh", m, dh, a[2], 1 - t * t)
    da = np.stack([e * a[3], e * c_prev, np.einsum("b,bh,bh->bh", m, dh, t), e * a[0]])
    slope = np.where(np.arange(4)[:, None, None] == 3, 1 - a * a, a - a * a)
    dz = np.einsum("kbh,kbh->kbh", da, slope)
    D, K, H = U.shape
    return (
        np.einsum("kbh,dkh->bd", dz, U),
        np.einsum("kbh,jkh->bj", dz, V) + np.einsum("b,bh->bh", 1 - m, dh),
        np.einsum("bh,bh->bh", e, a[1]) + np.einsum("b,bh->bh", 1 - m, dc),
        np.einsum("bd,kbh->dkh", x, dz).reshape(D, K * H),
        np.einsum("bj,kbh->jkh", h_prev, dz).reshape(H, K * H),
        np.einsum("kbh->kh", dz).ravel(),
    )


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, kept = h0, c0, []
    hs = np.empty(x.shape[:2] + (len(Wh),))
    for t in range(x.shape[0]):
        (h, c), k = lstm_step_forward(x[t, ...], h, c, Wx, Wh, b, None if mask is None else mask[t, ...])
        hs[t, ...] = h
        kept.append(k)
    return (hs, h, c), tuple(kept)


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    stack = []
    for t in range(len(cache))[::-1]:
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        stack.append(lstm_step_backward((dh, dc), cache[t]))
        dh, dc = stack[-1][1], stack[-1][2]
    dx, _, _, dWx, dWh, db = (np.stack(arrays[::-1]) for arrays in zip(*stack))
    return dx, dh, dc, np.einsum("tdk->dk", dWx), np.einsum("tjk->jk", dWh), np.einsum("tk->k", db)
