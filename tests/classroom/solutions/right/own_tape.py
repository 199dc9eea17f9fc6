"""A tiny automatic differentiation: every operation remembers how to go back."""

import numpy as np


class Var:
    def __init__(self, value, back=None):
        self.value, self.back, self.grad = value, back, None

    def add(self, d):
        while d.ndim > self.value.ndim:
            d = d.sum(axis=0)
        self.grad = d if self.grad is None else self.grad + d

    def __matmul__(self, other):
        def back(d):
            self.add(d @ other.value.T)
            other.add(self.value.T @ d)

        return TAPE[-1].new(self.value @ other.value, back)

    def __add__(self, other):
        def back(d):
            self.add(d)
            other.add(d)

        return TAPE[-1].new(self.value + other.value, back)

    def __mul__(self, other):
        def back(d):
            self.add(d * other.value)
            other.add(d * self.value)

        return TAPE[-1].new(self.value * other.value, back)

    def __getitem__(self, key):
        def back(d):
            whole = np.zeros_like(self.value)
            whole[key] = d
            self.add(whole)

        return TAPE[-1].new(self.value[key], back)

    def tanh(self):
        out = np.tanh(self.value)
        return TAPE[-1].new(out, lambda d: self.add(d * (1 - out**2)))

    def sigmoid(self):
        out = 1 / (1 + np.exp(-self.value))
        return TAPE[-1].new(out, lambda d: self.add(d * out * (1 - out)))

    def where(self, real, other):
        def back(d):
            self.add(np.where(real, d, 0))
            other.add(np.where(real, 0, d))

        return TAPE[-1].new(np.where(real, self.value, other.value), back)


class Tape:
    def __init__(self):
        self.made = []

    def new(self, value, back):
        self.made.append(Var(value, back))
        return self.made[-1]

    def __enter__(self):
        TAPE.append(self)
        return self

    def __exit__(self, *_):
        TAPE.pop()

    def run(self, leaves, outs, douts):
        for var in (*leaves, *self.made):
            var.grad = None
        for out, d in zip(outs, douts):
            if d is not None:
                out.add(d)
        for var in reversed(self.made):
            if var.grad is not None:
                var.back(var.grad)
        return tuple(np.zeros_like(v.value) if v.grad is None else v.grad for v in leaves)


TAPE = []


def step(x, h, c, Wx, Wh, b, mask):
    H = h.value.shape[1]
    z = x @ Wx + h @ Wh + b
    i, f, o = (z[:, k * H : (k + 1) * H].sigmoid() for k in range(3))
    c_new = f * c + i * z[:, 3 * H :].tanh()
    h_new = o * c_new.tanh()
    return (h_new, c_new) if mask is None else (h_new.where(mask[:, None], h), c_new.where(mask[:, None], c))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    leaves = [Var(a) for a in (x, h_prev, c_prev, Wx, Wh, b)]
    with Tape() as tape:
        outs = step(*leaves, mask)
    return tuple(v.value for v in outs), (tape, leaves, outs)


def lstm_step_backward(dout, cache):
    tape, leaves, outs = cache
    return tape.run(leaves, outs, dout)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    leaves = [Var(a) for a in (x, h0, c0, Wx, Wh, b)]
    with Tape() as tape:
        X, h, c, *weights = leaves
        hs = []
        for t in range(len(x)):
            h, c = step(X[t], h, c, *weights, None if mask is None else mask[t])
            hs.append(h)
    return (np.stack([v.value for v in hs]), h.value, c.value), (tape, leaves, hs, h, c)


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    tape, leaves, hs, h, c = cache
    return tape.run(leaves, [*hs, h, c], [*([None] * len(hs) if dhs is None else dhs), dh, dc])
