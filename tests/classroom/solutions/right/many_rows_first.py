"""Words sorted by length and packed, as a framework would: padded letters are never computed at all."""

import numpy as np


def logistic(z):
    return 1 / (1 + np.exp(-z))


def live_rows(mask, n):
    return np.arange(n) if mask is None else np.nonzero(mask)[0]


def compute(x, h, c, Wx, Wh, b):
    z = x @ Wx + h @ Wh + b
    i, f, o, g = (fn(p) for fn, p in zip([logistic] * 3 + [np.tanh], np.array_split(z, 4, axis=1)))
    c_new = f * c + i * g
    return o * np.tanh(c_new), c_new, (x, h, c, i, f, o, g, np.tanh(c_new))


def uncompute(dh, dc, saved, Wx, Wh):
    x, h, c, i, f, o, g, t = saved
    dc = dc + dh * o * (1 - t**2)
    dz = np.concatenate((dc * g * i * (1 - i), dc * c * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - g**2)), axis=1)
    return dz @ Wx.T, dz @ Wh.T, dc * f, x.T @ dz, h.T @ dz, dz.sum(axis=0)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    rows = live_rows(mask, len(x))
    h, c = np.array(h_prev, copy=True), np.array(c_prev, copy=True)
    h[rows], c[rows], saved = compute(x[rows], h_prev[rows], c_prev[rows], Wx, Wh, b)
    return (h, c), {"rows": rows, "saved": saved, "W": (Wx, Wh), "shapes": (x.shape, h.shape)}


def lstm_step_backward(dout, cache):
    x_shape, h_shape = cache["shapes"]
    dh, dc = (np.zeros(h_shape) if d is None else np.array(d, copy=True) for d in dout)
    dx, rows = np.zeros(x_shape), cache["rows"]
    dx[rows], dh[rows], dc[rows], *weights = uncompute(dh[rows], dc[rows], cache["saved"], *cache["W"])
    return dx, dh, dc, *weights


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B = x.shape[:2]
    lengths = np.full(B, T) if mask is None else mask.sum(axis=0)
    order = np.argsort(-lengths, kind="stable")
    h, c = h0[order], c0[order]
    x = x[:, order]
    hs = np.zeros((T, B, h0.shape[1]))
    saved = []
    for t in range(T):
        n = int((lengths > t).sum())
        h, c = h.copy(), c.copy()
        if n:
            h[:n], c[:n], kept = compute(x[t, :n], h[:n].copy(), c[:n].copy(), Wx, Wh, b)
            saved.append(kept)
        hs[t] = h
    back = np.argsort(order)
    return (hs[:, back], h[back], c[back]), (saved, order, back, x.shape, h0.shape, Wx, Wh)


def lstm_backward(dout, cache):
    saved, order, back, x_shape, h_shape, Wx, Wh = cache
    dhs, dh, dc = dout
    dhs = np.zeros((x_shape[0], *h_shape)) if dhs is None else dhs[:, order]
    dh = np.zeros(h_shape) if dh is None else dh[order]
    dc = np.zeros(h_shape) if dc is None else dc[order]
    dx, dWx, dWh, db = np.zeros(x_shape), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    for t in range(x_shape[0] - 1, -1, -1):
        dh = dh + dhs[t]
        if t < len(saved):
            n = len(saved[t][0])
            dc = dc.copy()
            dx[t, :n], dh[:n], dc[:n], a, b, d = uncompute(dh[:n], dc[:n], saved[t], Wx, Wh)
            dWx += a
            dWh += b
            db += d
    return dx[:, back], dh[back], dc[back], dWx, dWh, db
