import numpy as np


def sigma(z):
    return 1 / (1 + np.exp(-z))


def arrays(things):
    return tuple(np.asarray(thing) for thing in things)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    X, Hp, A, U = np.asmatrix(x), np.asmatrix(h_prev), np.asmatrix(Wx), np.asmatrix(Wh)
    z = X * A + Hp * U + np.asmatrix(b)
    n = U.shape[0]
    i, f, o = (sigma(z[:, k * n : (k + 1) * n]) for k in range(3))
    g = np.tanh(z[:, 3 * n :])
    c = np.multiply(f, c_prev) + np.multiply(i, g)
    h = np.multiply(o, np.tanh(c))
    pad = np.zeros(len(x), bool) if mask is None else ~mask
    out = h.copy(), c.copy()
    out[0][pad], out[1][pad] = h_prev[pad], c_prev[pad]
    return arrays(out), (X, Hp, np.asmatrix(c_prev), A, U, i, f, o, g, c, pad)


def lstm_step_backward(dout, cache):
    X, Hp, Cp, A, U, i, f, o, g, c, pad = cache
    dh, dc = (np.asmatrix(np.zeros(c.shape) if d is None else d.copy()) for d in dout)
    kept = dh[pad], dc[pad]
    dh[pad] = 0
    dc[pad] = 0
    t = np.tanh(c)
    times = np.multiply
    dc = dc + times(times(dh, o), 1 - times(t, t))
    dz = np.hstack(
        [
            times(times(dc, g), times(i, 1 - i)),
            times(times(dc, Cp), times(f, 1 - f)),
            times(times(dh, t), times(o, 1 - o)),
            times(times(dc, i), 1 - times(g, g)),
        ]
    )
    dh_prev, dc_prev = dz * U.T, times(dc, f)
    dh_prev[pad], dc_prev[pad] = kept
    return *arrays((dz * A.T, dh_prev, dc_prev, X.T * dz, Hp.T * dz)), np.asarray(dz.sum(axis=0)).ravel()


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B, D = x.shape
    hs = np.zeros((T, B, h0.shape[1]))
    caches = []
    h, c = h0, c0
    for t in range(0, T):
        (h, c), cache = lstm_step_forward(x[t, :, :], h, c, Wx, Wh, b, None if mask is None else mask[t, :])
        hs[t, :, :] = h
        caches.append(cache)
    return (hs, h, c), (caches, x.shape)


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    caches, (T, B, D) = cache
    dx = np.zeros((T, B, D))
    grads = []
    for t in range(T - 1, -1, -1):
        if dhs is not None:
            dh = dhs[t, :, :] if dh is None else dh + dhs[t, :, :]
        dx[t, :, :], dh, dc, *more = lstm_step_backward((dh, dc), caches[t])
        grads.append(more)
    return dx, dh, dc, *(np.sum(g, axis=0) for g in zip(*grads))
