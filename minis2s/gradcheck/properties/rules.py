"""The update rules of optimizers, written plainly, each with the ways in which it is often written instead.

Everything works on one long vector of weights (all parameters side by side) in float64. A `change` is
the name of a mistake; "" is the rule as stated.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Settings(NamedTuple):
    """What an optimizer is made with."""

    lr: float = 0.05
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0


# -- SGD -------------------------------------------------------------------------------------------


def sgd(p, gradients, which, *, s: Settings, kind: str = "sgd", change: str = "", decoupled: bool = False):
    """p (N,), gradients (steps, N) -> weights after every step (steps, N).

    kind: "sgd", "momentum" (v = momentum * v + g; p -= lr * v), or "nesterov" (p -= lr * (g + momentum * v)).
    """
    v = np.zeros_like(p)
    mu, lr, after = s.momentum, s.lr, []
    for g in gradients:
        g = g.copy() if decoupled else g + s.weight_decay * p
        if decoupled:
            p = p - lr * s.weight_decay * p
        if change == "reset":
            v = np.zeros_like(p)
        old = v
        v = {
            "dampening": mu * v + (1 - mu) * g,
            "minus": mu * v - g,
            "exchanged": v + mu * g,
            "no sum": g,
            "squared": mu**2 * v + g,
            "sign": np.sign(g) + mu * v,
        }.get(change, mu * v + g)
        if kind == "sgd":
            step = np.sign(g) if change == "sign" else g
        elif kind == "momentum":
            step = old if change == "old velocity" else v
        else:
            step = {"velocity only": mu * v, "old velocity": g + mu * old, "twice": v + mu * v}.get(
                change, g + mu * v
            )
        factor = {"plus": -lr, "lr twice": lr * lr, "no lr": 1.0, "half": lr / 2, "double": 2 * lr}.get(
            change, lr
        )
        if change == "normalized":
            step = step / max(np.sqrt((step**2).sum()), 1e-300)
        if change == "first parameter":
            step = np.where(which == 0, step, 0)
        p = p - factor * step
        after.append(p)
    return np.stack(after)


# -- Adam ------------------------------------------------------------------------------------------


def adam(p, gradients, which, *, s: Settings, change: str = "", decay: str = "decoupled"):
    """p (N,), gradients (steps, N), which (N,) the parameter of each number -> weights after every step.

    decay: "decoupled" (AdamW), "coupled" (added to the gradient), "none", and forms of these.
    """
    b1, b2 = s.betas[::-1] if change == "betas exchanged" else s.betas
    lr, eps, wd = s.lr, s.eps, s.weight_decay
    m, v, vmax = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    parameters = int(which.max()) + 1
    after = []
    for n, g in enumerate(gradients):
        t = {
            "t from 0": n,
            "t stays 1": 1,
            "t per parameter": n * parameters + which + 1,
            "t twice": 2 * n + 2,
            "t from 2": n + 2,
        }.get(change, n + 1)
        if decay == "coupled":
            g = g + wd * p
        elif decay == "decoupled":
            p = p - lr * wd * p
        elif decay == "without lr":
            p = p - wd * p
        elif decay == "growing":
            p = p + lr * wd * p
        if change == "reset":
            m, v = np.zeros_like(p), np.zeros_like(p)
        m = {
            "m without 1 - beta1": b1 * m + g,
            "m weights exchanged": (1 - b1) * m + b1 * g,
            "no m": g * (1 - b1**t),
        }.get(change, b1 * m + (1 - b1) * g)
        square = {"abs": np.abs(g), "no square": g, "m squared": m * m}.get(change, g * g)
        v = {
            "v without 1 - beta2": b2 * v + square,
            "v weights exchanged": (1 - b2) * v + b2 * square,
            "adagrad": v + square,
            "one v": b2 * v + (1 - b2) * (g * g).mean(),
        }.get(change, b2 * v + (1 - b2) * square)
        c1, c2 = 1 - b1**t, 1 - b2**t
        if change in ("no correction", "no correction of m"):
            c1 = 1.0
        if change in ("no correction", "no correction of v"):
            c2 = 1.0
        if change == "corrections exchanged":
            c1, c2 = c2, c1
        if change == "corrections multiplied":
            c1, c2 = 1 / c1, 1 / c2
        mh, vh = m / c1, v / c2
        if change == "amsgrad":
            vmax = np.maximum(vmax, vh)
            vh = vmax
        if change == "corrected in place":
            m, v = mh, vh
        if change == "nadam":
            mh = b1 * mh + (1 - b1) * g / c1
        below = {
            "no root": vh + eps,
            "eps inside": np.sqrt(vh + eps),
            "eps uncorrected": np.sqrt(vh) + eps / np.sqrt(c2),
            "eps both": np.sqrt(vh + eps) + eps,
            "no eps": np.sqrt(vh),
            "no v": np.ones_like(p),
            "root of c2 missing": np.sqrt(v) / c2 + eps,
            "eps maximum": np.maximum(np.sqrt(vh), eps),
        }.get(change, np.sqrt(vh) + eps)
        factor = {"plus": -lr, "lr twice": lr * lr, "no lr": 1.0, "half": lr / 2, "double": 2 * lr}.get(
            change, lr
        )
        step = factor * mh / below
        if change == "first parameter":
            step = np.where(which == 0, step, 0)
        p = p - step
        if decay == "after the step":
            p = p - lr * wd * p
        after.append(p)
    return np.stack(after)


def bind(function: Callable, **options) -> Callable:
    return lambda p, gradients, which: function(p, gradients, which, **options)


def stated(kind: str, s: Settings) -> Callable:
    """The rule as it is stated: "sgd", "momentum", "nesterov", "adam" or "adamw"."""
    if kind in ("adam", "adamw"):
        return bind(adam, s=s, decay="decoupled" if kind == "adamw" else "coupled")
    return bind(sgd, s=s, kind=kind)
