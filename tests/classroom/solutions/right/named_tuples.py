"""Named tuples everywhere, in what is returned as well."""

from collections import namedtuple

import numpy as np

State = namedtuple("State", "h c")
Cache = namedtuple("Cache", ["x", "before", "Wx", "Wh", "real", "i", "f", "o", "g", "tanh_c"])
Grads = namedtuple("Grads", "dx dh_prev dc_prev dWx dWh db")
Output = namedtuple("Output", "hs h_last c_last")


def logistic(z):
    return 0.5 * (1 + np.tanh(z / 2))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    z_i, z_f, z_o, z_g = np.hsplit(np.dot(x, Wx) + np.dot(h_prev, Wh) + b, 4)
    i, f, o, g = logistic(z_i), logistic(z_f), logistic(z_o), np.tanh(z_g)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    real = np.full((len(x), 1), True) if mask is None else mask.reshape(-1, 1)
    state = State(np.where(real, o * tanh_c, h_prev), np.where(real, c, c_prev))
    return state, Cache(x, State(h_prev, c_prev), Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    dh, dc = (d if d is not None else np.zeros_like(cache.i) for d in dout)
    k = cache
    dz_parts = State(np.where(k.real, dh, 0.0), np.where(k.real, dc, 0.0))
    inner = dz_parts.c + dz_parts.h * k.o * (1 - np.square(k.tanh_c))
    dz = np.hstack(
        (
            inner * k.g * k.i * (1 - k.i),
            inner * k.before.c * k.f * (1 - k.f),
            dz_parts.h * k.tanh_c * k.o * (1 - k.o),
            inner * k.i * (1 - np.square(k.g)),
        )
    )
    return Grads(
        dx=dz @ k.Wx.T,
        dh_prev=np.where(k.real, dz @ k.Wh.T, dh),
        dc_prev=np.where(k.real, inner * k.f, dc),
        dWx=k.x.T @ dz,
        dWh=k.before.h.T @ dz,
        db=dz.sum(axis=0),
    )


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    state, hs, caches = State(h0, c0), [], []
    for t in range(x.shape[0]):
        state, cache = lstm_step_forward(x[t], state.h, state.c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(state.h)
        caches.append(cache)
    return Output(np.array(hs), state.h, state.c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    each = []
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        each.append(lstm_step_backward((dh, dc), cache[t]))
        dh, dc = each[-1].dh_prev, each[-1].dc_prev
    each.reverse()
    return Grads(
        np.array([g.dx for g in each]),
        dh,
        dc,
        sum(g.dWx for g in each),
        sum(g.dWh for g in each),
        sum(g.db for g in each),
    )
