"""One step of an RNN, LSTM or GRU as it is stated, and in the ways in which it is often written instead.

`variants` lists them all; a pair whose formula is wrong is compared with each, and the one that
gives the same numbers to the last digits is what the pair really computes. Written anew here, one
line an equation, with nothing shared with the engine.
"""

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0)


def same(z: np.ndarray) -> np.ndarray:
    return z


class Variant(NamedTuple):
    says: str  # what such a pair does, as the end of "your pair ..."
    cause: str
    place: str
    step: Callable  # (x, state, weights) -> state; state a tuple of (B, H)


STATED = {"rnn": "", "lstm": "ifog", "gru": "run"}


def blocks(order: str, z: np.ndarray) -> dict[str, np.ndarray]:
    """(B, nH) cut into the n gates, which lie in this order."""
    return dict(zip(order, np.split(z, len(order), axis=-1), strict=True))


# -- LSTM ------------------------------------------------------------------------------------------


def lstm_step(x, state, weights, *, order: str = "ifog", act=None, change: str = "") -> tuple:
    """x (B, D), state (h, c) of (B, H), weights Wx (D, 4H), Wh (H, 4H), b (4H,) -> (h, c)."""
    h, c = state
    Wx, Wh, b = weights
    if change == "transposed":
        Wh = np.concatenate([block.T for block in np.split(Wh, 4, axis=1)], axis=1)
    z = (0 if change == "no input" else x @ Wx) + (0 if change == "no state" else h @ Wh)
    z = z if change == "no bias" else z + b
    act = {"i": sigmoid, "f": sigmoid, "o": sigmoid, "g": np.tanh} | (act or {})
    z = blocks(order, z)
    if change == "forget bias":
        z["f"] = z["f"] + 1
    i, f, o, g = (act[gate](z[gate]) for gate in "ifog")
    c_next = {
        "coupled": f * c + (1 - f) * g,
        "no forget": c + i * g,
        "no input gate": f * c + g,
        "kept and new": i * c + f * g,
        "1 - f": (1 - f) * c + i * g,
        "no cell": i * g,
        "sum": f * c + i + g,
        "g of state": f * c + i * g * c,
    }.get(change, f * c + i * g)
    h_next = {
        "no tanh": o * c_next,
        "sigmoid of c": o * sigmoid(c_next),
        "old cell": o * np.tanh(c),
        "no output gate": np.tanh(c_next),
        "tanh outside": np.tanh(o * c_next),
    }.get(change, o * np.tanh(c_next))
    return (c_next, h_next) if change == "swapped" else (h_next, c_next)


LSTM_CHANGES = {
    "forget bias": ("adds 1 to the forget gate by itself: the bias b has it already", "extra term", "f"),
    "no bias": ("leaves out the bias b", "missing term", "b"),
    "no state": ("leaves out h_prev Wh", "missing term", "Wh"),
    "no input": ("leaves out x Wx", "missing term", "Wx"),
    "transposed": ("multiplies h_prev by the transposed blocks of Wh", "transpose", "Wh"),
    "coupled": ("uses 1 - f in place of i", "wrong variable", "i"),
    "no forget": ("leaves the forget gate out of c = f * c_prev + i * g", "missing factor", "f"),
    "no input gate": ("leaves the input gate out of c = f * c_prev + i * g", "missing factor", "i"),
    "kept and new": ("has i and f exchanged in c = f * c_prev + i * g", "wrong variable", "c"),
    "1 - f": ("keeps 1 - f of the old cell state, not f", "wrong variable", "f"),
    "no cell": ("forgets c_prev: c = i * g", "missing term", "c"),
    "sum": ("adds i and g where they are multiplied", "wrong variable", "c"),
    "no tanh": ("leaves out tanh in h = o * tanh(c)", "forward", "tanh(c)"),
    "sigmoid of c": ("has h = o * sigmoid(c), not o * tanh(c)", "forward", "tanh(c)"),
    "old cell": ("has h = o * tanh(c_prev): the old cell state", "wrong variable", "tanh(c)"),
    "no output gate": ("leaves the output gate out of h = o * tanh(c)", "missing factor", "o"),
    "tanh outside": ("has h = tanh(o * c), not o * tanh(c)", "forward", "tanh(c)"),
    "swapped": ("returns (c, h), not (h, c)", "forward", "outputs"),
}


# -- GRU -------------------------------------------------------------------------------------------


def gru_step(x, state, weights, *, order="run", reset_after=True, act=None, change: str = "") -> tuple:
    """x (B, D), state (h,) of (B, H), weights Wx (D, 3H), Wh (H, 3H), bx, bh (3H,) -> (h,)."""
    (h,) = state
    Wx, Wh, bx, bh = weights
    act = {"r": sigmoid, "u": sigmoid, "n": np.tanh} | (act or {})
    bx, bh = (np.zeros_like(b) if change == f"no {name}" else b for name, b in (("bx", bx), ("bh", bh)))
    zx = blocks(order, (0 if change == "no input" else x @ Wx) + bx)
    Wh, bh = blocks(order, Wh), blocks(order, bh)
    if change == "transposed":
        Wh = {gate: W.T for gate, W in Wh.items()}
    r, u = (act[gate](zx[gate] + h @ Wh[gate] + bh[gate]) for gate in "ru")
    if change == "exchanged r and u":
        r, u = u, r
    reset = np.ones_like(r) if change == "no reset" else r
    if reset_after:
        zh = reset * (h @ Wh["n"]) + bh["n"] if change == "bias outside" else reset * (h @ Wh["n"] + bh["n"])
    else:
        zh = (reset * h) @ Wh["n"] + (reset * bh["n"] if change == "bias inside" else bh["n"])
    n = act["n"]((reset * zx["n"] if change == "reset of x" else zx["n"]) + zh)
    return (
        {
            "1 - u": u * n + (1 - u) * h,
            "no carry": (1 - u) * n,
            "no update": n,
            "both u": u * n + u * h,
            "full n": n + u * h,
        }.get(change, (1 - u) * n + u * h),
    )


