"""The gated recurrent unit: one step, a whole sequence, and both backward.

Two gates and no cell state: the update gate u decides how much of the state stays, the reset
gate r how much of it the candidate n may see. Read `gru_step_forward` first, then
`gru_step_backward`, the same lines read upward. Gate order: r, u, n.
"""

from typing import NamedTuple

from minis2s.backend import Array, is_ids, transposed, xp_of
from minis2s.functional.activations import sigmoid_
from minis2s.functional.blocks import for_loop
from minis2s.functional.one_hot import one_hot
from minis2s.kernels import fused
from minis2s.kernels import gru as gru_kernels
from minis2s.op import Op


class GRUStepCache(NamedTuple):
    x: Array  # (B, D)   input
    h_prev: Array  # (B, H)   hidden state before the step
    ru: Array  # (B, 2H)  r, u side by side, after their sigmoid
    n: Array  # (B, H)   candidate
    zh_n: Array | None  # (B, H)   h_prev Wh_n + bh_n, what r scales; None when reset before
    Wx: Array  # (D, 3H)
    Wh: Array  # (H, 3H)
    mask: Array | None  # (B,)     True where the step is real


def gru_step_forward(
    x: Array,
    h_prev: Array,
    Wx: Array,
    Wh: Array,
    bx: Array,
    bh: Array,
    mask: Array | None = None,
    reset_after: bool = True,
) -> tuple[Array, GRUStepCache]:
    """One step of a batch of gated recurrent units.

        zx = x Wx + bx                                   the input's part of r, u and n
        r  = sigmoid(zx_r + h_prev Wh_r + bh_r)          reset gate
        u  = sigmoid(zx_u + h_prev Wh_u + bh_u)          update gate
        n  = tanh(zx_n + r * (h_prev Wh_n + bh_n))       candidate, reset after the product
        n  = tanh(zx_n + (r * h_prev) Wh_n + bh_n)       candidate, reset before the product
        h  = (1 - u) * n + u * h_prev                    hidden state

    Shapes: x (B, D); h_prev (B, H); Wx (D, 3H); Wh (H, 3H); bx, bh (3H,); mask (B,) or None.
    Where the mask is False the step is padding: h is h_prev.

    Returns (h, cache).

    Sources: reset-before is the unit of Cho et al. 2014 as published (arXiv 1406.1078v3,
    equations 5 to 8). Reset-after is in that paper's first version: since r comes last, one
    product with h_prev serves all three gates, so cuDNN and torch chose it, and it is the
    default here. With reset-after, bh_n stands inside the brackets of r and is a weight of its
    own; in the other form only the sum bx + bh matters. Chung et al. 2014 exchange u and 1 - u.
    """
    xp = xp_of(x)
    H = h_prev.shape[1]
    # zx = x Wx + bx
    zx = x @ Wx
    zx += bx
    if fused(xp):  # on a GPU the lines below are one kernel, or two when the reset is before
        ru, n, zh_n, h = gru_kernels.single_step_forward(zx, h_prev, Wh, bh, mask, reset_after)
        return h, GRUStepCache(x, h_prev, ru, n, zh_n, Wx, Wh, mask)
    # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
    ru = sigmoid_(zx[:, : 2 * H] + h_prev @ Wh[:, : 2 * H] + bh[: 2 * H], xp)
    r, u = ru[:, :H], ru[:, H:]
    if reset_after:
        # n = tanh(zx_n + r * zh_n), with zh_n = h_prev Wh_n + bh_n
        zh_n = h_prev @ Wh[:, 2 * H :] + bh[2 * H :]
        n = xp.tanh(zx[:, 2 * H :] + r * zh_n)
    else:
        # n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
        zh_n = None
        n = xp.tanh(zx[:, 2 * H :] + (r * h_prev) @ Wh[:, 2 * H :] + bh[2 * H :])
    # h = (1 - u) * n + u * h_prev
    h = (1 - u) * n + u * h_prev
    if mask is not None:
        h = xp.where(mask[:, None], h, h_prev)
    return h, GRUStepCache(x, h_prev, ru, n, zh_n, Wx, Wh, mask)


