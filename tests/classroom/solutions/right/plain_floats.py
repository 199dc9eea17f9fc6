"""No arrays inside: lists of floats, and math. Slow, and right."""

import math

import numpy as np


def sigmoid(z):
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    e = math.exp(z)
    return e / (1 + e)


def dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def cell(x, h, c, Wx, Wh, b):
    H = len(h)
    z = [dot(x, [row[k] for row in Wx]) + dot(h, [row[k] for row in Wh]) + b[k] for k in range(4 * H)]
    i, f, o = ([sigmoid(v) for v in z[k * H : (k + 1) * H]] for k in range(3))
    g = [math.tanh(v) for v in z[3 * H :]]
    new = [f[k] * c[k] + i[k] * g[k] for k in range(H)]
    return [o[k] * math.tanh(new[k]) for k in range(H)], new, (x, h, c, i, f, o, g, new)


def cell_back(dh, dc, kept, Wx, Wh):
    x, h, c, i, f, o, g, new = kept
    H = len(h)
    e = [dc[k] + dh[k] * o[k] * (1 - math.tanh(new[k]) ** 2) for k in range(H)]
    dz = [e[k] * g[k] * i[k] * (1 - i[k]) for k in range(H)]
    dz += [e[k] * c[k] * f[k] * (1 - f[k]) for k in range(H)]
    dz += [dh[k] * math.tanh(new[k]) * o[k] * (1 - o[k]) for k in range(H)]
    dz += [e[k] * i[k] * (1 - g[k] ** 2) for k in range(H)]
    return [dot(row, dz) for row in Wx], [dot(row, dz) for row in Wh], [e[k] * f[k] for k in range(H)], dz


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    W = Wx.tolist(), Wh.tolist()
    hs, cs, kept = [], [], []
    for n in range(len(x)):
        h, c = h_prev[n].tolist(), c_prev[n].tolist()
        memory = None
        if mask is None or mask[n]:
            h, c, memory = cell(x[n].tolist(), h, c, *W, b.tolist())
        hs.append(h)
        cs.append(c)
        kept.append(memory)
    return (np.array(hs), np.array(cs)), (kept, W, x.shape, h_prev.shape)


def lstm_step_backward(dout, cache):
    kept, (Wx, Wh), (B, D), (_, H) = cache
    dh_all, dc_all = (([[0.0] * H] * B) if d is None else d.tolist() for d in dout)
    dx, dh, dc = [[0.0] * D for _ in range(B)], dh_all[:], dc_all[:]
    dWx, dWh, db = [[0.0] * 4 * H for _ in range(D)], [[0.0] * 4 * H for _ in range(H)], [0.0] * 4 * H
    for n, memory in enumerate(kept):
        if memory is None:
            continue
        dx[n], dh[n], dc[n], dz = cell_back(dh_all[n], dc_all[n], memory, Wx, Wh)
        for k in range(4 * H):
            db[k] += dz[k]
            for d in range(D):
                dWx[d][k] += memory[0][d] * dz[k]
            for j in range(H):
                dWh[j][k] += memory[1][j] * dz[k]
    return tuple(map(np.array, (dx, dh, dc, dWx, dWh, db)))


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), k = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h.tolist())
        caches.append(k)
    return (np.array(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    dx, sums = [], None
    for t in range(len(cache) - 1, -1, -1):
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        one, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dx.append(one.tolist())
        sums = more if sums is None else [a + b for a, b in zip(sums, more)]
    return [np.array(dx[::-1]), dh, dc, *sums]
