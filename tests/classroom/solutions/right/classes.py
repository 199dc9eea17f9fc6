"""Everything is a method; the functions that were asked for only hand over."""

import numpy as np


class Gate:
    def __init__(self, number, activation, slope):
        self.number, self.activation, self.slope = number, activation, slope

    def part(self, a, H):
        return a[..., self.number * H : (self.number + 1) * H]


class Sigmoid(Gate):
    def __init__(self, number):
        super().__init__(number, lambda z: 1.0 / (1.0 + np.exp(-z)), lambda a: a * (1.0 - a))


class Tanh(Gate):
    def __init__(self, number):
        super().__init__(number, np.tanh, lambda a: 1.0 - a * a)


class Cell:
    gates = {"i": Sigmoid(0), "f": Sigmoid(1), "o": Sigmoid(2), "g": Tanh(3)}

    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
        self.H = Wh.shape[0]

    def forward(self, x, h, c, mask):
        self.x, self.h, self.c = x, h, c
        self.mask = np.ones(len(x), bool) if mask is None else mask
        z = x.dot(self.Wx) + h.dot(self.Wh) + self.b
        self.a = {name: gate.activation(gate.part(z, self.H)) for name, gate in self.gates.items()}
        self.c_new = self.a["f"] * c + self.a["i"] * self.a["g"]
        h_new = self.a["o"] * np.tanh(self.c_new)
        return np.where(self.mask[:, None], h_new, h), np.where(self.mask[:, None], self.c_new, c)

    def backward(self, dh, dc):
        dh = np.zeros_like(self.h) if dh is None else dh
        dc = np.zeros_like(self.h) if dc is None else dc
        m = self.mask[:, None]
        a, squashed = self.a, np.tanh(self.c_new)
        inner = (dc + dh * a["o"] * (1 - squashed**2)) * m
        of = {"i": inner * a["g"], "f": inner * self.c, "o": dh * m * squashed, "g": inner * a["i"]}
        dz = np.hstack([of[name] * gate.slope(a[name]) for name, gate in self.gates.items()])
        return (
            dz.dot(self.Wx.T),
            dz.dot(self.Wh.T) + dh * ~m,
            inner * a["f"] + dc * ~m,
            self.x.T.dot(dz),
            self.h.T.dot(dz),
            dz.sum(0),
        )


class Layer:
    def __init__(self, *weights):
        self.weights = weights
        self.cells = []

    def forward(self, x, h, c, mask):
        outputs = []
        for t in range(len(x)):
            self.cells.append(Cell(*self.weights))
            h, c = self.cells[-1].forward(x[t], h, c, None if mask is None else mask[t])
            outputs.append(h)
        return np.stack(outputs), h, c

    def backward(self, dhs, dh, dc):
        dx, sums = [], [0, 0, 0]
        for t, cell in reversed(list(enumerate(self.cells))):
            if dhs is not None:
                dh = dhs[t] if dh is None else dh + dhs[t]
            d, dh, dc, *weights = cell.backward(dh, dc)
            dx.append(d)
            sums = [s + w for s, w in zip(sums, weights)]
        return np.stack(dx[::-1]), dh, dc, *sums


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    cell = Cell(Wx, Wh, b)
    return cell.forward(x, h_prev, c_prev, mask), cell


def lstm_step_backward(dout, cache):
    return cache.backward(*dout)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    layer = Layer(Wx, Wh, b)
    return layer.forward(x, h0, c0, mask), layer


def lstm_backward(dout, cache):
    return cache.backward(*dout)
