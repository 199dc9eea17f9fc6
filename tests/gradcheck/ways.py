"""Right implementations, each written another way: what a checker must never call wrong.

RIGHT lists them. Each is a (forward, backward) pair with the signature of the engine's pair of the
same kind, as different people would write it: loops, einsum, slices, recomputation, closures,
recursion, other gate orders. Trailing optional arguments (mask, smoothing, ...) are left out by
some, and most do not expect None among the upstream gradients, since a student's code does not.

Three kinds are composites that the engine has no single pair for, with mask (S, B) or None:
    attention           (query (T,B,Q), memory (S,B,M), W (Q,M), mask) -> context (T,B,M)
    dot_attention       (query (T,B,M), memory (S,B,M), mask) -> context
    additive_attention  (query (T,B,Q), memory (S,B,M), keys (S,B,A), Wq (Q,A), v (A,), mask) -> context

`draw_inputs` draws ragged random inputs for any of the kinds. A data module: tests and benchmarks
load it by path.
"""

import inspect
import math
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np


class Way(NamedTuple):
    name: str
    kind: str
    forward: Callable
    backward: Callable
    options: dict[str, Any]  # "gates": order of the weight blocks; "reset_after": False; "reduction": "sum"


RIGHT: list[Way] = []


def right(name: str, kind: str, forward: Callable, backward: Callable, **options: Any) -> None:
    RIGHT.append(Way(name, kind, forward, backward, options))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# == LSTM ==========================================================================================


# -- one sentence after the other, a tape of what happened -------------------------------------------


def lstm_by_sentence(x, h0, c0, Wx, Wh, b, mask=None):
    T, B = x.shape[:2]
    H = h0.shape[1]
    hs, h_last, c_last = np.zeros((T, B, H)), np.zeros((B, H)), np.zeros((B, H))
    tape = []
    for n in range(B):
        h, c = h0[n], c0[n]
        for t in range(T):
            if mask is None or mask[t, n]:
                z = x[t, n] @ Wx + h @ Wh + b
                i, f, o = (sigmoid(z[k * H : (k + 1) * H]) for k in range(3))
                g = np.tanh(z[3 * H :])
                before = h, c
                c = f * c + i * g
                h = o * np.tanh(c)
                tape.append((n, t, before, i, f, o, g, c))
            hs[t, n] = h
        h_last[n], c_last[n] = h, c
    return (hs, h_last, c_last), (tape, x, h0, Wx, Wh)


def lstm_by_sentence_back(dout, cache):
    dhs, dh_last, dc_last = dout
    tape, x, h0, Wx, Wh = cache
    T, B = x.shape[:2]
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    dh0, dc0 = np.zeros_like(h0), np.zeros_like(h0)
    for n in range(B):
        happened = {t: rest for row, t, *rest in tape if row == n}
        dh, dc = dh_last[n].copy(), dc_last[n].copy()
        for t in range(T - 1, -1, -1):
            dh = dh + dhs[t, n]
            if t not in happened:
                continue
            (h_prev, c_prev), i, f, o, g, c = happened[t]
            dc = dc + dh * o / np.cosh(c) ** 2
            d = np.hstack(
                [
                    dc * g * i * (1 - i),
                    dc * c_prev * f * (1 - f),
                    dh * np.tanh(c) * o * (1 - o),
                    dc * i * (1 - g * g),
                ]
            )
            dWx += np.outer(x[t, n], d)
            dWh += np.outer(h_prev, d)
            db += d
            dx[t, n] = Wx.dot(d)
            dh = Wh.dot(d)
            dc = dc * f
        dh0[n], dc0[n] = dh, dc
    return dx, dh0, dc0, dWx, dWh, db


right("one sentence at a time, outer products", "lstm", lstm_by_sentence, lstm_by_sentence_back)


# -- einsum over a (gate, ...) axis ------------------------------------------------------------------


def lstm_einsum(x, h0, c0, Wx, Wh, b, mask=None):
    T, B, D = x.shape
    H = h0.shape[-1]
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    U, V, bias = Wx.reshape(D, 4, H), Wh.reshape(H, 4, H), b.reshape(4, H)
    h, c, steps = h0, c0, []
    for t in range(T):
        m = real[t][:, None]
        a = np.einsum("bd,dkh->kbh", x[t], U) + np.einsum("bj,jkh->kbh", h, V) + bias[:, None]
        s = np.concatenate([sigmoid(a[:3]), np.tanh(a[3:])])
        c_new = s[1] * c + s[0] * s[3]
        steps.append((h, c, s, c_new))
        h = m * s[2] * np.tanh(c_new) + (1 - m) * h
        c = m * c_new + (1 - m) * c
    hs = np.stack([*(step[0] for step in steps[1:]), h])
    return (hs, h, c), {"x": x, "U": U, "V": V, "real": real, "steps": steps}


def lstm_einsum_back(dout, cache):
    d_all, gh, gc = dout
    x, U, V, real = cache["x"], cache["U"], cache["V"], cache["real"]
    dU, dV, dbias, dx = np.zeros_like(U), np.zeros_like(V), np.zeros(U.shape[1:]), np.zeros_like(x)
    for t, (h, c, s, c_new) in reversed(list(enumerate(cache["steps"]))):
        m = real[t][:, None]
        gh = gh + d_all[t]
        keep_h, keep_c = (1 - m) * gh, (1 - m) * gc
        gh, gc = m * gh, m * gc
        gc = gc + gh * s[2] * (1 - np.tanh(c_new) ** 2)
        ds = np.stack([gc * s[3], gc * c, gh * np.tanh(c_new), gc * s[0]])
        slope = np.concatenate([s[:3] - s[:3] ** 2, 1 - s[3:] ** 2])
        da = ds * slope
        dU += np.einsum("bd,kbh->dkh", x[t], da)
        dV += np.einsum("bj,kbh->jkh", h, da)
        dbias += np.einsum("kbh->kh", da)
        dx[t] = np.einsum("kbh,dkh->bd", da, U)
        gh = np.einsum("kbh,jkh->bj", da, V) + keep_h
        gc = gc * s[1] + keep_c
    H = V.shape[0]
    return dx, gh, gc, dU.reshape(-1, 4 * H), dV.reshape(H, 4 * H), dbias.reshape(4 * H)


right("einsum over a gate axis, mask by multiplication", "lstm", lstm_einsum, lstm_einsum_back)


# -- four slices of the weights, and a cache of nothing but the inputs -------------------------------


def lstm_slices_states(x, h0, c0, Wx, Wh, b):
    H = h0.shape[1]
    i_, f_, o_, g_ = (slice(k * H, (k + 1) * H) for k in range(4))
    h, c = h0, c0
    for xt in x:
        i = sigmoid(xt @ Wx[:, i_] + h @ Wh[:, i_] + b[i_])
        f = sigmoid(xt @ Wx[:, f_] + h @ Wh[:, f_] + b[f_])
        o = sigmoid(xt @ Wx[:, o_] + h @ Wh[:, o_] + b[o_])
        g = np.tanh(xt @ Wx[:, g_] + h @ Wh[:, g_] + b[g_])
        c_before, h_before = c, h
        c = f * c + i * g
        h = o * np.tanh(c)
        yield h_before, c_before, i, f, o, g, h, c


def lstm_slices(x, h0, c0, Wx, Wh, b):
    states = list(lstm_slices_states(x, h0, c0, Wx, Wh, b))
    hs = np.array([s[-2] for s in states])
    return (hs, states[-1][-2], states[-1][-1]), [x, h0, c0, Wx, Wh, b]


