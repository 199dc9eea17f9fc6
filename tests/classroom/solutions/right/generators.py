import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gates_of(z):
    """Yield i, f, o, g."""
    *three, last = np.split(z, 4, axis=1)
    yield from map(sigmoid, three)
    yield np.tanh(last)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    i, f, o, g = gates_of(x @ Wx + h_prev @ Wh + b)
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    live = slice(None) if mask is None else mask
    h_out, c_out = h_prev.copy(), c_prev.copy()
    h_out[live], c_out[live] = h[live], c[live]
    return (h_out, c_out), (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, live)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, live = cache
    dh, dc = (np.zeros(c.shape) if d is None else np.array(d) for d in dout)
    dh_prev, dc_prev = dh.copy(), dc.copy()
    dead = np.ones(len(x), bool)
    dead[live] = False
    dh[dead] = dc[dead] = 0

    def pieces():
        inner = dc + dh * o * (1 - np.tanh(c) ** 2)
        yield inner * g * i * (1 - i)
        yield inner * c_prev * f * (1 - f)
        yield dh * np.tanh(c) * o * (1 - o)
        yield inner * i * (1 - g**2)
        dc_prev[live] = (inner * f)[live]

    dz = np.concatenate(list(pieces()), axis=1)
    dh_prev[live] = (dz @ Wh.T)[live]
    return dz @ Wx.T, dh_prev, dc_prev, x.T @ dz, h_prev.T @ dz, dz.sum(0)


def steps(x, h, c, Wx, Wh, b, mask):
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        yield h, c, cache


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    hs, cs, caches = zip(*steps(x, h0, c0, Wx, Wh, b, mask))
    return (np.array(hs), hs[-1], cs[-1]), caches


def back(caches):
    """A coroutine: send it the gradient of h at each step, it gives back that of x."""
    dh, dc, sums = yield
    dhs_t = yield
    for cache in reversed(caches):
        if dhs_t is not None:
            dh = dh + dhs_t
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache)
        for s, m in zip(sums, more):
            s += m
        dhs_t = yield dx, dh, dc


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    _, h0, _, Wx, Wh, *_ = cache[0]
    sums = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    run = back(cache)
    next(run)
    run.send((np.zeros_like(h0) if dh is None else dh, np.zeros_like(h0) if dc is None else dc, sums))
    found = [run.send(None if dhs is None else dhs[t]) for t in reversed(range(len(cache)))]
    return np.array([f[0] for f in reversed(found)]), found[-1][1], found[-1][2], *sums
