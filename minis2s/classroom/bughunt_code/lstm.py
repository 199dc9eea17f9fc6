import numpy as np


def sigmoid(z):
    """sigmoid(z) = 1 / (1 + exp(-z)), which cannot overflow when it is written so."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    """An LSTM over a whole sequence; its gates lie side by side: `i, f, o, g`.

        z = x Wx + h_prev Wh + b
        c = f * c_prev + i * g
        h = o * tanh(c)

    Shapes: x (T, B, D); h0, c0 (B, H); Wx (D, 4 * H); Wh (H, 4 * H).
    Shapes: b (4 * H,); mask (T, B) or None.

    Where `mask` is False the step is padding, and hands both states on unchanged.

    Returns ((hs, h_last, c_last), cache) with hs (T, B, H).
    """
    T, B, D = x.shape
    H = h0.shape[1]
    hs = np.empty((T + 1, B, H), dtype=Wh.dtype)
    cs = np.empty((T + 1, B, H), dtype=Wh.dtype)
    gates = np.empty((T, 4, B, H), dtype=Wh.dtype)
    tanh_c = np.empty((T, B, H), dtype=Wh.dtype)
    hs[0], cs[0] = h0, c0
    for t in range(T):
        # `hs[t]`, `cs[t]` are the states before the step, at `t + 1` those after it
        z = x[t] @ Wx + hs[t] @ Wh + b
        i, f, o = (sigmoid(z[:, n * H : (n + 1) * H]) for n in range(3))
        g = np.tanh(z[:, 3 * H :])
        c = f * cs[t] + i * g
        tanh_c[t] = np.tanh(c)
        h = o * tanh_c[t]
        if mask is not None:
            real = mask[t][:, None]
            h, c = np.where(real, h, hs[t]), np.where(real, c, cs[t])
        gates[t] = i, f, o, g
        hs[t + 1], cs[t + 1] = h, c
    return (hs[1:], hs[T], cs[T]), (x, hs, cs, gates, tanh_c, Wx, Wh, mask)


def lstm_backward(dout, cache):
    """Backpropagation through time: the lines of the forward pass, read upward.

    Shapes: dout = (dhs (T, B, H), dh_last (B, H), dc_last (B, H)), or None for each.

    At step `t`, `dh` and `dc` are the whole gradients of the states after it.

    Returns (dx, dh0, dc0, dWx, dWh, db).
    """
    dhs, dh_last, dc_last = dout
    x, hs, cs, gates, tanh_c, Wx, Wh, mask = cache
    T, B, D = x.shape
    H = hs.shape[2]
    dh = np.zeros_like(hs[0]) if dh_last is None else dh_last.copy()
    dc = np.zeros_like(cs[0]) if dc_last is None else dc_last.copy()
    dz = np.empty((T, B, 4, H), dtype=gates.dtype)
    WhT = Wh.T
    for t in reversed(range(T)):
        i, f, o, g = gates[t]
        if dhs is not None:
            dh += dhs[t]
        if mask is not None:
            # where the step is padding, the states were handed on: so are their gradients
            real = mask[t][:, None]
            dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
            dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
        # h = o * tanh(c)
        do = dh * tanh_c[t]
        dc += dh * o * (1 - tanh_c[t] ** 2)
        # c = f * c_prev + i * g
        df = dc * cs[t]
        di = dc * g
        dg = dc * i
        dc *= f  # from here on, of the state before the step
        # i, f, o = sigmoid(z), g = tanh(z), each of its block of `z`
        dz[t, :, 0] = di * i * (1 - i)
        dz[t, :, 1] = df * f * (1 - f)
        dz[t, :, 2] = do * o * (1 - o)
        dz[t, :, 3] = dg * (1 - g**2)
        # z = x Wx + h_prev Wh + b
        dh = dz[t].reshape(B, 4 * H) @ WhT
        if mask is not None:
            dh += dh_carried
            dc += dc_carried
    # z = x Wx + h_prev Wh + b, for all steps at once
    dz_flat = dz.reshape(T * B, 4 * H)
    dx = (dz_flat @ Wx.T).reshape(T, B, D)
    dWx = x.reshape(T * B, D).T @ dz_flat
    dWh = hs[:-1].reshape(T * B, H).T @ dz_flat
    db = dz_flat.sum(axis=0)
    return dx, dh, dc, dWx, dWh, db