def lstm_slices_back(dout, cache):
    dhs, dh, dc = dout
    x, h0, c0, Wx, Wh, b = cache
    H = h0.shape[1]
    Wxi, Wxf, Wxo, Wxg = np.split(Wx, 4, axis=1)
    Whi, Whf, Who, Whg = np.split(Wh, 4, axis=1)
    gWx, gWh, gb = np.zeros((4, *Wxi.shape)), np.zeros((4, H, H)), np.zeros((4, H))
    dx = []
    for xt, dht, (hp, cp, i, f, o, g, _, c) in zip(
        x[::-1], dhs[::-1], list(lstm_slices_states(*cache))[::-1]
    ):
        dh = dh + dht
        tc = np.tanh(c)
        ai_o = dh * tc * o * (1 - o)
        dc = dc + dh * o * (1 - tc * tc)
        ai_i = dc * g * i * (1 - i)
        ai_f = dc * cp * f * (1 - f)
        ai_g = dc * i * (1 - g * g)
        for k, d in enumerate((ai_i, ai_f, ai_o, ai_g)):
            gWx[k] += xt.T @ d
            gWh[k] += hp.T @ d
            gb[k] += d.sum(0)
        dx.insert(0, ai_i @ Wxi.T + ai_f @ Wxf.T + ai_o @ Wxo.T + ai_g @ Wxg.T)
        dh = ai_i @ Whi.T + ai_f @ Whf.T + ai_o @ Who.T + ai_g @ Whg.T
        dc = dc * f
    return [np.array(dx), dh, dc, np.hstack(list(gWx)), np.hstack(list(gWh)), gb.ravel()]


right(
    "four weight slices, forward recomputed in backward, no mask, a list returned",
    "lstm",
    lstm_slices,
    lstm_slices_back,
)


# -- batch-major inside; an adapter turns the axes at the border -------------------------------------


def batch_major(x, h0, c0, Wx, Wh, b):
    """x (B, T, D) -> (B, T, H), as most people's first LSTM is."""
    B, T, D = x.shape
    H = h0.shape[1]
    h_seq, c_seq = np.zeros((B, T + 1, H)), np.zeros((B, T + 1, H))
    gates = np.zeros((B, T, 4 * H))
    h_seq[:, 0, :], c_seq[:, 0, :] = h0, c0
    for t in range(T):
        z = np.dot(x[:, t, :], Wx) + np.dot(h_seq[:, t, :], Wh) + b
        z[:, : 3 * H] = sigmoid(z[:, : 3 * H])
        z[:, 3 * H :] = np.tanh(z[:, 3 * H :])
        gates[:, t, :] = z
        c_seq[:, t + 1, :] = z[:, H : 2 * H] * c_seq[:, t, :] + z[:, :H] * z[:, 3 * H :]
        h_seq[:, t + 1, :] = z[:, 2 * H : 3 * H] * np.tanh(c_seq[:, t + 1, :])
    return h_seq, c_seq, gates


def lstm_turned(x, h0, c0, Wx, Wh, b):
    x_bt = x.transpose(1, 0, 2)
    h_seq, c_seq, gates = batch_major(x_bt, h0, c0, Wx, Wh, b)
    return (h_seq[:, 1:].transpose(1, 0, 2), h_seq[:, -1], c_seq[:, -1]), (x_bt, h_seq, c_seq, gates, Wx, Wh)


def lstm_turned_back(dout, cache):
    dhs, dh_last, dc_last = dout
    x, h_seq, c_seq, gates, Wx, Wh = cache
    B, T, D = x.shape
    H = h_seq.shape[2]
    dh_seq = dhs.transpose(1, 0, 2)
    dz = np.zeros_like(gates)
    dh, dc = dh_last, dc_last
    for t in range(T)[::-1]:
        i, f, o, g = np.split(gates[:, t, :], 4, axis=1)
        th = np.tanh(c_seq[:, t + 1, :])
        dh = dh + dh_seq[:, t, :]
        dc = dc + dh * o * (1 - th**2)
        dz[:, t, :H] = dc * g * i * (1 - i)
        dz[:, t, H : 2 * H] = dc * c_seq[:, t, :] * f * (1 - f)
        dz[:, t, 2 * H : 3 * H] = dh * th * o * (1 - o)
        dz[:, t, 3 * H :] = dc * i * (1 - g**2)
        dh = np.dot(dz[:, t, :], Wh.T)
        dc = dc * f
    dWx = np.tensordot(x, dz, axes=([0, 1], [0, 1]))
    dWh = np.tensordot(h_seq[:, :-1], dz, axes=([0, 1], [0, 1]))
    return np.dot(dz, Wx.T).transpose(1, 0, 2), dh, dc, dWx, dWh, dz.sum(axis=(0, 1))


right("batch-major inside, axes turned at the border", "lstm", lstm_turned, lstm_turned_back)


# -- torch's gate order, the cache an object ---------------------------------------------------------


def lstm_torch_order(inputs, h_0, c_0, weight_ih, weight_hh, bias, mask=None):
    cache = SimpleNamespace(inputs=inputs, w_ih=weight_ih, w_hh=weight_hh, mask=mask, steps=[])
    h, c = h_0, c_0
    outputs = []
    for t, x_t in enumerate(inputs):
        in_gate, forget_gate, cell_gate, out_gate = np.split(
            x_t @ weight_ih + h @ weight_hh + bias, 4, axis=-1
        )
        step = SimpleNamespace(
            h=h, c=c, i=sigmoid(in_gate), f=sigmoid(forget_gate), g=np.tanh(cell_gate), o=sigmoid(out_gate)
        )
        step.c_next = step.f * c + step.i * step.g
        step.tanh = np.tanh(step.c_next)
        cache.steps.append(step)
        h_next, c_next = step.o * step.tanh, step.c_next
        if mask is not None:
            h_next = np.where(mask[t, :, None], h_next, h)
            c_next = np.where(mask[t, :, None], c_next, c)
        h, c = h_next, c_next
        outputs.append(h)
    return (np.stack(outputs), h, c), cache


def lstm_torch_order_back(grad, cache):
    grad_out, grad_h, grad_c = grad
    T = len(cache.steps)
    grad_x = np.empty_like(cache.inputs)
    g_ih, g_hh, g_b = 0, 0, 0
    for t in range(T - 1, -1, -1):
        s = cache.steps[t]
        alive = np.ones(grad_h.shape[0], bool) if cache.mask is None else cache.mask[t]
        grad_h = grad_h + grad_out[t]
        new_h, new_c = grad_h.copy(), grad_c.copy()  # padded rows simply keep theirs
        d_c = grad_c + grad_h * s.o * (1 - s.tanh**2)
        d_o = grad_h * s.tanh * s.o * (1 - s.o)
        d_i = d_c * s.g * s.i * (1 - s.i)
        d_f = d_c * s.c * s.f * (1 - s.f)
        d_g = d_c * s.i * (1 - s.g**2)
        d_all = np.concatenate([d_i, d_f, d_g, d_o], axis=-1)
        d_all[~alive] = 0
        g_ih = g_ih + cache.inputs[t].T @ d_all
        g_hh = g_hh + s.h.T @ d_all
        g_b = g_b + d_all.sum(axis=0)
        grad_x[t] = d_all @ cache.w_ih.T
        new_h[alive] = (d_all @ cache.w_hh.T)[alive]
        new_c[alive] = (d_c * s.f)[alive]
        grad_h, grad_c = new_h, new_c
    return grad_x, grad_h, grad_c, g_ih, g_hh, g_b


