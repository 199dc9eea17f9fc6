"""The two activations of recurrent networks: tanh as an operation, sigmoid as a helper.

Both derivatives are written in terms of the output, which backward has at hand anyway:
tanh' = 1 - a**2 and sigmoid' = a * (1 - a).
"""

from types import ModuleType
from typing import NamedTuple

from minis2s.backend import Array, xp_of
from minis2s.op import Op


class TanhCache(NamedTuple):
    a: Array  # (...)  the output; the derivative needs nothing else


def tanh_forward(z: Array) -> tuple[Array, TanhCache]:
    """a = tanh(z), for an array of any shape."""
    a = xp_of(z).tanh(z)
    return a, TanhCache(a)


def tanh_backward(dout: Array, cache: TanhCache) -> Array:
    """dz = da * (1 - a**2), in the shape of z."""
    # a = tanh(z)
    return dout * (1 - cache.a**2)


def sigmoid_(z: Array, xp: ModuleType) -> Array:
    """sigmoid(z) = 1 / (1 + exp(-z)), in place; returns z.

    Written as tanh(z/2)/2 + 1/2, which is the same function: it cannot overflow, and NumPy's
    tanh is vectorised, several times faster than exp followed by a division.
    """
    z *= 0.5
    xp.tanh(z, out=z)
    z *= 0.5
    z += 0.5
    return z


tanh = Op("tanh", tanh_forward, tanh_backward)
