"""The three cells once more, one step a call, with a name for every array on the way.

The operations of functional/ keep only what their backward needs, and compute all gates at once. Here
each line of the equations has its own array, forward and backward, and the gradient of a state stays
split by the edge through which it arrives. The numbers are those of `functional` (held equal by test).

Viewpoint: we are at one step; h_prev and c_prev come in, h and c go out. A gradient in parts is a dict
from the name of an edge to an array (B, H); the gradient itself is the sum.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Parts = dict[str, Array]


class Equation(NamedTuple):
    """One line of a cell: the array that it makes, as LaTeX and as plain text."""

    name: str
    tex: str
    text: str


class Cell(NamedTuple):
    """What a kind of cell is made of."""

    state: tuple[str, ...]  # the arrays that it hands on
    weights: tuple[str, ...]
    gates: tuple[str, ...]  # the arrays that a what-if may pin, in the order of the weights' blocks
    forward: Callable
    backward: Callable
    equations: tuple[Equation, ...]


class Here:
    """What a what-if changes at this place and time: by default nothing. See `what_if.Changes`."""

    def pin(self, name: str, a: Array) -> Array:
        """The array `name` (B, H), with some units replaced."""
        return a

    def keep(self, path: str, a: Array) -> Array:
        """What goes along a path (B, ...), or zeros where the path is cut."""
        return a


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)) written as tanh, as functional.activations does."""
    return np.tanh(z * 0.5) * 0.5 + 0.5


def total(parts: Parts, like: Array) -> Array:
    """The sum of the parts; zeros in the shape of `like` where there are none."""
    out = np.zeros_like(like)
    for part in parts.values():
        out += part
    return out


def add_part(parts: Parts, name: str, value: Array) -> None:
    """Add value to the part `name`; the arrays already there are left as they are."""
    parts[name] = parts[name] + value if name in parts else value


def gated(parts: Parts, real: Array | None) -> Parts:
    """The parts at the real rows, zeros at the others. real (B, 1) or None."""
    return parts if real is None else {k: np.where(real, v, 0) for k, v in parts.items()}


def handed_on(before: Parts, parts: Parts, real: Array | None) -> None:
    """Where a step is padding the state was handed on: so is each part of its gradient, under its name."""
    if real is not None and not real.all():
        for name, value in parts.items():
            add_part(before, name, np.where(real, 0, value))


def into_weights(x: Array, dz: Array) -> Array:
    """z = x W: dW."""
    return x.T @ dz


# -- RNN ------------------------------------------------------------------------------------------


def rnn_forward(x: Array, state: tuple[Array, ...], weights, mask: Array | None, options, here: Here):
    """x (B, D), state (h_prev (B, H),) -> the arrays of one step by name."""
    (h_prev,), (Wx, Wh, b) = state, weights
    z = x @ Wx + here.keep("recurrent", h_prev) @ Wh + b
    h = here.pin("h", np.tanh(z))
    if mask is not None:
        h = np.where(mask[:, None], h, h_prev)
    return {"x": x, "h_prev": h_prev, "z": z, "h": h}


def rnn_backward(dstate: dict[str, Parts], step: dict, weights, mask: Array | None, options):
    """Gradient of the state after it, in parts -> (arrays, parts, dx, of the state before, dweights)."""
    Wx, Wh, _ = weights
    x, h_prev, h = step["x"], step["h_prev"], step["h"]
    real = None if mask is None else mask[:, None]
    dh = total(dstate["h"], h)
    # h = tanh(z)
    dz = total(gated(dstate["h"], real), h) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    before = {"recurrent": dz @ Wh.T}
    handed_on(before, dstate["h"], real)
    named = {"dh": dh, "dz": dz, "dh_prev": total(before, h), "dx": dx}
    dweights = (into_weights(x, dz), into_weights(h_prev, dz), dz.sum(axis=0))
    return named, {"h": dstate["h"]}, dx, {"h": before}, dweights


RNN = Cell(
    ("h",),
    ("Wx", "Wh", "b"),
    ("h",),
    rnn_forward,
    rnn_backward,
    (
        Equation("z", r"z = x W_x + h_{t-1} W_h + b", "z = x Wx + h_prev Wh + b"),
        Equation("h", r"h = \tanh(z)", "h = tanh(z)"),
    ),
)

# -- LSTM -----------------------------------------------------------------------------------------


