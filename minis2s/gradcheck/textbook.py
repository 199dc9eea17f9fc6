"""Backward passes written one line to an equation, with every quantity under its textbook name.

They are slow and repeat what functional/ does, on purpose: each line is small enough that one changed
name, factor or sign in it is a mistake that somebody makes. `edits` makes all these changes, one at a
time, and the diagnosis looks for the one that reproduces a student's numbers. Nothing here is used to
decide whether a gradient is right; the numeric derivatives do that, and the test suite holds these
lines against them.

Conventions: an array over time is indexed [t] first; h_prev[t] is the state before step t and h[t] the
one after it; real is 1.0 where a step is no padding, else 0.0, with a last axis of size 1. A name that
ends in _kept is what a padded step hands on. Gradients have their variable's name with a d in front.
"""

import numpy as np


def rnn_backward(dhs, dh_last, x, h_prev, h, Wx, Wh, real):
    """h = tanh(x Wx + h_prev Wh + b) (Elman 1990)."""
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    # after the last step the state has the gradient that comes from outside
    dh = dh_last
    for t in reversed(range(len(x))):
        # h goes to the output of step t and to step t + 1: both gradients add up
        dh = dh + dhs[t]
        # where a step is padding, h is handed on: so is its gradient
        dh_kept = dh * (1 - real[t])
        dh = dh * real[t]
        # h = tanh(z)
        dz = dh * (1 - h[t] ** 2)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx = dWx + x[t].T @ dz
        dWh = dWh + h_prev[t].T @ dz
        db = db + dz.sum(axis=0)
        dh_prev = dz @ Wh.T
        dh = dh_prev + dh_kept
    return dx, dh, dWx, dWh, db