right(
    "torch's gate order i f g o, the cache an object",
    "lstm",
    lstm_torch_order,
    lstm_torch_order_back,
    gates="ifgo",
)


# -- one matrix for [x, h], gates in the order of old TensorFlow -------------------------------------


def lstm_joined(x, h0, c0, Wx, Wh, b):
    W = np.concatenate([Wx, Wh])
    trace, out = [], []
    h, c = h0, c0
    for t in range(x.shape[0]):
        xh = np.concatenate([x[t], h], axis=1)
        zi, zj, zf, zo = np.split(xh @ W + b, 4, axis=1)
        i, j, f, o = sigmoid(zi), np.tanh(zj), sigmoid(zf), sigmoid(zo)
        c_old, c = c, c * f + i * j
        h = np.tanh(c) * o
        trace.append((xh, i, j, f, o, c_old, c))
        out.append(h)
    return (np.array(out), h, c), (trace, W, x.shape[2])


def lstm_joined_back(dout, cache):
    (dhs, dh, dc), (trace, W, D) = dout, cache
    dW, db, dx = np.zeros_like(W), np.zeros(W.shape[1]), np.zeros((*dhs.shape[:2], D))
    for t in range(len(trace) - 1, -1, -1):
        xh, i, j, f, o, c_old, c = trace[t]
        dh = dh + dhs[t]
        tanh_c = np.tanh(c)
        dc = dh * o * (1 - np.square(tanh_c)) + dc
        dgates = np.concatenate(
            [dc * j * i * (1 - i), dc * i * (1 - j**2), dc * c_old * f * (1 - f), dh * tanh_c * o * (1 - o)],
            axis=1,
        )
        dW += xh.T @ dgates
        db += dgates.sum(axis=0)
        dxh = dgates @ W.T
        dx[t], dh = dxh[:, :D], dxh[:, D:]
        dc = dc * f
    return dx, dh, dc, dW[:D], dW[D:], db


right(
    "one matrix for x and h side by side, gate order i g f o",
    "lstm",
    lstm_joined,
    lstm_joined_back,
    gates="igfo",
)


# -- recursion over time -----------------------------------------------------------------------------


def lstm_recursive(x, h0, c0, Wx, Wh, b):
    if len(x) == 0:
        return (np.zeros((0, *h0.shape)), h0, c0), None
    i, f, o, g = np.split(x[0] @ Wx + h0 @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c1 = f * c0 + i * g
    h1 = o * np.tanh(c1)
    (later, h_last, c_last), rest = lstm_recursive(x[1:], h1, c1, Wx, Wh, b)
    return (np.concatenate([h1[None], later]), h_last, c_last), (x[0], h0, c0, (i, f, o, g), c1, Wx, Wh, rest)


def lstm_recursive_back(dout, cache):
    dhs, dh_last, dc_last = dout
    x, h0, c0, (i, f, o, g), c1, Wx, Wh, rest = cache
    if rest is None:
        later, dh, dc, dWx, dWh, db = np.zeros((0, *x.shape)), dh_last, dc_last, 0, 0, 0
    else:
        later, dh, dc, dWx, dWh, db = lstm_recursive_back((dhs[1:], dh_last, dc_last), rest)
    dh = dh + dhs[0]
    dc = dc + dh * o * (1 - np.tanh(c1) ** 2)
    dz = np.hstack(
        [dc * g * i * (1 - i), dc * c0 * f * (1 - f), dh * np.tanh(c1) * o * (1 - o), dc * i * (1 - g**2)]
    )
    dx = np.concatenate([(dz @ Wx.T)[None], later])
    return dx, dz @ Wh.T, dc * f, dWx + x.T @ dz, dWh + h0.T @ dz, db + dz.sum(0)


right("recursion over time", "lstm", lstm_recursive, lstm_recursive_back)


# -- the cache is a function: forward leaves behind how to go back -----------------------------------


def lstm_closure(x, h0, c0, Wx, Wh, b, mask=None):
    undo = []

    def step(t, h, c):
        z = x[t] @ Wx + h @ Wh + b
        i, f, o = (sigmoid(part) for part in np.split(z, 4, axis=1)[:3])
        g = np.tanh(np.split(z, 4, axis=1)[3])
        c_new = f * c + i * g
        squashed = np.tanh(c_new)
        here = np.ones((len(h), 1), bool) if mask is None else mask[t][:, None]

        def back(dh, dc):
            inner = dc + dh * o * (1 - squashed**2)
            parts = (
                inner * g * i * (1 - i),
                inner * c * f * (1 - f),
                dh * squashed * o * (1 - o),
                inner * i * (1 - g**2),
            )
            dz = np.where(here, np.concatenate(parts, axis=1), 0.0)
            to_h, to_c = np.where(here, dz @ Wh.T, dh), np.where(here, inner * f, dc)
            return dz @ Wx.T, to_h, to_c, x[t].T @ dz, h.T @ dz, dz.sum(axis=0)

        undo.append(back)
        return np.where(here, o * squashed, h), np.where(here, c_new, c)

    h, c = h0, c0
    hs = np.empty((len(x), *h0.shape))
    for t in range(len(x)):
        h, c = step(t, h, c)
        hs[t] = h

    def backward(dhs, dh, dc):
        dx, total = np.zeros_like(x), [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        for t in reversed(range(len(x))):
            dx[t], dh, dc, *weights = undo[t](dh + dhs[t], dc)
            total = [a + w for a, w in zip(total, weights)]
        return dx, dh, dc, *total

    return (hs, h, c), backward


right("closures: the cache is a function", "lstm", lstm_closure, lambda dout, cache: cache(*dout))


# -- float32 inside, float64 at the border -----------------------------------------------------------


def lstm_float32(x, h0, c0, Wx, Wh, b, mask=None):
    out, cache = lstm_einsum(
        *(np.float32(a) for a in (x, h0, c0, Wx, Wh, b)), None if mask is None else mask.astype(np.float32)
    )
    cache["real"] = cache["real"].astype(np.float32)
    return tuple(np.float64(np.float32(a)) for a in out), cache


def lstm_float32_back(dout, cache):
    return tuple(np.float64(np.float32(d)) for d in lstm_einsum_back([np.float32(d) for d in dout], cache))


right("float32 inside, cast back", "lstm", lstm_float32, lstm_float32_back)


# -- one step ----------------------------------------------------------------------------------------


def lstm_cell(x, prev_h, prev_c, Wx, Wh, b):
    """After the second assignment of a well-known course."""
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    a_i, a_f, a_o, a_g = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]
    i, f, o, g = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o), np.tanh(a_g)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return (next_h, next_c), (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_cell_back(dout, cache):
    dnext_h, dnext_c = dout
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    da = np.zeros((x.shape[0], Wx.shape[1]))
    da_i, da_f, da_o, da_g = np.hsplit(da, 4)  # views
    da_i += dc * g * i * (1 - i)
    da_f += dc * prev_c * f * (1 - f)
    da_o += dnext_h * tanh_c * o * (1 - o)
    da_g += dc * i * (1 - g**2)
    return [da.dot(Wx.T), da.dot(Wh.T), f * dc, x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)]


right("one buffer, filled through views; no mask, a list returned", "lstm_step", lstm_cell, lstm_cell_back)


