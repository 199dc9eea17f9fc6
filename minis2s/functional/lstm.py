"""The long short-term memory: one step, a whole sequence, and both backward.

Read `lstm_step_forward` first, then `lstm_step_backward`, which is the same lines read
upward. `lstm_forward` and `lstm_backward` run the step over time, with every matrix product
that need not wait for its predecessor taken out of the loop. Gate order: i, f, o, g.

A name that ends in an underscore overwrites its argument. The outputs hs, h_last and c_last are
views into the cache, for speed: read them, but do not write to them before the backward pass.
"""

from typing import NamedTuple

import numpy as np

from minis2s.backend import Array, is_ids, transposed, xp_of
from minis2s.functional.activations import sigmoid_
from minis2s.functional.blocks import for_loop
from minis2s.functional.one_hot import one_hot, rows_of
from minis2s.kernels import fused
from minis2s.kernels import lstm as lstm_kernels
from minis2s.op import Op


class LSTMStepCache(NamedTuple):
    x: Array  # (B, D)   input
    h_prev: Array  # (B, H)   hidden state before the step
    c_prev: Array  # (B, H)   cell state before the step
    gates: Array  # (4, B, H)  i, f, o, g, after their activations
    tanh_c: Array  # (B, H)   tanh of the new cell state
    Wx: Array  # (D, 4H)
    Wh: Array  # (H, 4H)
    mask: Array | None  # (B,)     True where the step is real


