"""The recurrent kinds, over a sequence and as a single step: simple RNN, LSTM, GRU in both forms.

A single step is computed as a sequence of one, so that both share one textbook backward pass.
"""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck import textbook as tb
from minis2s.gradcheck.edits import sigmoid
from minis2s.gradcheck.kind import B, D, H, Kind, Reference, T, masks, real_of, weights


def recurrent_values(
    rng, setting: str, states: tuple[str, ...], gates: int, biases: tuple[str, ...], step: bool
) -> dict:
    x = rng.standard_normal((T, B, D))
    mask = masks("holes" if step and setting == "ragged" else setting)
    values = {"x": x[0] if step else x}
    values |= {name: rng.standard_normal((B, H)) for name in states}
    values |= {"Wx": weights(rng, D, gates * H), "Wh": weights(rng, H, gates * H)}
    values |= {name: weights(rng, gates * H) for name in biases}
    values["mask"] = mask[0] if step and mask is not None else mask
    return values


def over_time(values: dict, state: str, step: bool) -> tuple[np.ndarray, np.ndarray]:
    """(x (T, B, D), real (T, B, 1)), a single step as a sequence of one."""
    x, mask = values["x"], values.get("mask")
    if step:
        x, mask = x[None], None if mask is None else np.asarray(mask)[None]
    return x, real_of(mask, *x.shape[:2])


def blend(real, new, old):
    return real * new + (1 - real) * old


def rnn_reference(v: dict, step: bool) -> Reference:
    x, real = over_time(v, "h0", step)
    h = v["h_prev" if step else "h0"]
    h_prev, hs = [], []
    for t in range(len(x)):
        h_prev.append(h)
        h = blend(real[t], np.tanh(x[t] @ v["Wx"] + h @ v["Wh"] + v["b"]), h)
        hs.append(h)
    q = {"x": x, "h_prev": np.stack(h_prev), "h": np.stack(hs), "Wx": v["Wx"], "Wh": v["Wh"], "real": real}
    return Reference([h] if step else [q["h"], h], q, tb.rnn_backward)


def lstm_reference(v: dict, step: bool) -> Reference:
    x, real = over_time(v, "h0", step)
    h, c = (v["h_prev"], v["c_prev"]) if step else (v["h0"], v["c0"])
    q = {
        name: []
        for name in ("h_prev", "c_prev", "i", "f", "o", "g", "z_i", "z_f", "z_o", "z_g", "c", "tanh_c", "h")
    }
    for t in range(len(x)):
        q["h_prev"].append(h)
        q["c_prev"].append(c)
        zi, zf, zo, zg = np.split(x[t] @ v["Wx"] + h @ v["Wh"] + v["b"], 4, axis=1)
        i, f, o, g = sigmoid(zi), sigmoid(zf), sigmoid(zo), np.tanh(zg)
        c_new = f * c + i * g
        for name, value in (
            ("i", i),
            ("f", f),
            ("o", o),
            ("g", g),
            ("c", c_new),
            ("tanh_c", np.tanh(c_new)),
            ("z_i", zi),
            ("z_f", zf),
            ("z_o", zo),
            ("z_g", zg),
        ):
            q[name].append(value)
        h, c = blend(real[t], o * np.tanh(c_new), h), blend(real[t], c_new, c)
        q["h"].append(h)
    q = {name: np.stack(items) for name, items in q.items()} | {
        "x": x,
        "Wx": v["Wx"],
        "Wh": v["Wh"],
        "real": real,
    }
    return Reference([h, c] if step else [q["h"], h, c], q, tb.lstm_backward)


def gru_reference(v: dict, step: bool) -> Reference:
    x, real = over_time(v, "h0", step)
    h = v["h_prev" if step else "h0"]
    H = h.shape[1]
    after = v.get("reset_after", True)
    Wh_ru, Wh_n = v["Wh"][:, : 2 * H], v["Wh"][:, 2 * H :]
    q = {name: [] for name in ("h_prev", "r", "u", "n", "zh_n", "hWh_n", "rh", "h")}
    for t in range(len(x)):
        zx = x[t] @ v["Wx"] + v["bx"]
        ru = sigmoid(zx[:, : 2 * H] + h @ Wh_ru + v["bh"][: 2 * H])
        r, u = ru[:, :H], ru[:, H:]
        zh_n = h @ Wh_n + v["bh"][2 * H :]
        n = np.tanh(zx[:, 2 * H :] + (r * zh_n if after else (r * h) @ Wh_n + v["bh"][2 * H :]))
        for name, value in (
            ("h_prev", h),
            ("r", r),
            ("u", u),
            ("n", n),
            ("zh_n", zh_n),
            ("hWh_n", h @ Wh_n),
            ("rh", r * h),
        ):
            q[name].append(value)
        h = blend(real[t], (1 - u) * n + u * h, h)
        q["h"].append(h)
    q = {name: np.stack(items) for name, items in q.items()}
    q |= {"x": x, "Wx": v["Wx"], "Wh": v["Wh"], "Wh_ru": Wh_ru, "Wh_n": Wh_n, "real": real}
    return Reference([h] if step else [q["h"], h], q, tb.gru_backward if after else tb.gru_before_backward)


def recurrent(
    name: str, gates: str, states: int, biases: tuple[str, ...], reference: Callable, step: bool
) -> Kind:
    state = ("h_prev", "c_prev")[:states] if step else ("h0", "c0")[:states]
    options = ("reset_after",) if name == "gru" else ()
    n_gates = max(len(gates), 1)

    def make(rng, setting: str) -> dict:
        return recurrent_values(rng, setting, state, n_gates, biases, step)

    def upstream(douts: list, ref: Reference) -> dict:
        zero = np.zeros_like(ref.quantities["h"][0])
        dhs, *last = [None, *douts] if step else douts
        given = {"dhs": np.zeros_like(ref.quantities["h"]) if dhs is None else dhs}
        for key, d in zip(("dh_last", "dc_last"), [*last, None, None][:states], strict=False):
            given[key] = zero if d is None else d
        return given

    def downstream(results, values: dict) -> dict:
        named = dict(zip(("x", *state, "Wx", "Wh", *biases), results, strict=True))
        if step:
            named["x"] = named["x"][0]
        return named

    axes = {"x": "BD" if step else "TBD"} | dict.fromkeys(state, "BH")
    axes |= {"Wx": "DG", "Wh": "HG"} | dict.fromkeys(biases, "G")
    outs = {"h": "BH", "c": "BH"} if step else {"hs": "TBH", "h_last": "BH", "c_last": "BH"}
    outs = dict(list(outs.items())[: len(outs) - 2 + states])
    return Kind(
        f"{name}_step" if step else name,
        axes,
        ("mask", *options),
        outs,
        ("ragged", "no mask") if step else ("ragged", "no mask", "padding first"),
        make,
        lambda v: reference(v, step),
        upstream,
        downstream,
        gates,
        ("Wx", "Wh", *biases) if gates else (),
        step,
    )