@np.vectorize
def cell_value(zi, zf, zo, zg, c):
    new = c / (1 + math.exp(-zf)) + math.tanh(zg) / (1 + math.exp(-zi))
    return math.tanh(new) / (1 + math.exp(-zo)), new


@np.vectorize
def cell_slope(zi, zf, zo, zg, c, dh, dc):
    i, f, o, g = 1 / (1 + math.exp(-zi)), 1 / (1 + math.exp(-zf)), 1 / (1 + math.exp(-zo)), math.tanh(zg)
    new = math.tanh(f * c + i * g)
    dc += dh * o * (1 - new * new)
    return dc * g * i * (1 - i), dc * c * f * (1 - f), dh * new * o * (1 - o), dc * i * (1 - g * g), dc * f


def lstm_scalar(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    z = x @ Wx + h_prev @ Wh + b
    h, c = cell_value(*np.split(z, 4, axis=1), c_prev)
    if mask is not None:
        h[~mask], c[~mask] = h_prev[~mask], c_prev[~mask]
    return (h, c), dict(x=x, h=h_prev, c=c_prev, Wx=Wx, Wh=Wh, z=z, mask=mask)


def lstm_scalar_back(dout, cache):
    dh, dc = dout
    x, h_prev, c_prev, Wx, Wh, z, mask = cache.values()
    *dz, dc_prev = cell_slope(*np.split(z, 4, axis=1), c_prev, dh, dc)
    dz = np.concatenate(dz, axis=1)
    if mask is not None:
        dz[~mask] = 0
    dh_prev = dz @ Wh.T
    if mask is not None:
        dh_prev[~mask], dc_prev[~mask] = dh[~mask], dc[~mask]
    return dz @ Wx.T, dh_prev, dc_prev, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)


right("a scalar cell, vectorised", "lstm_step", lstm_scalar, lstm_scalar_back)


# == GRU ===========================================================================================


# -- both forms, step by step, dicts in a list -------------------------------------------------------


def gru_dicts(x, h0, Wx, Wh, bx, bh, mask=None, reset_after=True):
    (Wxr, Wxz, Wxn), (Whr, Whz, Whn) = np.split(Wx, 3, axis=1), np.split(Wh, 3, axis=1)
    (bxr, bxz, bxn), (bhr, bhz, bhn) = np.split(bx, 3), np.split(bh, 3)
    caches, hs = [], []
    h = h0
    for t, x_t in enumerate(x):
        r = sigmoid(x_t @ Wxr + bxr + h @ Whr + bhr)
        z = sigmoid(x_t @ Wxz + bxz + h @ Whz + bhz)
        if reset_after:
            n = np.tanh(x_t @ Wxn + bxn + r * (h @ Whn + bhn))
        else:
            n = np.tanh(x_t @ Wxn + bxn + (r * h) @ Whn + bhn)
        caches.append({"h": h, "r": r, "z": z, "n": n, "inner": h @ Whn + bhn})
        new = n + z * (h - n)
        h = new if mask is None else np.where(mask[t][:, None], new, h)
        hs.append(h)
    return (np.stack(hs), h), (x, Wx, Wh, mask, reset_after, caches)


def gru_dicts_back(dout, cache):
    dhs, dh = dout
    x, Wx, Wh, mask, reset_after, caches = cache
    H = dh.shape[1]
    Whr, Whz, Whn = np.split(Wh, 3, axis=1)
    dx = np.zeros_like(x)
    dWx, dWh, dbx, dbh = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(3 * H), np.zeros(3 * H)
    for t in reversed(range(len(caches))):
        h, r, z, n = (caches[t][key] for key in "hrzn")
        dh = dh + dhs[t]
        m = np.ones((len(dh), 1)) if mask is None else mask[t][:, None] * 1.0
        d, stay = m * dh, (1 - m) * dh
        d_n = d * (1 - z) * (1 - n * n)
        d_z = d * (h - n) * z * (1 - z)
        if reset_after:
            d_r = d_n * caches[t]["inner"] * r * (1 - r)
            d_inner = d_n * r
            dh = d * z + d_inner @ Whn.T
            dWh[:, 2 * H :] += h.T @ d_inner
            dbh[2 * H :] += d_inner.sum(axis=0)
        else:
            d_rh = d_n @ Whn.T
            d_r = d_rh * h * r * (1 - r)
            dh = d * z + d_rh * r
            dWh[:, 2 * H :] += (r * h).T @ d_n
            dbh[2 * H :] += d_n.sum(axis=0)
        dh = dh + d_r @ Whr.T + d_z @ Whz.T + stay
        d_x = np.concatenate([d_r, d_z, d_n], axis=1)
        dWh[:, : 2 * H] += h.T @ d_x[:, : 2 * H]
        dbh[: 2 * H] += d_x[:, : 2 * H].sum(axis=0)
        dWx += x[t].T @ d_x
        dbx += d_x.sum(axis=0)
        dx[t] = d_x @ Wx.T
    return dx, dh, dWx, dWh, dbx, dbh


right("weights per gate, dicts in a list", "gru", gru_dicts, gru_dicts_back)


def gru_before(x, h0, Wx, Wh, bx, bh, mask=None):
    return gru_dicts(x, h0, Wx, Wh, bx, bh, mask, False)


right("reset before, no flag in the signature", "gru", gru_before, gru_dicts_back, reset_after=False)
right("both forms, asked for the one with reset before", "gru", gru_dicts, gru_dicts_back, reset_after=False)


# -- update gate first (Keras), preallocated arrays, products after the loop -------------------------


def gru_keras_order(x, h0, Wx, Wh, bx, bh):
    T, B, D = x.shape
    H = h0.shape[1]
    h = np.empty((T + 1, B, H))
    h[0] = h0
    gx = np.einsum("tbd,dg->tbg", x, Wx) + bx
    z, r, cand, rec = (np.empty((T, B, H)) for _ in range(4))
    for t in range(T):
        gh = h[t] @ Wh + bh
        z[t] = sigmoid(gx[t, :, :H] + gh[:, :H])
        r[t] = sigmoid(gx[t, :, H : 2 * H] + gh[:, H : 2 * H])
        rec[t] = gh[:, 2 * H :]
        cand[t] = np.tanh(gx[t, :, 2 * H :] + r[t] * rec[t])
        h[t + 1] = z[t] * h[t] + (1 - z[t]) * cand[t]
    return (h[1:].copy(), h[T].copy()), (x, h, z, r, cand, rec, Wx, Wh)


def gru_keras_order_back(dout, cache):
    dhs, dh_last = dout
    x, h, z, r, cand, rec, Wx, Wh = cache
    T, B, H = z.shape
    dgx, dgh = np.empty((T, B, 3 * H)), np.empty((T, B, 3 * H))
    dh = np.array(dh_last)
    for t in range(T - 1, -1, -1):
        dh += dhs[t]
        dpre = dh * (1 - z[t]) * (1 - cand[t] ** 2)
        dgx[t, :, 2 * H :] = dpre
        dgx[t, :, :H] = dh * (h[t] - cand[t]) * z[t] * (1 - z[t])
        dgx[t, :, H : 2 * H] = dpre * rec[t] * r[t] * (1 - r[t])
        dgh[t] = dgx[t]
        dgh[t, :, 2 * H :] *= r[t]
        dh = dh * z[t] + dgh[t] @ Wh.T
    dx = np.einsum("tbg,dg->tbd", dgx, Wx)
    dWx = np.einsum("tbd,tbg->dg", x, dgx)
    dWh = np.einsum("tbh,tbg->hg", h[:-1], dgh)
    return dx, dh, dWx, dWh, np.einsum("tbg->g", dgx), np.einsum("tbg->g", dgh)