def lstm_forward(x: Array, state: tuple[Array, ...], weights, mask: Array | None, options, here: Here):
    """x (B, D), state (h_prev, c_prev), each (B, H) -> the arrays of one step by name."""
    (h_prev, c_prev), (Wx, Wh, b) = state, weights
    # z = x Wx + h_prev Wh + b
    z = x @ Wx + here.keep("recurrent", h_prev) @ Wh + b
    z_i, z_f, z_o, z_g = np.split(z, 4, axis=1)
    # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    i, f, o = here.pin("i", sigmoid(z_i)), here.pin("f", sigmoid(z_f)), here.pin("o", sigmoid(z_o))
    g = here.pin("g", np.tanh(z_g))
    # c = f * c_prev + i * g
    c = f * here.keep("carry", c_prev) + i * g
    # h = o * tanh(c)
    tanh_c = np.tanh(c)
    h = o * tanh_c
    if mask is not None:
        real = mask[:, None]
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return {
        "x": x, "h_prev": h_prev, "c_prev": c_prev,
        "z_i": z_i, "z_f": z_f, "z_o": z_o, "z_g": z_g,
        "i": i, "f": f, "o": o, "g": g,
        "c": c, "tanh_c": tanh_c, "h": h,
    }  # fmt: skip


def lstm_backward(dstate: dict[str, Parts], step: dict, weights, mask: Array | None, options):
    """Gradient of the state after it, in parts -> (arrays, parts, dx, of the state before, dweights).

    The parts of dc that come back are those that came, and "own h": what the state's own h sends to c.
    """
    Wx, Wh, _ = weights
    i, f, o, g, tanh_c = (step[name] for name in ("i", "f", "o", "g", "tanh_c"))
    real = None if mask is None else mask[:, None]
    dh_real = total(gated(dstate["h"], real), i)
    # h = o * tanh(c); c reaches the loss in two ways, through h and through the next step
    do = dh_real * tanh_c
    c_parts = {**dstate["c"], "own h": dh_real * o * (1 - tanh_c**2)}
    dc_real = total(gated(c_parts, real), i)
    # c = f * c_prev + i * g
    df = dc_real * step["c_prev"]
    di = dc_real * g
    dg = dc_real * i
    c_before = {"carry": dc_real * f}
    # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    dz_i, dz_f, dz_o, dz_g = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)
    dz = np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    h_before = {"recurrent": dz @ Wh.T}
    handed_on(h_before, dstate["h"], real)
    handed_on(c_before, dstate["c"], real)
    named = {
        "dh": total(dstate["h"], i), "dc": total(c_parts, i),
        "di": di, "df": df, "do": do, "dg": dg,
        "dz_i": dz_i, "dz_f": dz_f, "dz_o": dz_o, "dz_g": dz_g,
        "dh_prev": total(h_before, i), "dc_prev": total(c_before, i), "dx": dx,
    }  # fmt: skip
    dweights = (into_weights(step["x"], dz), into_weights(step["h_prev"], dz), dz.sum(axis=0))
    return named, {"h": dstate["h"], "c": c_parts}, dx, {"h": h_before, "c": c_before}, dweights


LSTM = Cell(
    ("h", "c"),
    ("Wx", "Wh", "b"),
    ("i", "f", "o", "g"),
    lstm_forward,
    lstm_backward,
    (
        *(
            Equation(
                f"z_{k}",
                rf"z_{k} = x W_x^{k} + h_{{t-1}} W_h^{k} + b^{k}",
                f"z_{k} = x Wx_{k} + h_prev Wh_{k} + b_{k}",
            )
            for k in "ifog"
        ),
        *(Equation(k, rf"{k} = \sigma(z_{k})", f"{k} = sigmoid(z_{k})") for k in "ifo"),
        Equation("g", r"g = \tanh(z_g)", "g = tanh(z_g)"),
        Equation("c", r"c = f \odot c_{t-1} + i \odot g", "c = f * c_prev + i * g"),
        Equation("tanh_c", r"\tanh(c)", "tanh_c = tanh(c)"),
        Equation("h", r"h = o \odot \tanh(c)", "h = o * tanh_c"),
    ),
)

# -- GRU ------------------------------------------------------------------------------------------


def gru_forward(
    x: Array, state: tuple[Array, ...], weights, mask: Array | None, reset_after: bool, here: Here
):
    """x (B, D), state (h_prev (B, H),) -> the arrays of one step by name."""
    (h_prev,), (Wx, Wh, bx, bh) = state, weights
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    asked = here.keep("recurrent", h_prev)
    # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
    z_r = zx_r + asked @ Wh[:, :H] + bh[:H]
    z_u = zx_u + asked @ Wh[:, H : 2 * H] + bh[H : 2 * H]
    r, u = here.pin("r", sigmoid(z_r)), here.pin("u", sigmoid(z_u))
    extra = {}
    if reset_after:
        # n = tanh(zx_n + r * zh_n), with zh_n = h_prev Wh_n + bh_n
        zh_n = asked @ Wh[:, 2 * H :] + bh[2 * H :]
        z_n = zx_n + r * zh_n
        extra["zh_n"] = zh_n
    else:
        # n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
        z_n = zx_n + (r * asked) @ Wh[:, 2 * H :] + bh[2 * H :]
    n = here.pin("n", np.tanh(z_n))
    # h = (1 - u) * n + u * h_prev
    h = (1 - u) * n + u * here.keep("carry", h_prev)
    if mask is not None:
        h = np.where(mask[:, None], h, h_prev)
    return {
        "x": x, "h_prev": h_prev, "z_r": z_r, "z_u": z_u, "r": r, "u": u, **extra, "z_n": z_n, "n": n, "h": h,
    }  # fmt: skip


