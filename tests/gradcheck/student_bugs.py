"""Wrong backward passes as students write them, with the place and the cause that a checker should name.

BUGS lists them. They are not edits of the engine: each comes from a base implementation in its own
style, a factory `make_x(bug)` whose code takes one wrong turn where `bug` says so; `make_x("")` is
right, and BASES lists all of them so that a test can prove it. All forwards are right.

How a label is meant. `node` is the first wrong quantity walking backward from the loss, in the words
of gradcheck.causes.Place; where two names can be defended, `nodes` has all of them. `step_hint` is
where it first goes wrong when every part of the upstream gradient is nonzero:
    "last"         at the last step already
    "before last"  at the last step all is right, one earlier it is not
    "first"        only at step 0
    "inside"       from some step in the middle
    "padded"       where padding is
    ""             not a matter of steps
`gate` has the letters of the wrong gates, in any order. Of two bugs in one pair the label is that of
the first one, walking backward. `classic` marks those of the well-known list; the others are ours.

BAD_INPUT lists pairs that misbehave: they raise, hang, return nonsense or change what they were given.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class StudentBug(NamedTuple):
    name: str
    kind: str
    forward: Callable
    backward: Callable
    node: str  # the first wrong one, walking backward
    gate: str  # letters of the wrong gates, or ""
    step_hint: str
    cause: str  # key of CAUSES
    also: tuple[str, ...]  # further causes that are a fair answer
    says: str  # what is wrong, in one line
    nodes: tuple[str, ...]  # all acceptable nodes; the first is `node`
    options: dict[str, Any]
    classic: bool


class Base(NamedTuple):
    kind: str
    make: Callable  # (name of a bug, or "") -> (forward, backward)
    options: dict[str, Any]


BUGS: list[StudentBug] = []
BASES: list[Base] = []


def recorder(kind: str, make: Callable, **options: Any) -> Callable:
    """A function that adds a bug of this base to BUGS."""
    BASES.append(Base(kind, make, options))

    def record(name, node, cause, says, *, gate="", step="", also=(), classic=False):
        nodes = (node,) if isinstance(node, str) else node
        forward, backward = make(name)
        BUGS.append(
            StudentBug(
                *(name, kind, forward, backward, nodes[0], gate, step),
                *(cause, also, says, nodes, options, classic),
            )
        )

    return record


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# == LSTM, all in one loop ============================================================================


def make_lstm(bug):
    def forward(x, h0, c0, Wx, Wh, b, mask=None):
        h, c = h0, c0
        hs, steps = [], []
        for t in range(len(x)):
            pre = x[t] @ Wx + h @ Wh + b
            zi, zf, zo, zg = np.split(pre, 4, axis=1)
            i, f, o, g = sigmoid(zi), sigmoid(zf), sigmoid(zo), np.tanh(zg)
            c_new = f * c + i * g
            h_new = o * np.tanh(c_new)
            steps.append((h, c, i, f, o, g, c_new, h_new, pre))
            real = np.ones((len(h), 1), bool) if mask is None else mask[t][:, None]
            h, c = np.where(real, h_new, h), np.where(real, c_new, c)
            hs.append(h)
        return (np.array(hs), h, c), (x, h0, Wx, Wh, mask, steps)

    def backward(dout, cache):
        dhs, dh_last, dc_last = dout
        x, h0, Wx, Wh, mask, steps = cache
        T, B, D = x.shape
        H = h0.shape[1]
        dx = np.zeros_like(x)
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
        dh_next, dc_next = dh_last, dc_last
        if bug == "dh_last forgotten":
            dh_next = np.zeros_like(h0)
        if bug == "dc_last forgotten":
            dc_next = np.zeros_like(h0)
        order = list(range(T - 1, -1, -1))
        if bug == "loop starts one step too late":
            order = list(range(T - 2, -1, -1))
        if bug == "loop stops before step 0":
            order = list(range(T - 1, 0, -1))
        for t in order:
            h_prev, c_prev, i, f, o, g, c, h, pre = steps[t]
            if bug == "gates of the step before":
                i, f, o, g = steps[max(t - 1, 0)][2:6]
            real = np.ones((B, 1), bool) if mask is None else mask[t][:, None]
            if bug == "padding not masked":
                real = np.ones((B, 1), bool)

            dh = dh_next + dhs[t]
            if bug == "output gradient of the step before":
                dh = dh_next + dhs[t - 1]
            if bug == "output gradients only at the last step" and t < T - 1:
                dh = dh_next
            if bug == "output gradients forgotten":
                dh = dh_next
            if bug == "incoming dh counted twice" and t < T - 1:
                dh = dh + dh_next
            if bug == "cut in the middle" and t == T // 2 - 1:
                dh = dhs[t]

            tanh_c = np.tanh(c)
            dtanh = 1 - tanh_c**2
            if bug == "tanh taken twice":
                dtanh = 1 - np.tanh(tanh_c) ** 2
            if bug == "tanh of the cell as 1 - c**2":
                dtanh = 1 - c**2
            if bug == "no derivative of tanh(c)":
                dtanh = 1
            dc = dc_next + dh * o * dtanh
            if bug == "incoming dc ignored":
                dc = dh * o * dtanh
            if bug == "o forgotten in dc":
                dc = dc_next + dh * dtanh
            if bug == "dc added twice":
                dc = dc_next + dc
            if bug == "tanh(c) in the place of o":
                dc = dc_next + dh * tanh_c * dtanh
            if bug == "dc through the last h only":
                dc = dc_next if t < T - 1 else dc
            if bug == "mask for dh only":
                dc = dc_next + np.where(real, dh, 0) * o * dtanh

            do, di, df, dg = dh * tanh_c, dc * g, dc * c_prev, dc * i
            if bug == "do uses c":
                do = dh * c
            if bug == "df uses the new c":
                df = dc * c
            if bug == "di and df operands exchanged":
                di, df = dc * c_prev, dc * g
            if bug == "dg lacks i":
                dg = dc
            if bug == "do from dc":
                do = dc * tanh_c

            ai, af, ao, ag = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)
            if bug == "g with the derivative of sigmoid":
                ag = dg * g * (1 - g)
            if bug == "i with the derivative of tanh":
                ai = di * (1 - i**2)
            if bug == "derivative of f forgotten":
                af = df
            if bug == "f with the wrong sign":
                af = df * f * (f - 1)
            if bug == "sigmoid' of the pre-activations":
                zi, zf, zo = pre[:, :H], pre[:, H : 2 * H], pre[:, 2 * H : 3 * H]
                ai, af, ao = di * zi * (1 - zi), df * zf * (1 - zf), do * zo * (1 - zo)
            if bug == "tanh' of the pre-activation":
                ag = dg * (1 - pre[:, 3 * H :] ** 2)
            if bug == "tanh' without the square":
                ag = dg * (1 - g)
            if bug == "sigmoid' as 1 - o":
                ao = do * (1 - o)
            if bug == "two: do uses c, Wh not transposed":
                ao = dh * c * o * (1 - o)
            if bug == "two: o forgotten in dc, dWh one step late":
                ai, af, ag = (a * (dc_next + dh * dtanh) / dc for a in (ai, af, ag))
                dc = dc_next + dh * dtanh

            blocks = [ai, af, ao, ag]
            if bug == "i and f exchanged":
                blocks = [af, ai, ao, ag]
            if bug == "o and g exchanged":
                blocks = [ai, af, ag, ao]
            dz = np.concatenate(blocks, axis=1)
            if bug != "mask for dh only":
                dz = np.where(real, dz, 0)

            into_dx = dz.copy()
            if bug == "dx lacks gate o":
                into_dx[:, 2 * H : 3 * H] = 0
            dx[t] = into_dx @ Wx.T
            if bug == "dx by a reshaped Wx":
                dx[t] = dz @ Wx.reshape(4 * H, D)
            if bug == "dx filled from the front":
                dx[t] = 0
                dx[T - 1 - t] = dz @ Wx.T

            left = h_prev
            if bug in ("dWh with h of the same step", "two: o forgotten in dc, dWh one step late"):
                left = h
            if bug == "dWh takes h0 for zero" and t == 0:
                left = np.zeros_like(h0)
            if bug == "dWh takes hs[0] for h0" and t == 0:
                left = h
            if bug == "dWx overwritten":
                dWx = x[t].T @ dz
            elif bug == "dWx with the input of the step before":
                dWx += x[t - 1].T @ dz
            else:
                dWx += x[t].T @ dz
            dWh += left.T @ dz
            if bug == "db of the first row":
                db += dz[0]
            elif bug == "db overwritten":
                db = dz.sum(axis=0)
            elif bug == "db the mean over the batch":
                db += dz.mean(axis=0)
            else:
                db += dz.sum(axis=0)

            dh_back, dc_back = dz @ Wh.T, dc * f
            if bug in ("Wh not transposed by gate", "two: do uses c, Wh not transposed"):
                dh_back = sum(a @ W for a, W in zip(np.split(dz, 4, axis=1), np.split(Wh, 4, axis=1)))
            if bug == "dh through the gate f only":
                dh_back = dz[:, H : 2 * H] @ Wh[:, H : 2 * H].T
            if bug == "dh back lacks gate g":
                dh_back = dz[:, : 3 * H] @ Wh[:, : 3 * H].T
            if bug == "dc not handed back":
                dc_back = np.zeros_like(dc)
            if bug == "dc back through i":
                dc_back = dc * i
            if bug == "dc back without f":
                dc_back = dc
            if bug == "dh not handed back":
                dh_back = np.zeros_like(dh)
            if bug == "dh multiplied by f on the way":
                dh_back = dh_back * f
            if bug == "dh also through a shortcut":
                dh_back = dh_back + dh
            keep_h, keep_c = np.where(real, 0, dh), np.where(real, 0, dc_next)
            if bug == "padded steps stop the gradient":
                keep_h, keep_c = 0, 0
            if bug == "padded steps stop dc":
                keep_c = 0
            if bug == "carried twice under the mask":
                keep_h = 2 * keep_h
            if bug == "mask the wrong way round at the hand-back":
                keep_h, keep_c = np.where(real, dh, 0), np.where(real, dc_next, 0)
            dh_next = np.where(real, dh_back, 0) + keep_h
            dc_next = np.where(real, dc_back, 0) + keep_c
            if bug == "mask for dh only":
                dc_next = dc_back
            if bug == "clipped on the way":
                dh_next = np.clip(dh_next, -0.5, 0.5)

        dh0, dc0 = dh_next, dc_next
        if bug == "dh0 is dh of step 0":
            dh0 = np.where(real, dh, dh_next)
        if bug == "dc0 is dc of step 0":
            dc0 = np.where(real, dc, dc_next)
        if bug == "divided by the number of steps":
            dWx, dWh, db = dWx / T, dWh / T, db / T
        if bug == "dWh the mean over the batch":
            dWh = dWh / B
        if bug == "all gradients clipped":
            dWx, dWh, db = (np.clip(d, -1, 1) for d in (dWx, dWh, db))
        return dx, dh0, dc0, dWx, dWh, db

    return forward, backward


add = recorder("lstm", make_lstm)
# fmt: off
add("incoming dc ignored", "dc", "carry dropped", "dc = dh*o*tanh' only", step="last",
    also=("missing term",), classic=True)
add("tanh taken twice", "dc", "wrong derivative", "1 - tanh(tanh(c))**2", step="last", classic=True)
add("o forgotten in dc", "dc", "missing factor", "dh*tanh' for dh*o*tanh'", step="last", classic=True)
add("dc added twice", "dc", "carry doubled", "the incoming dc is added two times", step="last",
    also=("doubled",), classic=True)
add("do uses c", "dz", "wrong variable", "do = dh*c for dh*tanh(c)", gate="o", step="last", classic=True)
add("df uses the new c", "dz", "wrong variable", "df = dc*c for dc*c_prev", gate="f", step="last",
    also=("time shift",), classic=True)
add("g with the derivative of sigmoid", "dz", "wrong derivative", "dg*g*(1-g)", gate="g", step="last",
    classic=True)
add("i with the derivative of tanh", "dz", "wrong derivative", "di*(1-i**2)", gate="i", step="last",
    classic=True)
add("i and f exchanged", "dz", "gate order", "concatenated as f, i, o, g", gate="if", step="last",
    classic=True)
add("o and g exchanged", "dz", "gate order", "concatenated as i, f, g, o", gate="og", step="last",
    classic=True)
add("dWh with h of the same step", "dWh", "wrong variable", "h[t].T @ dz[t] for h[t-1].T @ dz[t]",
    also=("time shift",), classic=True)
add("Wh not transposed by gate", "dh", "transpose", "each gate's dz @ Wh_gate, without .T",
    step="before last", classic=True)
add("dc not handed back", "dc", "carry dropped", "dc of the step before starts at zero", step="before last",
    classic=True)
add("dc back through i", "dc", "wrong variable", "dc*i for dc*f", step="before last",
    also=("carry scaled", "gate order"), classic=True)
add("incoming dh counted twice", "dh", "carry doubled", "dh_next is added again", step="before last",
    also=("doubled",), classic=True)
add("cut in the middle", "dh", "carry dropped", "at T//2 - 1 the gradient from later steps is lost",
    step="inside", classic=True)
add("padded steps stop the gradient", ("dh", "dc"), "mask ignored",
    "nothing is handed back through a padded step", step="padded", also=("carry dropped",), classic=True)
add("db of the first row", "db", "batch sum", "db += dz[0]", classic=True)
add("db the mean over the batch", "db", "batch sum", "dz.mean(axis=0)", also=("normalization", "scale"),
    classic=True)
add("dWx overwritten", "dWx", "overwritten", "dWx = ... in the loop", classic=True)
add("dh_last forgotten", "dh", "missing term", "dh starts at zero", step="last",
    also=("hand-over", "carry dropped"), classic=True)
add("dc_last forgotten", "dc", "missing term", "dc starts at zero", step="last",
    also=("hand-over", "carry dropped"), classic=True)
add("gates of the step before", ("dc", "dz"), "stale cache", "i, f, o, g are those of step t-1",
    step="last", also=("time shift", "wrong variable"), classic=True)
# not of the list
add("sigmoid' of the pre-activations", "dz", "wrong derivative", "z*(1-z) with z before the sigmoid",
    gate="ifo", step="last", also=("wrong variable",))
add("tanh' of the pre-activation", "dz", "wrong derivative", "1 - z_g**2", gate="g", step="last",
    also=("wrong variable",))
add("tanh' without the square", "dz", "wrong derivative", "1 - g", gate="g", step="last")
add("tanh of the cell as 1 - c**2", "dc", "wrong derivative", "1 - c**2 for 1 - tanh(c)**2", step="last",
    also=("wrong variable",))
add("no derivative of tanh(c)", "dc", "wrong derivative", "dc += dh*o", step="last",
    also=("missing factor",))
add("derivative of f forgotten", "dz", "wrong derivative", "f*(1-f) is missing", gate="f", step="last",
    also=("missing factor",))
add("sigmoid' as 1 - o", "dz", "wrong derivative", "do*(1-o)", gate="o", step="last",
    also=("missing factor",))
add("f with the wrong sign", "dz", "sign", "df*f*(f-1)", gate="f", step="last", also=("wrong derivative",))
add("tanh(c) in the place of o", "dc", "wrong variable", "dh*tanh(c)*tanh' for dh*o*tanh'", step="last")
add("dc through the last h only", "dc", "missing term", "dh*o*tanh' is added at the last step only",
    step="before last")
add("di and df operands exchanged", "dz", "wrong variable", "di = dc*c_prev, df = dc*g", gate="if",
    step="last", also=("gate order",))
add("dg lacks i", "dz", "missing factor", "dg = dc", gate="g", step="last")
add("do from dc", "dz", "wrong variable", "do = dc*tanh(c)", gate="o", step="last")
add("output gradient of the step before", "dh", "time shift", "dhs[t-1] is added at step t", step="last",
    also=("wrong variable",))
add("output gradients only at the last step", "dh", "missing term", "dhs[t] is added at T-1 only",
    step="before last")
add("output gradients forgotten", "dh", "missing term", "dhs is never used", step="last")
add("loop starts one step too late", ("dz", "dh", "dc", "dx"), "missing term", "range(T-2, -1, -1)",
    gate="ifog", step="last", also=("time shift", "carry dropped"))
add("loop stops before step 0", ("dz", "dx", "dh0", "dc0"), "missing term", "range(T-1, 0, -1)",
    gate="ifog", step="first", also=("time shift", "carry dropped"))
add("dWh takes h0 for zero", "dWh", "missing term", "zeros for h0 at step 0", also=("wrong variable",))
add("dWh takes hs[0] for h0", "dWh", "wrong variable", "h after step 0 where h0 belongs",
    also=("time shift",))
add("dWx with the input of the step before", "dWx", "time shift", "x[t-1].T @ dz[t]",
    also=("wrong variable",))
add("db overwritten", "db", "overwritten", "db = dz.sum(0) in the loop")
add("dx lacks gate o", "dx", "missing term", "three of four gates reach x")
add("dx by a reshaped Wx", "dx", "transpose", "Wx.reshape(4H, D) for Wx.T")
add("dx filled from the front", "dx", "time shift", "dx in reversed order of time")
add("dh through the gate f only", "dh", "missing term", "one of four gates reaches h", step="before last")
add("dh back lacks gate g", "dh", "missing term", "three of four gates reach h", step="before last")
add("dc back without f", "dc", "missing factor", "dc_prev = dc", step="before last", also=("carry scaled",))
add("dh not handed back", "dh", "carry dropped", "dh of the step before starts at zero", step="before last",
    also=("missing term",))
add("dh multiplied by f on the way", "dh", "carry scaled", "dh_prev = (dz @ Wh.T)*f", step="before last",
    also=("extra term",))
add("dh also through a shortcut", "dh", "extra term", "dh_prev = dz @ Wh.T + dh", step="before last",
    also=("doubled",))
add("padding not masked", ("dz", "dh", "dc", "dx"), "mask ignored", "backward does not know the mask",
    gate="ifog", step="padded")
add("mask for dh only", ("dz", "dc", "dx"), "mask ignored", "dc runs through the padded cell", gate="ifg",
    step="padded")
add("padded steps stop dc", "dc", "mask ignored", "dc is not handed through a padded step", step="padded",
    also=("carry dropped",))
add("carried twice under the mask", "dh", "carry doubled", "dh of a padded step is handed back twice",
    step="padded", also=("mask ignored", "doubled"))
add("mask the wrong way round at the hand-back", ("dh", "dc"), "mask ignored",
    "dh is kept at the real rows, not at the padded", step="before last",
    also=("extra term", "carry doubled", "carry dropped"))
add("dh0 is dh of step 0", "dh0", "wrong variable", "returned before it passed step 0",
    also=("time shift",))
add("dc0 is dc of step 0", "dc0", "missing factor", "the last *f is missing",
    also=("wrong variable", "time shift", "carry scaled"))
add("divided by the number of steps", ("dWx", "dWh", "db"), "normalization", "weight gradients / T",
    also=("scale",))
add("dWh the mean over the batch", "dWh", "batch sum", "dWh / B", also=("normalization", "scale"))
add("all gradients clipped", ("dWx", "dWh", "db"), "clipping", "np.clip(d, -1, 1) at the end")
add("clipped on the way", "dh", "clipping", "np.clip(dh, -0.5, 0.5) at each step", step="before last",
    also=("carry scaled",))
add("two: do uses c, Wh not transposed", "dz", "wrong variable", "do = dh*c; and dh_prev without .T",
    gate="o", step="last")
add("two: o forgotten in dc, dWh one step late", "dc", "missing factor",
    "dh*tanh' for dh*o*tanh'; and h[t].T @ dz[t]", step="last")
# fmt: on


# == LSTM of single steps ==============================================================================


def make_lstm_of_steps(bug):
    def cell(x, h, c, Wx, Wh, b):
        H = h.shape[1]
        a = x.dot(Wx) + h.dot(Wh) + b
        ingate, forget, output = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
        cand = np.tanh(a[:, 3 * H :])
        c2 = forget * c + ingate * cand
        return (
            output * np.tanh(c2),
            c2,
            {"x": x, "h": h, "c": c, "c2": c2, "gates": (ingate, forget, output, cand)},
        )

    def cell_backward(dh, dc, cache, Wx, Wh):
        ingate, forget, output, cand = cache["gates"]
        t = np.tanh(cache["c2"])
        dc = dc + dh * output * (1 - t * t)
        da = np.hstack(
            [
                dc * cand * ingate * (1 - ingate),
                dc * cache["c"] * forget * (1 - forget),
                dh * t * output * (1 - output),
                dc * ingate * (1 - cand * cand),
            ]
        )
        return da.dot(Wx.T), da.dot(Wh.T), dc * forget, cache["x"].T.dot(da), cache["h"].T.dot(da), da.sum(0)

    def forward(x, h0, c0, Wx, Wh, b):
        h, c = h0, c0
        outputs, tape = np.zeros((len(x), *h0.shape)), []
        for t in range(len(x)):
            h, c, cache = cell(x[t], h, c, Wx, Wh, b)
            outputs[t] = h
            tape.append(cache)
        return (outputs, h, c), (tape, Wx, Wh)

    totals = {}

    def backward(dout, cache):
        dhs, dh_last, dc_last = dout
        tape, Wx, Wh = cache
        T = len(tape)
        dh, dc = dh_last, dc_last
        dx = [None] * T
        sums = totals if bug == "sums kept between calls" else {}
        if bug == "last output gradient added twice":
            dh = dh + dhs[-1]
        for t in range(T - 1, -1, -1):
            dh_in = dh + dhs[t]
            if bug == "dh replaced":
                dh_in = dhs[t] if t < T - 1 else dh_in
            saved = tape[t]
            if bug == "always the cache of the last step":
                saved = tape[-1]
            if bug == "output gradients in the order of the list":
                dh_in = dh + dhs[T - 1 - t]
            if bug == "tape read from the front":
                saved = tape[T - 1 - t]
            dx[t], dh, dc, *weights = cell_backward(dh_in, dc, saved, Wx, Wh)
            if bug == "dh and dc handed back exchanged":
                dh, dc = dc, dh
            if bug == "dc_last again at every step":
                dc = dc + dc_last
            for name, d in zip(("Wx", "Wh", "b"), weights):
                if bug == "only the weights of step 0" and t > 0:
                    continue
                sums[name] = sums.get(name, 0) + d
            if bug == "bias twice":
                sums["b"] = sums["b"] + weights[2]
        return np.array(dx), dh, dc, sums["Wx"], sums["Wh"], sums["b"]

    return forward, backward


add = recorder("lstm", make_lstm_of_steps)
# fmt: off
add("always the cache of the last step", ("dz", "dc"), "stale cache", "tape[-1] at every step", gate="ifog",
    step="before last", also=("wrong variable", "time shift"), classic=True)
add("sums kept between calls", ("dWx", "dWh", "db"), "not cleared",
    "weight gradients of the call before are added", also=("doubled",), classic=True)
add("dh replaced", "dh", "carry dropped", "dh = dhs[t], without what came back", step="before last",
    also=("missing term",))
add("last output gradient added twice", "dh", "doubled", "dhs[-1] before the loop and in it", step="last",
    also=("extra term", "carry doubled"))
add("output gradients in the order of the list", "dh", "time shift", "dhs[T-1-t] at step t", step="last",
    also=("wrong variable",))
add("tape read from the front", ("dc", "dz"), "stale cache", "tape[T-1-t] at step t", step="last",
    also=("time shift", "wrong variable"))
add("dh and dc handed back exchanged", ("dh", "dc"), "wrong variable", "dh, dc = dc_prev, dh_prev",
    step="before last", also=("gate order",))
add("dc_last again at every step", "dc", "extra term", "dc_last is added at each step", step="before last",
    also=("doubled", "carry doubled"))
add("only the weights of step 0", ("dWx", "dWh", "db"), "overwritten", "what is returned is that of step 0",
    also=("missing term",))
add("bias twice", "db", "doubled", "db is added two times at each step", also=("scale",))
# fmt: on


# == LSTM in the gate order of torch, products after the loop =========================================


def make_lstm_ifgo(bug):
    def forward(x, h0, c0, Wx, Wh, b):
        T, B, D = x.shape
        H = h0.shape[1]
        gates, h, c = np.empty((T, B, 4, H)), np.empty((T + 1, B, H)), np.empty((T + 1, B, H))
        h[0], c[0] = h0, c0
        for t in range(T):
            gates[t] = (x[t] @ Wx + h[t] @ Wh + b).reshape(B, 4, H)
            gates[t, :, 2] = np.tanh(gates[t, :, 2])
            for k in (0, 1, 3):
                gates[t, :, k] = sigmoid(gates[t, :, k])
            i, f, g, o = gates[t].transpose(1, 0, 2)
            c[t + 1] = f * c[t] + i * g
            h[t + 1] = o * np.tanh(c[t + 1])
        return (h[1:].copy(), h[-1].copy(), c[-1].copy()), (x, h, c, gates, Wx, Wh)

    def backward(dout, cache):
        dhs, dh, dc = dout
        x, h, c, gates, Wx, Wh = cache
        T, B, _, H = gates.shape
        d = np.zeros_like(gates)
        for t in range(T)[::-1]:
            i, f, g, o = gates[t].transpose(1, 0, 2)
            if bug == "unpacked as i f o g":
                i, f, o, g = gates[t].transpose(1, 0, 2)
            tc = np.tanh(c[t + 1])
            dh = dh + dhs[t]
            dc = dc + dh * o * (1 - tc**2)
            d[t, :, 0] = dc * g
            d[t, :, 1] = dc * c[t]
            d[t, :, 2] = dc * i
            d[t, :, 3] = dh * tc
            if bug == "one derivative for all gates":
                d[t] *= gates[t] * (1 - gates[t])
            elif bug == "derivatives for i f o g":
                d[t, :, :3] *= gates[t, :, :3] * (1 - gates[t, :, :3])
                d[t, :, 3] *= 1 - gates[t, :, 3] ** 2
            else:
                d[t, :, [0, 1, 3]] *= gates[t, :, [0, 1, 3]] * (1 - gates[t, :, [0, 1, 3]])
                d[t, :, 2] *= 1 - g**2
            dc = dc * f
            dh = d[t].reshape(B, 4 * H) @ Wh.T
            if bug == "blocks written as i f o g":
                d[t, :, [2, 3]] = d[t, :, [3, 2]]
        flat = d.reshape(T, B, 4 * H)
        if bug == "batch and time mixed by reshape":
            flat = d.transpose(1, 0, 2, 3).reshape(T, B, 4 * H)
        if bug == "gate blocks not joined but interleaved":
            flat = d.swapaxes(2, 3).reshape(T, B, 4 * H)
        left = h[:-1]
        if bug == "dWh with h[1:]":
            left = h[1:]
        if bug == "dWh without step 0":
            flat_h, left = flat[1:], h[1:-1]
        else:
            flat_h = flat
        dWx, dWh = np.einsum("tbd,tbk->dk", x, flat), np.einsum("tbh,tbk->hk", left, flat_h)
        if bug == "dWx from means over the steps":
            dWx = np.einsum("bd,bk->dk", x.mean(0), flat.sum(0))
        if bug == "dWh with sum over the batch taken first":
            dWh = np.einsum("th,tk->hk", left.sum(1), flat.sum(1))
        return flat @ Wx.T, dh, dc, dWx, dWh, flat.sum((0, 1))

    return forward, backward


add = recorder("lstm", make_lstm_ifgo, gates="ifgo")
# fmt: off
add("unpacked as i f o g", ("dc", "dz"), "gate order", "i, f, o, g = gates, which are i, f, g, o",
    gate="og", step="last", also=("wrong variable",))
add("derivatives for i f o g", "dz", "wrong derivative", "1 - o**2 for o and g*(1-g) for g", gate="og",
    step="last", also=("gate order",))
add("blocks written as i f o g", ("dx", "dz"), "gate order", "g and o exchanged after dh was taken",
    gate="og", step="last")
add("one derivative for all gates", "dz", "wrong derivative", "g*(1-g) for g too", gate="g", step="last")
add("batch and time mixed by reshape", ("dx", "dz"), "axis", "(B, T, ...) reshaped to (T, B, ...)",
    also=("transpose", "time shift"))
add("gate blocks not joined but interleaved", ("dx", "dz"), "axis", "(H, 4) flattened where (4, H) belongs",
    also=("gate order", "transpose"))
add("dWh with h[1:]", "dWh", "time shift", "h[1:] for h[:-1]", also=("wrong variable",), classic=True)
add("dWh without step 0", "dWh", "missing term", "h[1:-1] with dz[1:]: h0 has no part")
add("dWx from means over the steps", "dWx", "axis", "sum of products taken as product of sums",
    also=("normalization", "wrong variable"))
add("dWh with sum over the batch taken first", "dWh", "axis", "rows of the batch mixed: product of sums",
    also=("batch sum", "extra term"))
# fmt: on


# == one LSTM step ====================================================================================


def make_lstm_step(bug):
    def forward(x, h, c, Wx, Wh, b, mask=None):
        H = h.shape[1]
        z = np.concatenate([x, h], axis=1) @ np.concatenate([Wx, Wh]) + b
        act = np.concatenate([sigmoid(z[:, : 3 * H]), np.tanh(z[:, 3 * H :])], axis=1)
        i, f, o, g = np.split(act, 4, axis=1)
        c_next = f * c + i * g
        h_next = o * np.tanh(c_next)
        m = np.ones(len(x)) if mask is None else mask * 1.0
        m = m[:, None]
        cache = x, h, c, Wx, Wh, act, c_next, m
        return (m * h_next + (1 - m) * h, m * c_next + (1 - m) * c), cache

    def backward(dout, cache):
        dh_next, dc_next = dout
        x, h, c, Wx, Wh, act, c_next, m = cache
        i, f, o, g = np.split(act, 4, axis=1)
        dh, dc = m * dh_next, m * dc_next
        if bug == "padding not masked":
            dh, dc = dh_next, dc_next
        dcell = dc + dh * o * (1 - np.tanh(c_next) ** 2)
        if bug == "incoming dc ignored":
            dcell = dh * o * (1 - np.tanh(c_next) ** 2)
        if bug == "tanh' from h":
            dcell = dc + dh * o * (1 - np.tanh(o * np.tanh(c_next)) ** 2)
        if bug == "sign of the path through h":
            dcell = dc - dh * o * (1 - np.tanh(c_next) ** 2)
        act_grad = np.concatenate([dcell * g, dcell * c, dh * np.tanh(c_next), dcell * i], axis=1)
        slope = np.concatenate([(act * (1 - act))[:, : 3 * h.shape[1]], 1 - g**2], axis=1)
        if bug == "o with the square":
            slope[:, 2 * h.shape[1] : 3 * h.shape[1]] = o**2 * (1 - o)
        dz = act_grad * slope
        dx, dh_prev = dz @ Wx.T, dz @ Wh.T
        dc_prev = dcell * f
        if bug == "dc_prev without f":
            dc_prev = dcell
        if bug == "dc_prev from dc_next":
            dc_prev = dc * f
        if bug == "dh_prev with the weights of x":
            dh_prev = dz @ np.resize(Wx, Wh.shape).T
        if bug == "dh_prev by a reshaped Wh":
            dh_prev = dz @ Wh.reshape(Wh.shape[::-1])
        if bug != "nothing handed through padding":
            dh_prev = dh_prev + (1 - m) * dh_next
            dc_prev = dc_prev + (1 - m) * dc_next
        dWh = h.T @ dz
        if bug == "dWh with the new h":
            dWh = (o * np.tanh(c_next)).T @ dz
        db = dz.sum(axis=0)
        if bug == "db of the last row":
            db = dz[m[:, 0] > 0][-1]
        return dx, dh_prev, dc_prev, x.T @ dz, dWh, db

    return forward, backward


add = recorder("lstm_step", make_lstm_step)
# fmt: off
add("incoming dc ignored", "dc", "carry dropped", "dc of the next step is not added",
    also=("missing term",), classic=True)
add("dc_prev without f", ("dc0", "dc", "dc_prev"), "missing factor", "dc_prev = dc", also=("carry scaled",),
    classic=True)
add("dWh with the new h", "dWh", "wrong variable", "h_next.T @ dz", also=("time shift",), classic=True)
add("nothing handed through padding", ("dh0", "dc0", "dh", "dc", "dh_prev", "dc_prev"), "mask ignored",
    "a padded row gets gradient 0", also=("carry dropped", "missing term"), classic=True)
add("padding not masked", ("dz", "dx", "dh", "dc", "dh0"), "mask ignored",
    "the padded rows go through the cell, and by", gate="ifog")
add("tanh' from h", "dc", "wrong derivative", "1 - tanh(h)**2 for 1 - tanh(c)**2", also=("wrong variable",))
add("sign of the path through h", "dc", "sign", "dc - dh*o*tanh'")
add("o with the square", "dz", "wrong derivative", "o**2*(1-o)", gate="o", also=("extra term",))
add("dc_prev from dc_next", ("dc0", "dc", "dc_prev"), "missing term",
    "dc_next*f: the path through h is lost", also=("wrong variable",))
add("dh_prev with the weights of x", ("dh0", "dh", "dh_prev"), "wrong variable",
    "Wx, made to fit, in the place of Wh")
add("dh_prev by a reshaped Wh", ("dh0", "dh", "dh_prev"), "transpose", "Wh.reshape(4H, H) for Wh.T")
add("db of the last row", "db", "batch sum", "the bias gradient of one row of the batch")
# fmt: on


# == GRU, reset after the product ======================================================================


def make_gru(bug):
    def forward(x, h0, Wx, Wh, bx, bh, mask=None):
        H = h0.shape[1]
        h, saved, outs = h0, [], []
        for t, xt in enumerate(x):
            gx, gh = xt @ Wx + bx, h @ Wh + bh
            reset = sigmoid(gx[:, :H] + gh[:, :H])
            update = sigmoid(gx[:, H : 2 * H] + gh[:, H : 2 * H])
            inner = gh[:, 2 * H :]
            new = np.tanh(gx[:, 2 * H :] + reset * inner)
            live = np.ones((len(h), 1)) if mask is None else mask[t][:, None].astype(float)
            saved.append((xt, h, reset, update, inner, new, live))
            h = live * ((1 - update) * new + update * h) + (1 - live) * h
            outs.append(h)
        return (np.stack(outs), h), (saved, Wx, Wh, bh)

    def backward(dout, cache):
        dhs, dh = dout
        saved, Wx, Wh, bh = cache
        H = dh.shape[1]
        Wr, Wu, Wn = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        gWx, gWh, gbx, gbh = 0, 0, 0, 0
        dx = []
        for t in range(len(saved) - 1, -1, -1):
            xt, h, reset, update, inner, new, live = saved[t]
            total = dh + dhs[t]
            if bug == "output gradient of the step after" and t + 1 < len(saved):
                total = dh + dhs[t + 1]
            up = total * live
            if bug == "padding not masked":
                up = total

            dnew, dupdate, back = up * (1 - update), up * (h - new), up * update
            if bug == "u and 1-u exchanged":
                dnew, back = up * update, up * (1 - update)
            if bug == "du lacks -n":
                dupdate = up * h
            if bug == "sign of du":
                dupdate = up * (new - h)
            if bug == "du lacks h":
                dupdate = -up * new
            if bug == "carry forgotten":
                back = 0
            if bug == "carry not scaled":
                back = up

            an = dnew * (1 - new**2)
            if bug == "tanh' of n forgotten":
                an = dnew
            if bug == "n with the derivative of sigmoid":
                an = dnew * new * (1 - new)
            dreset, dinner = an * inner, an * reset
            if bug == "dr uses h":
                dreset = an * h
            if bug == "dr before tanh'":
                dreset = dnew * inner
            if bug == "dr without the bias":
                dreset = an * (inner - bh[2 * H :])
            if bug == "dr forgotten":
                dreset = 0 * an
            if bug == "r forgotten in the product":
                dinner = an
            ar, au = dreset * reset * (1 - reset), dupdate * update * (1 - update)
            if bug == "r without its derivative":
                ar = dreset
            if bug == "u with the derivative of r":
                au = dupdate * reset * (1 - reset)
            if bug == "r and u exchanged":
                ar, au = au, ar

            to_x, to_h = np.hstack([ar, au, an]), np.hstack([ar, au, dinner])
            dh = back + ar @ Wr.T + au @ Wu.T + dinner @ Wn.T
            if bug == "candidate path to h forgotten":
                dh = back + ar @ Wr.T + au @ Wu.T
            if bug == "reset path to h forgotten":
                dh = back + au @ Wu.T + dinner @ Wn.T
            if bug == "Wn not transposed":
                dh = back + ar @ Wr.T + au @ Wu.T + dinner @ Wn
            if bug == "only the carry":
                dh = back
            if bug == "r forgotten on the way to h only":
                dh = back + ar @ Wr.T + au @ Wu.T + an @ Wn.T
            if bug != "padded steps stop the gradient":
                dh = dh + total * (1 - live)

            seen = to_x.copy()
            if bug == "dx lacks gate u":
                seen[:, H : 2 * H] = 0
            if bug == "dx from the state's side":
                seen = to_h
            dx.append(seen @ Wx.T)
            gWx = gWx + xt.T @ to_x
            left = h
            if bug == "dWh with the new h":
                left = update * h + (1 - update) * new
            if bug == "dWh with r*h":
                gWh = gWh + np.hstack([h.T @ to_h[:, : 2 * H], (reset * h).T @ dinner])
            elif bug == "dWh lacks r":
                gWh = gWh + left.T @ to_x
            else:
                gWh = gWh + left.T @ to_h
            gbx = gbx + to_x.sum(0)
            if bug == "dbh lacks r":
                gbh = gbh + to_x.sum(0)
            elif bug == "dbh of the last step":
                gbh = to_h.sum(0)
            else:
                gbh = gbh + to_h.sum(0)
        if bug == "dbx from the state's side":
            gbx = gbh.copy()
        if bug != "dx in the order of backward":
            dx = dx[::-1]
        return np.stack(dx), dh, gWx, gWh, gbx, gbh

    return forward, backward


add = recorder("gru", make_gru)
# fmt: off
add("u and 1-u exchanged", "dz", "wrong variable", "dn = dh*u and the carry dh*(1-u)", gate="n",
    step="last", also=("gate order",), classic=True)
add("du lacks -n", "dz", "missing term", "du = dh*h", gate="u", step="last", classic=True)
add("carry forgotten", "dh", "carry dropped", "dh*u is not handed back", step="before last",
    also=("missing term",), classic=True)
add("r forgotten in the product", ("dh", "dWh", "dbh"), "missing factor", "d(h Wn + bn) = dzn, without r",
    gate="n", step="before last", classic=True)
add("dr uses h", "dz", "wrong variable", "dr = dzn*h for dzn*(h Wn + bn)", gate="r", step="last",
    classic=True)
add("candidate path to h forgotten", "dh", "missing term", "dinner @ Wn.T is left out", step="before last",
    classic=True)
add("dr forgotten", "dz", "missing term", "dr = 0", gate="r", step="last", also=("missing factor",),
    classic=True)
add("padded steps stop the gradient", "dh", "mask ignored", "nothing is handed back through padding",
    step="padded", also=("carry dropped", "missing term"), classic=True)
add("padding not masked", ("dz", "dh", "dx"), "mask ignored", "padded rows go through the cell, and by",
    gate="run", step="padded")
add("output gradient of the step after", "dh", "time shift", "dhs[t+1] at step t", step="before last",
    also=("wrong variable",))
add("sign of du", "dz", "sign", "du = dh*(n - h)", gate="u", step="last")
add("du lacks h", "dz", "missing term", "du = -dh*n", gate="u", step="last")
add("carry not scaled", "dh", "missing factor", "dh for dh*u", step="before last", also=("carry scaled",))
add("tanh' of n forgotten", "dz", "wrong derivative", "1 - n**2 is missing", gate="n", step="last",
    also=("missing factor",))
add("n with the derivative of sigmoid", "dz", "wrong derivative", "n*(1-n)", gate="n", step="last")
add("dr before tanh'", "dz", "missing factor", "dr = dn*(h Wn + bn), dn before tanh'", gate="r",
    step="last", also=("wrong variable", "wrong derivative"))
add("dr without the bias", "dz", "missing term", "dr = dzn*(h Wn)", gate="r", step="last",
    also=("wrong variable",))
add("r without its derivative", "dz", "wrong derivative", "r*(1-r) is missing", gate="r", step="last",
    also=("missing factor",))
add("u with the derivative of r", "dz", "wrong derivative", "r*(1-r) for u*(1-u)", gate="u", step="last",
    also=("wrong variable",))
add("r and u exchanged", "dz", "gate order", "blocks as u, r, n", gate="ru", step="last")
add("reset path to h forgotten", "dh", "missing term", "dzr @ Wr.T is left out, as if r were detached",
    step="before last")
add("Wn not transposed", "dh", "transpose", "dinner @ Wn", step="before last")
add("only the carry", "dh", "missing term", "dh = dh*u; no gate reaches h", step="before last")
add("r forgotten on the way to h only", "dh", "missing factor", "dzn @ Wn.T for (dzn*r) @ Wn.T",
    step="before last", also=("wrong variable",))
add("dx lacks gate u", "dx", "missing term", "two of three gates reach x")
add("dx from the state's side", "dx", "extra term", "the n gate with r, which only h sees",
    also=("wrong variable", "missing factor", "scale"))
add("dWh with the new h", "dWh", "wrong variable", "h[t].T for h[t-1].T", also=("time shift",))
add("dWh with r*h", "dWh", "wrong variable", "r twice: (r*h).T @ (dzn*r)", gate="n",
    also=("extra term", "doubled"))
add("dWh lacks r", "dWh", "missing factor", "h.T @ dzn for h.T @ (dzn*r)", gate="n",
    also=("wrong variable",))
add("dbh lacks r", "dbh", "missing factor", "the bias inside the brackets of r", gate="n",
    also=("wrong variable",))
add("dbh of the last step", "dbh", "overwritten", "dbh = ... in the loop")
add("dbx from the state's side", "dbx", "wrong variable", "dbx = dbh, with r in the n block", gate="n",
    also=("extra term",))
add("dx in the order of backward", "dx", "time shift", "the list is not reversed")
# fmt: on


# == GRU, reset before the product =====================================================================


def make_gru_before(bug):
    def forward(x, h0, Wx, Wh, bx, bh):
        T, B, D = x.shape
        H = h0.shape[1]
        hs, R, U, N = np.zeros((T + 1, B, H)), np.zeros((T, B, H)), np.zeros((T, B, H)), np.zeros((T, B, H))
        hs[0] = h0
        px = x @ Wx + bx + bh
        for t in range(T):
            R[t] = sigmoid(px[t, :, :H] + hs[t] @ Wh[:, :H])
            U[t] = sigmoid(px[t, :, H : 2 * H] + hs[t] @ Wh[:, H : 2 * H])
            N[t] = np.tanh(px[t, :, 2 * H :] + (R[t] * hs[t]) @ Wh[:, 2 * H :])
            hs[t + 1] = U[t] * hs[t] + (1 - U[t]) * N[t]
        return (hs[1:].copy(), hs[T].copy()), (x, hs, R, U, N, Wx, Wh)

    def backward(dout, cache):
        dhs, dh = dout
        x, hs, R, U, N, Wx, Wh = cache
        T, B, H = R.shape
        dpre = np.zeros((T, B, 3 * H))
        for t in reversed(range(T)):
            dh = dh + dhs[t]
            h, r, u, n = hs[t], R[t], U[t], N[t]
            dn = dh * (1 - u) * (1 - n**2)
            drh = dn @ Wh[:, 2 * H :].T
            if bug == "Wn left out":
                drh = dn
            dr = drh * h * r * (1 - r)
            if bug == "dr uses r*h":
                dr = drh * r * h * r * (1 - r)
            if bug == "dr uses n":
                dr = drh * n * r * (1 - r)
            du = dh * (h - n) * u * (1 - u)
            dpre[t] = np.concatenate([dr, du, dn], axis=1)
            through_n = drh * r
            if bug == "r forgotten in dh":
                through_n = drh
            if bug == "u in the place of r in dh":
                through_n = drh * u
            dh = dh * u + through_n + dpre[t, :, : 2 * H] @ Wh[:, : 2 * H].T
            if bug == "n counted in both products":
                dh = dh + dn @ Wh[:, 2 * H :].T
        h_prev = hs[:-1]
        kept = R * h_prev
        if bug == "dWh uses h":
            kept = h_prev
        if bug == "dWh uses r*h of the next step":
            kept = R * hs[1:]
        dWh = np.concatenate(
            [
                np.einsum("tbh,tbk->hk", h_prev, dpre[..., : 2 * H]),
                np.einsum("tbh,tbk->hk", kept, dpre[..., 2 * H :]),
            ],
            axis=1,
        )
        db = dpre.sum(axis=(0, 1))
        dbh = db.copy()
        if bug == "dbh with r":
            dbh[2 * H :] = (dpre[..., 2 * H :] * R).sum(axis=(0, 1))
        if bug == "bias shared between two":
            db, dbh = db / 2, db / 2
        return dpre @ Wx.T, dh, np.einsum("tbd,tbk->dk", x, dpre), dWh, db, dbh

    return forward, backward


add = recorder("gru", make_gru_before, reset_after=False)
# fmt: off
add("dWh uses h", "dWh", "wrong variable", "h.T @ dzn for (r*h).T @ dzn", gate="n",
    also=("missing factor",), classic=True)
add("r forgotten in dh", "dh", "missing factor", "dzn @ Wn.T without *r", step="before last", classic=True)
add("Wn left out", "dz", "missing factor", "d(r*h) = dzn, not through Wn", gate="r", step="last",
    also=("wrong variable", "transpose"))
add("dr uses r*h", "dz", "wrong variable", "dr = d(rh)*r*h", gate="r", step="last", also=("extra term",))
add("dr uses n", "dz", "wrong variable", "dr = d(rh)*n for d(rh)*h", gate="r", step="last")
add("u in the place of r in dh", "dh", "wrong variable", "(dzn @ Wn.T)*u", step="before last",
    also=("gate order",))
add("n counted in both products", "dh", "extra term", "dzn @ Wn.T is added a second time, without r",
    step="before last", also=("doubled",))
add("dWh uses r*h of the next step", "dWh", "wrong variable", "r[t]*h[t] for r[t]*h[t-1]", gate="n",
    also=("time shift",))
add("dbh with r", "dbh", "extra term", "r, which belongs to the other form", gate="n",
    also=("wrong variable", "scale"))
add("bias shared between two", ("dbx", "dbh"), "scale", "each bias gets half", also=("normalization",))
# fmt: on


# == one GRU step ======================================================================================


def make_gru_step(bug):
    def forward(x, h, Wx, Wh, bx, bh):
        (Xr, Xu, Xn), (Hr, Hu, Hn) = np.split(x @ Wx + bx, 3, axis=1), np.split(h @ Wh + bh, 3, axis=1)
        r, u = sigmoid(Xr + Hr), sigmoid(Xu + Hu)
        n = np.tanh(Xn + r * Hn)
        return n + u * (h - n), [x, h, Wx, Wh, r, u, n, Hn]

    def backward(dh, cache):
        x, h, Wx, Wh, r, u, n, Hn = cache
        dXn = dh * (1 - u) * (1 - n * n)
        if bug == "dn lacks 1-u":
            dXn = dh * (1 - n * n)
        dXu = dh * (h - n) * u * (1 - u)
        dXr = dXn * Hn * r * (1 - r)
        if bug == "dr lacks Hn":
            dXr = dXn * r * (1 - r)
        dX, dH = np.hstack([dXr, dXu, dXn]), np.hstack([dXr, dXu, dXn * r])
        dh_prev = dH @ Wh.T + dh * u
        if bug == "carry forgotten":
            dh_prev = dH @ Wh.T
        if bug == "carry with 1-u":
            dh_prev = dH @ Wh.T + dh * (1 - u)
        dWx = x.T @ dX
        if bug == "dWx with the state's side":
            dWx = x.T @ dH
        dbh = dH.mean(0) if bug == "dbh the mean" else dH.sum(0)
        return dX @ Wx.T, dh_prev, dWx, h.T @ dH, dX.sum(0), dbh

    return forward, backward


add = recorder("gru_step", make_gru_step)
# fmt: off
add("carry forgotten", ("dh0", "dh", "dh_prev"), "carry dropped", "dh*u is left out",
    also=("missing term",), classic=True)
add("carry with 1-u", ("dh0", "dh", "dh_prev"), "wrong variable", "dh*(1-u) for dh*u",
    also=("carry scaled",))
add("dn lacks 1-u", "dz", "missing factor", "dn = dh", gate="n")
add("dr lacks Hn", "dz", "missing factor", "dr = dzn", gate="r", also=("wrong variable",))
add("dWx with the state's side", "dWx", "wrong variable", "x.T @ dzh: r in the n block", gate="n",
    also=("extra term",))
add("dbh the mean", "dbh", "batch sum", "mean over the batch", also=("normalization", "scale"))
# fmt: on


# == plain RNN =========================================================================================


def make_rnn(bug):
    calls = {"last": None, "dW": None}

    def forward(x, h0, W_xh, W_hh, b, mask=None):
        hs = {-1: np.copy(h0)}
        for t in range(len(x)):
            hs[t] = np.tanh(np.dot(x[t], W_xh) + np.dot(hs[t - 1], W_hh) + b)
            if mask is not None:
                hs[t][~mask[t]] = hs[t - 1][~mask[t]]
        cache = (x, hs, W_xh, W_hh, b, mask)
        calls["last"] = cache
        return (np.array([hs[t] for t in range(len(x))]), hs[len(x) - 1].copy()), cache

    def backward(dout, cache):
        if bug == "cache of the last forward":
            cache = calls["last"]
        dhs, dhnext = dout
        x, hs, W_xh, W_hh, b, mask = cache
        T = len(x)
        dx, dW_xh, dW_hh, db = np.zeros_like(x), np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(b)
        for t in reversed(range(T)):
            dh = dhs[t] + dhnext
            if bug == "dhnext subtracted":
                dh = dhs[t] - dhnext
            if bug == "mean of both gradients":
                dh = (dhs[t] + dhnext) / 2
            if bug == "window of two steps" and t == T - 3:
                dh = dhs[t]
            dhraw = (1 - hs[t] * hs[t]) * dh
            if bug == "tanh' forgotten":
                dhraw = dh
            if bug == "tanh' of the state before":
                dhraw = (1 - hs[t - 1] ** 2) * dh
            if bug == "sigmoid' for tanh'":
                dhraw = hs[t] * (1 - hs[t]) * dh
            if bug == "tanh taken of h":
                dhraw = (1 - np.tanh(hs[t]) ** 2) * dh
            if mask is not None and bug != "padding not masked":
                dhraw[~mask[t]] = 0
            db += dhraw[0] if bug == "db of the first row" else dhraw.sum(0)
            dW_xh += np.dot(x[t].T, dhraw)
            if bug == "dWh transposed":
                dW_hh += np.dot(dhraw.T, hs[t - 1])
            elif bug == "dWh with h of the same step":
                dW_hh += np.dot(hs[t].T, dhraw)
            elif not (bug == "dWh skips step 0" and t == 0):
                dW_hh += np.dot(hs[t - 1].T, dhraw)
            if bug == "dWh with the gradient before tanh'":
                dW_hh += np.dot(hs[t - 1].T, dh - dhraw)
            dx[t] = np.dot(dhraw, W_xh.T)
            dhnext = np.dot(dhraw, W_hh if bug == "Wh not transposed" else W_hh.T)
            if bug == "carry from the raw gradient":
                dhnext = np.dot(dh, W_hh.T)
            if bug == "identity for Wh":
                dhnext = dhraw
            if mask is not None and bug != "padding dropped":
                dhnext = np.where(mask[t][:, None], dhnext, dh)
            if bug == "dx accumulated over time" and t + 1 < T:
                dx[t] += dx[t + 1]
        if bug == "dWx kept between calls":
            dW_xh = dW_xh if calls["dW"] is None else dW_xh + calls["dW"]
            calls["dW"] = dW_xh
        if bug == "weight decay in the gradient":
            dW_hh += 0.1 * W_hh
        if bug == "dh0 zero":
            dhnext = np.zeros_like(dhnext)
        return dx, dhnext, dW_xh, dW_hh, db

    return forward, backward


add = recorder("rnn", make_rnn)
# fmt: off
add("tanh' forgotten", "dz", "wrong derivative", "dz = dh", step="last", also=("missing factor",),
    classic=True)
add("dWh with h of the same step", "dWh", "wrong variable", "h[t].T @ dz[t]", also=("time shift",),
    classic=True)
add("Wh not transposed", "dh", "transpose", "dz @ Wh", step="before last", classic=True)
add("dWx kept between calls", "dWx", "not cleared", "the gradient of the call before is added",
    also=("doubled",), classic=True)
add("cache of the last forward", ("dx", "dz", "dh", "dWx"), "stale cache",
    "a global holds what forward left last", also=("aliased",), classic=True)
add("db of the first row", "db", "batch sum", "dz[0] for dz.sum(0)", classic=True)
add("padding dropped", "dh", "mask ignored", "a padded step hands nothing back", step="padded",
    also=("carry dropped",), classic=True)
add("window of two steps", "dh", "carry dropped", "only two steps back", step="inside", classic=True)
add("padding not masked", ("dz", "dx"), "mask ignored", "padded rows go through tanh", step="padded")
add("tanh' of the state before", "dz", "wrong variable", "1 - h[t-1]**2", step="last",
    also=("wrong derivative", "time shift"))
add("sigmoid' for tanh'", "dz", "wrong derivative", "h*(1-h)", step="last")
add("tanh taken of h", "dz", "wrong derivative", "1 - tanh(h)**2", step="last")
add("dhnext subtracted", "dh", "sign", "dhs[t] - dhnext", step="last")
add("mean of both gradients", "dh", "scale", "(dhs[t] + dhnext)/2", step="last",
    also=("normalization", "carry scaled"))
add("dWh transposed", "dWh", "transpose", "dz.T @ h for h.T @ dz, both (H, H)")
add("dWh skips step 0", "dWh", "missing term", "h0 has no part in dWh")
add("dWh with the gradient before tanh'", "dWh", "wrong variable", "h.T @ dh for h.T @ dz",
    also=("missing factor", "wrong derivative"))
add("carry from the raw gradient", "dh", "missing factor", "dh @ Wh.T for dz @ Wh.T", step="before last",
    also=("wrong derivative", "wrong variable"))
add("identity for Wh", "dh", "missing factor", "dz itself is handed back", step="before last",
    also=("transpose",))
add("dx accumulated over time", "dx", "extra term", "a running sum: dx[t] += dx[t+1]", step="before last",
    also=("doubled",))
add("weight decay in the gradient", "dWh", "extra term", "dWh + 0.1*Wh")
add("dh0 zero", "dh0", "missing term", "as if h0 were a constant", also=("carry dropped", "hand-over"))
# fmt: on


# == cross-entropy =====================================================================================


def make_cross_entropy(bug):
    def forward(logits, targets, mask=None):
        shifted = logits - logits.max(-1)[..., None]
        probs = np.exp(shifted) / np.exp(shifted).sum(-1)[..., None]
        picked = np.take_along_axis(probs, targets[..., None], axis=-1)[..., 0]
        weight = np.ones(targets.shape) if mask is None else mask.astype(float)
        return (-np.log(picked) * weight).sum() / weight.sum(), {
            "in": logits,
            "p": probs,
            "y": targets,
            "w": weight,
        }

    def backward(dloss, cache):
        probs, targets, weight = cache["p"], cache["y"], cache["w"]
        T, B, V = probs.shape
        onehot = np.eye(V)[targets]
        if bug == "targets one step late":
            onehot = np.roll(onehot, 1, axis=0)
        grad = probs - onehot
        if bug == "p without the target":
            grad = probs.copy()
        if bug == "sign":
            grad = onehot - probs
        if bug == "only the target column":
            grad = (probs - 1) * onehot
        if bug == "logits for probabilities":
            grad = cache["in"] - onehot
        if bug == "p*(1-p)":
            grad = (probs - onehot) * probs * (1 - probs)
        if bug == "no softmax":
            grad = -onehot / probs
        if bug == "diagonal of the softmax":
            grad = -onehot / probs * probs * (1 - probs)
        if bug == "softmax over the batch":
            e = np.exp(cache["in"])
            grad = e / e.sum(axis=1, keepdims=True) - onehot
        if bug == "padding not masked":
            weight = np.ones((T, B))
        count = cache["w"].sum()
        if bug == "divided by B":
            count = B
        if bug == "divided by T*B":
            count = T * B
        if bug == "not divided":
            count = 1
        if bug == "divided twice":
            count = count**2
        if bug == "divided by V too":
            count = count * V
        if bug == "each sentence by its own length":
            count = (cache["w"].sum(axis=0) * B)[None, :, None]
        grad = grad * weight[..., None]
        if bug == "target missing on padded steps only masked":
            grad = probs * weight[..., None] - onehot
        if bug == "first row only":
            grad[:, 1:] = 0
        if bug == "incoming gradient ignored":
            return grad / count
        return dloss * grad / count

    return forward, backward


add = recorder("cross_entropy", make_cross_entropy)
# fmt: off
add("p without the target", "dlogits", "missing term", "p for p - onehot", step="last", classic=True)
add("sign", "dlogits", "sign", "onehot - p", classic=True)
add("only the target column", "dlogits", "missing term", "p - 1 at the target, 0 elsewhere",
    also=("softmax jacobian",), classic=True)
add("padding not masked", "dlogits", "mask ignored", "padded tokens have a gradient", step="padded",
    classic=True)
add("divided by B", "dlogits", "normalization", "B for the number of tokens", also=("scale",), classic=True)
add("divided by T*B", "dlogits", "normalization", "padding is counted", also=("scale", "mask ignored"),
    classic=True)
add("not divided", "dlogits", "normalization", "the gradient of the sum, for a mean", also=("scale",))
add("divided twice", "dlogits", "normalization", "1/N**2", also=("scale", "doubled"))
add("divided by V too", "dlogits", "normalization", "the mean over the vocabulary as well", also=("scale",))
add("each sentence by its own length", "dlogits", "normalization", "1/(B*length) for 1/N", also=("axis",))
add("targets one step late", "dlogits", "time shift", "the onehot of step t-1", also=("wrong variable",))
add("logits for probabilities", "dlogits", "wrong variable", "logits - onehot")
add("p*(1-p)", "dlogits", "wrong derivative", "times sigmoid' once more",
    also=("extra term", "softmax jacobian"))
add("no softmax", "dlogits", "wrong derivative", "-1/p at the target, as if logits were p",
    also=("missing factor", "softmax jacobian", "missing term"))
add("diagonal of the softmax", "dlogits", "softmax jacobian", "-(1-p) at the target, 0 elsewhere",
    also=("missing term",))
add("softmax over the batch", "dlogits", "axis", "exp(z) over its sum over the batch")
add("target missing on padded steps only masked", "dlogits", "mask ignored",
    "p*mask - onehot: -1 at padding", step="padded")
add("first row only", "dlogits", "batch sum", "the other sentences get no gradient", also=("missing term",))
add("incoming gradient ignored", "dlogits", "missing factor", "dloss does not occur", also=("scale",))
# fmt: on


def make_smoothed(bug):
    def forward(logits, targets, mask=None, smoothing=0.0, reduction="mean"):
        V = logits.shape[-1]
        logp = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        q = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
        w = np.ones(targets.shape) if mask is None else 1.0 * mask
        w = w / w.sum() if reduction == "mean" else w
        return -(w * (q * logp).sum(-1)).sum(), (logp, targets, q, w, smoothing)

    def backward(dloss, cache):
        logp, targets, q, w, smoothing = cache
        V = logp.shape[-1]
        hot = np.eye(V)[targets]
        if bug == "smoothing ignored":
            q = hot
        if bug == "smoothing over the others":
            q = (1 - smoothing) * hot + smoothing / (V - 1) * (1 - hot)
        if bug == "onehot not reduced":
            q = hot + smoothing / V
        if bug == "smoothing not divided by V":
            q = (1 - smoothing) * hot + smoothing
        return dloss * w[..., None] * (np.exp(logp) - q)

    return forward, backward


add = recorder("cross_entropy", make_smoothed)
# fmt: off
add("smoothing ignored", "dlogits", "missing term", "p - onehot, whatever the smoothing",
    also=("wrong variable",))
add("smoothing over the others", "dlogits", "normalization", "s/(V-1) on the other tokens only",
    also=("scale", "wrong variable", "missing term"))
add("onehot not reduced", "dlogits", "missing factor", "1 for 1-s at the target",
    also=("wrong variable", "extra term"))
add("smoothing not divided by V", "dlogits", "missing factor", "s for s/V",
    also=("normalization", "scale", "extra term"))
# fmt: on


# == softmax ===========================================================================================


def make_softmax(bug):
    def forward(scores, mask=None):
        real = np.ones(scores.shape[1:], bool) if mask is None else mask.T
        e = np.where(real, np.exp(np.where(real, scores, 0)), 0)
        return e / e.sum(-1, keepdims=True), (e / e.sum(-1, keepdims=True), scores)

    def backward(da, cache):
        a, scores = cache
        if bug == "padding not masked":
            a = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        if bug == "only the diagonal":
            return da * a * (1 - a)
        if bug == "no Jacobian":
            return da * a
        inner = (da * a).sum(axis=-1, keepdims=True)
        if bug == "sum over everything":
            inner = (da * a).sum()
        if bug == "sum over time":
            inner = (da * a).sum(axis=0, keepdims=True)
        if bug == "sum without the weights":
            inner = da.sum(axis=-1, keepdims=True)
        if bug == "mean for the sum":
            inner = (da * a).mean(axis=-1, keepdims=True)
        if bug == "plus for minus":
            return a * (da + inner)
        if bug == "outer factor forgotten":
            return da - inner
        if bug == "outer factor 1-a":
            return a * (1 - a) * (da - inner)
        return a * (da - inner)

    return forward, backward


add = recorder("masked_softmax", make_softmax)
# fmt: off
add("only the diagonal", "dscores", "softmax jacobian", "da*a*(1-a)", classic=True)
add("no Jacobian", "dscores", "softmax jacobian", "da*a", also=("missing term",))
add("sum over everything", "dscores", "axis", ".sum() without axis", classic=True)
add("sum over time", "dscores", "axis", ".sum(axis=0)")
add("padding not masked", "dscores", "mask ignored", "the softmax is taken again, without the mask",
    classic=True)
add("sum without the weights", "dscores", "missing factor", "da.sum() for (da*a).sum()")
add("mean for the sum", "dscores", "normalization", "(da*a).mean(-1)", also=("scale", "axis"))
add("plus for minus", "dscores", "sign", "a*(da + sum)")
add("outer factor forgotten", "dscores", "missing factor", "da - sum(da*a)")
add("outer factor 1-a", "dscores", "wrong derivative", "times 1-a once more",
    also=("extra term", "softmax jacobian"))
# fmt: on


# == scores and weighted sum ============================================================================


def make_dot(bug):
    def forward(query, keys):
        return np.einsum("tba,sba->tbs", query, keys), (query, keys)

    def backward(dout, cache):
        query, keys = cache
        dq, dk = np.einsum("tbs,sba->tba", dout, keys), np.einsum("tbs,tba->sba", dout, query)
        if bug == "keys of all sentences":
            dq = np.einsum("tbs,sca->tba", dout, keys)
        if bug == "no gradient to the keys":
            dk = np.zeros_like(keys)
        if bug == "keys reversed in time":
            dk = dk[::-1].copy()
        if bug == "keys from the last query":
            dk = np.einsum("bs,ba->sba", dout[-1], query[-1])
        if bug == "query from the first row of keys":
            dq = np.einsum("tbs,sa->tba", dout, keys[:, 0])
        if bug == "keys the mean over queries":
            dk = dk / len(query)
        return dq, dk

    return forward, backward


add = recorder("dot_scores", make_dot)
# fmt: off
add("no gradient to the keys", "dkeys", "missing term", "dkeys = 0", also=("hand-over",), classic=True)
add("keys reversed in time", "dkeys", "time shift", "dkeys[::-1]", also=("hand-over",), classic=True)
add("keys of all sentences", "dquery", "axis", "the keys summed over the batch",
    also=("extra term", "batch sum"))
add("keys from the last query", "dkeys", "overwritten", "only the last of T contributions",
    also=("missing term",))
add("query from the first row of keys", "dquery", "wrong variable", "keys[:, 0] for every sentence",
    also=("batch sum", "axis"))
add("keys the mean over queries", "dkeys", "normalization", "divided by T", also=("scale", "axis"))
# fmt: on


def make_scaled(bug):
    def forward(query, keys):
        scale = 1 / math.sqrt(query.shape[-1])
        q, k = np.swapaxes(query, 0, 1), np.swapaxes(keys, 0, 1)
        return np.swapaxes(q @ np.swapaxes(k, 1, 2) * scale, 0, 1), (q, k, scale)

    def backward(dout, cache):
        q, k, scale = cache
        if bug == "scale forgotten":
            scale = 1
        if bug == "scale twice":
            scale = scale**2
        if bug == "root of S":
            scale = 1 / math.sqrt(k.shape[1])
        if bug == "scale upside down":
            scale = 1 / scale
        d = np.swapaxes(dout, 0, 1) * scale
        dq, dk = d @ k, np.swapaxes(d, 1, 2) @ q
        if bug == "scale for the query only":
            dk = dk / scale
        if bug == "sign of the keys":
            dk = -dk
        return np.swapaxes(dq, 0, 1), np.swapaxes(dk, 0, 1)

    return forward, backward


add = recorder("scaled_dot_scores", make_scaled)
# fmt: off
add("scale twice", "dquery", "scale", "1/A for 1/sqrt(A)", also=("doubled",), classic=True)
add("scale forgotten", "dquery", "missing factor", "1/sqrt(A) is missing", also=("scale",))
add("root of S", "dquery", "scale", "1/sqrt(S) for 1/sqrt(A)", also=("wrong variable", "normalization"))
add("scale upside down", "dquery", "scale", "sqrt(A) for 1/sqrt(A)")
add("scale for the query only", "dkeys", "missing factor", "1/sqrt(A) is missing in dkeys", also=("scale",))
add("sign of the keys", "dkeys", "sign", "-dkeys")
# fmt: on


def make_general(bug):
    def forward(query, keys, W):
        return np.einsum("tbq,qm,sbm->tbs", query, W, keys), [query, keys, W]

    def backward(dout, cache):
        query, keys, W = cache
        Q, M = W.shape
        dproj = np.einsum("tbs,sbm->tbm", dout, keys)
        dquery = dproj @ W.T
        dkeys = np.einsum("tbs,tbm->sbm", dout, query @ W)
        if bug == "W reshaped for transposed":
            dquery = dproj @ W.reshape(M, Q)
        dW = np.zeros_like(W)
        for t in range(len(query)):
            if bug == "dW overwritten":
                dW = query[t].T @ dproj[t]
            elif bug == "dW of the first row":
                dW += np.outer(query[t, 0], dproj[t, 0])
            else:
                dW += query[t].T @ dproj[t]
        if bug == "dW reshaped for transposed":
            dW = np.einsum("tbm,tbq->mq", dproj, query).reshape(Q, M)
        if bug == "dW from sums over the batch":
            dW = np.einsum("tq,tm->qm", query.sum(1), dproj.sum(1))
        if bug == "no gradient to the query":
            dquery = np.zeros_like(query)
        if bug == "dkeys twice":
            dkeys = 2 * dkeys
        if bug == "dkeys one step late":
            dkeys = np.roll(dkeys, 1, axis=0)
        return dquery, dkeys, dW

    return forward, backward


add = recorder("general_scores", make_general)
# fmt: off
add("W reshaped for transposed", "dquery", "transpose", "W.reshape(M, Q) for W.T", classic=True)
add("dW reshaped for transposed", "dW", "transpose", "(M, Q) reshaped to (Q, M)")
add("dW overwritten", "dW", "overwritten", "dW = ... in the loop", classic=True)
add("dW of the first row", "dW", "batch sum", "one sentence only")
add("dW from sums over the batch", "dW", "axis", "rows of the batch mixed: product of sums",
    also=("batch sum", "extra term"))
add("no gradient to the query", "dquery", "missing term", "dquery = 0", also=("hand-over",), classic=True)
add("dkeys twice", "dkeys", "doubled", "2*dkeys", also=("scale",))
add("dkeys one step late", "dkeys", "time shift", "np.roll(dkeys, 1)", also=("hand-over",), classic=True)
# fmt: on


def make_additive(bug):
    def forward(query, keys, Wq, v):
        z = np.tensordot(query, Wq, 1)[:, None] + keys[None]  # (T, S, B, A)
        return np.swapaxes(np.tanh(z) @ v, 1, 2), {"query": query, "Wq": Wq, "v": v, "z": z}

    def backward(dout, cache):
        query, Wq, v, z = cache.values()
        a = np.tanh(z)
        d = np.swapaxes(dout, 1, 2)[..., None]
        dv = (d * a).sum(axis=(0, 1, 2))
        if bug == "dv before tanh":
            dv = (d * z).sum(axis=(0, 1, 2))
        if bug == "dv of the first row":
            dv = (d * a)[:, :, 0].sum(axis=(0, 1))
        if bug == "dv the mean over positions":
            dv = (d * a).mean(axis=1).sum(axis=(0, 1))
        if bug == "dv from the sums":
            dv = d.sum() * a.sum(axis=(0, 1, 2)) / a[..., 0].size
        slope = 1 - a**2
        if bug == "tanh' forgotten":
            slope = 1
        if bug == "tanh' of the pre-activation":
            slope = 1 - z**2
        dz = d * v * slope
        if bug == "v forgotten":
            dz = d * slope
        dkeys, dproj = dz.sum(axis=0), dz.sum(axis=1)
        if bug == "dkeys of the last query":
            dkeys = dz[-1]
        if bug == "no gradient to the keys":
            dkeys = np.zeros_like(dkeys)
        if bug == "query from position 0":
            dproj = dz[:, 0]
        dquery, dWq = dproj @ Wq.T, np.einsum("tbq,tba->qa", query, dproj)
        if bug == "dWq overwritten":
            dWq = query[0].T @ dproj[0]
        if bug == "Wq reshaped for transposed":
            dquery = dproj @ Wq.reshape(Wq.shape[::-1])
        if bug == "dquery the mean over positions":
            dquery = dz.mean(axis=1) @ Wq.T
        return dquery, dkeys, dWq, dv

    return forward, backward


add = recorder("additive_scores", make_additive)
# fmt: off
add("tanh' forgotten", ("dz", "dquery", "dkeys"), "wrong derivative", "dz = ds*v", also=("missing factor",))
add("tanh' of the pre-activation", ("dz", "dquery", "dkeys"), "wrong derivative", "1 - z**2",
    also=("wrong variable",))
add("v forgotten", ("dz", "dquery", "dkeys"), "missing factor", "dz = ds*tanh'")
add("dv before tanh", "dv", "wrong variable", "ds*z for ds*tanh(z)", also=("wrong derivative",))
add("dv of the first row", "dv", "batch sum", "one sentence only")
add("dv the mean over positions", "dv", "normalization", "divided by S", also=("axis", "scale"))
add("dv from the sums", "dv", "axis", "sum(ds) * mean(a) for sum(ds*a)", also=("wrong variable",))
add("dkeys of the last query", "dkeys", "overwritten", "only the last of T contributions",
    also=("missing term",))
add("no gradient to the keys", "dkeys", "missing term", "dkeys = 0", also=("hand-over",), classic=True)
add("query from position 0", ("dquery", "dWq"), "missing term", "dz[:, 0] for the sum over positions",
    also=("axis", "overwritten"))
add("dWq overwritten", "dWq", "overwritten", "only one step's product", also=("missing term",))
add("Wq reshaped for transposed", "dquery", "transpose", "Wq.reshape(A, Q) for Wq.T", classic=True)
add("dquery the mean over positions", "dquery", "normalization", "divided by S", also=("axis", "scale"))
# fmt: on


def make_weighted_sum(bug):
    def forward(weights, values):
        context = np.zeros((*weights.shape[:2], values.shape[2]))
        for s in range(len(values)):
            context += weights[:, :, s, None] * values[s]
        return context, (weights, values, context)

    def backward(dcontext, cache):
        weights, values, context = cache
        dweights, dvalues = np.zeros_like(weights), np.zeros_like(values)
        for s in range(len(values)):
            dweights[:, :, s] = (dcontext * values[s]).sum(axis=-1)
            if bug == "dweights with the context":
                dweights[:, :, s] = (dcontext * context).sum(axis=-1)
            if bug == "dweights the mean":
                dweights[:, :, s] = (dcontext * values[s]).mean(axis=-1)
            for t in range(len(weights)):
                if bug == "dvalues overwritten":
                    dvalues[s] = weights[t, :, s, None] * dcontext[t]
                elif bug == "dvalues with the weights reversed":
                    dvalues[s] += weights[-1 - t, :, s, None] * dcontext[t]
                elif bug == "dvalues without the weights":
                    dvalues[s] += dcontext[t]
                else:
                    dvalues[s] += weights[t, :, s, None] * dcontext[t]
        if bug == "no gradient to the values":
            dvalues[:] = 0
        if bug == "dvalues one position late":
            dvalues = np.roll(dvalues, 1, axis=0)
        return dweights, dvalues

    return forward, backward


add = recorder("weighted_sum", make_weighted_sum)
# fmt: off
add("no gradient to the values", "dvalues", "missing term", "dvalues = 0", also=("hand-over",),
    classic=True)
add("dvalues one position late", "dvalues", "time shift", "np.roll(dvalues, 1)", also=("hand-over",),
    classic=True)
add("dvalues with the weights reversed", "dvalues", "time shift", "weights[T-1-t] with dcontext[t]",
    also=("wrong variable",))
add("dvalues overwritten", "dvalues", "overwritten", "= for += over the queries")
add("dvalues without the weights", "dvalues", "missing factor", "sum of dcontext")
add("dweights with the context", "dweights", "wrong variable", "dcontext . context for dcontext . value")
add("dweights the mean", "dweights", "normalization", "divided by M", also=("scale", "axis"))
# fmt: on


# == whole attention =====================================================================================


def make_attention(bug):
    def forward(query, memory, W, mask=None):
        scores = np.einsum("tbq,qm,sbm->tbs", query, W, memory)
        alive = np.ones(scores.shape[1:]) if mask is None else mask.T
        e = np.exp(scores - scores.max(axis=-1, keepdims=True)) * alive
        a = e / e.sum(axis=-1, keepdims=True)
        return np.einsum("tbs,sbm->tbm", a, memory), (query, memory, W, a, scores)

    def backward(dcontext, cache):
        query, memory, W, a, scores = cache
        da = np.einsum("tbm,sbm->tbs", dcontext, memory)
        dvalues = np.einsum("tbs,tbm->sbm", a, dcontext)
        if bug == "dvalues one position late":
            dvalues = np.roll(dvalues, 1, axis=0)
        weights = a
        if bug == "gradient into masked positions":
            e = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights = e / e.sum(axis=-1, keepdims=True)
        ds = weights * (da - (weights * da).sum(axis=-1, keepdims=True))
        if bug == "only the diagonal":
            ds = a * (1 - a) * da
        if bug == "sum over the batch":
            ds = a * (da - (a * da).sum(axis=(1, 2), keepdims=True))
        if bug == "softmax forgotten":
            ds = da
        qw = query @ W
        dqw = np.einsum("tbs,sbm->tbm", ds, memory)
        dkeys = np.einsum("tbs,tbm->sbm", ds, qw)
        dquery = np.einsum("tbm,qm->tbq", dqw, W)
        dW = np.einsum("tbq,tbm->qm", query, dqw)
        if bug == "W reshaped for transposed":
            dquery = dqw @ W.reshape(W.shape[::-1])
        if bug == "no gradient to the query":
            dquery = np.zeros_like(query)
        if bug == "dW of the last step":
            dW = query[-1].T @ dqw[-1]
        if bug == "dW from the context's gradient":
            dW = np.einsum("tbq,tbm->qm", query, dcontext)
        dmemory = dvalues + dkeys
        if bug == "memory only as values":
            dmemory = dvalues
        if bug == "memory only as keys":
            dmemory = dkeys
        if bug == "values counted twice":
            dmemory = 2 * dvalues + dkeys
        if bug == "memory reversed in time":
            dmemory = dmemory[::-1].copy()
        return dquery, dmemory, dW

    return forward, backward


add = recorder("attention", make_attention)
# fmt: off
add("memory only as keys", ("dmemory", "dvalues"), "missing term", "no gradient to the values",
    also=("hand-over",), classic=True)
add("memory only as values", ("dmemory", "dkeys"), "missing term", "no gradient to the keys",
    also=("hand-over",), classic=True)
add("only the diagonal", "dscores", "softmax jacobian", "a*(1-a)*da", classic=True)
add("sum over the batch", "dscores", "axis", "the softmax's sum also over the batch", also=("batch sum",),
    classic=True)
add("gradient into masked positions", "dscores", "mask ignored",
    "the softmax is taken again, without the mask", classic=True)
add("no gradient to the query", "dquery", "missing term", "dquery = 0", also=("hand-over",), classic=True)
add("W reshaped for transposed", "dquery", "transpose", "W.reshape(M, Q) for W.T", classic=True)
add("memory reversed in time", ("dmemory", "dvalues"), "time shift", "dmemory[::-1]", also=("hand-over",),
    classic=True)
add("dvalues one position late", ("dmemory", "dvalues"), "time shift", "np.roll(dvalues, 1)",
    also=("hand-over",), classic=True)
add("values counted twice", ("dmemory", "dvalues"), "doubled", "2*dvalues + dkeys", also=("extra term",))
add("softmax forgotten", "dscores", "missing factor", "ds = da",
    also=("softmax jacobian", "wrong derivative"))
add("dW of the last step", "dW", "overwritten", "only one step's product", also=("missing term",))
add("dW from the context's gradient", "dW", "wrong variable", "query.T @ dcontext")
# fmt: on


def make_dot_attention(bug):
    def forward(query, memory, mask=None):
        S, B, M = memory.shape
        context, weights = np.zeros(query.shape), np.zeros((len(query), B, S))
        for t, b in np.ndindex(query.shape[:2]):
            n = [s for s in range(S) if mask is None or mask[s, b]]
            e = np.exp(memory[n, b] @ query[t, b])
            weights[t, b, n] = e / e.sum()
            context[t, b] = weights[t, b] @ memory[:, b]
        return context, (query, memory, weights)

    def backward(dout, cache):
        query, memory, weights = cache
        dquery, dmemory = np.zeros_like(query), np.zeros_like(memory)
        for t, b in np.ndindex(query.shape[:2]):
            w = weights[t, b]
            da = memory[:, b] @ dout[t, b]
            ds = w * (da - da @ w)
            if bug == "mean instead of expectation":
                ds = w * (da - da.mean())
            if bug == "Jacobian without the minus":
                ds = (np.diag(w) + np.outer(w, w)) @ da
            dquery[t, b] = ds @ memory[:, b]
            if bug == "query with the weights":
                dquery[t, b] = w @ memory[:, b]
            as_keys, as_values = np.outer(ds, query[t, b]), np.outer(w, dout[t, b])
            if bug == "keys and values exchanged":
                as_keys, as_values = np.outer(w, query[t, b]), np.outer(ds, dout[t, b])
            if bug == "memory overwritten":
                dmemory[:, b] = as_keys + as_values
            else:
                dmemory[:, b] += as_keys + as_values
        return dquery, dmemory

    return forward, backward


add = recorder("dot_attention", make_dot_attention)
# fmt: off
add("mean instead of expectation", "dscores", "wrong variable", "da.mean() for sum(a*da)",
    also=("softmax jacobian", "normalization", "missing factor", "axis"))
add("Jacobian without the minus", "dscores", "sign", "diag(a) + a a^T", also=("softmax jacobian",))
add("query with the weights", "dquery", "wrong variable", "a @ memory for ds @ memory")
add("keys and values exchanged", ("dmemory", "dvalues", "dkeys"), "wrong variable",
    "a with query, ds with dcontext")
add("memory overwritten", ("dmemory", "dvalues", "dkeys"), "overwritten", "= for += over the queries")
# fmt: on


def make_additive_attention(bug):
    def forward(query, memory, keys, Wq, v, mask=None):
        steps, contexts = [], []
        for q in query:
            u = np.tanh(q @ Wq + keys)  # (S, B, A)
            s = u @ v
            if mask is not None:
                s = np.where(mask, s, -1e9)
            a = np.exp(s - s.max(0))
            a = a / a.sum(0)  # (S, B)
            contexts.append(np.einsum("sb,sbm->bm", a, memory))
            steps.append((q, u, a))
        return np.array(contexts), (steps, memory, Wq, v)

    def backward(dout, cache):
        steps, memory, Wq, v = cache
        dmemory, dWq, dv = np.zeros_like(memory), np.zeros_like(Wq), np.zeros_like(v)
        dkeys = np.zeros((*memory.shape[:2], len(v)))
        dquery = np.zeros((len(steps), memory.shape[1], len(Wq)))
        for t, (q, u, a) in enumerate(steps):
            da = np.einsum("bm,sbm->sb", dout[t], memory)
            dmemory += a[..., None] * dout[t]
            ds = a * (da - (a * da).sum(axis=1 if bug == "softmax over the batch" else 0, keepdims=True))
            dv += np.einsum("sb,sba->a", ds, u)
            du = ds[..., None] * v
            dpre = du * (1 - u**2)
            if bug == "tanh' forgotten":
                dpre = du
            if bug == "keys before tanh'":
                dkeys += du
            elif bug == "keys of the last step":
                dkeys = dpre
            else:
                dkeys += dpre
            if bug == "v twice":
                dpre = dpre * v
            dWq += q.T @ dpre.sum(0)
            dquery[t] = dpre.sum(0) @ Wq.T
        if bug == "dv from the weights' gradient":
            dv = sum(np.einsum("sb,sba->a", a, u) for _, u, a in steps)
        if bug == "no gradient to the values":
            dmemory[:] = 0
        return dquery, dmemory, dkeys, dWq, dv

    return forward, backward


add = recorder("additive_attention", make_additive_attention)
# fmt: off
add("no gradient to the values", ("dmemory", "dvalues"), "missing term", "dmemory = 0", also=("hand-over",),
    classic=True)
add("softmax over the batch", "dscores", "axis", "the inner sum over the batch, not the positions")
add("tanh' forgotten", ("dz", "dquery", "dkeys"), "wrong derivative", "du for du*(1-u**2)",
    also=("missing factor",))
add("keys before tanh'", "dkeys", "missing factor", "dkeys += du",
    also=("wrong derivative", "wrong variable"))
add("keys of the last step", "dkeys", "overwritten", "= for += over the queries")
add("v twice", ("dquery", "dWq"), "doubled", "times v once more",
    also=("extra term", "scale", "wrong variable"))
add("dv from the weights' gradient", "dv", "wrong variable", "a*u for ds*u")
# fmt: on


# == embedding, linear, dropout, tanh ====================================================================


def make_embedding(bug):
    total = {}

    def forward(W, ids):
        return np.take(W, ids, axis=0), (W.shape, ids)

    def backward(dout, cache):
        shape, ids = cache
        table = np.zeros(shape)
        if bug == "assigned":
            table[ids] = dout
        elif bug == "added with an index":
            table[ids] += dout
        elif bug == "unique ids only":
            seen, first = np.unique(ids.ravel(), return_index=True)
            table[seen] = dout.reshape(-1, shape[1])[first]
        elif bug == "one sentence only":
            np.add.at(table, ids[:, 0], dout[:, 0])
        elif bug == "ids one step late":
            np.add.at(table, np.roll(ids, 1, axis=0), dout)
        else:
            np.add.at(table, ids, dout)
        if bug == "the mean of the occurrences":
            table /= np.maximum(np.bincount(ids.ravel(), minlength=shape[0]), 1)[:, None]
        if bug == "divided by all tokens":
            table /= ids.size
        if bug == "row 0 cleared":
            table[0] = 0
        if bug == "repeats only within a step" and ids.ndim > 1:
            table = np.zeros(shape)
            for t in range(len(ids)):
                step = np.zeros(shape)
                np.add.at(step, ids[t], dout[t])
                table[ids[t]] = step[ids[t]]
        if bug == "kept between calls":
            table = table + total.get("W", 0)
            total["W"] = table
        return table

    return forward, backward


add = recorder("embedding", make_embedding)
# fmt: off
add("assigned", "dW", "overwritten", "dW[ids] = dout", also=("repeated ids",), classic=True)
add("added with an index", "dW", "repeated ids", "dW[ids] += dout", also=("overwritten",), classic=True)
add("kept between calls", "dW", "not cleared", "the table of the call before is added", also=("doubled",),
    classic=True)
add("unique ids only", "dW", "repeated ids", "the first occurrence of each id", also=("overwritten",))
add("repeats only within a step", "dW", "overwritten", "within a step summed, over the steps replaced",
    also=("repeated ids",))
add("the mean of the occurrences", "dW", "normalization", "divided by how often the id occurs",
    also=("repeated ids", "scale"))
add("divided by all tokens", "dW", "normalization", "1/(T*B)", also=("scale",))
add("row 0 cleared", "dW", "missing term", "as if id 0 were padding", also=("mask ignored", "extra term"))
add("one sentence only", "dW", "batch sum", "column 0 of the batch", also=("missing term",))
add("ids one step late", "dW", "time shift", "ids of step t-1 with dout of t", also=("wrong variable",))
# fmt: on


def make_linear(bug):
    def forward(x, W, b):
        return np.einsum("...d,dk->...k", x, W) + b, dict(x=x, W=W, b=b)

    def backward(dout, cache):
        x, W, b = cache["x"], cache["W"], cache["b"]
        D, K = W.shape
        rows, grads = x.reshape(-1, D), dout.reshape(-1, K)
        dx, dW, db = grads @ W.T, rows.T @ grads, grads.sum(0)
        if bug == "db of the first row":
            db = grads[0] + 0
        if bug == "db the mean":
            db = grads.mean(0)
        if bug == "dW the mean":
            dW = dW / len(rows)
        if bug == "dW overwritten":
            for r, g in zip(rows, grads):
                dW = np.outer(r, g)
        if bug == "W reshaped for transposed":
            dx = grads @ W.reshape(K, D)
        if bug == "dW reshaped for transposed":
            dW = (grads.T @ rows).reshape(D, K)
        if bug == "bias in dx":
            dx = (grads + b) @ W.T
        if bug == "weight decay in the gradient":
            dW = dW + 0.01 * W
        if bug == "dx zero":
            dx = 0 * rows
        if bug == "dW from flattened in the other order":
            dW = x.swapaxes(0, 1).reshape(-1, D).T @ grads
        if bug == "all divided by the batch":
            dx, dW, db = dx / x.shape[1], dW / x.shape[1], db / x.shape[1]
        if bug == "sign of dW for descent":
            dW = -dW
        if bug == "all doubled":
            dx, dW, db = 2 * dx, 2 * dW, 2 * db
        return dx.reshape(x.shape), dW, db

    return forward, backward


add = recorder("linear", make_linear)
# fmt: off
add("db of the first row", "db", "batch sum", "dout[0]", classic=True)
add("db the mean", "db", "batch sum", "mean over the rows", also=("normalization", "scale"), classic=True)
add("dW overwritten", "dW", "overwritten", "= for += over the rows", classic=True)
add("W reshaped for transposed", "dx", "transpose", "W.reshape(K, D) for W.T", classic=True)
add("all doubled", ("dx", "dW", "db"), "doubled", "everything twice", also=("scale",), classic=True)
add("dW the mean", "dW", "batch sum", "divided by the number of rows", also=("normalization", "scale"))
add("dW reshaped for transposed", "dW", "transpose", "(K, D) reshaped to (D, K)")
add("bias in dx", "dx", "extra term", "(dout + b) @ W.T")
add("weight decay in the gradient", "dW", "extra term", "dW + 0.01*W")
add("dx zero", "dx", "missing term", "nothing is handed back", also=("hand-over", "carry dropped"))
add("dW from flattened in the other order", "dW", "axis", "x as (B, T), dout as (T, B)",
    also=("transpose", "time shift", "wrong variable"))
add("all divided by the batch", ("dx", "dW", "db"), "normalization", "everything / B",
    also=("scale", "batch sum"))
add("sign of dW for descent", "dW", "sign", "-dW, ready to be added")
# fmt: on


def make_dropout(bug):
    def forward(x, keep_mask, p):
        y = np.zeros_like(x)
        y[keep_mask] = x[keep_mask] / (1 - p)
        return y, (keep_mask, p)

    def backward(dout, cache):
        keep, p = cache
        if bug == "mask forgotten":
            return dout / (1 - p)
        if bug == "factor forgotten":
            return dout * keep
        if bug == "factor upside down":
            return dout * keep * (1 - p)
        if bug == "divided by p":
            return dout * keep / p
        if bug == "mask turned round":
            return dout * ~keep / (1 - p)
        if bug == "mask of the first step":
            return dout * keep[:1] / (1 - p)
        if bug == "passed through":
            return dout.copy()
        return dout * keep / (1 - p)

    return forward, backward


add = recorder("dropout", make_dropout)
# fmt: off
add("factor forgotten", "dx", "dropout ignored", "1/(1-p) is missing", also=("missing factor", "scale"),
    classic=True)
add("mask forgotten", "dx", "dropout ignored", "dropped units get a gradient",
    also=("mask ignored", "missing factor"))
add("passed through", "dx", "dropout ignored", "neither mask nor factor", also=("missing factor",))
add("factor upside down", "dx", "scale", "1-p for 1/(1-p)", also=("dropout ignored",))
add("divided by p", "dx", "wrong variable", "1/p for 1/(1-p)", also=("scale", "dropout ignored"))
add("mask turned round", "dx", "dropout ignored", "where dropped, not where kept",
    also=("wrong variable", "mask ignored"))
add("mask of the first step", "dx", "dropout ignored", "one step's mask for all",
    also=("wrong variable", "mask ignored", "axis"))
# fmt: on


def make_tanh(bug):
    def forward(z):
        return np.tanh(z), z

    def backward(dout, z):
        if bug == "1 - z**2":
            return dout * (1 - z**2)
        if bug == "tanh for its derivative":
            return dout * np.tanh(z)
        if bug == "upstream forgotten":
            return 1 - np.tanh(z) ** 2
        if bug == "one cosh":
            return dout / np.cosh(z)
        return dout * (1 - np.tanh(z) ** 2)

    return forward, backward


add = recorder("tanh", make_tanh)
# fmt: off
add("1 - z**2", "dz", "wrong derivative", "of the input, not of the output", also=("wrong variable",))
add("tanh for its derivative", "dz", "wrong derivative", "dout*tanh(z)")
add("upstream forgotten", "dz", "missing factor", "1 - a**2 without dout")
add("one cosh", "dz", "wrong derivative", "1/cosh for 1/cosh**2", also=("missing factor",))
# fmt: on


# == pairs that misbehave ================================================================================


class Misbehaving(NamedTuple):
    name: str
    kind: str
    forward: Callable
    backward: Callable
    says: str  # what a kind message would tell
    ends: bool = True  # False: never, or not within a minute


BAD_INPUT: list[Misbehaving] = []


def affine(x, W, b):
    return x @ W + b, (x, W)


def affine_back(dout, cache):
    x, W = cache
    rows = dout.reshape(-1, W.shape[1])
    return dout @ W.T, x.reshape(-1, len(W)).T @ rows, rows.sum(axis=0)


def misbehaves(name, says, forward=affine, backward=affine_back, kind="linear", ends=True):
    BAD_INPUT.append(Misbehaving(name, kind, forward, backward, says, ends))


def changed(change):
    """affine_back with its result, a list, sent through `change`."""
    return lambda dout, cache: change(list(affine_back(dout, cache)))


def raising(error):
    def function(*_):
        raise error

    return function


def endless(*_):
    for _ in itertools.count():
        time.sleep(0.01)


def busy(*_):
    while True:
        pass


def deep(dout, cache):
    return deep(dout, cache)


def noisy(dout, cache):
    for row in dout.reshape(-1):
        print("dout is now", row)
    return affine_back(dout, cache)


def changes_dout(dout, cache):
    dout *= 2
    return tuple(d / 2 for d in affine_back(dout, cache))


def changes_inputs(x, W, b):
    x -= x.mean()
    return affine(x, W, b)


def steps_downhill(dout, cache):
    dx, dW, db = affine_back(dout, cache)
    cache[1][...] -= 0.1 * dW
    return dx, dW, db


def eats_its_cache(dout, cache):
    W, x = cache.pop(), cache.pop()
    return affine_back(dout, (x, W))


def doubles_its_cache(dout, cache):
    x, W = cache
    result = affine_back(dout, cache)
    x *= 2
    return result


LAST = {}


def remembers(x, W, b):
    LAST["cache"] = x, W
    return x @ W + b, None


BUFFERS = {}


def one_buffer(dout, cache):
    result = affine_back(dout, cache)
    buffers = BUFFERS.setdefault(tuple(d.shape for d in result), [np.empty_like(d) for d in result])
    for buffer, d in zip(buffers, result):
        buffer[...] = d
    return tuple(buffers)


def with_entry(value):
    def change(grads):
        grads[1][0, 0] = value
        return grads

    return changed(change)


def random_dropout(x, keep_mask, p):
    mask = np.random.default_rng().random(x.shape) >= p
    return x * mask / (1 - p), (mask, p)


def plain_dropout_back(dout, cache):
    return dout * cache[0] / (1 - cache[1])


# fmt: off
misbehaves("forward raises", "forward raised a KeyError, with the student's own line",
    forward=raising(KeyError("h_prev")))
misbehaves("backward raises", "backward raised a ZeroDivisionError, with the student's own line",
    backward=raising(ZeroDivisionError("oops")))
misbehaves("backward raises on shapes",
    "backward raised at a product whose sizes do not fit; a transpose is likely missing",
    backward=lambda dout, cache: (dout @ cache[1].reshape(-1, 1), *affine_back(dout, cache)[1:]))
misbehaves("not implemented", "backward is not written yet", backward=raising(NotImplementedError()))
misbehaves("forgets to return", "backward returned None: is the return missing?",
    backward=lambda dout, cache: None)
misbehaves("too few gradients", "two gradients, three expected: which one is missing",
    backward=changed(lambda g: tuple(g[:2])))
misbehaves("too many gradients", "four gradients, three expected",
    backward=changed(lambda g: (*g, np.zeros(3))))
misbehaves("other order", "the gradients are in another order than the inputs",
    backward=changed(lambda g: (g[1], g[0], g[2])))
misbehaves("transposed dW", "dW has the shape of W transposed",
    backward=changed(lambda g: (g[0], g[1].T, g[2])))
misbehaves("dx flattened", "dx has the right number of entries in another shape",
    backward=changed(lambda g: (g[0].reshape(-1, g[0].shape[-1]), *g[1:])))
misbehaves("db not summed", "db still has the axes of dout: the sum is missing",
    backward=lambda dout, cache: (*affine_back(dout, cache)[:2], dout.copy()))
misbehaves("None for one", "the gradient of W is None", backward=changed(lambda g: (g[0], None, g[2])))
misbehaves("lists of lists", "the gradients are lists, arrays expected",
    backward=changed(lambda g: [d.tolist() for d in g]))
misbehaves("a dictionary", "a dictionary was returned, a tuple expected",
    backward=changed(lambda g: dict(zip(("x", "W", "b"), g))))
misbehaves("a generator", "a generator was returned, a tuple expected",
    backward=changed(lambda g: (d for d in g)))
misbehaves("a scalar", "one number was returned", backward=lambda dout, cache: 1.0)
misbehaves("a string", "text was returned", backward=lambda dout, cache: "dx, dW, db")
misbehaves("integers", "the gradient is of integers: rounded",
    backward=changed(lambda g: tuple(d.astype(int) for d in g)))
misbehaves("objects", "the gradient is an array of objects",
    backward=changed(lambda g: tuple(d.astype(object) for d in g)))
misbehaves("complex", "the gradient is complex", backward=changed(lambda g: tuple(d + 0j for d in g)))
misbehaves("float32", "the inputs are float64, the gradient is float32",
    backward=changed(lambda g: tuple(d.astype(np.float32) for d in g)))
misbehaves("masked arrays", "the gradient is a masked array",
    backward=changed(lambda g: tuple(np.ma.masked_less(d, 0) for d in g)))
misbehaves("NaN", "the gradient of W is NaN in an entry", backward=with_entry(np.nan))
misbehaves("inf", "the gradient of W is infinite in an entry", backward=with_entry(np.inf))
misbehaves("all zero", "every gradient is zero",
    backward=changed(lambda g: tuple(np.zeros_like(d) for d in g)))
misbehaves("a view of its input", "dx shares memory with dout",
    forward=lambda x, keep_mask, p: (x.copy(), None), backward=lambda dout, cache: dout[:], kind="dropout")
misbehaves("one buffer for all calls", "the second call overwrites what the first returned",
    backward=one_buffer)
misbehaves("changes its input", "forward changed x", forward=changes_inputs)
misbehaves("changes dout", "backward changed the gradient that it was given", backward=changes_dout)
misbehaves("updates W in backward", "backward changed W: the update belongs to the optimizer",
    backward=steps_downhill)
misbehaves("pops its cache", "the second backward of one cache raises: the cache was emptied",
    forward=lambda x, W, b: (x @ W + b, [x, W]), backward=eats_its_cache)
misbehaves("doubles its cache", "the second backward of one cache differs",
    forward=lambda x, W, b: (x @ W + b, (x.copy(), W)), backward=doubles_its_cache)
misbehaves("global state", "backward uses what the last forward left", forward=remembers,
    backward=lambda dout, cache: affine_back(dout, LAST["cache"]))
misbehaves("random inside", "forward gives another result each time", forward=random_dropout,
    backward=plain_dropout_back, kind="dropout")
misbehaves("prints a lot", "what it prints must not drown the report", backward=noisy)
misbehaves("recursion without end", "backward calls itself without end", backward=deep)
misbehaves("leaves the program", "backward called sys.exit", backward=lambda dout, cache: sys.exit(3))
misbehaves("interrupts", "backward raised KeyboardInterrupt", backward=raising(KeyboardInterrupt()))
misbehaves("forward without cache", "forward returned only out; (out, cache) expected",
    forward=lambda x, W, b: x @ W + b)
misbehaves("forward returns None", "forward returned None: is the return missing?",
    forward=lambda x, W, b: None)
misbehaves("forward takes too few", "forward takes two arguments, three are given",
    forward=lambda x, W: (x @ W, (x, W)))
misbehaves("backward the other way round", "backward takes (dout, cache), not (cache, dout)",
    backward=lambda cache, dout: affine_back(dout, cache))
misbehaves("backward takes one", "backward takes dout only; (dout, cache) are given",
    backward=lambda dout: dout)
misbehaves("output of another shape", "out has the wrong shape: batch first",
    forward=lambda x, W, b: ((x @ W + b).swapaxes(0, 1).copy(), (x, W)),
    backward=lambda dout, cache: affine_back(dout.swapaxes(0, 1).copy(), cache))
misbehaves("not a function", "backward is no function", backward=None)
misbehaves("sleeps for ever", "backward does not end", backward=endless, ends=False)
misbehaves("loops for ever", "forward does not end", forward=busy, ends=False)
# fmt: on
