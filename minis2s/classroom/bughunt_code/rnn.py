import numpy as np


def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    """A tanh network over a whole sequence.

        z = x Wx + h_prev Wh + b
        h = tanh(z)

    Shapes: x (T, B, D); h0 (B, H); Wx (D, H); Wh (H, H); b (H,); mask (T, B) or None.

    Where `mask` is False the step is padding, and hands the state on unchanged.

    Returns ((hs, h_last), cache) with hs (T, B, H).
    """
    T, B, D = x.shape
    H = h0.shape[1]
    hs = np.empty((T + 1, B, H), dtype=Wh.dtype)
    hs[0] = h0
    for t in range(T):
        # `hs[t]` is the state before step `t`, `hs[t + 1]` the state after it
        z = x[t] @ Wx + hs[t] @ Wh + b
        h = np.tanh(z)
        if mask is not None:
            h = np.where(mask[t][:, None], h, hs[t])
        hs[t + 1] = h
    return (hs[1:], hs[T]), (x, hs, Wx, Wh, mask)


def rnn_backward(dout, cache):
    """Backpropagation through time: the lines of the forward pass, read upward.

    Shapes: dout = (dhs (T, B, H), dh_last (B, H)), each may be None.

    At step `t`, `dh` is the whole gradient of the state after it: from the output,
    and from every later step.

    Returns (dx, dh0, dWx, dWh, db).
    """
    dhs, dh_last = dout
    x, hs, Wx, Wh, mask = cache
    T, B, D = x.shape
    H = hs.shape[2]
    dh = np.zeros_like(hs[0]) if dh_last is None else dh_last.copy()
    dz = np.empty_like(hs[1:])
    WhT = Wh.T
    for t in reversed(range(T)):
        if dhs is not None:
            dh += dhs[t]
        if mask is not None:
            # where the step is padding, the state was handed on: so is its gradient
            real = mask[t][:, None]
            dh_carried = np.where(real, 0, dh)
            dh = np.where(real, dh, 0)
        # h = tanh(z)
        dz[t] = dh * (1 - hs[t + 1] ** 2)
        # z = x Wx + h_prev Wh + b
        dh = dz[t] @ WhT
        if mask is not None:
            dh += dh_carried
    # z = x Wx + h_prev Wh + b, for all steps at once
    dz_flat = dz.reshape(T * B, H)
    dx = (dz_flat @ Wx.T).reshape(T, B, D)
    dWx = x.reshape(T * B, D).T @ dz_flat
    dWh = hs[:-1].reshape(T * B, H).T @ dz_flat
    db = dz_flat.sum(axis=0)
    return dx, dh, dWx, dWh, db