def gru_backward(dstate: dict[str, Parts], step: dict, weights, mask: Array | None, reset_after: bool):
    """Gradient of the state after it, in parts -> (arrays, parts, dx, of the state before, dweights)."""
    Wx, Wh, _, _ = weights
    h_prev, r, u, n = (step[name] for name in ("h_prev", "r", "u", "n"))
    H = h_prev.shape[1]
    real = None if mask is None else mask[:, None]
    dh_real = total(gated(dstate["h"], real), n)
    # h = (1 - u) * n + u * h_prev
    dn = dh_real * (1 - u)
    du = dh_real * (h_prev - n)
    before = {"carry": dh_real * u}
    dz_n = dn * (1 - n**2)
    if reset_after:
        # z_n = zx_n + r * zh_n, with zh_n = h_prev Wh_n + bh_n
        dr = dz_n * step["zh_n"]
        dzh_n = dz_n * r
        recurrent = dzh_n @ Wh[:, 2 * H :].T
        dWh_n, dbh_n = into_weights(h_prev, dzh_n), dzh_n.sum(axis=0)
        extra = {"dzh_n": dzh_n}
    else:
        # z_n = zx_n + (r * h_prev) Wh_n + bh_n
        drh = dz_n @ Wh[:, 2 * H :].T
        dr = drh * h_prev
        recurrent = drh * r
        dWh_n, dbh_n = into_weights(r * h_prev, dz_n), dz_n.sum(axis=0)
        extra = {}
    # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    before["recurrent"] = recurrent + dz_ru @ Wh[:, : 2 * H].T
    # zx = x Wx + bx
    dzx = np.concatenate([dz_ru, dz_n], axis=1)
    dx = dzx @ Wx.T
    handed_on(before, dstate["h"], real)
    named = {
        "dh": total(dstate["h"], n), "dn": dn, "du": du, "dr": dr,
        "dz_n": dz_n, **extra, "dz_r": dz_r, "dz_u": dz_u, "dh_prev": total(before, n), "dx": dx,
    }  # fmt: skip
    dWh = np.concatenate([into_weights(h_prev, dz_ru), dWh_n], axis=1)
    dbh = np.concatenate([dz_ru.sum(axis=0), dbh_n])
    dweights = (into_weights(step["x"], dzx), dWh, dzx.sum(axis=0), dbh)
    return named, {"h": dstate["h"]}, dx, {"h": before}, dweights


def gru_equations(reset_after: bool) -> tuple[Equation, ...]:
    """The lines of a GRU, with the reset gate after or before the product."""
    gates = tuple(
        Equation(
            f"z_{k}",
            rf"z_{k} = x W_x^{k} + b_x^{k} + h_{{t-1}} W_h^{k} + b_h^{k}",
            f"z_{k} = x Wx_{k} + bx_{k} + h_prev Wh_{k} + bh_{k}",
        )
        for k in "ru"
    ) + tuple(Equation(k, rf"{k} = \sigma(z_{k})", f"{k} = sigmoid(z_{k})") for k in "ru")
    if reset_after:
        candidate = (
            Equation("zh_n", r"zh_n = h_{t-1} W_h^n + b_h^n", "zh_n = h_prev Wh_n + bh_n"),
            Equation("z_n", r"z_n = x W_x^n + b_x^n + r \odot zh_n", "z_n = x Wx_n + bx_n + r * zh_n"),
        )
    else:
        candidate = (
            Equation(
                "z_n",
                r"z_n = x W_x^n + b_x^n + (r \odot h_{t-1}) W_h^n + b_h^n",
                "z_n = x Wx_n + bx_n + (r * h_prev) Wh_n + bh_n",
            ),
        )
    return (
        *gates,
        *candidate,
        Equation("n", r"n = \tanh(z_n)", "n = tanh(z_n)"),
        Equation("h", r"h = (1 - u) \odot n + u \odot h_{t-1}", "h = (1 - u) * n + u * h_prev"),
    )


GRU = Cell(("h",), ("Wx", "Wh", "bx", "bh"), ("r", "u", "n"), gru_forward, gru_backward, gru_equations(True))

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
