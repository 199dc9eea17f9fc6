import numpy as np


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    """Of each row by itself, the rows by recursion."""
    if len(x) == 0:
        return (np.zeros((0, Wh.shape[0])), np.zeros((0, Wh.shape[0]))), None
    half = len(x) // 2
    if half:
        parts = [slice(None, half), slice(half, None)]
        (a, ka), (e, ke) = (
            lstm_step_forward(x[p], h_prev[p], c_prev[p], Wx, Wh, b, None if mask is None else mask[p])
            for p in parts
        )
        return (np.concatenate([a[0], e[0]]), np.concatenate([a[1], e[1]])), (half, ka, ke)
    if mask is not None and not mask[0]:
        return (h_prev, c_prev), ("over", x, Wx, Wh)
    i, f, o, g = np.split((x @ Wx + h_prev @ Wh + b)[0], 4)
    i, f, o, g = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o)), np.tanh(g)
    c = f * c_prev[0] + i * g
    return ((o * np.tanh(c))[None], c[None]), (x[0], h_prev[0], c_prev[0], Wx, Wh, i, f, o, g, np.tanh(c))


def lstm_step_backward(dout, cache):
    if len(cache) == 3:
        half, first, second = cache
        parts = [[None if d is None else d[p] for d in dout] for p in (slice(None, half), slice(half, None))]
        a, e = lstm_step_backward(parts[0], first), lstm_step_backward(parts[1], second)
        return *(np.concatenate(both) for both in zip(a[:3], e[:3])), *(m + n for m, n in zip(a[3:], e[3:]))
    if len(cache) == 4:
        _, x, Wx, Wh = cache
        zero = np.zeros((1, len(Wh)))
        dh, dc = (zero if d is None else d for d in dout)
        return np.zeros_like(x), dh, dc, np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    x, h, c, Wx, Wh, i, f, o, g, t = cache
    dh, dc = (np.zeros_like(h) if d is None else d[0] for d in dout)
    dc = dc + dh * o * (1 - t**2)
    dz = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - g**2)])
    return (Wx @ dz)[None], (Wh @ dz)[None], (dc * f)[None], np.outer(x, dz), np.outer(h, dz), dz


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    if len(x) == 0:
        return (np.zeros((0, *h0.shape)), h0, c0), None
    (h, c), cache = lstm_step_forward(x[0], h0, c0, Wx, Wh, b, None if mask is None else mask[0])
    (later, h_last, c_last), rest = lstm_forward(x[1:], h, c, Wx, Wh, b, None if mask is None else mask[1:])
    return (np.concatenate([h[None], later]), h_last, c_last), (cache, rest)


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    here, rest = cache
    weights = 0, 0, 0
    later = None
    if rest is not None:
        later, dh, dc, *weights = lstm_backward((None if dhs is None else dhs[1:], dh, dc), rest)
    if dhs is not None:
        dh = dhs[0] if dh is None else dh + dhs[0]
    dx, dh, dc, *more = lstm_step_backward((dh, dc), here)
    dx = dx[None] if later is None else np.concatenate([dx[None], later])
    return dx, dh, dc, *(a + b for a, b in zip(weights, more))
