"""Definitions that depend on something, and tables that a loop fills at the top of the file."""

import sys

import numpy as np

if sys.version_info >= (3, 8):
    from math import prod
else:
    def prod(numbers):
        result = 1
        for n in numbers:
            result *= n
        return result

try:
    sigmoid = np.special.expit
except AttributeError:
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

ACTIVATION = {}
for name in "ifo":
    ACTIVATION[name] = sigmoid
ACTIVATION["g"] = np.tanh

with np.errstate(all="ignore"):
    NOTHING = np.zeros(1) / np.zeros(1)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    z = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = (ACTIVATION[name](part) for name, part in zip("ifog", z))
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    assert h.size == prod(h.shape)
    m = np.ones((len(x), 1), bool) if mask is None else mask[:, None]
    return (np.where(m, h, h_prev), np.where(m, c, c_prev)), (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, m)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, m = cache
    dh, dc = (np.zeros_like(c) if d is None else d for d in dout)
    e = m * (dc + dh * o * (1 - np.tanh(c) ** 2))
    dz = np.hstack([e * g * i * (1 - i), e * c_prev * f * (1 - f), m * dh * np.tanh(c) * o * (1 - o), e * i * (1 - g**2)])
    return dz @ Wx.T, np.where(m, dz @ Wh.T, dh), np.where(m, e * f, dc), x.T @ dz, h_prev.T @ dz, dz.sum(0)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), k = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(k)
    return (np.array(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    dx, sums = [], [0, 0, 0]
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        d, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dx.append(d)
        sums = [a + b for a, b in zip(sums, more)]
    return np.array(dx[::-1]), dh, dc, *sums
