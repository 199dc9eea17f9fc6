from __future__ import annotations

import numpy as np


class ShapeError(ValueError):
    pass


def check(x, h, Wx):
    match x.shape, h.shape:
        case (B, D), (B2, H) if B == B2 and Wx.shape == (D, 4 * H):
            return B, D, H
        case _:
            raise ShapeError(f"{x.shape} does not go with {h.shape}")


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    B, D, H = check(x, h_prev, Wx)
    z = x @ Wx + h_prev @ Wh + b
    a = {}
    for k, name in enumerate("ifog"):
        part = z[:, k * H : (k + 1) * H]
        match name:
            case "i" | "f" | "o":
                a[name] = 1 / (1 + np.exp(-part))
            case "g":
                a[name] = np.tanh(part)
    c = a["f"] * c_prev + a["i"] * a["g"]
    h = a["o"] * np.tanh(c)
    assert h.shape == (B, H), "the shape of h"
    match mask:
        case None:
            real = np.ones((B, 1), bool)
        case np.ndarray():
            real = mask[:, np.newaxis]
    return (np.where(real, h, h_prev), np.where(real, c, c_prev)), (x, h_prev, c_prev, Wx, Wh, a, c, real)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, a, c, real = cache
    upstream = []
    for d in dout:
        try:
            upstream.append(d * 1.0)
        except TypeError:
            upstream.append(np.zeros_like(c))
    dh, dc = upstream
    kept = np.where(real, 0, dh), np.where(real, 0, dc)
    dh, dc = dh - kept[0], dc - kept[1]
    dc = dc + dh * a["o"] * (1 - np.tanh(c) ** 2)
    d = dict(i=dc * a["g"], f=dc * c_prev, o=dh * np.tanh(c), g=dc * a["i"])
    dz = np.concatenate([d[k] * (a[k] * (1 - a[k]) if k != "g" else 1 - a[k] ** 2) for k in d], axis=1)
    try:
        return dz @ Wx.T, dz @ Wh.T + kept[0], dc * a["f"] + kept[1], x.T @ dz, h_prev.T @ dz, dz.sum(0)
    finally:
        del d, dz


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches, t = h0, c0, [], [], 0
    while True:
        try:
            letter = x[t]
        except IndexError:
            break
        (h, c), k = lstm_step_forward(letter, h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(k)
        t += 1
    else:
        raise AssertionError
    return (np.array(hs), h, c), caches


def lstm_backward(dout, cache):
    match tuple(dout):
        case (None, dh, dc):
            dhs = [0.0] * len(cache)
        case (dhs, dh, dc):
            pass
    dx, total = [], None
    for t in range(len(cache) - 1, -1, -1):
        dh = dhs[t] if dh is None else dh + dhs[t]
        if np.ndim(dh) == 0:
            dh = None
        one, dh, dc, *rest = lstm_step_backward((dh, dc), cache[t])
        dx.append(one)
        try:
            total = [p + q for p, q in zip(total, rest)]
        except TypeError:
            total = rest
    return np.array(dx[::-1]), dh, dc, *total
