"""An engine with one object for each time step, in the style in which recurrent networks are often taught.

Every step of every layer is an object that keeps its own parameters, products and what it saw; a
"time" layer is a list of them, made anew at each forward pass; gradients are added up over the
list. Nothing is taken out of the loop over time. The model is that of our engine (one LSTM layer
each way, general attention, tanh layer, softmax cross-entropy), without padding, and the numbers
are the same: a test compares loss and gradients. Written from that idea alone, as a rival in
speed.py. Arrays are batch-major, (N, T, D), gates side by side in the order i, f, o, g.
"""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


# -- one step -------------------------------------------------------------------------------------


class StepEmbedding:
    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, ids):
        """ids (N,) -> (N, E)."""
        self.ids = ids
        return self.params[0][ids]

    def backward(self, dout):
        (dW,) = self.grads
        for row, n in enumerate(self.ids):  # one by one: an id may occur several times
            dW[n] += dout[row]


class StepLSTM:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x, h_prev, c_prev):
        """x (N, D), h_prev and c_prev (N, H) -> h, c."""
        Wx, Wh, b = self.params
        H = h_prev.shape[1]
        A = np.dot(x, Wx) + np.dot(h_prev, Wh) + b
        i, f, o = sigmoid(A[:, :H]), sigmoid(A[:, H : 2 * H]), sigmoid(A[:, 2 * H : 3 * H])
        g = np.tanh(A[:, 3 * H :])
        c = f * c_prev + g * i
        h = o * np.tanh(c)
        self.cache = (x, h_prev, c_prev, i, f, o, g, c)
        return h, c

    def backward(self, dh, dc):
        Wx, Wh, b = self.params
        x, h_prev, c_prev, i, f, o, g, c = self.cache
        tanh_c = np.tanh(c)
        ds = dc + (dh * o) * (1 - tanh_c**2)
        dc_prev = ds * f
        di = ds * g * i * (1 - i)
        df = ds * c_prev * f * (1 - f)
        do = dh * tanh_c * o * (1 - o)
        dg = ds * i * (1 - g**2)
        dA = np.hstack((di, df, do, dg))
        self.grads[0][...] = np.dot(x.T, dA)
        self.grads[1][...] = np.dot(h_prev.T, dA)
        self.grads[2][...] = dA.sum(axis=0)
        return np.dot(dA, Wx.T), np.dot(dA, Wh.T), dc_prev


class StepAttention:
    """The weights by products and sums of repeated arrays, as one writes them down first."""

    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, hs, h):
        """hs (N, S, H), h (N, H) -> context (N, H)."""
        (W,) = self.params
        q = np.dot(h, W)
        a = softmax(np.sum(hs * q[:, None, :], axis=2))  # (N, S)
        self.cache = (hs, h, q, a)
        return np.sum(hs * a[:, :, None], axis=1)

    def backward(self, dcontext):
        (W,) = self.params
        hs, h, q, a = self.cache
        dt = np.repeat(dcontext[:, None, :], hs.shape[1], axis=1)  # (N, S, H)
        da = np.sum(dt * hs, axis=2)
        dhs = dt * a[:, :, None]
        ds = a * da
        ds -= a * np.sum(ds, axis=1, keepdims=True)
        dt = np.repeat(ds[:, :, None], hs.shape[2], axis=2)
        dhs += dt * q[:, None, :]
        dq = np.sum(dt * hs, axis=1)
        self.grads[0][...] = np.dot(h.T, dq)
        return dhs, np.dot(dq, W.T)


# -- a sequence: a list of steps ------------------------------------------------------------------


class TimeEmbedding:
    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, ids):
        """ids (N, T) -> (N, T, E)."""
        (W,) = self.params
        N, T = ids.shape
        out = np.empty((N, T, W.shape[1]), dtype=W.dtype)
        self.layers = []
        for t in range(T):
            layer = StepEmbedding(W)
            out[:, t] = layer.forward(ids[:, t])
            self.layers.append(layer)
        return out

    def backward(self, dout):
        total = 0
        for t, layer in enumerate(self.layers):
            layer.backward(dout[:, t])
            total = total + layer.grads[0]
        self.grads[0][...] = total


class TimeLSTM:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, xs, h, c):
        """xs (N, T, D), first state -> hs (N, T, H); the last state is kept as self.h and self.c."""
        N, T, D = xs.shape
        hs = np.empty((N, T, h.shape[1]), dtype=xs.dtype)
        self.layers = []
        for t in range(T):
            layer = StepLSTM(*self.params)
            h, c = layer.forward(xs[:, t], h, c)
            hs[:, t] = h
            self.layers.append(layer)
        self.h, self.c = h, c
        return hs

    def backward(self, dhs, dh, dc):
        """dhs (N, T, H), gradients of the last state -> (dxs, gradients of the first state)."""
        N, T, H = dhs.shape
        dxs = np.empty((N, T, self.params[0].shape[0]), dtype=dhs.dtype)
        totals = [0, 0, 0]
        for t in reversed(range(T)):
            layer = self.layers[t]
            dx, dh, dc = layer.backward(dhs[:, t] + dh, dc)
            dxs[:, t] = dx
            for n, grad in enumerate(layer.grads):
                totals[n] = totals[n] + grad
        for grad, total in zip(self.grads, totals):
            grad[...] = total
        return dxs, dh, dc