def lstm_backward(
    dhs, dh_last, dc_last, x, h_prev, c_prev, i, f, o, g, z_i, z_f, z_o, z_g, c, tanh_c, h, Wx, Wh, real
):
    """c = f c_prev + i g; h = o tanh(c) (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    # after the last step the state has the gradient that comes from outside
    dh = dh_last
    dc = dc_last
    for t in reversed(range(len(x))):
        # h goes to the output of step t and to step t + 1: both gradients add up
        dh = dh + dhs[t]
        # where a step is padding, h and c are handed on: so are their gradients
        dh_kept = dh * (1 - real[t])
        dc_kept = dc * (1 - real[t])
        dh = dh * real[t]
        dc = dc * real[t]
        # h = o * tanh(c)
        do = dh * tanh_c[t]
        # c goes to h and to step t + 1: both gradients add up
        dc = dc + dh * o[t] * (1 - tanh_c[t] ** 2)
        # c = f * c_prev + i * g
        df = dc * c_prev[t]
        di = dc * g[t]
        dg = dc * i[t]
        dc_prev = dc * f[t]
        # i = sigmoid(z_i), and f and o likewise; g = tanh(z_g)
        dz_i = di * i[t] * (1 - i[t])
        dz_f = df * f[t] * (1 - f[t])
        dz_o = do * o[t] * (1 - o[t])
        dz_g = dg * (1 - g[t] ** 2)
        # the gates lie side by side: i, f, o, g
        dz = np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx = dWx + x[t].T @ dz
        dWh = dWh + h_prev[t].T @ dz
        db = db + dz.sum(axis=0)
        dh_prev = dz @ Wh.T
        dh = dh_prev + dh_kept
        dc = dc_prev + dc_kept
    return dx, dh, dc, dWx, dWh, db


def gru_backward(dhs, dh_last, x, h_prev, r, u, n, zh_n, hWh_n, rh, h, Wx, Wh, Wh_ru, Wh_n, real):
    """n = tanh(zx_n + r (h_prev Wh_n + bh_n)); h = (1 - u) n + u h_prev (Cho et al. 2014, reset after)."""
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    dbx, dbh = np.zeros_like(Wh[0]), np.zeros_like(Wh[0])
    # after the last step the state has the gradient that comes from outside
    dh = dh_last
    for t in reversed(range(len(x))):
        # h goes to the output of step t and to step t + 1: both gradients add up
        dh = dh + dhs[t]
        # where a step is padding, h is handed on: so is its gradient
        dh_kept = dh * (1 - real[t])
        dh = dh * real[t]
        # h = (1 - u) * n + u * h_prev
        dn = dh * (1 - u[t])
        du = dh * (h_prev[t] - n[t])
        dh_prev = dh * u[t]
        # n = tanh(zx_n + r * zh_n)
        dz_n = dn * (1 - n[t] ** 2)
        dr = dz_n * zh_n[t]
        dzh_n = dz_n * r[t]
        # r = sigmoid(z_r), u = sigmoid(z_u)
        dz_r = dr * r[t] * (1 - r[t])
        dz_u = du * u[t] * (1 - u[t])
        # zx = x Wx + bx; the gates lie side by side: r, u, n
        dz_ru = np.concatenate([dz_r, dz_u], axis=1)
        dzx = np.concatenate([dz_ru, dz_n], axis=1)
        dzh = np.concatenate([dz_ru, dzh_n], axis=1)
        dx[t] = dzx @ Wx.T
        dWx = dWx + x[t].T @ dzx
        dbx = dbx + dzx.sum(axis=0)
        # zh = h_prev Wh + bh; its part of n is scaled by r
        dWh = dWh + h_prev[t].T @ dzh
        dbh = dbh + dzh.sum(axis=0)
        dh_prev = dh_prev + dz_ru @ Wh_ru.T
        dh_prev = dh_prev + dzh_n @ Wh_n.T
        dh = dh_prev + dh_kept
    return dx, dh, dWx, dWh, dbx, dbh


def gru_before_backward(dhs, dh_last, x, h_prev, r, u, n, rh, h, Wx, Wh, Wh_ru, Wh_n, real):
    """n = tanh(zx_n + (r h_prev) Wh_n + bh_n); h = (1 - u) n + u h_prev (Cho et al. 2014, reset before)."""
    dx, dWx, dWh_ru, dWh_n = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh_ru), np.zeros_like(Wh_n)
    dbx, dbh = np.zeros_like(Wx[0]), np.zeros_like(Wx[0])
    # after the last step the state has the gradient that comes from outside
    dh = dh_last
    for t in reversed(range(len(x))):
        # h goes to the output of step t and to step t + 1: both gradients add up
        dh = dh + dhs[t]
        # where a step is padding, h is handed on: so is its gradient
        dh_kept = dh * (1 - real[t])
        dh = dh * real[t]
        # h = (1 - u) * n + u * h_prev
        dn = dh * (1 - u[t])
        du = dh * (h_prev[t] - n[t])
        dh_prev = dh * u[t]
        # n = tanh(zx_n + rh Wh_n + bh_n), with rh = r * h_prev
        dz_n = dn * (1 - n[t] ** 2)
        drh = dz_n @ Wh_n.T
        dr = drh * h_prev[t]
        dh_prev = dh_prev + drh * r[t]
        # r = sigmoid(z_r), u = sigmoid(z_u)
        dz_r = dr * r[t] * (1 - r[t])
        dz_u = du * u[t] * (1 - u[t])
        # zx = x Wx + bx; the gates lie side by side: r, u, n
        dz_ru = np.concatenate([dz_r, dz_u], axis=1)
        dzx = np.concatenate([dz_ru, dz_n], axis=1)
        dx[t] = dzx @ Wx.T
        dWx = dWx + x[t].T @ dzx
        dbx = dbx + dzx.sum(axis=0)
        # z_r, z_u = h_prev Wh_ru + bh_ru; z_n = rh Wh_n + bh_n
        dWh_ru = dWh_ru + h_prev[t].T @ dz_ru
        dWh_n = dWh_n + rh[t].T @ dz_n
        dbh = dbh + dzx.sum(axis=0)
        dh_prev = dh_prev + dz_ru @ Wh_ru.T
        dh = dh_prev + dh_kept
    dWh = np.concatenate([dWh_ru, dWh_n], axis=1)
    return dx, dh, dWx, dWh, dbx, dbh


# -- attention: arrays (B, T, ...), one matrix for each row of the batch ------------------------------


def softmax_backward(dweights, weights, real):
    """weights = softmax(scores) over the last axis; 0 where real is 0."""
    # weights = exp(scores) / sum exp(scores): a raised score takes from all the others
    taken = (dweights * weights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - taken)
    return (dscores,)


def weighted_sum_backward(dcontext, weights, values):
    """context = weights values."""
    dweights = dcontext @ values.mT
    dvalues = weights.mT @ dcontext
    return dweights, dvalues


def dot_scores_backward(dscores, query, keys, scale):
    """scores = scale * query keys^T (Luong et al. 2015, eq. 8; scaled: Vaswani et al. 2017, eq. 1)."""
    dproducts = dscores * scale
    dquery = dproducts @ keys
    dkeys = dproducts.mT @ query
    return dquery, dkeys


def general_scores_backward(dscores, query, keys, W, projected):
    """scores = (query W) keys^T (Luong et al. 2015, eq. 8)."""
    # scores = projected keys^T
    dprojected = dscores @ keys
    dkeys = dscores.mT @ projected
    # projected = query W
    dquery = dprojected @ W.T
    dW = (query.mT @ dprojected).sum(axis=0)
    return dquery, dkeys, dW


def additive_scores_backward(dscores, query, keys, Wq, v, z, a):
    """scores = v . tanh(query Wq + key) (Bahdanau et al. 2015, appendix A.1.2)."""
    # scores = a v, with a (B, T, S, A)
    da = dscores[..., None] * v
    dv = (dscores[..., None] * a).sum(axis=0).sum(axis=0).sum(axis=0)
    # a = tanh(z)
    dz = da * (1 - a**2)
    # z = query Wq + keys, every query with every key
    dprojected = dz.sum(axis=2)
    dkeys = dz.sum(axis=1)
    dquery = dprojected @ Wq.T
    dWq = (query.mT @ dprojected).sum(axis=0)
    return dquery, dkeys, dWq, dv


def dot_attention_backward(dcontext, query, memory, weights, scale, real):
    """context = softmax(scale * query memory^T) memory."""
    # context = weights memory
    dweights = dcontext @ memory.mT
    dvalues = weights.mT @ dcontext
    # weights = softmax(scores): a raised score takes from all the others
    taken = (dweights * weights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - taken)
    # scores = scale * query memory^T
    dproducts = dscores * scale
    dquery = dproducts @ memory
    dkeys = dproducts.mT @ query
    # memory is both the values and the keys
    dmemory = dvalues + dkeys
    return dquery, dmemory


def general_attention_backward(dcontext, query, memory, W, projected, weights, real):
    """context = softmax((query W) memory^T) memory (Luong et al. 2015)."""
    # context = weights memory
    dweights = dcontext @ memory.mT
    dvalues = weights.mT @ dcontext
    # weights = softmax(scores): a raised score takes from all the others
    taken = (dweights * weights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - taken)
    # scores = projected memory^T
    dprojected = dscores @ memory
    dkeys = dscores.mT @ projected
    # projected = query W
    dquery = dprojected @ W.T
    dW = (query.mT @ dprojected).sum(axis=0)
    # memory is both the values and the keys
    dmemory = dvalues + dkeys
    return dquery, dmemory, dW


def additive_attention_backward(dcontext, query, memory, keys, Wq, v, z, a, weights, real):
    """context = softmax(v . tanh(query Wq + keys)) memory (Bahdanau et al. 2015)."""
    # context = weights memory
    dweights = dcontext @ memory.mT
    dmemory = weights.mT @ dcontext
    # weights = softmax(scores): a raised score takes from all the others
    taken = (dweights * weights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - taken)
    # scores = a v
    da = dscores[..., None] * v
    dv = (dscores[..., None] * a).sum(axis=0).sum(axis=0).sum(axis=0)
    # a = tanh(z)
    dz = da * (1 - a**2)
    # z = query Wq + keys, every query with every key
    dprojected = dz.sum(axis=2)
    dkeys = dz.sum(axis=1)
    dquery = dprojected @ Wq.T
    dWq = (query.mT @ dprojected).sum(axis=0)
    return dquery, dmemory, dkeys, dWq, dv


# -- the rest ------------------------------------------------------------------------------------------


def cross_entropy_backward(dloss, logits, probs, onehot, smoothing, real, count):
    """loss = sum of real * surprise / count; surprise = -sum_v target log p (count = 1 for the sum)."""
    V = probs.shape[-1]
    # target distribution
    target = (1 - smoothing) * onehot + smoothing / V
    # surprise = log sum exp(logits) - target . logits
    dsurprise = dloss * real / count
    dlogits = dsurprise * (probs - target)
    return (dlogits,)


def linear_backward(dout, x, W, b):
    """out = x W + b, with x (N, D)."""
    dx = dout @ W.T
    dW = x.T @ dout
    db = dout.sum(axis=0)
    return dx, dW, db


def embedding_backward(dout, ids, W):
    """out[n] = W[ids[n]], with dout (N, E): the same id may come again, and each time it adds."""
    dW = np.zeros_like(W)
    for n in range(len(ids)):
        dW[ids[n]] = dW[ids[n]] + dout[n]
    return (dW,)


def dropout_backward(dout, keep, p):
    """out = x * keep / (1 - p) (Srivastava et al. 2014)."""
    dx = dout * keep / (1 - p)
    return (dx,)


def tanh_backward(da, z, a):
    """a = tanh(z)."""
    dz = da * (1 - a**2)
    return (dz,)


# What the textbook's names are called as nodes, with the gate that they belong to.
NODES = {
    "do": ("dz", "o"), "df": ("dz", "f"), "di": ("dz", "i"), "dg": ("dz", "g"),
    "dz_o": ("dz", "o"), "dz_f": ("dz", "f"), "dz_i": ("dz", "i"), "dz_g": ("dz", "g"),
    "dr": ("dz", "r"), "drh": ("dz", "r"), "du": ("dz", "u"), "dn": ("dz", "n"),
    "dz_r": ("dz", "r"), "dz_u": ("dz", "u"), "dz_n": ("dz", "n"), "dzx": ("dz", ""), "dzh": ("dh", ""), "dzh_n": ("dh", ""),
    "dz_ru": ("dz", ""), "dWh_ru": ("dWh", ""), "dWh_n": ("dWh", ""),
    "dh_prev": ("dh", ""), "dc_prev": ("dc", ""), "dh_kept": ("dh", ""), "dc_kept": ("dc", ""),
    "taken": ("dscores", ""), "dproducts": ("dscores", ""), "da": ("dz", ""), "target": ("dlogits", ""), "dsurprise": ("dlogits", ""),
}  # fmt: skip
BEFORE = {"dh_prev", "dc_prev", "dh_kept", "dc_kept", "dzh", "dzh_n"}  # gradients of the state before step t
