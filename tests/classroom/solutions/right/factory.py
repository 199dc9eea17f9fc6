"""The functions that were asked for come out of another function, and one is an object that can be called."""

import numpy as np


def make_step(activation, slope):
    def forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
        z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
        a = activation(z_i), activation(z_f), activation(z_o), np.tanh(z_g)
        c = a[1] * c_prev + a[0] * a[3]
        m = np.ones((len(x), 1), bool) if mask is None else mask[:, None]

        def undo(dh, dc):
            t = np.tanh(c)
            e = m * (dc + dh * a[2] * (1 - t**2))
            d = e * a[3] * slope(a[0]), e * c_prev * slope(a[1]), m * dh * t * slope(a[2]), e * a[0] * (1 - a[3] ** 2)
            dz = np.concatenate(d, axis=1)
            return dz @ Wx.T, np.where(m, dz @ Wh.T, dh), np.where(m, e * a[1], dc), x.T @ dz, h_prev.T @ dz, dz.sum(0)

        return (np.where(m, a[2] * np.tanh(c), h_prev), np.where(m, c, c_prev)), (undo, c.shape)

    def backward(dout, cache):
        undo, shape = cache
        return undo(*(np.zeros(shape) if d is None else d for d in dout))

    return forward, backward


lstm_step_forward, lstm_step_backward = make_step(lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a))


class Through:
    def __init__(self, step):
        self.step = step

    def __call__(self, x, h0, c0, Wx, Wh, b, mask=None):
        h, c, hs, caches = h0, c0, [], []
        for t in range(len(x)):
            (h, c), cache = self.step(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
            hs.append(h)
            caches.append(cache)
        return (np.stack(hs), h, c), caches


lstm_forward = Through(lstm_step_forward)


def make_backward(step_backward):
    def lstm_backward(dout, cache):
        dhs, dh, dc = dout
        dx, totals = [], [0, 0, 0]

        def take(t):
            nonlocal dh, dc, totals
            if dhs is not None:
                dh = dhs[t] if dh is None else dh + dhs[t]
            d, dh, dc, *more = step_backward((dh, dc), cache[t])
            dx.insert(0, d)
            totals = [a + b for a, b in zip(totals, more)]

        for t in reversed(range(len(cache))):
            take(t)
        return np.stack(dx), dh, dc, *totals

    return lstm_backward


lstm_backward = make_backward(lstm_step_backward)