class TimeAttention:
    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, memory, hs):
        """memory (N, S, H), hs (N, T, H) -> contexts (N, T, H)."""
        out = np.empty_like(hs)
        self.layers = []
        for t in range(hs.shape[1]):
            layer = StepAttention(*self.params)
            out[:, t] = layer.forward(memory, hs[:, t])
            self.layers.append(layer)
        return out

    def backward(self, dout):
        dmemory, total = 0, 0
        dhs = np.empty_like(dout)
        for t, layer in enumerate(self.layers):
            d, dhs[:, t] = layer.backward(dout[:, t])
            dmemory = dmemory + d
            total = total + layer.grads[0]
        self.grads[0][...] = total
        return dmemory, dhs


class TimeAffine:
    """All steps at once: here no step waits for another."""

    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x):
        W, b = self.params
        self.x = x
        return (np.dot(x.reshape(-1, W.shape[0]), W) + b).reshape(*x.shape[:-1], -1)

    def backward(self, dout):
        W, b = self.params
        dout = dout.reshape(-1, W.shape[1])
        self.grads[0][...] = np.dot(self.x.reshape(-1, W.shape[0]).T, dout)
        self.grads[1][...] = dout.sum(axis=0)
        return np.dot(dout, W.T).reshape(self.x.shape)


class TimeSoftmaxWithLoss:
    def forward(self, xs, ts):
        """Logits (N, T, V), right tokens (N, T) -> the mean loss."""
        V = xs.shape[2]
        ts = ts.reshape(-1)
        ys = softmax(xs.reshape(-1, V))
        self.cache = (ys, ts, xs.shape)
        return -np.log(ys[np.arange(ts.size), ts]).sum() / ts.size

    def backward(self):
        ys, ts, shape = self.cache
        dx = ys
        dx[np.arange(ts.size), ts] -= 1
        dx /= ts.size
        return dx.reshape(shape)


# -- the model and its training -------------------------------------------------------------------


LAYERS = {
    "source": (TimeEmbedding, ["encoder.embedding.W"]),
    "encoder": (TimeLSTM, [f"encoder.rnn.layers.0.{k}" for k in ("Wx", "Wh", "b")]),
    "target": (TimeEmbedding, ["decoder.embedding.W"]),
    "decoder": (TimeLSTM, [f"decoder.cells.layers.0.{k}" for k in ("Wx", "Wh", "b")]),
    "attention": (TimeAttention, ["decoder.attention.W"]),
    "combine": (TimeAffine, ["decoder.combine.W", "decoder.combine.b"]),
    "output": (TimeAffine, ["decoder.output.W", "decoder.output.b"]),
}


class BookModel:
    """`weights` by the names of our engine's `Seq2Seq.state()`; they are copied."""

    def __init__(self, weights):
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads, self.names = [], [], []
        for name, (kind, keys) in LAYERS.items():
            layer = kind(*(weights[key].copy() for key in keys))
            setattr(self, name, layer)
            self.params += layer.params
            self.grads += layer.grads
            self.names += keys

    def forward(self, src, tgt_in, tgt_out):
        """src (N, S), tgt_in and tgt_out (N, T) -> the mean loss per token."""
        xs = self.source.forward(src)
        start = np.zeros((src.shape[0], self.encoder.params[1].shape[0]), dtype=xs.dtype)
        memory = self.encoder.forward(xs, start, start)
        hs = self.decoder.forward(self.target.forward(tgt_in), self.encoder.h, self.encoder.c)
        context = self.attention.forward(memory, hs)
        self.a = np.tanh(self.combine.forward(np.concatenate((context, hs), axis=2)))
        return self.loss_layer.forward(self.output.forward(self.a), tgt_out)

    def backward(self):
        da = self.output.backward(self.loss_layer.backward())
        djoined = self.combine.backward(da * (1 - self.a**2))
        H = self.a.shape[2]
        dmemory, dhs = self.attention.backward(djoined[:, :, :H])
        dxs, dh, dc = self.decoder.backward(dhs + djoined[:, :, H:], 0, 0)
        self.target.backward(dxs)
        dxs, _, _ = self.encoder.backward(dmemory, dh, dc)
        self.source.backward(dxs)


class BookAdam:
    def __init__(self, lr):
        self.lr, self.steps = lr, 0
        self.m = self.v = None

    def update(self, params, grads):
        if self.m is None:
            self.m = [np.zeros_like(p) for p in params]
            self.v = [np.zeros_like(p) for p in params]
        self.steps += 1
        lr = self.lr * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for p, g, m, v in zip(params, grads, self.m, self.v):
            m += 0.1 * (g - m)
            v += 0.001 * (g**2 - v)
            p -= lr * m / (np.sqrt(v) + 1e-8)


def clip(grads, max_norm):
    norm = math.sqrt(sum(float(np.sum(g**2)) for g in grads))
    if norm > max_norm:
        for g in grads:
            g *= max_norm / (norm + 1e-6)


class Book:
    """The side of speed.py."""

    def __init__(self, case, weights, lr, max_norm):
        self.model = BookModel(weights)
        self.adam, self.max_norm = BookAdam(lr), max_norm
        self.batches = [
            tuple(np.ascontiguousarray(a.T) for a in (b.src, b.tgt_in, b.tgt_out)) for b in case.batches
        ]

    def step(self, batch):
        self.model.forward(*batch)
        self.model.backward()
        clip(self.model.grads, self.max_norm)
        self.adam.update(self.model.params, self.model.grads)
