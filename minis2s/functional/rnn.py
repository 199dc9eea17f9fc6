"""The plain recurrent network: h = tanh(x Wx + h_prev Wh + b), and both backward.

The simplest recurrence there is, and so the place to see backpropagation through time without
gates. Its gradient passes through Wh once a step, and vanishes or explodes (Bengio et al.
1994): read it before the LSTM, which has the same structure with more lines.
"""

from typing import NamedTuple

from minis2s.backend import Array, is_ids, transposed, xp_of
from minis2s.functional.blocks import for_loop
from minis2s.functional.one_hot import one_hot
from minis2s.op import Op


class RNNStepCache(NamedTuple):
    x: Array  # (B, D)   input
    h_prev: Array  # (B, H)   hidden state before the step
    h: Array  # (B, H)   hidden state after it
    Wx: Array  # (D, H)
    Wh: Array  # (H, H)
    mask: Array | None  # (B,)     True where the step is real


def rnn_step_forward(
    x: Array, h_prev: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None = None
) -> tuple[Array, RNNStepCache]:
    """One step of a batch of tanh cells.

        z = x Wx + h_prev Wh + b
        h = tanh(z)

    Shapes: x (B, D); h_prev (B, H); Wx (D, H); Wh (H, H); b (H,); mask (B,) or None.
    Where the mask is False the step is padding: h is h_prev.

    Returns (h, cache).

    Source: Elman 1990.
    """
    xp = xp_of(x)
    # z = x Wx + h_prev Wh + b
    z = x @ Wx
    z += h_prev @ Wh
    z += b
    # h = tanh(z)
    h = xp.tanh(z)
    if mask is not None:
        h = xp.where(mask[:, None], h, h_prev)
    return h, RNNStepCache(x, h_prev, h, Wx, Wh, mask)


def rnn_step_backward(dh: Array, cache: RNNStepCache) -> tuple[Array, ...]:
    """The gradients of one step: the lines of the forward step, read upward.

    Shapes: dh (B, H).
    Returns (dx, dh_prev, dWx, dWh, db), each in the shape of what it belongs to.
    """
    x, h_prev, h, Wx, Wh, mask = cache
    xp = xp_of(x)
    if mask is not None:
        # where the step is padding, h was handed on: so is its gradient
        real = mask[:, None]
        dh_carried = xp.where(real, 0, dh)
        dh = xp.where(real, dh, 0)
    # h = tanh(z)
    dz = dh * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    dWx = x.T @ dz
    dh_prev = dz @ Wh.T
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    if mask is not None:
        dh_prev += dh_carried
    return dx, dh_prev, dWx, dWh, db


class RNNCache(NamedTuple):
    x: Array  # (T, B, D)     inputs, or ids (T, B)
    hs: Array  # (T+1, B, H)   hidden states; hs[0] is the initial one, hs[t + 1] follows step t
    Wx: Array  # (D, H)
    Wh: Array  # (H, H)
    mask: Array | None  # (T, B)        True where the step is real


def rnn_forward(
    x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None = None
) -> tuple[tuple[Array, Array], RNNCache]:
    """A tanh network over a whole sequence: `rnn_step_forward` for t = 0 ... T-1.

    Shapes: x (T, B, D); h0 (B, H); Wx (D, H); Wh (H, H); b (H,); mask (T, B) or None.
    A step whose mask is False hands h on unchanged. x may be ids (T, B) below D: they stand for
    one-hot rows, whose product with Wx is a row of Wx.

    Returns ((hs (T, B, H), h_last (B, H)), cache).

    x Wx needs no previous state, so it is one product over all time steps, before the loop.
    """
    xp = xp_of(x)
    T, B = x.shape[:2]
    H = h0.shape[1]
    hs = xp.empty((T + 1, B, H), dtype=Wh.dtype)
    hs[0] = h0
    z = Wx[x.reshape(T * B)] if is_ids(x) else x.reshape(T * B, -1) @ Wx
    z += b
    z = z.reshape(T, B, H)
    Wh_loop = for_loop(Wh, B)
    for t in range(T):
        # hs[t] is the state before step t, hs[t + 1] the state after it
        # z = x Wx + h_prev Wh + b
        z[t] += hs[t] @ Wh_loop
        # h = tanh(z)
        h = xp.tanh(z[t], out=hs[t + 1])
        if mask is not None:
            hs[t + 1] = xp.where(mask[t][:, None], h, hs[t])
    return (hs[1:], hs[T]), RNNCache(x, hs, Wx, Wh, mask)


def rnn_backward(dout: tuple[Array | None, Array | None], cache: RNNCache) -> tuple[Array, ...]:
    """Backpropagation through time: `rnn_step_backward` for t = T-1 ... 0.

    Shapes: dout = (dhs (T, B, H), dh_last (B, H)), each may be None for zero.
    Returns (dx, dh0, dWx, dWh, db), each in the shape of what it belongs to; dx is None for ids.

    At step t, dh is the whole gradient of the state after it: from the output at t, and from
    every later step through the state. The other products wait until dz is known for all
    steps, and are one each.
    """
    dhs, dh_last = dout
    x, hs, Wx, Wh, mask = cache
    xp = xp_of(x)
    T, B = x.shape[:2]
    D, H = len(Wx), hs.shape[2]
    dh = xp.zeros_like(hs[0]) if dh_last is None else dh_last.copy()
    dz = xp.empty_like(hs[1:])
    WhT = for_loop(transposed(Wh), B)
    for t in reversed(range(T)):
        if dhs is not None:
            dh += dhs[t]
        if mask is not None:
            # where the step is padding, h was handed on: so is its gradient
            real = mask[t][:, None]
            dh_carried = xp.where(real, 0, dh)
            dh = xp.where(real, dh, 0)
        # h = tanh(z)
        dz[t] = dh * (1 - hs[t + 1] ** 2)
        # z = x Wx + h_prev Wh + b
        dh = dz[t] @ WhT
        if mask is not None:
            dh += dh_carried
    # z = x Wx + h_prev Wh + b, for all steps at once
    dz_flat = dz.reshape(T * B, H)
    if is_ids(x):
        dx, x = None, one_hot(x, D, dz.dtype)  # ids have no gradient
    else:
        dx = (dz_flat @ Wx.T).reshape(T, B, D)
    dWx = x.reshape(T * B, D).T @ dz_flat
    dWh = hs[:-1].reshape(T * B, H).T @ dz_flat
    db = dz_flat.sum(axis=0)
    return dx, dh, dWx, dWh, db


rnn_step = Op("rnn_step", rnn_step_forward, rnn_step_backward)
rnn = Op("rnn", rnn_forward, rnn_backward)
