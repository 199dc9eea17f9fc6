"""What a Kind of operation is, and the recipe for inputs that hide nothing.

A batch of three with ragged lengths, four steps, repeated ids, weights 0.7 N(0, 1), biases that are not
zero, no two sizes equal. The kinds themselves are in *_kinds.py, and listed in kinds.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

T, S, B = 4, 5, 3  # target steps, source steps, batch
D, H, Q, A, M, E, K, V = 5, 2, 6, 7, 8, 2, 6, 9  # sizes of input, hidden, query, attention, memory, ...
LENGTHS = np.array([4, 2, 3])  # of the rows of the batch
SOURCE_LENGTHS = np.array([5, 2, 3])


class Reference(NamedTuple):
    """What the textbook makes of the inputs."""

    outs: list[np.ndarray]
    quantities: dict  # by the argument names of the textbook backward
    backward: Callable  # the textbook function


class Kind(NamedTuple):
    """One kind of operation; see the module's docstring.

    arguments: the differentiated arguments in the order of the signature, with their axes.
    extras: the further arguments, in order: masks, ids, options.
    outs: names and axes of the outputs.
    make(rng, setting) -> every argument by name. settings: names of what is special about the inputs.
    reference(values) -> Reference.
    upstream(douts, reference) -> the textbook's first arguments, from gradients of the outs.
    downstream(results, values) -> gradients by argument name, from the textbook's results.
    """

    name: str
    arguments: dict[str, str]
    extras: tuple[str, ...]
    outs: dict[str, str]
    settings: tuple[str, ...]
    make: Callable
    reference: Callable
    upstream: Callable
    downstream: Callable
    gates: str = ""  # letters of the gates that lie side by side, in order
    gate_axes: tuple[str, ...] = ()  # arguments whose last axis is made of gates
    steps: bool = False  # a single step of a recurrence


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return 0.7 * rng.standard_normal(shape)


def lengths_mask(lengths: np.ndarray, longest: int) -> np.ndarray:
    """(longest, B): column b is True for its first lengths[b] steps."""
    return np.arange(longest)[:, None] < lengths


def masks(setting: str, longest: int = T, lengths: np.ndarray = LENGTHS) -> np.ndarray | None:
    ragged = lengths_mask(lengths, longest)
    holes = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=bool)[:longest]
    return {"ragged": ragged, "no mask": None, "padding first": ragged[::-1].copy(), "holes": holes}[setting]


def real_of(mask: np.ndarray | None, T: int, B: int) -> np.ndarray:
    """(T, B, 1): 1.0 where a step is real."""
    return np.ones((T, B, 1)) if mask is None else mask.astype(float)[..., None]


def rows(x: np.ndarray) -> np.ndarray:
    """(T, B, X) -> (B, T, X) and back."""
    return x.transpose(1, 0, 2)
