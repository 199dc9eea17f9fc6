import numpy as np


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    H = (parts := np.split((x @ Wx) + (h_prev @ Wh) + b, 4, -1))[0].shape[-1]
    (i, f, o), g = [1 / (1 + (e := np.exp(-p))) for p in parts[:3]], np.tanh(parts[3])
    h = o * (t := np.tanh(c := f * c_prev + i * g))
    if (padded := mask is not None):
        h, c = np.where((m := mask[:, None]), h, h_prev), np.where(m, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, i, f, o, g, t, m if padded else np.bool_(True))


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, t, m = cache
    dh = np.zeros_like(h_prev) if (dh := dout[0]) is None else dh
    dc = np.zeros_like(h_prev) if (dc := dout[1]) is None else dc
    d = (np.where(m, dc, 0) + (dho := np.where(m, dh, 0)) * o * (1 - t**2))
    dz = np.hstack([d * g * i * (1 - i), d * c_prev * f * (1 - f), dho * t * o * (1 - o), d * i * (1 - g**2)])
    return (dz @ Wx.T, np.where(m, dz @ Wh.T, dh), np.where(m, d * f, dc), x.T @ dz, h_prev.T @ dz, dz.sum(0))


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, t, caches = h0, c0, -1, []
    hs = np.zeros((T := len(x), *h0.shape))
    while (t := t + 1) < T:
        (h, c), last = lstm_step_forward(x[t], h, c, Wx, Wh, b, mask if mask is None else mask[t])
        hs[t] = h
        caches.append(last)
    return (hs, h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    dx, total, left = [], None, list(cache)
    while left:
        t = len(left) - 1
        if dhs is not None:
            dh = (0 if dh is None else dh) + dhs[t]
        d, dh, dc, *w = lstm_step_backward((dh, dc), left.pop())
        dx[:0] = [d]
        total = w if total is None else [a + b for a, b in zip(total, w)]
    return np.array(dx), dh, dc, *total
