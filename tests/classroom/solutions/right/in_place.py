"""As few arrays as possible; what was given is never written to."""

import numpy as np


def step(z, c_prev, h_out, c_out, tanh_c, h_prev, real):
    H = c_prev.shape[1]
    z *= np.array([0.5, 0.5, 0.5, 1.0]).repeat(H)
    np.tanh(z, out=z)
    z[:, : 3 * H] += 1
    z[:, : 3 * H] *= 0.5
    np.multiply(z[:, H : 2 * H], c_prev, out=c_out)
    c_out += z[:, :H] * z[:, 3 * H :]
    np.tanh(c_out, out=tanh_c)
    np.multiply(z[:, 2 * H : 3 * H], tanh_c, out=h_out)
    if real is not None:
        np.copyto(h_out, h_prev, where=~real[:, None])
        np.copyto(c_out, c_prev, where=~real[:, None])


def unstep(dz, a, tanh_c, c_prev, dh, dc, real):
    """Fills dz and turns dc into that of the state before; dh is left as it is."""
    H = c_prev.shape[1]
    i, f, o, g = (a[:, k * H : (k + 1) * H] for k in range(4))
    kept = None if real is None else dc[~real].copy()
    dc += dh * o * (1 - tanh_c**2)
    np.multiply(dc, g, out=dz[:, :H])
    np.multiply(dc, c_prev, out=dz[:, H : 2 * H])
    np.multiply(dh, tanh_c, out=dz[:, 2 * H : 3 * H])
    np.multiply(dc, i, out=dz[:, 3 * H :])
    dz[:, : 3 * H] *= a[:, : 3 * H]
    dz[:, : 3 * H] *= 1 - a[:, : 3 * H]
    dz[:, 3 * H :] *= 1 - g * g
    dc *= f
    if real is not None:
        dz[~real] = 0
        dc[~real] = kept


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    z = x @ Wx
    z += h_prev @ Wh
    z += b
    h, c, tanh_c = np.empty_like(c_prev), np.empty_like(c_prev), np.empty_like(c_prev)
    step(z, c_prev, h, c, tanh_c, h_prev, mask)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, mask, z, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, mask, a, tanh_c = cache
    dh, dc = (np.zeros_like(c_prev) if d is None else d.copy() for d in dout)
    dz = np.empty_like(a)
    unstep(dz, a, tanh_c, c_prev, dh, dc, mask)
    back = dz @ Wh.T
    if mask is not None:
        back[~mask] = dh[~mask]
    return dz @ Wx.T, back, dc, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B, D = x.shape
    H = h0.shape[1]
    a = (x.reshape(T * B, D) @ Wx + b).reshape(T, B, 4 * H)
    hs, cs, tanh_c = np.empty((T + 1, B, H)), np.empty((T + 1, B, H)), np.empty((T, B, H))
    hs[0], cs[0] = h0, c0
    for t in range(T):
        a[t] += hs[t] @ Wh
        step(a[t], cs[t], hs[t + 1], cs[t + 1], tanh_c[t], hs[t], None if mask is None else mask[t])
    return (hs[1:].copy(), hs[-1].copy(), cs[-1].copy()), (x, hs, cs, a, tanh_c, Wx, Wh, mask)


def lstm_backward(dout, cache):
    x, hs, cs, a, tanh_c, Wx, Wh, mask = cache
    T, B, D = x.shape
    dhs = dout[0]
    dh, dc = (np.zeros(hs.shape[1:]) if d is None else d.copy() for d in dout[1:])
    dz = np.empty_like(a)
    for t in reversed(range(T)):
        if dhs is not None:
            dh += dhs[t]
        unstep(dz[t], a[t], tanh_c[t], cs[t], dh, dc, None if mask is None else mask[t])
        back = dz[t] @ Wh.T
        if mask is not None:
            back[~mask[t]] = dh[~mask[t]]
        dh = back
    flat = dz.reshape(T * B, -1)
    dx = (flat @ Wx.T).reshape(T, B, D)
    return dx, dh, dc, x.reshape(T * B, D).T @ flat, hs[:-1].reshape(T * B, -1).T @ flat, flat.sum(axis=0)
