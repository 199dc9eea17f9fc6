import functools
import time

import numpy as np

CALLS = {}


def counted(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        CALLS[function.__name__] = CALLS.get(function.__name__, 0) + 1
        return function(*args, **kwargs)

    return inner


def timed(unit="s"):
    def decorate(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                inner.seconds = time.perf_counter() - began

        return inner

    return decorate


def none_is_zero(backward):
    """Upstream gradients that are None become zeros of the shapes that forward left behind."""

    @functools.wraps(backward)
    def inner(dout, cache):
        kept, shapes = cache
        return backward([np.zeros(s) if d is None else d for d, s in zip(dout, shapes)], kept)

    return inner


def leaves_shapes(forward):
    @functools.wraps(forward)
    def inner(*args, **kwargs):
        out, cache = forward(*args, **kwargs)
        return out, (cache, [o.shape for o in out])

    return inner


@counted
@timed(unit="ms")
@leaves_shapes
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    H = h_prev.shape[1]
    z = x @ Wx + h_prev @ Wh + b
    a = np.concatenate([1 / (1 + np.exp(-z[:, : 3 * H])), np.tanh(z[:, 3 * H :])], axis=1)
    i, f, o, g = (a[:, k * H : (k + 1) * H] for k in range(4))
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    m = np.ones((len(x), 1)) if mask is None else 1.0 * mask[:, None]
    return (m * h + (1 - m) * h_prev, m * c + (1 - m) * c_prev), (x, h_prev, c_prev, Wx, Wh, a, c, m)


@counted
@timed()
@none_is_zero
def lstm_step_backward(dout, cache):
    dh, dc = dout
    x, h_prev, c_prev, Wx, Wh, a, c, m = cache
    H = c.shape[1]
    i, f, o, g = np.hsplit(a, 4)
    t = np.tanh(c)
    inner = m * (dc + dh * o * (1 - t * t))
    da = np.hstack([inner * g, inner * c_prev, m * dh * t, inner * i])
    slope = a * (1 - a)
    slope[:, 3 * H :] = 1 - g * g
    dz = da * slope
    return dz @ Wx.T, dz @ Wh.T + (1 - m) * dh, inner * f + (1 - m) * dc, x.T @ dz, h_prev.T @ dz, dz.sum(0)


@counted
@leaves_shapes
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, mask=None if mask is None else mask[t])
        hs += [h]
        caches += [cache]
    return (np.stack(hs), h, c), caches


@counted
@none_is_zero
def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    grads = []
    for t in range(len(cache) - 1, -1, -1):
        grads.insert(0, lstm_step_backward((dh + dhs[t], dc), cache[t]))
        dh, dc = grads[0][1:3]
    return np.stack([g[0] for g in grads]), dh, dc, *(sum(g[k] for g in grads) for k in (3, 4, 5))