GRU_CHANGES = {
    "1 - u": (
        "has u and 1 - u exchanged: h = u * n + (1 - u) * h_prev (that form is in Chung et al. 2014)",
        "wrong variable",
        "u",
    ),
    "no reset": ("leaves out the reset gate", "missing factor", "r"),
    "bias outside": ("adds bh_n outside the brackets of r", "forward", "bh"),
    "bias inside": ("scales bh_n by r, which belongs to reset-after", "forward", "bh"),
    "reset of x": ("lets r scale x Wx as well", "extra term", "r"),
    "no bx": ("leaves out the bias bx", "missing term", "bx"),
    "no bh": ("leaves out the bias bh", "missing term", "bh"),
    "no input": ("leaves out x Wx", "missing term", "Wx"),
    "transposed": ("multiplies h_prev by the transposed blocks of Wh", "transpose", "Wh"),
    "no carry": ("leaves out u * h_prev", "missing term", "u"),
    "no update": ("leaves out the update gate: h = n", "missing factor", "u"),
    "both u": ("has u where 1 - u belongs", "wrong variable", "u"),
    "full n": ("leaves the factor 1 - u out", "missing factor", "u"),
}


# -- RNN -------------------------------------------------------------------------------------------


def rnn_step(x, state, weights, *, act=np.tanh, change: str = "") -> tuple:
    """x (B, D), state (h,) of (B, H), weights Wx (D, H), Wh (H, H), b (H,) -> (h,)."""
    (h,) = state
    Wx, Wh, b = weights
    Wh = Wh.T if change == "transposed" else Wh
    z = (0 if change == "no input" else x @ Wx) + (0 if change == "no state" else h @ Wh)
    z = z if change == "no bias" else z + b
    return (np.tanh(np.tanh(z)) if change == "twice" else act(z),)


RNN_CHANGES = {
    "no bias": ("leaves out the bias b", "missing term", "b"),
    "no state": ("leaves out h_prev Wh", "missing term", "Wh"),
    "no input": ("leaves out x Wx", "missing term", "Wx"),
    "transposed": ("multiplies h_prev by the transposed Wh", "transpose", "Wh"),
    "twice": ("takes tanh twice", "forward", "tanh"),
}


# -- all of them -----------------------------------------------------------------------------------

CELLS = {"lstm": (lstm_step, LSTM_CHANGES), "gru": (gru_step, GRU_CHANGES), "rnn": (rnn_step, RNN_CHANGES)}
ACTIVATIONS = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": relu, "no activation": same}


def bind(step: Callable, **options) -> Callable:
    return lambda x, state, weights: step(x, state, weights, **options)


def stated(kind: str, order: str, reset_after: bool) -> Callable:
    """The step as it is stated."""
    step = CELLS[kind][0]
    return bind(step, **options_of(kind, order, reset_after))


def options_of(kind: str, order: str, reset_after: bool) -> dict:
    return {"rnn": {}, "lstm": {"order": order}, "gru": {"order": order, "reset_after": reset_after}}[kind]


def variants(kind: str, order: str, reset_after: bool) -> Iterator[Variant]:
    """What the step could be instead: one thing changed first, then two."""
    step, changes = CELLS[kind]
    options = options_of(kind, order, reset_after)
    letters = ", ".join(order)
    orders = [p for p in map("".join, permutations(order)) if p != order]

    def ordered(found: str) -> str:
        return f"has its gates in the order {', '.join(found)}; stated is {letters}"

    form = "after" if reset_after else "before"
    other_form = "before" if reset_after else "after"
    form_says = f"applies the reset gate {other_form} the product with Wh; stated is {form} it"
    for found in orders:
        yield Variant(ordered(found), "gate order", "gates", bind(step, **options | {"order": found}))
    if kind == "gru":
        yield Variant(form_says, "forward", "r", bind(step, **options | {"reset_after": not reset_after}))
    for change, (says, cause, place) in changes.items():
        yield Variant(says, cause, place, bind(step, **options, change=change))
    if kind == "rnn":
        for name, act in ACTIVATIONS.items():
            yield Variant(f"has {name} in place of tanh", "forward", "tanh", bind(step, act=act))
        return
    for gate in order:
        for name, act in ACTIVATIONS.items():
            says = f"has {name} in gate {gate}, where {'tanh' if gate in 'gn' else 'sigmoid'} belongs"
            yield Variant(says, "forward", gate, bind(step, **options, act={gate: act}))
    # two at once: another order of the gates, and one more thing
    for found in orders:
        more = {**options, "order": found}
        if kind == "gru":
            step_of = bind(step, **more | {"reset_after": not reset_after})
            yield Variant(f"{ordered(found)}; and it {form_says}", "gate order", "gates", step_of)
        for change, (says, _, _) in changes.items():
            yield Variant(
                f"{ordered(found)}; and it {says}", "gate order", "gates", bind(step, **more, change=change)
            )
    if kind == "gru":
        more = options | {"reset_after": not reset_after}
        for change, (says, cause, place) in changes.items():
            yield Variant(f"{form_says}; and it {says}", cause, place, bind(step, **more, change=change))
