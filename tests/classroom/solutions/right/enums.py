import enum
from types import MappingProxyType, SimpleNamespace
from typing import Any, Optional, Tuple, Union

import numpy as np


class Gate(enum.IntEnum):
    INPUT = 0
    FORGET = enum.auto()
    OUTPUT = enum.auto()
    CANDIDATE = enum.auto()

    @property
    def squash(self):
        return np.tanh if self is Gate.CANDIDATE else Gate.sigmoid

    @staticmethod
    def sigmoid(z):
        return np.where(z > 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))

    def slope(self, a):
        return 1 - a**2 if self is Gate.CANDIDATE else a * (1 - a)

    def of(self, z, H):
        return z[:, self * H : (self + 1) * H]


Array = np.ndarray
OptionalMask = Optional[Array]


def lstm_step_forward(
    x: Array, h_prev: Array, c_prev: Array, Wx: Array, Wh: Array, b: Array, mask: OptionalMask = None
) -> Tuple[Tuple[Array, Array], Any]:
    n = SimpleNamespace(x=x, h=h_prev, c=c_prev, Wx=Wx, Wh=Wh, H=h_prev.shape[1])
    z = x @ Wx + h_prev @ Wh + b
    n.a = MappingProxyType({gate: gate.squash(gate.of(z, n.H)) for gate in Gate})
    n.c_new = n.a[Gate.FORGET] * c_prev + n.a[Gate.INPUT] * n.a[Gate.CANDIDATE]
    n.t = np.tanh(n.c_new)
    n.real = np.full(len(x), True) if mask is None else mask
    h, c = n.a[Gate.OUTPUT] * n.t, n.c_new
    return tuple(np.where(n.real[:, None], new, old) for new, old in ((h, h_prev), (c, c_prev))), n


def lstm_step_backward(dout: Tuple[Union[Array, None], ...], cache: SimpleNamespace) -> Tuple[Array, ...]:
    n, real = cache, cache.real[:, None]
    dh, dc = (np.zeros_like(n.c) if d is None else d for d in dout)
    inner = real * (dc + dh * n.a[Gate.OUTPUT] * (1 - n.t**2))
    d = {
        Gate.OUTPUT: real * dh * n.t,
        Gate.CANDIDATE: inner * n.a[Gate.INPUT],
        Gate.INPUT: inner * n.a[Gate.CANDIDATE],
        Gate.FORGET: inner * n.c,
    }
    dz = np.concatenate([d[gate] * gate.slope(n.a[gate]) for gate in sorted(Gate)], axis=1)
    return (
        dz @ n.Wx.T,
        np.where(real, dz @ n.Wh.T, dh),
        np.where(real, inner * n.a[Gate.FORGET], dc),
        n.x.T @ dz,
        n.h.T @ dz,
        dz.sum(axis=0),
    )


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    seen: dict[int, SimpleNamespace] = {}
    h, c = h0, c0
    hs: list[Array] = []
    for t in range(len(x)):
        (h, c), seen[t] = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
    return (np.array(hs), h, c), SimpleNamespace(seen=seen, T=len(x))


def lstm_backward(dout, cache):
    class Sum:
        value: Union[Array, int] = 0

        def __iadd__(self, other):
            self.value = self.value + other
            return self

    dhs, dh, dc = dout
    sums = [Sum() for _ in range(3)]
    dx = {}
    for t in range(cache.T - 1, -1, -1):
        if dhs is not None:
            dh = dhs[t] if dh is None else dh + dhs[t]
        dx[t], dh, dc, *more = lstm_step_backward((dh, dc), cache.seen[t])
        for n in range(3):
            sums[n] += more[n]
    return np.array([dx[t] for t in range(cache.T)]), dh, dc, *(s.value for s in sums)
