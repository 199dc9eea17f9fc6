import numpy as np


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    masks = [None] * len(x) if mask is None else mask
    return _run(x, h0, c0, (Wx, Wh, b), masks)


def lstm_backward(dout, cache):
    return _unrun(*_filled(dout, cache), cache)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    return _step(x, (h_prev, c_prev), (Wx, Wh, b), mask)


def lstm_step_backward(dout, cache):
    zero = np.zeros_like(cache["h"])
    return _unstep(*[zero if d is None else d for d in dout], **cache)


def _filled(dout, cache):
    zero = np.zeros_like(cache[0]["h"])
    dhs, dh, dc = dout
    return [zero] * len(cache) if dhs is None else dhs, zero if dh is None else dh, zero if dc is None else dc


def _run(x, h, c, weights, masks):
    result, caches = [], []
    for letter, mask in zip(x, masks):
        (h, c), cache = _step(letter, (h, c), weights, mask)
        result.append(h)
        caches.append(cache)
    return (np.array(result), h, c), caches


def _unrun(dhs, dh, dc, caches):
    dx, sums = [], np.zeros(3, dtype=object)
    for d, cache in zip(dhs[::-1], caches[::-1]):
        dxt, dh, dc, *weights = _unstep(dh + d, dc, **cache)
        dx.append(dxt)
        for n in range(3):
            sums[n] = sums[n] + weights[n]
    return np.array(dx[::-1]), dh, dc, *sums


def _step(x, state, weights, mask):
    (h, c), (Wx, Wh, b) = state, weights
    i, f, o, g = _activated(x @ Wx + h @ Wh + b)
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    m = _column(mask, len(x))
    cache = dict(x=x, h=h, c=c, Wx=Wx, Wh=Wh, i=i, f=f, o=o, g=g, c_new=c_new, m=m)
    return (_choose(m, h_new, h), _choose(m, c_new, c)), cache


def _unstep(dh, dc, x, h, c, Wx, Wh, i, f, o, g, c_new, m):
    to_c = _choose(m, dc + dh * o * _tanh_slope(np.tanh(c_new)), 0 * dc)
    to_o = _choose(m, dh * np.tanh(c_new), 0 * dh)
    dz = np.c_[to_c * g * _slope(i), to_c * c * _slope(f), to_o * _slope(o), to_c * i * _tanh_slope(g)]
    return dz @ Wx.T, _choose(m, dz @ Wh.T, dh), _choose(m, to_c * f, dc), x.T @ dz, h.T @ dz, dz.sum(0)


def _activated(z):
    for n, part in enumerate(np.split(z, 4, axis=1)):
        yield np.tanh(part) if n == 3 else 1 / (1 + np.exp(-part))


def _column(mask, n):
    return np.ones((n, 1), bool) if mask is None else np.reshape(mask, (n, 1))


def _choose(m, new, old):
    return np.where(m, new, old)


def _slope(a):
    return a - a * a


def _tanh_slope(a):
    return (1 - a) * (1 + a)
