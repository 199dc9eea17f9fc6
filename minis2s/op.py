"""Op: a forward function and its hand-written backward, under one name.

It is the unit that is gradient-checked, benchmarked, traced, replaced by a GPU kernel and
handed out as an assignment. The rules that every pair follows are in Op's docstring; the
mathematics itself is in functional/, one file an operation.
"""

from collections.abc import Callable
from typing import NamedTuple


class Op(NamedTuple):
    """A differentiable operation.

    ``forward(*inputs) -> (out, cache)``
        The differentiable inputs come first, the others (ids, masks, options) after them.
        ``out`` is one array, or a tuple of arrays.
    ``backward(dout, cache) -> din``
        ``dout`` is the gradient of some scalar loss with respect to ``out``, in the structure
        of ``out``; where ``out`` is a tuple, a part of ``dout`` may be None, which means zero.
        ``din`` has the structure of the differentiable inputs: one array, or a tuple.

    The cache is a NamedTuple of what backward needs. Nothing is kept anywhere else, so any
    number of forward calls may be alive at once, and backward changes neither its cache nor
    ``dout``: calling it twice gives the same gradient twice.
    """

    name: str
    forward: Callable
    backward: Callable
