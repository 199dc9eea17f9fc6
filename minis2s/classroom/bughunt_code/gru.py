import numpy as np


def sigmoid(z):
    """sigmoid(z) = 1 / (1 + exp(-z)), which cannot overflow when it is written so."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    """A GRU over a whole sequence; its blocks lie side by side in the order `r, u, n`.

        zx = x Wx + bx
        zh = h_prev Wh + bh
        r, u = sigmoid(zx + zh)
        n = tanh(zx + r * zh)
        h = (1 - u) * n + u * h_prev

    Shapes: x (T, B, D); h0 (B, H); Wx (D, 3 * H); Wh (H, 3 * H).
    Shapes: bx, bh (3 * H,); mask (T, B) or None.

    Where `mask` is False the step is padding, and hands the state on unchanged.

    Returns ((hs, h_last), cache) with hs (T, B, H).
    """
    T, B, D = x.shape
    H = h0.shape[1]
    hs = np.empty((T + 1, B, H), dtype=Wh.dtype)
    r, u, n, zh_n = (np.empty((T, B, H), dtype=Wh.dtype) for _ in range(4))
    hs[0] = h0
    for t in range(T):
        # `hs[t]` is the state before step `t`, `hs[t + 1]` the state after it
        zx = x[t] @ Wx + bx
        zh = hs[t] @ Wh + bh
        r[t] = sigmoid(zx[:, :H] + zh[:, :H])
        u[t] = sigmoid(zx[:, H : 2 * H] + zh[:, H : 2 * H])
        zh_n[t] = zh[:, 2 * H :]
        n[t] = np.tanh(zx[:, 2 * H :] + r[t] * zh_n[t])
        h = (1 - u[t]) * n[t] + u[t] * hs[t]
        if mask is not None:
            h = np.where(mask[t][:, None], h, hs[t])
        hs[t + 1] = h
    return (hs[1:], hs[T]), (x, hs, r, u, n, zh_n, Wx, Wh, mask)


def gru_backward(dout, cache):
    """Backpropagation through time: the lines of the forward pass, read upward.

    Shapes: dout = (dhs (T, B, H), dh_last (B, H)), each may be None.

    At step `t`, `dh` is the whole gradient of the state after it: from the output,
    and from every later step.

    Returns (dx, dh0, dWx, dWh, dbx, dbh).
    """
    dhs, dh_last = dout
    x, hs, r, u, n, zh_n, Wx, Wh, mask = cache
    T, B, D = x.shape
    H = hs.shape[2]
    dh = np.zeros_like(hs[0]) if dh_last is None else dh_last.copy()
    dzx = np.empty((T, B, 3 * H), dtype=hs.dtype)
    dzh = np.empty((T, B, 3 * H), dtype=hs.dtype)
    for t in reversed(range(T)):
        if dhs is not None:
            dh += dhs[t]
        if mask is not None:
            # where the step is padding, the state was handed on: so is its gradient
            real = mask[t][:, None]
            dh_carried = np.where(real, 0, dh)
            dh = np.where(real, dh, 0)
        # h = (1 - u) * n + u * h_prev
        dn = dh * (1 - u[t])
        du = dh * (hs[t] - n[t])
        dh = dh * u[t]  # from here on, of the state before the step
        # n = tanh(zx + r * zh)
        dz_n = dn * (1 - n[t] ** 2)
        dr = dz_n * zh_n[t]
        # r, u = sigmoid(zx + zh)
        dzx[t, :, :H] = dr * r[t] * (1 - r[t])
        dzx[t, :, H : 2 * H] = du * u[t] * (1 - u[t])
        dzx[t, :, 2 * H :] = dz_n
        dzh[t] = dzx[t]
        dzh[t, :, 2 * H :] = dz_n * r[t]
        # zh = h_prev Wh + bh
        dh += dzh[t] @ Wh.T
        if mask is not None:
            dh += dh_carried
    # zx = x Wx + bx, for all steps at once
    dzx_flat = dzx.reshape(T * B, 3 * H)
    dx = (dzx_flat @ Wx.T).reshape(T, B, D)
    dWx = x.reshape(T * B, D).T @ dzx_flat
    dbx = dzx_flat.sum(axis=0)
    # zh = h_prev Wh + bh, for all steps at once
    h_prev = hs[:-1].reshape(T * B, H)
    dzh_flat = dzh.reshape(T * B, 3 * H)
    dWh = h_prev.T @ dzh_flat
    dbh = dzh_flat.sum(axis=0)
    return dx, dh, dWx, dWh, dbx, dbh
