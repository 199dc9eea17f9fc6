from numpy import *


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    zi, zf, zo, zg = split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = 1 / (1 + exp(-zi)), 1 / (1 + exp(-zf)), 1 / (1 + exp(-zo)), tanh(zg)
    c = f * c_prev + i * g
    h = o * tanh(c)
    real = ones((x.shape[0], 1), dtype=bool) if mask is None else expand_dims(mask, 1)
    return (where(real, h, h_prev), where(real, c, c_prev)), (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, real)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, real = cache
    dh, dc = [zeros(c.shape) if d is None else d for d in dout]
    a, e = dh * real, dc * real
    e = e + a * o / cosh(c) ** 2
    dz = concatenate([e * g * i * (1 - i), e * c_prev * f * (1 - f), a * tanh(c) * o * (1 - o), e * i * (1 - g**2)], 1)
    return (
        matmul(dz, transpose(Wx)),
        matmul(dz, transpose(Wh)) + where(real, 0, dh),
        e * f + where(real, 0, dc),
        matmul(transpose(x), dz),
        matmul(transpose(h_prev), dz),
        sum(dz, axis=0),
    )


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, zeros((x.shape[0],) + h0.shape), []
    for t in arange(x.shape[0]):
        (h, c), k = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs[t] = h
        caches.append(k)
    return (hs, h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    n = len(cache)
    xs = cache[0][0].shape
    dx, dWx, dWh, db = zeros((n,) + xs), 0, 0, 0
    for t in arange(n)[::-1]:
        if dhs is not None:
            dh = dhs[t] if dh is None else add(dh, dhs[t])
        dx[t], dh, dc, p, q, r = lstm_step_backward((dh, dc), cache[t])
        dWx, dWh, db = dWx + p, dWh + q, db + r
    return dx, dh, dc, dWx, dWh, db