right(
    "update gate first, no mask, einsum after the loop",
    "gru",
    gru_keras_order,
    gru_keras_order_back,
    gates="urn",
)


# -- one step, row by row ----------------------------------------------------------------------------


def gru_rows(x, h_prev, Wx, Wh, bx, bh, mask=None):
    H = h_prev.shape[1]
    h = h_prev.copy()
    rows = {}
    for b in range(len(x)):
        if mask is not None and not mask[b]:
            continue
        px, ph = bx + x[b] @ Wx, bh + h_prev[b] @ Wh
        r, u = np.split(sigmoid(px[: 2 * H] + ph[: 2 * H]), 2)
        n = np.tanh(px[2 * H :] + r * ph[2 * H :])
        h[b] = u * h_prev[b] + (1 - u) * n
        rows[b] = r, u, n, ph[2 * H :]
    return h, (x, h_prev, Wx, Wh, rows)


def gru_rows_back(dh, cache):
    x, h_prev, Wx, Wh, rows = cache
    dx, dh_prev, dWx, dWh = np.zeros_like(x), dh.copy(), np.zeros_like(Wx), np.zeros_like(Wh)
    dbx, dbh = np.zeros(Wx.shape[1]), np.zeros(Wx.shape[1])
    for b, (r, u, n, q) in rows.items():
        dn = dh[b] * (1 - u) * (1 - n**2)
        dr, du = dn * q * r * (1 - r), dh[b] * (h_prev[b] - n) * u * (1 - u)
        to_x, to_h = np.concatenate([dr, du, dn]), np.concatenate([dr, du, dn * r])
        dbx += to_x
        dbh += to_h
        dWx += np.outer(x[b], to_x)
        dWh += np.outer(h_prev[b], to_h)
        dx[b] = Wx @ to_x
        dh_prev[b] = dh[b] * u + Wh @ to_h
    return dx, dh_prev, dWx, dWh, dbx, dbh


right("row by row, padded rows skipped", "gru_step", gru_rows, gru_rows_back)


def gru_cho(x, h_prev, Wx, Wh, bx, bh):
    """As in the paper of 2014: the reset gate in front of the product; both biases are only ever added."""
    H = h_prev.shape[1]
    b = bx + bh
    gates = sigmoid(x @ Wx[:, : 2 * H] + h_prev @ Wh[:, : 2 * H] + b[: 2 * H])
    r, z = gates[:, :H], gates[:, H:]
    kept = r * h_prev
    h_tilde = np.tanh(x @ Wx[:, 2 * H :] + kept @ Wh[:, 2 * H :] + b[2 * H :])
    return z * h_prev + (1 - z) * h_tilde, (x, h_prev, Wx, Wh, r, z, kept, h_tilde)


def gru_cho_back(dh, cache):
    x, h_prev, Wx, Wh, r, z, kept, h_tilde = cache
    H = h_prev.shape[1]
    dn = dh * (1 - z) * (1 - h_tilde**2)
    dkept = dn @ Wh[:, 2 * H :].T
    dr = dkept * h_prev * r * (1 - r)
    dz = dh * (h_prev - h_tilde) * z * (1 - z)
    drz = np.hstack([dr, dz])
    dWh = np.hstack([h_prev.T @ drz, kept.T @ dn])
    da = np.hstack([drz, dn])
    db = da.sum(axis=0)
    return da @ Wx.T, dh * z + dkept * r + drz @ Wh[:, : 2 * H].T, x.T @ da, dWh, db, db.copy()


right("reset before, as in the paper, no mask", "gru_step", gru_cho, gru_cho_back, reset_after=False)


# == plain RNN =====================================================================================


def rnn_buffers(x, h0, Wx, Wh, b, mask=None):
    T, B, D = x.shape
    states = np.empty((T + 1,) + h0.shape)
    states[0] = h0
    work = np.empty_like(h0)
    for t in range(T):
        np.matmul(x[t], Wx, out=work)
        work += states[t] @ Wh
        work += b
        np.tanh(work, out=states[t + 1])
        if mask is not None:
            padded = ~mask[t]
            states[t + 1][padded] = states[t][padded]
    return (states[1:].copy(), states[T].copy()), (x, states, Wx, Wh, mask)


