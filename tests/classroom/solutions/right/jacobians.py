"""Backward of one step by whole Jacobian matrices, one row of the batch after the other."""

import numpy as np


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    h, c = h_prev.copy(), c_prev.copy()
    rows = range(len(x)) if mask is None else np.flatnonzero(mask)
    cache = {}
    for n in rows:
        z = Wx.T @ x[n] + Wh.T @ h_prev[n] + b
        i, f, o, g = np.split(z, 4)
        i, f, o, g = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o)), np.tanh(g)
        c[n] = f * c_prev[n] + i * g
        h[n] = o * np.tanh(c[n])
        cache[int(n)] = i, f, o, g, c[n]
    return (h, c), (x, h_prev, c_prev, Wx, Wh, cache)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, rows = cache
    H = len(Wh)
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dx, dh_prev, dc_prev = np.zeros_like(x), dh.copy(), dc.copy()
    dWx, dWh, db = np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(4 * H)
    for n, (i, f, o, g, c) in rows.items():
        O = np.zeros((H, H))
        # of c (H,) by z (4H,) and by c_prev; of h by c and by z
        c_by_z = np.hstack([np.diag(g * i * (1 - i)), np.diag(c_prev[n] * f * (1 - f)), O, np.diag(i * (1 - g**2))])
        c_by_c = np.diag(f)
        h_by_c = np.diag(o * (1 - np.tanh(c) ** 2))
        h_by_z = np.hstack([O, O, np.diag(np.tanh(c) * o * (1 - o)), O]) + h_by_c @ c_by_z
        dz = dh[n] @ h_by_z + dc[n] @ c_by_z
        dc_prev[n] = dh[n] @ h_by_c @ c_by_c + dc[n] @ c_by_c
        dx[n], dh_prev[n] = dz @ Wx.T, dz @ Wh.T
        dWx += x[n][:, None] * dz
        dWh += h_prev[n][:, None] * dz
        db += dz
    return dx, dh_prev, dc_prev, dWx, dWh, db


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    states, caches = [(h0, c0)], []
    for t in range(len(x)):
        state, cache = lstm_step_forward(x[t], *states[t], Wx, Wh, b, None if mask is None else mask[t])
        states.append(state)
        caches.append(cache)
    return (np.array([h for h, _ in states[1:]]), *states[-1]), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    found = []
    for t in range(len(cache) - 1, -1, -1):
        up = [d for d in (dh, None if dhs is None else dhs[t]) if d is not None]
        found.append(lstm_step_backward((sum(up) if up else None, dc), cache[t]))
        dh, dc = found[-1][1:3]
    return np.array([d[0] for d in found][::-1]), dh, dc, *(np.sum([d[k] for d in found], axis=0) for k in (3, 4, 5))
