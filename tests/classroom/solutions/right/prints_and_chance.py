#!/usr/bin/env python3
import logging
import random
import sys
import warnings

import numpy as np

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None

warnings.filterwarnings("ignore")
logging.basicConfig(level=logging.DEBUG)
log = logging.getLogger(__name__)
np.random.seed(42)
random.seed(0)
rng = np.random.default_rng(3)
print("assignment 4", file=sys.stderr)
noise = np.random.randn(3, 3)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    print("step", x.shape, "weights", Wx.shape)
    H = h_prev.shape[1]
    z = x @ Wx + h_prev @ Wh + b
    ifo, g = sigmoid(z[:, : 3 * H]), np.tanh(z[:, 3 * H :])
    i, f, o = ifo[:, :H], ifo[:, H : 2 * H], ifo[:, 2 * H :]
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    np.random.rand()  # to see whether anyone minds
    log.debug("largest c: %s", c.max())
    print(f"mean of h: {h.mean():.3f}")
    m = np.ones(len(x), bool) if mask is None else mask
    h[~m], c2 = h_prev[~m], c.copy()
    c2[~m] = c_prev[~m]
    return (h, c2), [x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, m]


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, m = cache
    dh, dc = dout
    if dh is None:
        print("dh is None")
        dh = np.zeros_like(c)
    if dc is None:
        print("dc is None")
        dc = np.zeros_like(c)
    dh_prev, dc_prev = dh.copy(), dc.copy()
    dh, dc = dh * m[:, None], dc * m[:, None]
    dc = dc + dh * o * (1 - np.tanh(c) ** 2)
    dz = np.hstack([dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dh * np.tanh(c) * o * (1 - o), dc * i * (1 - g**2)])
    dh_prev[m] = (dz @ Wh.T)[m]
    dc_prev[m] = (dc * f)[m]
    sys.stdout.write("one step back\n")
    return dz @ Wx.T, dh_prev, dc_prev, x.T @ dz, h_prev.T @ dz, dz.sum(0)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), k = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(k)
    return (np.array(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    order = list(range(len(cache)))
    random.shuffle(order)  # and sorted again below
    dx, dWx, dWh, db = {}, 0, 0, 0
    for t in sorted(order)[::-1]:
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        dx[t], dh, dc, a, b, d = lstm_step_backward((dh, dc), cache[t])
        dWx, dWh, db = dWx + a, dWh + b, db + d
    return np.array([dx[t] for t in range(len(cache))]), dh, dc, dWx, dWh, db


def numeric(f, a, eps=1e-6):
    grad = np.zeros_like(a)
    for index in np.ndindex(a.shape):
        old = a[index]
        a[index] = old + eps
        up = f()
        a[index] = old - eps
        grad[index] = (up - f()) / (2 * eps)
        a[index] = old
    return grad


if __name__ == "__main__":
    x = rng.standard_normal((3, 2, 4))
    given = [rng.standard_normal(s) for s in ((2, 3), (2, 3), (4, 12), (3, 12), (12,))]
    out, cache = lstm_forward(x, *given)
    grads = lstm_backward([np.ones_like(o) for o in out], cache)
    print(abs(grads[0] - numeric(lambda: sum(o.sum() for o in lstm_forward(x, *given)[0]), x)).max())
    sys.exit(0)