def gru_step_backward(dh: Array, cache: GRUStepCache) -> tuple[Array, ...]:
    """The gradients of one GRU step: the lines of the forward step, read upward.

    Shapes: dh (B, H).
    Returns (dx, dh_prev, dWx, dWh, dbx, dbh), each in the shape of what it belongs to.
    """
    x, h_prev, ru, n, zh_n, Wx, Wh, mask = cache
    xp = xp_of(x)
    if fused(xp):  # on a GPU: the elementwise lines in one kernel, or two when the reset is before
        return gru_kernels.single_step_backward(dh, cache)
    H = h_prev.shape[1]
    r, u = ru[:, :H], ru[:, H:]
    if mask is not None:
        # where the step is padding, h was handed on: so is its gradient
        real = mask[:, None]
        dh_carried = xp.where(real, 0, dh)
        dh = xp.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn = dh * (1 - u)
    du = dh * (h_prev - n)
    dh_prev = dh * u
    dz_n = dn * (1 - n**2)
    if zh_n is not None:
        # n = tanh(zx_n + r * zh_n), with zh_n = h_prev Wh_n + bh_n
        dr = dz_n * zh_n
        dzh_n = dz_n * r
        dh_prev += dzh_n @ Wh[:, 2 * H :].T
        dWh_n = h_prev.T @ dzh_n
        dbh_n = dzh_n.sum(axis=0)
    else:
        # n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
        drh = dz_n @ Wh[:, 2 * H :].T
        dr = drh * h_prev
        dh_prev += drh * r
        dWh_n = (r * h_prev).T @ dz_n
        dbh_n = dz_n.sum(axis=0)
    # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
    dz_ru = xp.concatenate([dr, du], axis=1) * ru * (1 - ru)
    dh_prev += dz_ru @ Wh[:, : 2 * H].T
    dWh = xp.concatenate([h_prev.T @ dz_ru, dWh_n], axis=1)
    dbh = xp.concatenate([dz_ru.sum(axis=0), dbh_n])
    # zx = x Wx + bx
    dzx = xp.concatenate([dz_ru, dz_n], axis=1)
    dx = dzx @ Wx.T
    dWx = x.T @ dzx
    dbx = dzx.sum(axis=0)
    if mask is not None:
        dh_prev += dh_carried
    return dx, dh_prev, dWx, dWh, dbx, dbh


class GRUCache(NamedTuple):
    x: Array  # (T, B, D)     inputs, or ids (T, B)
    hs: Array  # (T+1, B, H)   hidden states; hs[0] is the initial one, hs[t + 1] follows step t
    gates: Array  # (T, B, 3H)    r, u, n side by side, after their activations
    zh_n: Array | None  # (T, B, H)     h_prev Wh_n + bh_n, what r scales; None when reset before
    Wx: Array  # (D, 3H)
    Wh: Array  # (H, 3H)
    mask: Array | None  # (T, B)        True where the step is real


def gru_forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    bx: Array,
    bh: Array,
    mask: Array | None = None,
    reset_after: bool = True,
) -> tuple[tuple[Array, Array], GRUCache]:
    """A GRU over a whole sequence: `gru_step_forward` for t = 0 ... T-1.

    Shapes: x (T, B, D); h0 (B, H); Wx (D, 3H); Wh (H, 3H); bx, bh (3H,); mask (T, B) or None.
    A step whose mask is False hands h on unchanged. x may be ids (T, B) below D: they stand for
    one-hot rows, whose product with Wx is a row of Wx.

    Returns ((hs (T, B, H), h_last (B, H)), cache).

    x Wx needs no previous state, so it is one product over all time steps, before the loop,
    and every bias that r does not scale is added there as well. In the loop reset-after needs
    one product a step; reset-before needs two, the second waiting for the first.
    """
    xp = xp_of(x)
    T, B = x.shape[:2]
    H = h0.shape[1]
    hs = xp.empty((T + 1, B, H), dtype=Wh.dtype)
    zh_n = xp.empty((T, B, H), dtype=Wh.dtype) if reset_after else None
    hs[0] = h0
    # zx = x Wx + bx, and bh where it only adds to it
    z = Wx[x.reshape(T * B)] if is_ids(x) else x.reshape(T * B, -1) @ Wx
    z += bx
    z[:, : 2 * H] += bh[: 2 * H]
    if not reset_after:
        z[:, 2 * H :] += bh[2 * H :]
        Wh_ru, Wh_n = (for_loop(W, B) for W in xp.split(Wh, [2 * H], axis=1))
    else:
        Wh_loop = for_loop(Wh, B)
    gates = z.reshape(T, B, 3 * H)  # turns from pre-activations into gates, step by step
    if fused(xp):  # on a GPU: the lines of the loop in one kernel, or two when the reset is before
        gru_kernels.forward_steps(gates, hs, zh_n, (Wh_loop,) if reset_after else (Wh_ru, Wh_n), bh, mask)
        return (hs[1:], hs[T]), GRUCache(x, hs, gates, zh_n, Wx, Wh, mask)
    for t in range(T):
        # hs[t] is the state before step t, hs[t + 1] the state after it
        ru, r, u, n = gates[t, :, : 2 * H], gates[t, :, :H], gates[t, :, H : 2 * H], gates[t, :, 2 * H :]
        if reset_after:
            # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
            zh = hs[t] @ Wh_loop
            ru += zh[:, : 2 * H]
            sigmoid_(ru, xp)
            # n = tanh(zx_n + r * zh_n), with zh_n = h_prev Wh_n + bh_n
            xp.add(zh[:, 2 * H :], bh[2 * H :], out=zh_n[t])
            n += r * zh_n[t]
        else:
            # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
            ru += hs[t] @ Wh_ru
            sigmoid_(ru, xp)
            # n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
            n += (r * hs[t]) @ Wh_n
        xp.tanh(n, out=n)
        # h = (1 - u) * n + u * h_prev = n + u * (h_prev - n)
        h = xp.subtract(hs[t], n, out=hs[t + 1])
        h *= u
        h += n
        if mask is not None:
            hs[t + 1] = xp.where(mask[t][:, None], h, hs[t])
    return (hs[1:], hs[T]), GRUCache(x, hs, gates, zh_n, Wx, Wh, mask)