def rnn_buffers_back(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, mask = cache
    dx, dWx, dWh, db = np.empty_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
    dh, dz, keep = dh_last.copy(), np.empty_like(dh_last), np.empty_like(dh_last)
    for t in range(len(x) - 1, -1, -1):
        dh += dhs[t]
        np.multiply(states[t + 1], states[t + 1], out=dz)
        np.subtract(1.0, dz, out=dz)
        dz *= dh
        if mask is not None:
            dz[~mask[t]] = 0
            keep[:] = dh
        np.matmul(dz, Wx.T, out=dx[t])
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        np.matmul(dz, Wh.T, out=dh)
        if mask is not None:
            dh[~mask[t]] = keep[~mask[t]]
    return dx, dh, dWx, dWh, db


right("preallocated buffers, everything in place", "rnn", rnn_buffers, rnn_buffers_back)


def rnn_jacobians(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    H = h0.shape[1]
    J = np.zeros((T, B, H, H))  # dh[t] / dh[t-1]
    slope = np.zeros((T, B, H))
    before, hs, h = [], [], h0
    for t in range(T):
        before.append(h)
        new = np.tanh(x[t] @ Wx + h @ Wh + b)
        real = np.ones(B, bool) if mask is None else mask[t]
        slope[t] = (1 - new**2) * real[:, None]
        J[t] = slope[t][:, :, None] * Wh.T + (~real)[:, None, None] * np.eye(H)
        h = np.where(real[:, None], new, h)
        hs.append(h)
    return (np.array(hs), h), (x, np.array(before), slope, J, Wx)


def rnn_jacobians_back(dout, cache):
    """No carry: each upstream gradient is sent back to every earlier step by a product of Jacobians."""
    dhs, dh_last = dout
    x, before, slope, J, Wx = cache
    T = len(x)
    upstream = [*dhs[:-1], dhs[-1] + dh_last]
    total = np.zeros_like(dhs)  # dL/dh[t]
    dh0 = np.zeros_like(dh_last)
    for s in range(T):
        v = upstream[s]
        for t in range(s, -1, -1):
            total[t] += v
            v = np.einsum("bi,bij->bj", v, J[t])
        dh0 += v
    dz = total * slope
    return (
        dz @ Wx.T,
        dh0,
        np.einsum("tbd,tbh->dh", x, dz),
        np.einsum("tbj,tbh->jh", before, dz),
        dz.sum((0, 1)),
    )


right("products of Jacobians over every pair of steps", "rnn", rnn_jacobians, rnn_jacobians_back)


def rnn_floats(x, h0, Wx, Wh, b):
    """No NumPy but to come in and go out."""
    xs, h, U, W, bias = x.tolist(), h0.tolist(), Wx.tolist(), Wh.tolist(), b.tolist()
    H, all_h = len(bias), [h]
    for x_t in xs:
        new = []
        for x_row, h_row in zip(x_t, all_h[-1]):
            row = []
            for k in range(H):
                s = bias[k] + sum(xi * U[d][k] for d, xi in enumerate(x_row))
                s += sum(hj * W[j][k] for j, hj in enumerate(h_row))
                row.append(math.tanh(s))
            new.append(row)
        all_h.append(new)
    return (np.array(all_h[1:]), np.array(all_h[-1])), [xs, all_h, U, W]


def rnn_floats_back(dout, cache):
    dhs, dh = dout[0].tolist(), dout[1].tolist()
    xs, all_h, U, W = cache
    T, B, D, H = len(xs), len(dh), len(U), len(W)
    dx = [[[0.0] * D for _ in range(B)] for _ in range(T)]
    dU, dW, db = [[0.0] * H for _ in range(D)], [[0.0] * H for _ in range(H)], [0.0] * H
    for t in range(T - 1, -1, -1):
        for n in range(B):
            dz = [(dh[n][k] + dhs[t][n][k]) * (1 - all_h[t + 1][n][k] ** 2) for k in range(H)]
            for k in range(H):
                db[k] += dz[k]
                for d in range(D):
                    dU[d][k] += xs[t][n][d] * dz[k]
                    dx[t][n][d] += U[d][k] * dz[k]
                for j in range(H):
                    dW[j][k] += all_h[t][n][j] * dz[k]
            dh[n] = [sum(W[j][k] * dz[k] for k in range(H)) for j in range(H)]
    return tuple(np.array(g) for g in (dx, dh, dU, dW, db))


right("nothing but Python floats", "rnn", rnn_floats, rnn_floats_back)


def rnn_cell(x, h_prev, Wx, Wh, b, mask=None):
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    if mask is not None:
        h = np.where(mask[:, None], h, h_prev)

    def back(dh):
        dz = dh * (1 - h**2)
        if mask is not None:
            dz = dz * mask[:, None]
        stays = 0 if mask is None else dh * ~mask[:, None]
        return dz @ Wx.T, dz @ Wh.T + stays, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

    return h, back


right("one step as a closure", "rnn_step", rnn_cell, lambda dout, cache: cache(dout))


# == cross-entropy =================================================================================


def ce_onehot(logits, targets, mask=None):
    T, B, V = logits.shape
    e = np.exp(logits - logits.max(axis=2, keepdims=True))
    p = e / e.sum(axis=2, keepdims=True)
    y = np.eye(V)[targets]
    m = np.ones((T, B)) if mask is None else mask.astype(float)
    n = m.sum()
    loss = -(y * np.log(p) * m[..., None]).sum() / n
    return loss, (p, y, m, n)


def ce_onehot_back(dloss, cache):
    p, y, m, n = cache
    return dloss * (p - y) * m[..., None] / n


right("one-hot targets, log of the softmax", "cross_entropy", ce_onehot, ce_onehot_back)


def ce_flat(logits, targets, mask=None):
    """Only the real tokens, as rows."""
    V = logits.shape[-1]
    keep = np.ones(targets.size, bool) if mask is None else mask.ravel()
    rows, ids = logits.reshape(-1, V)[keep], targets.ravel()[keep]
    log_z = np.logaddexp.reduce(rows, axis=1)
    return (log_z - rows[np.arange(len(ids)), ids]).mean(), (logits.shape, keep, rows, ids, log_z)


def ce_flat_back(dloss, cache):
    shape, keep, rows, ids, log_z = cache
    d = np.exp(rows - log_z[:, None])
    d[range(len(ids)), ids] -= 1
    out = np.zeros((keep.size, shape[-1]))
    out[keep] = dloss * d / len(ids)
    return out.reshape(shape)


right("only the real tokens, logaddexp", "cross_entropy", ce_flat, ce_flat_back)


def ce_jacobian(logits, targets):
    """Through the softmax's whole Jacobian, token by token; no mask."""
    T, B, V = logits.shape
    p = np.empty_like(logits)
    loss = 0.0
    for t in range(T):
        for b in range(B):
            p[t, b] = np.exp(logits[t, b]) / sum(np.exp(logits[t, b]))
            loss -= math.log(p[t, b, targets[t, b]])
    return loss / (T * B), (p, targets)


def ce_jacobian_back(dloss, cache):
    p, targets = cache
    T, B, V = p.shape
    out = []
    for t, b in np.ndindex(T, B):
        dp = np.zeros(V)
        dp[targets[t, b]] = -1 / p[t, b, targets[t, b]] / (T * B)
        out.append((np.diag(p[t, b]) - np.outer(p[t, b], p[t, b])).dot(dp) * dloss)
    return np.array(out).reshape(T, B, V)


right("token by token through the whole Jacobian, no mask", "cross_entropy", ce_jacobian, ce_jacobian_back)


def ce_smooth(logits, targets, mask=None, smoothing=0.0, reduction="mean"):
    V = logits.shape[-1]
    logp = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    q = np.full(logits.shape, smoothing / V)
    np.put_along_axis(q, targets[..., None], smoothing / V + 1 - smoothing, axis=-1)
    w = np.ones(targets.shape) if mask is None else 1.0 * mask
    if reduction == "mean":
        w = w / w.sum()
    return -np.einsum("tb,tbv,tbv->", w, q, logp), {"logp": logp, "q": q, "w": w}


def ce_smooth_back(dloss, cache):
    return dloss * cache["w"][:, :, None] * (np.exp(cache["logp"]) - cache["q"])


right("all options, the target distribution in full", "cross_entropy", ce_smooth, ce_smooth_back)
right("the sum of the tokens' losses", "cross_entropy", ce_smooth, ce_smooth_back, reduction="sum")


# == softmax =======================================================================================


def softmax_fill(scores, mask=None):
    if mask is not None:
        scores = np.where(mask.T[None], scores, -np.inf)
    shifted = scores - np.max(scores, axis=2, keepdims=True)
    return np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True), (scores,)


def softmax_jacobian_back(dout, cache):
    w = softmax_fill(cache[0])[0]
    jacobian = np.einsum("tbs,sr->tbsr", w, np.eye(w.shape[2])) - w[..., :, None] * w[..., None, :]
    return np.einsum("tbsr,tbr->tbs", jacobian, dout)


right("-inf at the padding, the whole Jacobian", "masked_softmax", softmax_fill, softmax_jacobian_back)


def softmax_loops(scores, mask=None):
    T, B, S = scores.shape
    out = np.zeros(scores.shape)
    for t in range(T):
        for b in range(B):
            alive = [s for s in range(S) if mask is None or mask[s, b]]
            powers = {s: math.exp(scores[t, b, s]) for s in alive}
            for s in alive:
                out[t, b, s] = powers[s] / sum(powers.values())
    return out, out.tolist()


def softmax_loops_back(dout, cache):
    dscores = np.zeros(dout.shape)
    for t, b, s in np.ndindex(dout.shape):
        w = cache[t][b]
        for r in range(len(w)):
            dscores[t, b, s] += dout[t, b, r] * w[r] * ((s == r) - w[s])
    return dscores


right("loops, only the real positions", "masked_softmax", softmax_loops, softmax_loops_back)


def softmax_renormalised(scores, mask=None):
    e = np.exp(scores - scores.max())
    if mask is not None:
        e = e * mask.T
    total = e.sum(axis=-1)[..., None]
    return e / total, (e, total)


def softmax_renormalised_back(dout, cache):
    e, total = cache
    de = dout / total - ((dout * e).sum(axis=-1) / total[..., 0] ** 2)[..., None]  # the quotient rule
    return de * e


right("quotient rule, one shift for all", "masked_softmax", softmax_renormalised, softmax_renormalised_back)


# == attention =====================================================================================


def dot_einsum(query, keys):
    return np.einsum("tba,sba->tbs", query, keys), {"q": query, "k": keys}


def dot_einsum_back(dout, cache):
    return np.einsum("tbs,sba->tba", dout, cache["k"]), np.einsum("tbs,tba->sba", dout, cache["q"])


right("einsum", "dot_scores", dot_einsum, dot_einsum_back)


def scaled_rows(query, keys):
    T, B, A = query.shape
    out = np.zeros((T, B, len(keys)))
    for b in range(B):
        out[:, b] = (query[:, b] / math.sqrt(A)) @ keys[:, b].T
    return out, (query, keys)


def scaled_rows_back(dout, cache):
    query, keys = cache
    root = math.sqrt(query.shape[2])
    dq = np.stack([dout[:, b] @ keys[:, b] / root for b in range(query.shape[1])], axis=1)
    dk = np.stack([dout[:, b].T @ query[:, b] / root for b in range(query.shape[1])], axis=1)
    return dq, dk


right("one sentence at a time, the query divided", "scaled_dot_scores", scaled_rows, scaled_rows_back)


def general_loops(query, keys, W):
    T, B, _ = query.shape
    scores = np.array([[[query[t, b] @ W @ k for k in keys[:, b]] for b in range(B)] for t in range(T)])
    return scores, (query, keys, W)


def general_loops_back(dout, cache):
    query, keys, W = cache
    dq, dk, dW = np.zeros(query.shape), np.zeros(keys.shape), np.zeros(W.shape)
    for (t, b, s), d in np.ndenumerate(dout):
        dq[t, b] += d * (W @ keys[s, b])
        dk[s, b] += d * (W.T @ query[t, b])
        dW += d * np.outer(query[t, b], keys[s, b])
    return [dq, dk, dW]


right("one score at a time, a list returned", "general_scores", general_loops, general_loops_back)


def general_keys_projected(query, keys, W):
    wk = keys @ W.T  # (S, B, Q)
    return np.matmul(query.swapaxes(0, 1), np.moveaxis(wk, 0, 2)).swapaxes(0, 1), (query, keys, W, wk)


def general_keys_projected_back(dout, cache):
    query, keys, W, wk = cache
    d = dout.swapaxes(0, 1)  # (B, T, S)
    dq = np.matmul(d, wk.swapaxes(0, 1)).swapaxes(0, 1)
    dwk = np.matmul(d.swapaxes(1, 2), query.swapaxes(0, 1)).swapaxes(0, 1)  # (S, B, Q)
    dW = np.einsum("sbq,sbm->qm", dwk, keys)
    return dq, dwk @ W, dW


right(
    "the keys projected, not the query", "general_scores", general_keys_projected, general_keys_projected_back
)


def additive_by_step(query, keys, Wq, v):
    tables = [np.tanh(keys + (q @ Wq)[None]) for q in query]
    return np.stack([(a @ v).T for a in tables]), (query, Wq, v, tables)


def additive_by_step_back(dout, cache):
    query, Wq, v, tables = cache
    dq, dk, dWq, dv = np.zeros_like(query), 0, 0, 0
    for t, a in enumerate(tables):
        d = dout[t].T[:, :, None]  # (S, B, 1)
        dv = dv + (d * a).sum(axis=(0, 1))
        dz = d * v * (1 - a * a)
        dk = dk + dz
        dq[t] = dz.sum(axis=0) @ Wq.T
        dWq = dWq + query[t].T @ dz.sum(axis=0)
    return dq, dk, dWq, dv


right("one query after the other", "additive_scores", additive_by_step, additive_by_step_back)


def additive_einsum(query, keys, Wq, v):
    a = np.tanh(
        np.einsum("tbq,qa->tba", query, Wq)[:, :, None] + np.moveaxis(keys, 0, 1)[None]
    )  # (T, B, S, A)
    return np.einsum("tbsa,a->tbs", a, v), (query, keys, Wq, v)


def additive_einsum_back(dout, cache):
    query, keys, Wq, v = cache
    a = np.tanh(np.einsum("tbq,qa->tba", query, Wq)[:, :, None] + np.moveaxis(keys, 0, 1)[None])
    dz = np.einsum("tbs,a,tbsa->tbsa", dout, v, 1 - a**2)
    return (
        np.einsum("tbsa,qa->tbq", dz, Wq),
        np.einsum("tbsa->sba", dz),
        np.einsum("tbq,tbsa->qa", query, dz),
        np.einsum("tbs,tbsa->a", dout, a),
    )


right("einsum, tanh taken again in backward", "additive_scores", additive_einsum, additive_einsum_back)


def weighted_broadcast(weights, values):
    blown = values.transpose(1, 0, 2)[None]  # (1, B, S, M)
    return (weights[..., None] * blown).sum(axis=2), (weights, blown)


def weighted_broadcast_back(dout, cache):
    weights, blown = cache
    dweights = (dout[:, :, None] * blown).sum(axis=-1)
    return dweights, (weights[..., None] * dout[:, :, None]).sum(axis=0).transpose(1, 0, 2)


right("multiplied and summed", "weighted_sum", weighted_broadcast, weighted_broadcast_back)


def attention_steps(query, memory, W, mask=None):
    """A decoder's loop: one query at a time."""
    contexts, steps = [], []
    for q in query:
        qw = q @ W
        s = (qw[None] * memory).sum(axis=2)  # (S, B)
        e = np.exp(s - s.max(axis=0))
        if mask is not None:
            e = e * mask
        a = e / e.sum(axis=0)
        contexts.append((a[:, :, None] * memory).sum(axis=0))
        steps.append((q, qw, a))
    return np.stack(contexts), (steps, memory, W)


def attention_steps_back(dout, cache):
    steps, memory, W = cache
    dmemory, dW = np.zeros_like(memory), np.zeros_like(W)
    dquery = []
    for (q, qw, a), dc in zip(steps, dout):
        dmemory += a[:, :, None] * dc  # as values
        da = (memory * dc).sum(axis=2)
        ds = a * (da - (a * da).sum(axis=0))
        dmemory += ds[:, :, None] * qw  # as keys
        dqw = (ds[:, :, None] * memory).sum(axis=0)
        dW += q.T @ dqw
        dquery.append(dqw @ W.T)
    return np.stack(dquery), dmemory, dW


right("one query at a time", "attention", attention_steps, attention_steps_back)

Saved = namedtuple("Saved", "query memory weights")


def attention_dot(query, memory, mask=None):
    q, m = query.transpose(1, 0, 2), memory.transpose(1, 0, 2)
    scores = q @ m.transpose(0, 2, 1)
    if mask is not None:
        scores = scores + np.where(mask.T[:, None], 0, -1e30)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights @ m).transpose(1, 0, 2), Saved(q, m, weights)


