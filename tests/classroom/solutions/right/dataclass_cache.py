from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Step:
    x: Floats
    h: Floats
    c: Floats
    gates: Floats  # (4, B, H)
    tanh_c: Floats
    Wx: Floats
    Wh: Floats
    keep: Floats  # (B, 1): 1.0 where the row is real


@dataclass
class Sequence:
    steps: list[Step] = field(default_factory=list)


def lstm_step_forward(
    x: Floats,
    h_prev: Floats,
    c_prev: Floats,
    Wx: Floats,
    Wh: Floats,
    b: Floats,
    mask: npt.NDArray[np.bool_] | None = None,
) -> tuple[tuple[Floats, Floats], Step]:
    B, H = h_prev.shape
    z: Floats = (x @ Wx + h_prev @ Wh + b).reshape(B, 4, H).swapaxes(0, 1)
    gates = np.empty_like(z)
    gates[:3] = 1 / (1 + np.exp(-z[:3]))
    gates[3] = np.tanh(z[3])
    keep = np.ones((B, 1)) if mask is None else mask[:, None].astype(float)
    c = gates[1] * c_prev + gates[0] * gates[3]
    tanh_c = np.tanh(c)
    h = gates[2] * tanh_c
    new = keep * h + (1 - keep) * h_prev, keep * c + (1 - keep) * c_prev
    return new, Step(x, h_prev, c_prev, gates, tanh_c, Wx, Wh, keep)


def lstm_step_backward(dout: tuple[Floats | None, Floats | None], cache: Step) -> tuple[Floats, ...]:
    dh, dc = (np.zeros_like(cache.h) if d is None else d for d in dout)
    i, f, o, g = cache.gates
    keep = cache.keep
    dh_new, dc_new = keep * dh, keep * dc
    dc_new = dc_new + dh_new * o * (1 - cache.tanh_c**2)
    da = np.stack([dc_new * g, dc_new * cache.c, dh_new * cache.tanh_c, dc_new * i])
    slopes = np.stack([i * (1 - i), f * (1 - f), o * (1 - o), 1 - g**2])
    dz = (da * slopes).swapaxes(0, 1).reshape(len(dh), -1)
    dh_prev = dz @ cache.Wh.T + (1 - keep) * dh
    dc_prev = dc_new * f + (1 - keep) * dc
    return dz @ cache.Wx.T, dh_prev, dc_prev, cache.x.T @ dz, cache.h.T @ dz, dz.sum(axis=0)


def lstm_forward(x: Floats, h0: Floats, c0: Floats, Wx: Floats, Wh: Floats, b: Floats, mask=None):
    cache, h, c = Sequence(), h0, c0
    hs: Floats = np.empty((*x.shape[:2], h0.shape[1]))
    for t, x_t in enumerate(x):
        (h, c), step = lstm_step_forward(x_t, h, c, Wx, Wh, b, mask=None if mask is None else mask[t])
        cache.steps.append(step)
        hs[t] = h
    return (hs, h, c), cache


def lstm_backward(dout, cache: Sequence):
    dhs, dh, dc = dout
    first = cache.steps[0]
    dh = np.zeros_like(first.h) if dh is None else dh
    total = [np.zeros_like(first.Wx), np.zeros_like(first.Wh), np.zeros(first.Wx.shape[1])]
    dx = np.empty((len(cache.steps), *first.x.shape))
    for t in reversed(range(len(cache.steps))):
        dx[t], dh, dc, *parts = lstm_step_backward((dh if dhs is None else dh + dhs[t], dc), cache.steps[t])
        for whole, part in zip(total, parts, strict=True):
            whole += part
    return dx, dh, dc, *total
