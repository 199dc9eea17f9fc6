"""The steps of a GRU on a GPU: matrix products and one kernel for each, forward and backward.

The lines are those of functional/gru.py, which explains them; the names are the same. With the reset
after the product a step has one product and one kernel; with the reset before it, two of each.
"""

from minis2s.backend import Array, xp_of
from minis2s.kernels import Kernel, columns, real_rows

# Lines that the kernels of both forms have in common.
RESET_AND_UPDATE = """
    // r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
    gate_r = T(0.5) * tanh(T(0.5) * (gate_r + zh_r)) + T(0.5);
    gate_u = T(0.5) * tanh(T(0.5) * (gate_u + zh_u)) + T(0.5);
"""
NEW_STATE = """
    // h = (1 - u) * n + u * h_prev = n + u * (h_prev - n)
    T h_new = gate_n + gate_u * (h_prev - gate_n);
    h = real ? h_new : h_prev;
"""
# dh arrives in three parts: through the product of the step after, past it, and from the output
ARRIVING = "T dh_product, T dh_past, T dh_out, "
NEW_STATE_BACKWARD = """
    T dh_all = dh_product + dh_past + dh_out;
    // where the step is padding, h was handed on: so is its gradient
    T dh = real ? dh_all : T(0);
    // h = (1 - u) * n + u * h_prev
    dh_carried = real ? T(dh_all * gate_u) : dh_all;
    dzx_u = dh * (h_prev - gate_n) * gate_u * (1 - gate_u);
    // n = tanh(z_n)
    dzx_n = dh * (1 - gate_u) * (1 - gate_n * gate_n);
"""

# gate_r, gate_u, gate_n come in as the part of z that does not wait for h_prev, biases included
FORWARD_AFTER = Kernel(
    "gru_forward_after",
    "T zh_r, T zh_u, T zh_n, T bh_n, T h_prev, bool real",
    "T gate_r, T gate_u, T gate_n, T zh_n_biased, T h",
    RESET_AND_UPDATE
    + """
    // n = tanh(zx_n + r * zh_n), with zh_n = h_prev Wh_n + bh_n
    zh_n_biased = zh_n + bh_n;
    gate_n = tanh(gate_n + gate_r * zh_n_biased);
    """
    + NEW_STATE,
)

RESET_BEFORE = Kernel(
    "gru_reset_before",
    "T zh_r, T zh_u, T h_prev",
    "T gate_r, T gate_u, T rh",
    RESET_AND_UPDATE
    + """
    // what the candidate sees of the state
    rh = gate_r * h_prev;
    """,
)

CANDIDATE_BEFORE = Kernel(
    "gru_candidate_before",
    "T zrh_n, T gate_u, T h_prev, bool real",
    "T gate_n, T h",
    """
    // n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
    gate_n = tanh(gate_n + zrh_n);
    """
    + NEW_STATE,
)

BACKWARD_AFTER = Kernel(
    "gru_backward_after",
    ARRIVING + "T gate_r, T gate_u, T gate_n, T zh_n, T h_prev, bool real",
    "T dh_carried, T dzx_r, T dzx_u, T dzx_n, T dzh_r, T dzh_u, T dzh_n",
    NEW_STATE_BACKWARD
    + """
    // z_n = zx_n + r * zh_n
    dzx_r = dzx_n * zh_n * gate_r * (1 - gate_r);
    // of h_prev Wh + bh: the same but for n, which r scales
    dzh_r = dzx_r;
    dzh_u = dzx_u;
    dzh_n = dzx_n * gate_r;
    """,
)

CANDIDATE_BACKWARD = Kernel(
    "gru_candidate_backward",
    ARRIVING + "T gate_u, T gate_n, T h_prev, bool real",
    "T dh_carried, T dzx_u, T dzx_n",
    NEW_STATE_BACKWARD,
)

RESET_BACKWARD = Kernel(
    "gru_reset_backward",
    "T drh, T gate_r, T h_prev",
    "T dh_carried, T dzx_r",
    """
    // r * h_prev, of which drh is the gradient
    dh_carried = dh_carried + drh * gate_r;
    // r = sigmoid(zx_r + h_prev Wh_r + bh_r)
    dzx_r = drh * h_prev * gate_r * (1 - gate_r);
    """,
)


def forward_step(
    z: Array,
    h_prev: Array,
    Wh: tuple[Array, ...],
    bh: Array,
    real: Array | bool,
    zh_n: Array | None,
    h: Array,
) -> None:
    """One step: turns z (B, 3H) into the gates in place, fills zh_n (reset after; else None) and h (B, H).

    Wh: its blocks that meet one product each: ((H, 3H),) when the reset is after, ((H, 2H), (H, H)) before.
    Shapes: h_prev (B, H); bh (3H,); real (B, 1) or True. z holds all biases but bh_n of reset after.
    """
    xp = xp_of(z)
    H = h.shape[1]
    r, u, n = columns(z, 3)
    if zh_n is not None:
        FORWARD_AFTER(xp, *columns(h_prev @ Wh[0], 3), bh[2 * H :], h_prev, real, r, u, n, zh_n, h)
    else:
        Wh_ru, Wh_n = Wh
        rh = xp.empty_like(h)
        RESET_BEFORE(xp, *columns(h_prev @ Wh_ru, 2), h_prev, r, u, rh)
        CANDIDATE_BEFORE(xp, rh @ Wh_n, u, h_prev, real, n, h)