def attention_dot_back(dout, saved):
    dcontext = dout.transpose(1, 0, 2)
    dweights = dcontext @ saved.memory.transpose(0, 2, 1)
    dscores = saved.weights * (dweights - np.sum(dweights * saved.weights, axis=-1, keepdims=True))
    dmemory = saved.weights.transpose(0, 2, 1) @ dcontext + dscores.transpose(0, 2, 1) @ saved.query
    return (dscores @ saved.memory).transpose(1, 0, 2), dmemory.transpose(1, 0, 2)


right("batched products, batch first", "dot_attention", attention_dot, attention_dot_back)


def attention_additive(query, memory, keys, Wq, v, mask=None):
    scores, inner = additive_by_step(query, keys, Wq, v)
    weights, _ = softmax_fill(scores, mask)
    context, outer = weighted_broadcast(weights, memory)
    return context, [inner, weights, outer]


def attention_additive_back(dout, cache):
    inner, weights, outer = cache
    dweights, dmemory = weighted_broadcast_back(dout, outer)
    dscores = weights * dweights - weights * (weights * dweights).sum(axis=2, keepdims=True)
    dquery, dkeys, dWq, dv = additive_by_step_back(dscores, inner)
    return dquery, dmemory, dkeys, dWq, dv


right("put together from three pairs", "additive_attention", attention_additive, attention_additive_back)


