"""The steps of an LSTM on a GPU: a matrix product and one kernel for each, forward and backward.

The lines are those of functional/lstm.py, which explains them; the names are the same. z and the
gates lie in memory as (T, B, 4, H), so that one product makes all four. As (T, 4, B, H), which is what
the cache holds, they are a view.
"""

from minis2s.backend import Array, is_ids, xp_of
from minis2s.kernels import Kernel, columns, real_rows

FORWARD = Kernel(
    "lstm_forward",
    "T zh_i, T zh_f, T zh_o, T zh_g, T h_prev, T c_prev, bool real",
    # i, f, o, g come in as x Wx + b, the part of z that does not wait for h_prev
    "T gate_i, T gate_f, T gate_o, T gate_g, T tanh_c, T c, T h",
    """
    // i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    gate_i = T(0.5) * tanh(T(0.5) * (gate_i + zh_i)) + T(0.5);
    gate_f = T(0.5) * tanh(T(0.5) * (gate_f + zh_f)) + T(0.5);
    gate_o = T(0.5) * tanh(T(0.5) * (gate_o + zh_o)) + T(0.5);
    gate_g = tanh(gate_g + zh_g);
    // c = f * c_prev + i * g
    T c_new = gate_f * c_prev + gate_i * gate_g;
    // h = o * tanh(c)
    tanh_c = tanh(c_new);
    T h_new = gate_o * tanh_c;
    // where the step is padding, both are handed on
    c = real ? c_new : c_prev;
    h = real ? h_new : h_prev;
    """,
)

BACKWARD = Kernel(
    "lstm_backward",
    # dh arrives in three parts: through the product of the step after, past it, and from the output
    "T dh_product, T dh_past, T dh_out, T gate_i, T gate_f, T gate_o, T gate_g, "
    "T tanh_c, T c_prev, bool real",
    "T dc, T dh_carried, T dz_i, T dz_f, T dz_o, T dz_g",
    """
    T dh_all = dh_product + dh_past + dh_out;
    // where the step is padding, h and c were handed on: so are their gradients
    T dh = real ? dh_all : T(0);
    dh_carried = real ? T(0) : dh_all;
    // h = o * tanh(c)
    T dc_all = dc + dh * gate_o * (1 - tanh_c * tanh_c);
    // c = f * c_prev + i * g;  i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    T dc_real = real ? dc_all : T(0);
    dz_i = dc_real * gate_g * gate_i * (1 - gate_i);
    dz_f = dc_real * c_prev * gate_f * (1 - gate_f);
    dz_o = dh * tanh_c * gate_o * (1 - gate_o);
    dz_g = dc_real * gate_i * (1 - gate_g * gate_g);
    dc = real ? T(dc_all * gate_f) : dc_all;
    """,
)


def forward_steps(
    x: Array, Wx: Array, Wh: Array, b: Array, mask: Array | None, hs: Array, cs: Array, tanh_c: Array
) -> Array:
    """`lstm_forward` with ``hs[0]`` and ``cs[0]`` set: fills the rest of hs and cs (T+1, B, H), and tanh_c (T, B, H).

    Shapes: x (T, B, D), or ids (T, B); Wx (D, 4H); Wh (H, 4H); b (4H,); mask (T, B) or None.
    Returns the gates (T, 4, B, H).
    """
    xp = xp_of(Wh)
    T, B, H = tanh_c.shape
    if is_ids(x):
        z = (Wx + b)[x.reshape(T * B)]
    else:
        z = x.reshape(T * B, -1) @ Wx
        z += b
    z = z.reshape(T, B, 4 * H)
    for t in range(T):
        zh = hs[t] @ Wh
        FORWARD(
            xp,
            *columns(zh, 4),
            hs[t],
            cs[t],
            real_rows(mask, t),
            *columns(z[t], 4),
            tanh_c[t],
            cs[t + 1],
            hs[t + 1],
        )
    return z.reshape(T, B, 4, H).transpose(0, 2, 1, 3)


def backward_steps(
    dhs: Array | None,
    dh: Array,
    dc: Array,
    cs: Array,
    gates: Array,
    tanh_c: Array,
    mask: Array | None,
    WhT: Array,
    dz: Array,
) -> tuple[Array, Array]:
    """The loop of `lstm_backward`: fills dz (T, B, 4, H), overwrites dc (B, H), returns (dh0, dc0).

    Shapes: dhs (T, B, H) or None; dh (B, H); cs (T+1, B, H); gates (T, 4, B, H); tanh_c (T, B, H);
    mask (T, B) or None; WhT (4H, H).
    """
    xp = xp_of(dz)
    T, B, _, H = dz.shape
    past = 0.0
    for t in reversed(range(T)):
        carried = xp.empty((B, H), dtype=dz.dtype)
        BACKWARD(
            xp,
            dh,
            past,
            0.0 if dhs is None else dhs[t],
            *gates[t],
            tanh_c[t],
            cs[t],
            real_rows(mask, t),
            dc,
            carried,
            *columns(dz[t].reshape(B, 4 * H), 4),
        )
        dh = dz[t].reshape(B, 4 * H) @ WhT
        past = carried
    return dh + past, dc


def step_forward(
    z: Array, h_prev: Array, c_prev: Array, mask: Array | None
) -> tuple[Array, Array, Array, Array]:
    """One step from its pre-activations z (B, 4H), which become the gates, in place.

    Shapes: h_prev, c_prev (B, H); mask (B,) or None. Returns (gates (4, B, H), tanh_c, c, h), the others (B, H).
    """
    xp = xp_of(z)
    B, H = h_prev.shape
    tanh_c, c, h = (xp.empty((B, H), dtype=z.dtype) for _ in range(3))
    FORWARD(xp, 0.0, 0.0, 0.0, 0.0, h_prev, c_prev, real_rows(mask), *columns(z, 4), tanh_c, c, h)
    return z.reshape(B, 4, H).transpose(1, 0, 2), tanh_c, c, h


def step_backward(dh: Array, dc: Array, cache: tuple) -> tuple[Array, ...]:
    """`lstm_step_backward`: dh, dc (B, H) and its cache -> (dx, dh_prev, dc_prev, dWx, dWh, db)."""
    x, h_prev, c_prev, gates, tanh_c, Wx, Wh, mask = cache
    xp = xp_of(gates)
    B, H = h_prev.shape
    dc_prev = dc.copy()
    carried, dz = xp.empty((B, H), dtype=gates.dtype), xp.empty((B, 4 * H), dtype=gates.dtype)
    BACKWARD(xp, dh, 0.0, 0.0, *gates, tanh_c, c_prev, real_rows(mask), dc_prev, carried, *columns(dz, 4))
    # z = x Wx + h_prev Wh + b
    dh_prev = dz @ Wh.T
    dh_prev += carried
    return dz @ Wx.T, dh_prev, dc_prev, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)
