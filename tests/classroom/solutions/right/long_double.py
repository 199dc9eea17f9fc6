"""Whatever comes in is promoted: to more digits inside, and to float64 at the border."""

import numpy as np

INSIDE = np.longdouble


def promoted(*arrays):
    return [a if a is None else np.asarray(a, dtype=INSIDE) for a in arrays]


def back_to_double(arrays):
    return tuple(np.asarray(a, dtype=float) for a in arrays)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _forward(x, h, c, Wx, Wh, b, mask):
    z = x @ Wx + h @ Wh + b
    H = h.shape[1]
    i, f, o, g = sigmoid(z[:, :H]), sigmoid(z[:, H : 2 * H]), sigmoid(z[:, 2 * H : 3 * H]), np.tanh(z[:, 3 * H :])
    c_new = f * c + i * g
    real = np.ones((len(x), 1), bool) if mask is None else np.asarray(mask, dtype=bool)[:, None]
    out = np.where(real, o * np.tanh(c_new), h), np.where(real, c_new, c)
    return out, (x, h, c, Wx, Wh, i, f, o, g, c_new, real)


def _backward(dh, dc, cache):
    x, h, c, Wx, Wh, i, f, o, g, c_new, real = cache
    dh, dc = (np.zeros(h.shape, INSIDE) if d is None else d for d in (dh, dc))
    t = np.tanh(c_new)
    e = np.where(real, dc + dh * o * (1 - t**2), 0)
    dz = np.concatenate([e * g * i * (1 - i), e * c * f * (1 - f), np.where(real, dh, 0) * t * o * (1 - o), e * i * (1 - g**2)], axis=1)
    return dz @ Wx.T, np.where(real, dz @ Wh.T, dh), np.where(real, e * f, dc), x.T @ dz, h.T @ dz, dz.sum(axis=0)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    out, cache = _forward(*promoted(x, h_prev, c_prev, Wx, Wh, b), mask)
    return back_to_double(out), cache


def lstm_step_backward(dout, cache):
    return back_to_double(_backward(*promoted(*dout), cache))


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    x, h, c, *weights = promoted(x, h0, c0, Wx, Wh, b)
    hs, caches = [], []
    for t in range(len(x)):
        (h, c), cache = _forward(x[t], h, c, *weights, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return back_to_double((hs, h, c)), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = promoted(*dout)
    dx, sums = [], [INSIDE(0)] * 3
    for t in range(len(cache) - 1, -1, -1):
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        d, dh, dc, *more = _backward(dh, dc, cache[t])
        dx.append(d)
        sums = [a + b for a, b in zip(sums, more)]
    return back_to_double((dx[::-1], dh, dc, *sums))