def lstm_step_forward(
    x: Array, h_prev: Array, c_prev: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None = None
) -> tuple[tuple[Array, Array], LSTMStepCache]:
    """One step of a batch of LSTM cells.

        z       = x Wx + h_prev Wh + b          pre-activations of all four gates
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
        g       = tanh(z_g)                     candidate
        c       = f * c_prev + i * g            cell state
        h       = o * tanh(c)                   hidden state

    Shapes: x (B, D); h_prev, c_prev (B, H); Wx (D, 4H); Wh (H, 4H); b (4H,); mask (B,) or None.
    Where the mask is False the step is padding: h and c are h_prev and c_prev.

    Returns ((h, c), cache).

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    xp = xp_of(x)
    # z = x Wx + h_prev Wh + b
    z = x @ Wx
    z += h_prev @ Wh
    z += b
    if fused(xp):  # on a GPU the lines below are one kernel
        gates, tanh_c, c, h = lstm_kernels.step_forward(z, h_prev, c_prev, mask)
        return (h, c), LSTMStepCache(x, h_prev, c_prev, gates, tanh_c, Wx, Wh, mask)
    # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    gates = activate_gates_(by_gate(z), xp)
    i, f, o, g = gates
    # c = f * c_prev + i * g
    c = f * c_prev + i * g
    # h = o * tanh(c)
    tanh_c = xp.tanh(c)
    h = o * tanh_c
    if mask is not None:
        real = mask[:, None]
        h = xp.where(real, h, h_prev)
        c = xp.where(real, c, c_prev)
    return (h, c), LSTMStepCache(x, h_prev, c_prev, gates, tanh_c, Wx, Wh, mask)


def lstm_step_backward(dout: tuple[Array | None, Array | None], cache: LSTMStepCache) -> tuple[Array, ...]:
    """The gradients of one LSTM step: the lines of the forward step, read upward.

    Shapes: dout = (dh, dc), each (B, H) or None for zero.
    Returns (dx, dh_prev, dc_prev, dWx, dWh, db), each in the shape of what it belongs to.
    """
    x, h_prev, c_prev, gates, tanh_c, Wx, Wh, mask = cache
    xp = xp_of(x)
    i, f, o, g = gates
    dh, dc = (xp.zeros_like(h_prev) if d is None else d for d in dout)
    if fused(xp):  # on a GPU: the elementwise lines in one kernel
        return lstm_kernels.step_backward(dh, dc, cache)
    if mask is not None:
        # where the step is padding, h and c were handed on: so are their gradients
        real = mask[:, None]
        dh_carried, dc_carried = xp.where(real, 0, dh), xp.where(real, 0, dc)
        dh, dc = xp.where(real, dh, 0), xp.where(real, dc, 0)
    # h = o * tanh(c); c reaches the loss in two ways, through h and through the next step
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df = dc * c_prev
    dc_prev = dc * f
    di = dc * g
    dg = dc * i
    # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    # with sigmoid' = sigmoid (1 - sigmoid) and tanh' = 1 - tanh**2
    dz = xp.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    dWx = x.T @ dz
    dh_prev = dz @ Wh.T
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    if mask is not None:
        dh_prev += dh_carried
        dc_prev += dc_carried
    return dx, dh_prev, dc_prev, dWx, dWh, db


class LSTMCache(NamedTuple):
    x: Array  # (T, B, D)     inputs, or ids (T, B)
    hs: Array  # (T+1, B, H)   hidden states; hs[0] is the initial one, hs[t + 1] follows step t
    cs: Array  # (T+1, B, H)   cell states, likewise
    gates: Array  # (T, 4, B, H)  i, f, o, g of each step, after their activations
    tanh_c: Array  # (T, B, H)     tanh of the cell state that step t computed
    Wx: Array  # (D, 4H)
    Wh: Array  # (H, 4H)
    mask: Array | None  # (T, B)        True where the step is real


def lstm_forward(
    x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None = None
) -> tuple[tuple[Array, Array, Array], LSTMCache]:
    """An LSTM over a whole sequence: `lstm_step_forward` for t = 0 ... T-1.

    Shapes: x (T, B, D); h0, c0 (B, H); Wx (D, 4H); Wh (H, 4H); b (4H,); mask (T, B) or None.
    A step whose mask is False hands h and c on unchanged. x may be ids (T, B) below D: they stand
    for one-hot rows, whose product with Wx is a row of Wx.

    Returns ((hs (T, B, H), h_last (B, H), c_last (B, H)), cache).

    x Wx needs no previous state, so it is taken for all time steps at once, before the loop; only
    h_prev Wh has to wait. Each gate has its own block of the weights: the four products are faster
    than one with all 4H columns, which is too wide for the processor's cache, and each gate is an
    array in one piece.
    """
    xp = xp_of(x)
    T, B = x.shape[:2]
    H = h0.shape[1]
    hs = xp.empty((T + 1, B, H), dtype=Wh.dtype)
    cs = xp.empty((T + 1, B, H), dtype=Wh.dtype)
    tanh_c = xp.empty((T, B, H), dtype=Wh.dtype)
    hs[0] = h0
    cs[0] = c0
    if fused(xp):  # on a GPU: the lines of the loop in one kernel, z in one product for all gates
        gates = lstm_kernels.forward_steps(x, Wx, Wh, b, mask, hs, cs, tanh_c)
        return (hs[1:], hs[T], cs[T]), LSTMCache(x, hs, cs, gates, tanh_c, Wx, Wh, mask)
    Wx_gates = xp.ascontiguousarray(by_gate(Wx))  # (4, D, H)
    Wh_gates = for_loop(by_gate(Wh), B)  # (4, H, H), for products in a loop: see blocks.py
    if is_ids(x):
        z = rows_of(Wx_gates + by_gate(b[None]), x, xp)  # (T, 4, B, H)
    else:
        z = x[:, None] @ Wx_gates  # (T, 4, B, H)
        z += by_gate(b[None])
    padded = padded_steps(mask, T)
    for t in range(T):
        # hs[t], cs[t] are the state before step t; hs[t + 1], cs[t + 1] the state after it
        # z = x Wx + h_prev Wh + b
        z[t] += hs[t] @ Wh_gates
        # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
        i, f, o, g = activate_gates_(z[t], xp)
        # c = f * c_prev + i * g
        c = xp.multiply(f, cs[t], out=cs[t + 1])
        c += i * g
        # h = o * tanh(c)
        xp.tanh(c, out=tanh_c[t])
        h = xp.multiply(o, tanh_c[t], out=hs[t + 1])
        if padded[t]:
            real = mask[t][:, None]
            hs[t + 1] = xp.where(real, h, hs[t])
            cs[t + 1] = xp.where(real, c, cs[t])
    return (hs[1:], hs[T], cs[T]), LSTMCache(x, hs, cs, z, tanh_c, Wx, Wh, mask)


def lstm_backward(
    dout: tuple[Array | None, Array | None, Array | None], cache: LSTMCache
) -> tuple[Array, ...]:
    """Backpropagation through time: `lstm_step_backward` for t = T-1 ... 0.

    Shapes: dout = (dhs (T, B, H), dh_last (B, H), dc_last (B, H)), each may be None for zero.
    Returns (dx, dh0, dc0, dWx, dWh, db), each in the shape of what it belongs to; dx is None for ids.

    At step t, dh and dc are the whole gradients of the state after it: from the output at t,
    and from every later step through the state. The products for the weights and for x need
    no predecessor: they wait until dz is known for all steps, and are one product each.
    """
    dhs, dh_last, dc_last = dout
    x, hs, cs, gates, tanh_c, Wx, Wh, mask = cache
    xp = xp_of(x)
    T, B = x.shape[:2]
    D, H = len(Wx), hs.shape[2]
    dh = xp.zeros_like(hs[0]) if dh_last is None else dh_last.copy()
    dc = xp.zeros_like(cs[0]) if dc_last is None else dc_last.copy()
    dz = xp.empty((T, B, 4, H), dtype=gates.dtype)  # the gates of a row side by side, as in Wx and Wh
    WhT = for_loop(transposed(Wh), B)
    padded = padded_steps(mask, T)
    steps = reversed(range(T))
    if fused(xp):  # on a GPU: the whole loop, the lines of each step in one kernel
        dh, dc = lstm_kernels.backward_steps(dhs, dh, dc, cs, gates, tanh_c, mask, WhT, dz)
        steps = ()
    for t in steps:
        i, f, o, g = gates[t]
        if dhs is not None:
            dh += dhs[t]
        if padded[t]:
            # where the step is padding, h and c were handed on: so are their gradients
            real = mask[t][:, None]
            dh_carried, dc_carried = xp.where(real, 0, dh), xp.where(real, 0, dc)
            dh, dc = xp.where(real, dh, 0), xp.where(real, dc, 0)
        # h = o * tanh(c)
        do = dh * tanh_c[t]
        dc += dh * o * (1 - tanh_c[t] ** 2)
        # c = f * c_prev + i * g
        df = dc * cs[t]
        di = dc * g
        dg = dc * i
        dc *= f  # from here on, of the cell state before the step
        # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
        dz[t, :, 0] = di * i * (1 - i)
        dz[t, :, 1] = df * f * (1 - f)
        dz[t, :, 2] = do * o * (1 - o)
        dz[t, :, 3] = dg * (1 - g**2)
        # z = x Wx + h_prev Wh + b
        dh = dz[t].reshape(B, 4 * H) @ WhT  # of the hidden state before the step
        if padded[t]:
            dh += dh_carried
            dc += dc_carried
    # z = x Wx + h_prev Wh + b, for all steps at once
    dz_flat = dz.reshape(T * B, 4 * H)
    if is_ids(x):
        dx, x = None, one_hot(x, D, dz.dtype)  # ids have no gradient
    else:
        dx = (dz_flat @ Wx.T).reshape(T, B, D)
    dWx = x.reshape(T * B, D).T @ dz_flat
    dWh = hs[:-1].reshape(T * B, H).T @ dz_flat
    db = dz_flat.sum(axis=0)
    return dx, dh, dc, dWx, dWh, db


def by_gate(a: Array) -> Array:
    """(X, 4H) -> (4, X, H), a view: the blocks of i, f, o, g, which lie side by side, one by one."""
    X, H = a.shape[0], a.shape[1] // 4
    return a.reshape(X, 4, H).transpose(1, 0, 2)


def activate_gates_(z: Array, xp) -> Array:
    """Turn pre-activations (4, B, H) into gates i, f, o, g, in place; returns z."""
    sigmoid_(z[:3], xp)
    xp.tanh(z[3], out=z[3])
    return z


def padded_steps(mask: Array | None, T: int) -> list[bool]:
    """For each of T steps: must padding be blended in? Not where all sentences of mask (T, B) are real.

    On a GPU yes at every step: the answer would have to be waited for, and blending is cheap there.
    """
    if mask is None:
        return [False] * T
    if xp_of(mask) is not np:
        return [True] * T
    return (~mask.all(axis=1)).tolist()


lstm_step = Op("lstm_step", lstm_step_forward, lstm_step_backward)
lstm = Op("lstm", lstm_forward, lstm_backward)