# == embedding, linear, dropout, tanh ================================================================


def embed_add_at(W, ids):
    return W[ids], (W.shape, ids)


def embed_add_at_back(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape)
    np.add.at(dW, ids, dout)
    return dW


right("np.add.at", "embedding", embed_add_at, embed_add_at_back)


def embed_onehot(W, ids):
    onehot = (ids[..., None] == np.arange(len(W))).astype(float)
    return onehot @ W, onehot


def embed_onehot_back(dout, onehot):
    return np.tensordot(onehot, dout, axes=(range(onehot.ndim - 1), range(dout.ndim - 1)))


right("a product with one-hot rows; the cache is an array", "embedding", embed_onehot, embed_onehot_back)


def embed_loop_back(dout, cache):
    shape, ids = cache
    rows = {}
    for where in np.ndindex(ids.shape):
        rows[ids[where]] = rows.get(ids[where], 0) + dout[where]
    return np.array([rows.get(v, np.zeros(shape[1])) for v in range(shape[0])])


right(
    "a dictionary of rows; a tuple of one returned",
    "embedding",
    embed_add_at,
    lambda d, c: (embed_loop_back(d, c),),
)


def linear_tensordot(x, W, b):
    return np.tensordot(x, W, axes=1) + b, (x, W)


def linear_tensordot_back(dout, cache):
    x, W = cache
    lead = tuple(range(x.ndim - 1))
    return np.tensordot(dout, W, axes=(-1, 1)), np.tensordot(x, dout, axes=(lead, lead)), dout.sum(axis=lead)


right("tensordot", "linear", linear_tensordot, linear_tensordot_back)


def linear_rows(x, W):
    return np.apply_along_axis(lambda row: W.T @ row, -1, x), [x, W]


def linear_rows_back(dout, cache):
    x, W = cache
    dx, dW = np.zeros_like(x), np.zeros_like(W)
    for where in np.ndindex(x.shape[:-1]):
        dx[where] = W @ dout[where]
        dW += np.outer(x[where], dout[where])
    return dx, dW


right("row by row, no bias in the signature", "linear", linear_rows, linear_rows_back)


def dropout_where(x, keep_mask, p):
    return np.where(keep_mask, x / (1 - p), 0.0), {"keep": keep_mask, "rate": p}


def dropout_where_back(dout, cache):
    dx = np.zeros_like(dout)
    dx[cache["keep"]] = dout[cache["keep"]] / (1 - cache["rate"])
    return dx


right("where, and an index in backward", "dropout", dropout_where, dropout_where_back)


def dropout_factor(x, keep_mask, p):
    factor = keep_mask / (1.0 - p)
    return x * factor, factor


right(
    "one factor for both; the cache is an array",
    "dropout",
    dropout_factor,
    lambda dout, factor: dout * factor,
)

right("exp of 2z", "tanh", lambda z: (1 - 2 / (np.exp(2 * z) + 1), z), lambda dout, z: dout / np.cosh(z) ** 2)


# == inputs ==========================================================================================

T, S, B, D, H, Q, A, M, E, K, V = 4, 5, 3, 4, 2, 5, 6, 7, 3, 6, 7  # no two that meet are equal


def draw_inputs(
    kind: str, forward: Callable, options: dict[str, Any], rng: np.random.Generator
) -> tuple[tuple, int]:
    """Ragged random inputs: (arguments of forward, how many of them, from the front, have a gradient).

    Biases are not zero, ids repeat, rows have different lengths. Arguments that forward does not take
    are left out.
    """
    normal = rng.standard_normal

    def weights(*shape):
        return 0.7 * normal(shape)

    mask, source_mask = np.arange(T)[:, None] < [4, 2, 3], np.arange(S)[:, None] < [5, 2, 3]
    step_mask = np.array([True, False, True])
    steps = (B,) if kind.endswith("_step") else (T, B)
    real = step_mask if kind.endswith("_step") else mask
    x = normal((*steps, D))
    match kind.removesuffix("_step"):
        case "lstm":
            args = [
                x,
                normal((B, H)),
                normal((B, H)),
                weights(D, 4 * H),
                weights(H, 4 * H),
                weights(4 * H),
                real,
            ]
            n = 6
        case "gru":
            gates = weights(D, 3 * H), weights(H, 3 * H), weights(3 * H), weights(3 * H)
            args, n = [x, normal((B, H)), *gates, real, options.get("reset_after", True)], 6
        case "rnn":
            args, n = [x, normal((B, H)), weights(D, H), weights(H, H), weights(H), real], 5
        case "cross_entropy":
            targets = np.array([[4, 6, 4], [4, 5, 1], [2, 0, 4], [3, 0, 0]])
            args, n = [2 * normal((T, B, V)), targets, mask, 0.1, options.get("reduction", "mean")], 1
        case "masked_softmax":
            args, n = [2 * normal((T, B, S)), source_mask], 1
        case "dot_scores" | "scaled_dot_scores":
            args, n = [normal((T, B, A)), normal((S, B, A))], 2
        case "general_scores":
            args, n = [normal((T, B, Q)), normal((S, B, A)), weights(Q, A)], 3
        case "additive_scores":
            args, n = [normal((T, B, Q)), normal((S, B, A)), weights(Q, A), weights(A)], 4
        case "weighted_sum":
            e = np.exp(normal((T, B, S))) * source_mask.T
            args, n = [e / e.sum(axis=2, keepdims=True), normal((S, B, M))], 2
        case "attention":
            args, n = [normal((T, B, Q)), normal((S, B, A)), weights(Q, A), source_mask], 3
        case "dot_attention":
            args, n = [normal((T, B, M)), normal((S, B, M)), source_mask], 2
        case "additive_attention":
            args = [
                normal((T, B, Q)),
                normal((S, B, M)),
                normal((S, B, A)),
                weights(Q, A),
                weights(A),
                source_mask,
            ]
            n = 5
        case "embedding":
            args, n = [weights(V, E), np.array([[1, 3, 3], [3, 1, 6], [2, 3, 1], [0, 6, 0]])], 1
        case "linear":
            args, n = [normal((T, B, D)), weights(D, K), weights(K)], 3
        case "dropout":
            args, n = [normal((T, B, D)), rng.random((T, B, D)) >= 0.3, 0.3], 1
        case "tanh":
            args, n = [normal((T, B, D))], 1
        case _:
            raise ValueError(f"no inputs for kind {kind!r}")
    taken = inspect.signature(forward).parameters.values()
    if not any(p.kind is p.VAR_POSITIONAL for p in taken):
        args = args[: len(taken)]
    return tuple(args), min(n, len(args))
