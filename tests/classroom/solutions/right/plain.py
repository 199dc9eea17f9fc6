import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    H = h_prev.shape[1]
    z = x @ Wx + h_prev @ Wh + b
    i = sigmoid(z[:, :H])
    f = sigmoid(z[:, H : 2 * H])
    o = sigmoid(z[:, 2 * H : 3 * H])
    g = np.tanh(z[:, 3 * H :])
    c_new = f * c_prev + i * g
    h_new = o * np.tanh(c_new)
    if mask is None:
        h, c = h_new, c_new
    else:
        h = np.where(mask[:, None], h_new, h_prev)
        c = np.where(mask[:, None], c_new, c_prev)
    cache = (x, h_prev, c_prev, Wx, Wh, mask, i, f, o, g, c_new)
    return (h, c), cache


def lstm_step_backward(dout, cache):
    dh, dc = dout
    x, h_prev, c_prev, Wx, Wh, mask, i, f, o, g, c_new = cache
    if dh is None:
        dh = np.zeros_like(h_prev)
    if dc is None:
        dc = np.zeros_like(c_prev)
    if mask is None:
        real = np.ones((len(x), 1), dtype=bool)
    else:
        real = mask[:, None]
    # padded rows hand their gradient on
    dh_through = np.where(real, 0, dh)
    dc_through = np.where(real, 0, dc)
    dh = np.where(real, dh, 0)
    dc = np.where(real, dc, 0)
    tanh_c = np.tanh(c_new)
    dc = dc + dh * o * (1 - tanh_c**2)
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    do = dh * tanh_c * o * (1 - o)
    dg = dc * i * (1 - g**2)
    dz = np.concatenate([di, df, do, dg], axis=1)
    dx = dz @ Wx.T
    dh_prev = dz @ Wh.T + dh_through
    dc_prev = dc * f + dc_through
    dWx = x.T @ dz
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dc_prev, dWx, dWh, db


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T = x.shape[0]
    h, c = h0, c0
    hs = []
    caches = []
    for t in range(T):
        m = None if mask is None else mask[t]
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, m)
        hs.append(h)
        caches.append(cache)
    return (np.array(hs), h, c), (caches, x.shape, h0.shape, Wx.shape)


def lstm_backward(dout, cache):
    dhs, dh_last, dc_last = dout
    caches, x_shape, h_shape, w_shape = cache
    dh = np.zeros(h_shape) if dh_last is None else dh_last
    dc = np.zeros(h_shape) if dc_last is None else dc_last
    dx = np.zeros(x_shape)
    dWx = np.zeros(w_shape)
    dWh = np.zeros((h_shape[1], w_shape[1]))
    db = np.zeros(w_shape[1])
    for t in range(x_shape[0] - 1, -1, -1):
        if dhs is not None:
            dh = dh + dhs[t]
        dx[t], dh, dc, dWx_t, dWh_t, db_t = lstm_step_backward((dh, dc), caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dh, dc, dWx, dWh, db
