import numpy as np
from numpy import concatenate, newaxis, tanh, where, zeros_like

np.seterr(over="ignore")
I, F, O, G = GATES = range(4)
NAMES = [*"ifog"]
ONE = np.float64(1.0)
HALF = ONE / 2
TABLE = {name: number for number, name in enumerate(NAMES)}
SLOPES = {k: (lambda a: ONE - a * a) if k == G else (lambda a: a * (ONE - a)) for k in GATES}
ACTIVATIONS = {k: tanh if k == G else (lambda z: HALF + HALF * tanh(HALF * z)) for k in GATES}
assert TABLE["g"] == G
debug = verbose = False
[FIRST, *_, LAST] = NAMES
counter: int = 0
counter += 1


def block(a, k):
    H = a.shape[-1] // len(GATES)
    return a[..., k * H : (k + 1) * H]


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    z = x @ Wx + h_prev @ Wh + b
    a = [ACTIVATIONS[k](block(z, k)) for k in GATES]
    c = a[F] * c_prev + a[I] * a[G]
    h = a[O] * tanh(c)
    here = np.True_ if mask is None else mask[:, newaxis]
    return (where(here, h, h_prev), where(here, c, c_prev)), (x, h_prev, c_prev, Wx, Wh, a, c, here)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, a, c, here = cache
    dh, dc = (zeros_like(c) if d is None else d for d in dout)
    inner = where(here, dc + dh * a[O] * (ONE - tanh(c) ** 2), 0)
    da = {I: inner * a[G], F: inner * c_prev, O: where(here, dh * tanh(c), 0), G: inner * a[I]}
    dz = concatenate([da[k] * SLOPES[k](a[k]) for k in GATES], axis=1)
    return dz @ Wx.T, where(here, dz @ Wh.T, dh), where(here, inner * a[F], dc), x.T @ dz, h_prev.T @ dz, dz.sum(0)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    global counter
    counter += 1
    h, c, out, caches = h0, c0, np.empty((*x.shape[:-1], h0.shape[-1])), [None] * len(x)
    for t in range(len(x)):
        (out[t], c), caches[t] = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        h = out[t]
    return (out, h.copy(), c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    T = len(cache)
    x, h0, Wx, Wh = cache[0][0], cache[0][1], cache[0][3], cache[0][4]
    grads = zeros_like(Wx), zeros_like(Wh), np.zeros(Wx.shape[1:])
    dh = zeros_like(h0) if dh is None else dh
    dx = np.empty((T, *x.shape))
    for t in range(T)[::-1]:
        step = lstm_step_backward((dh if dhs is None else dh + dhs[t], dc), cache[t])
        dx[t], dh, dc = step[:3]
        for mine, more in zip(grads, step[3:]):
            np.add(mine, more, out=mine)
    return dx, dh, dc, *grads