def gru_backward(dout: tuple[Array | None, Array | None], cache: GRUCache) -> tuple[Array, ...]:
    """Backpropagation through time: `gru_step_backward` for t = T-1 ... 0.

    Shapes: dout = (dhs (T, B, H), dh_last (B, H)), each may be None for zero.
    Returns (dx, dh0, dWx, dWh, dbx, dbh), each in the shape of what it belongs to; dx is None for ids.

    At step t, dh is the whole gradient of the state after it: from the output at t, and from
    every later step through the state. The products for the weights and for x need no
    predecessor: they wait until dz is known for all steps, and are one product each.
    """
    dhs, dh_last = dout
    x, hs, gates, zh_n, Wx, Wh, mask = cache
    xp = xp_of(x)
    T, B = x.shape[:2]
    D, H = len(Wx), hs.shape[2]
    r, u, n = gates[..., :H], gates[..., H : 2 * H], gates[..., 2 * H :]
    reset_after = zh_n is not None
    dh = xp.zeros_like(hs[0]) if dh_last is None else dh_last.copy()
    dzx = xp.empty_like(gates)  # of x Wx + bx
    if reset_after:
        dzh = xp.empty_like(gates[0])  # of h_prev Wh + bh, at one step: the same but for n, which r scales
        WhT = for_loop(transposed(Wh), B)
    else:
        Wh_ruT, Wh_nT = (for_loop(W, B) for W in xp.split(transposed(Wh), [2 * H]))  # rows: both in order
    steps = reversed(range(T))
    if fused(xp):  # on a GPU: the whole loop, the lines of each step in one or two kernels
        of_h, of_zh = ((WhT,), dzh) if reset_after else ((Wh_ruT, Wh_nT), None)
        dh = gru_kernels.backward_steps(dhs, dh, hs, gates, zh_n, of_h, mask, dzx, of_zh)
        steps = ()
    for t in steps:
        if dhs is not None:
            dh += dhs[t]
        if mask is not None:
            # where the step is padding, h was handed on: so is its gradient
            real = mask[t][:, None]
            dh_carried = xp.where(real, 0, dh)
            dh = xp.where(real, dh, 0)
        # h = (1 - u) * n + u * h_prev
        dn = dh * (1 - u[t])
        du = dh * (hs[t] - n[t])
        dh = dh * u[t]  # from here on, of h_prev
        dz_n = dn * (1 - n[t] ** 2)
        if reset_after:
            # n = tanh(zx_n + r * zh_n)
            dr = dz_n * zh_n[t]
        else:
            # n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
            drh = dz_n @ Wh_nT
            dr = drh * hs[t]
            dh += drh * r[t]
        # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
        dzx[t, :, :H] = dr * r[t] * (1 - r[t])
        dzx[t, :, H : 2 * H] = du * u[t] * (1 - u[t])
        dzx[t, :, 2 * H :] = dz_n
        if reset_after:
            # zh = h_prev Wh + bh
            dzh[:, : 2 * H] = dzx[t, :, : 2 * H]
            dzh[:, 2 * H :] = dz_n * r[t]
            dh += dzh @ WhT
        else:
            dh += dzx[t, :, : 2 * H] @ Wh_ruT
        if mask is not None:
            dh += dh_carried
    # zx = x Wx + bx, for all steps at once
    dzx_flat = dzx.reshape(T * B, 3 * H)
    if is_ids(x):
        dx, x = None, one_hot(x, D, dzx.dtype)  # ids have no gradient
    else:
        dx = (dzx_flat @ Wx.T).reshape(T, B, D)
    dWx = x.reshape(T * B, D).T @ dzx_flat
    dbx = dzx_flat.sum(axis=0)
    h_prev = hs[:-1].reshape(T * B, H)
    if reset_after:
        # zh = h_prev Wh + bh, for all steps at once; the array of dzx has served, and becomes that of dzh
        dzx[..., 2 * H :] *= r
        dzh_flat = dzx_flat
        dWh = h_prev.T @ dzh_flat
        dbh = dzh_flat.sum(axis=0)
    else:
        # h_prev Wh_ru and (r * h_prev) Wh_n, for all steps at once
        rh = (r * hs[:-1]).reshape(T * B, H)
        dWh = xp.concatenate([h_prev.T @ dzx_flat[:, : 2 * H], rh.T @ dzx_flat[:, 2 * H :]], axis=1)
        dbh = dbx.copy()
    return dx, dh, dWx, dWh, dbx, dbh


gru_step = Op("gru_step", gru_step_forward, gru_step_backward)
gru = Op("gru", gru_forward, gru_backward)
