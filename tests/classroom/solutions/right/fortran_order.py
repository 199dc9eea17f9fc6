"""Results in column order, read-only, or cut out of larger arrays: the numbers are the same."""

import numpy as np


def sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))


def cut_out(a):
    """The same numbers at every second place of a larger array, backward."""
    big = np.full(tuple(2 * n for n in a.shape), np.nan)
    view = big[tuple(slice(None, None, -2) for _ in a.shape)]
    view[...] = a
    return view


def read_only(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    i, f, o, g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c = f * c_prev + i * g
    m = np.broadcast_to(True if mask is None else mask[:, None], c.shape)
    out = np.asfortranarray(np.where(m, o * np.tanh(c), h_prev)), cut_out(np.where(m, c, c_prev))
    return out, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, m)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, m = cache
    dh, dc = (np.zeros(c.shape, order="F") if d is None else d for d in dout)
    t = np.tanh(c)
    e = np.where(m, dc + dh * o * (1 - t**2), 0)
    parts = [e * g * i * (1 - i), e * c_prev * f * (1 - f), np.where(m, dh, 0) * t * o * (1 - o), e * i * (1 - g**2)]
    dz = np.concatenate(parts, axis=1)
    return (
        (Wx @ dz.T).T,
        np.where(m, (Wh @ dz.T).T, dh),
        cut_out(np.where(m, e * f, dc)),
        np.asfortranarray(x.T @ dz),
        (dz.T @ h_prev).T,
        read_only(dz.sum(0)),
    )


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B = x.shape[:2]
    hs = np.empty((B, T, h0.shape[1])).swapaxes(0, 1)
    h, c, caches = h0, c0, []
    for t in range(T):
        (h, c), k = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs[t] = h
        caches.append(k)
    return (hs, hs[-1], c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    x, Wx, Wh = cache[0][0], cache[0][3], cache[0][4]
    T = len(cache)
    dx = np.empty((*x.shape, T))
    sums = [np.zeros(W.shape, order="F") for W in (Wx, Wh, Wx[0])]
    for t in range(T - 1, -1, -1):
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        dx[..., t], dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        for s, m in zip(sums, more):
            s += m
    return np.moveaxis(dx, -1, 0), dh, dc, *sums