def single_step_forward(
    z: Array, h_prev: Array, Wh: Array, bh: Array, mask: Array | None, reset_after: bool
) -> tuple[Array, Array, Array | None, Array]:
    """`gru_step_forward` from z = x Wx + bx (B, 3H), which becomes the gates, in place.

    Shapes: h_prev (B, H); Wh (H, 3H); bh (3H,); mask (B,) or None. Returns (ru (B, 2H), n, zh_n, h), the
    others (B, H); zh_n is None when reset before.
    """
    xp = xp_of(z)
    B, H = h_prev.shape
    zh_n = xp.empty((B, H), dtype=z.dtype) if reset_after else None
    h = xp.empty((B, H), dtype=z.dtype)
    if reset_after:
        z[:, : 2 * H] += bh[: 2 * H]
    else:
        z += bh
    blocks = (Wh,) if reset_after else (Wh[:, : 2 * H], Wh[:, 2 * H :])
    forward_step(z, h_prev, blocks, bh, real_rows(mask), zh_n, h)
    return z[:, : 2 * H], z[:, 2 * H :], zh_n, h


def single_step_backward(dh: Array, cache: tuple) -> tuple[Array, ...]:
    """`gru_step_backward`: dh (B, H) and its cache -> (dx, dh_prev, dWx, dWh, dbx, dbh)."""
    x, h_prev, ru, n, zh_n, Wx, Wh, mask = cache
    xp = xp_of(ru)
    B, H = h_prev.shape
    gates = xp.concatenate([ru, n], axis=1)
    dzx = xp.empty_like(gates)
    dzh = None if zh_n is None else xp.empty_like(gates)
    WhT = (Wh.T,) if zh_n is not None else (Wh[:, : 2 * H].T, Wh[:, 2 * H :].T)
    dh_prev, carried = backward_step((dh, 0.0, 0.0), gates, h_prev, zh_n, WhT, real_rows(mask), dzx, dzh)
    dh_prev += carried
    dbx = dzx.sum(axis=0)
    if zh_n is not None:
        # zh = h_prev Wh + bh
        dWh, dbh = h_prev.T @ dzh, dzh.sum(axis=0)
    else:
        # h_prev Wh_ru and (r * h_prev) Wh_n
        rh = ru[:, :H] * h_prev
        dWh = xp.concatenate([h_prev.T @ dzx[:, : 2 * H], rh.T @ dzx[:, 2 * H :]], axis=1)
        dbh = dbx.copy()
    return dzx @ Wx.T, dh_prev, x.T @ dzx, dWh, dbx, dbh


def forward_steps(
    gates: Array, hs: Array, zh_n: Array | None, Wh: tuple[Array, ...], bh: Array, mask: Array | None
) -> None:
    """The loop of `gru_forward`: turns gates (T, B, 3H), which hold z, into the gates; fills hs and zh_n.

    Shapes: hs (T+1, B, H) with ``hs[0]`` set; zh_n (T, B, H), None when reset before; Wh as in
    `forward_step`; bh (3H,); mask (T, B) or None.
    """
    for t in range(len(gates)):
        out = None if zh_n is None else zh_n[t]
        forward_step(gates[t], hs[t], Wh, bh, real_rows(mask, t), out, hs[t + 1])


def backward_step(
    dh: tuple[Array, Array | float, Array | float],
    gates: Array,
    h_prev: Array,
    zh_n: Array | None,
    WhT: tuple[Array, ...],
    real: Array | bool,
    dzx: Array,
    dzh: Array | None,
) -> tuple[Array, Array]:
    """`forward_step` read upward: fills dzx, and dzh where the reset is after (else None), both (B, 3H).

    dh: three parts of the gradient of h, to be added up: arrays (B, H), all but the first may be 0.
    WhT: the blocks of Wh that meet one product each, transposed: ((3H, H),), or ((2H, H), (H, H)).
    Shapes: gates (B, 3H); h_prev, zh_n (B, H); real (B, 1) or True.
    Returns two parts of the gradient of h_prev, each (B, H): through the products, and past them.
    """
    xp = xp_of(gates)
    H = h_prev.shape[1]
    carried = xp.empty(h_prev.shape, dtype=gates.dtype)
    (r, u, n), (dz_r, dz_u, dz_n) = columns(gates, 3), columns(dzx, 3)
    if zh_n is not None:
        outputs = (carried, dz_r, dz_u, dz_n, *columns(dzh, 3))
        BACKWARD_AFTER(xp, *dh, r, u, n, zh_n, h_prev, real, *outputs)
        return dzh @ WhT[0], carried
    CANDIDATE_BACKWARD(xp, *dh, u, n, h_prev, real, carried, dz_u, dz_n)
    Wh_ruT, Wh_nT = WhT
    drh = dz_n @ Wh_nT
    RESET_BACKWARD(xp, drh, r, h_prev, carried, dz_r)
    return dzx[:, : 2 * H] @ Wh_ruT, carried


def backward_steps(
    dhs: Array | None,
    dh: Array,
    hs: Array,
    gates: Array,
    zh_n: Array | None,
    WhT: tuple[Array, ...],
    mask: Array | None,
    dzx: Array,
    dzh: Array | None,
) -> Array:
    """The loop of `gru_backward`: fills dzx (T, B, 3H); returns dh0.

    Shapes: dhs (T, B, H) or None; dh (B, H); hs (T+1, B, H); gates (T, B, 3H); zh_n (T, B, H), None
    when reset before; WhT as in `backward_step`; mask (T, B) or None; dzh (B, 3H), for use at every step
    where the reset is after, else None.
    """
    past = 0.0
    for t in reversed(range(len(gates))):
        zh_n_t = None if zh_n is None else zh_n[t]
        parts = (dh, past, 0.0 if dhs is None else dhs[t])
        dh, past = backward_step(parts, gates[t], hs[t], zh_n_t, WhT, real_rows(mask, t), dzx[t], dzh)
    return dh + past
