import numpy as np


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # [x, h, 1] times one matrix
    W = np.block([[Wx], [Wh], [b]])
    xh1 = np.c_[x, h_prev, np.ones(len(x))]
    z = xh1 @ W
    H = h_prev.shape[1]
    act = np.empty_like(z)
    act[:, : 3 * H] = 1 / (1 + np.exp(-z[:, : 3 * H]))
    act[:, 3 * H :] = np.tanh(z[:, 3 * H :])
    i, f, o, g = act[:, :H], act[:, H : 2 * H], act[:, 2 * H : -H], act[:, -H:]
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    keep = np.zeros(len(x), bool) if mask is None else ~mask
    out_h, out_c = h.copy(), c.copy()
    out_h[keep], out_c[keep] = h_prev[keep], c_prev[keep]
    kept = np.empty(6, dtype=object)
    kept[:] = W, xh1, act, c, c_prev, keep
    return (out_h, out_c), kept


def lstm_step_backward(dout, cache):
    W, xh1, act, c, c_prev, keep = cache
    H = c.shape[1]
    D = xh1.shape[1] - H - 1
    dh, dc = (np.zeros(c.shape) if d is None else d + 0 for d in dout)
    kept_h, kept_c = dh[keep], dc[keep]
    dh[keep], dc[keep] = 0, 0
    i, f, o, g = act[:, :H], act[:, H : 2 * H], act[:, 2 * H : -H], act[:, -H:]
    dc = dc + dh * o / np.cosh(c) ** 2
    dz = np.empty_like(act)
    dz[:, :H] = dc * g * i * (1 - i)
    dz[:, H : 2 * H] = dc * c_prev * f * (1 - f)
    dz[:, 2 * H : -H] = dh * np.tanh(c) * o * (1 - o)
    dz[:, -H:] = dc * i * (1 - g**2)
    dxh1 = dz @ W.T
    dW = xh1.T @ dz
    dx, dh_prev, _ = np.split(dxh1, [D, D + H], axis=1)
    dc_prev = dc * f
    dh_prev[keep], dc_prev[keep] = kept_h, kept_c
    return dx, dh_prev, dc_prev, dW[:D], dW[D:-1], dW[-1]


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    state, hs, caches = np.stack([h0, c0]), [], []
    for t in range(x.shape[0]):
        new, cache = lstm_step_forward(x[t], *state, Wx, Wh, b, None if mask is None else mask[t])
        state = np.stack(new)
        hs.append(state[0])
        caches.append(cache)
    return (np.array(hs), *state), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    dx, dWx, dWh, db = [], [], [], []
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dhs[t] + (np.zeros_like(dhs[t]) if dh is None else dh)
        a, dh, dc, p, q, r = lstm_step_backward((dh, dc), cache[t])
        for where, what in zip((dx, dWx, dWh, db), (a, p, q, r)):
            where.append(what)
    return np.array(dx[::-1]), dh, dc, np.array(dWx).sum(0), np.array(dWh).sum(0), np.array(db).sum(0)
