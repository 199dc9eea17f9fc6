"""Which array module a computation runs on: NumPy, or CuPy on a GPU.

The module is read from the arrays (``xp = xp_of(x)``), never from a global switch, so one
program can use both. This is the only file that imports CuPy, the fused kernels aside.
"""

import ctypes
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minis2s.errors import UserError

Array = Any  # a numpy.ndarray or a cupy.ndarray

NAMES = ("numpy", "cupy")

CACHE_LINE = 16  # numbers of float32 that a processor's cache holds side by side
IN_CACHE = 2**17  # numbers of a block of rows: three such arrays, of float32, fit a core's own cache


def array_module(name: str) -> ModuleType:
    """The array module called `name` ("numpy" or "cupy").

    Raises UserError when the name is unknown, or when CuPy is not installed (naming the wheel to
    install), cannot be imported, or finds no GPU.
    """
    if name == "numpy":
        return np
    if name != "cupy":
        raise UserError(f"unknown backend {name!r}: choose one of {', '.join(NAMES)}")
    try:
        import cupy
    except ModuleNotFoundError as error:
        raise UserError(
            "the cupy backend needs CuPy, which is not installed: run "
            "pip install cupy-cuda12x (for CUDA 12; cupy-cuda13x for CUDA 13), or use --backend numpy"
        ) from error
    except ImportError as error:
        reason = " ".join(str(error).split())  # CuPy explains itself on many lines
        raise UserError(
            f"CuPy is installed but cannot be imported ({reason}): check that the wheel (cupy-cuda12x, "
            "cupy-cuda13x) fits the CUDA version that nvidia-smi shows, or use --backend numpy"
        ) from error
    try:
        found = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise UserError(
            f"CuPy is installed but cannot use a GPU here ({error}): check the driver with nvidia-smi "
            "and that the wheel (cupy-cuda12x, cupy-cuda13x) fits it, or use --backend numpy"
        ) from error
    if found == 0:
        raise UserError("CuPy is installed but found no GPU on this machine: use --backend numpy")
    return cupy


def known_modules() -> list[ModuleType]:
    """The array modules in use: NumPy, and CuPy once somebody has imported it."""
    cupy = sys.modules.get("cupy")
    return [np] if cupy is None else [np, cupy]


def xp_of(x: Array) -> ModuleType:
    """The array module that `x` belongs to.

    Raises TypeError when `x` is no array of a known module (a list, a torch tensor).
    """
    if isinstance(x, np.ndarray):
        return np
    for xp in known_modules():
        if isinstance(x, xp.ndarray):
            return xp
    raise TypeError(f"expected a NumPy or CuPy array, got {type(x).__module__}.{type(x).__qualname__}")


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array: itself when it is one already, else a copy brought to the host."""
    xp = xp_of(x)
    return x if xp is np else xp.asnumpy(x)


def is_ids(x: Array) -> bool:
    """Whether x holds whole numbers, each of which may stand for a one-hot row."""
    return x.dtype.kind in "iu"


def row_blocks(a: Array) -> Iterator[slice]:
    """Slices over the rows of a (N, V): a few rows at a time, which stay in the processor's cache.

    Line after line over an array larger than the cache fetches all of it from memory for every line; all
    lines over one block after the other fetch it once. On a GPU it is one block.
    """
    N, V = a.shape
    size = max(1, IN_CACHE // max(1, V)) if xp_of(a) is np else max(1, N)
    return (slice(start, start + size) for start in range(0, N, size))


def transposed(W: Array) -> Array:
    """A copy of W.T in order, for a matrix (N, M): products with it in a loop are faster than with the view.

    Rows that are a power of two long put the numbers of a column into the same few places of the
    processor's cache, where they drive each other out. So W is first copied into longer rows, which
    are then read down their columns: four to five times as fast for (256, 1024) and (512, 2048).
    """
    xp = xp_of(W)
    if xp is not np:
        return xp.ascontiguousarray(W.T)
    N, M = W.shape
    longer = np.empty((N, M + CACHE_LINE), W.dtype)
    longer[:, :M] = W
    return np.ascontiguousarray(longer[:, :M].T)


def scatter_add(out: Array, ids: Array, values: Array) -> None:
    """Add row n of `values` to row ``ids[n]`` of `out`, in place; repeated ids all count.

    Shapes: out (V, E), ids (N,) of integers in [0, V), values (N, E).

    ``out[ids] += values`` would keep only the last of the repeated rows. NumPy's own
    ``np.add.at`` is right but slow: sorting the ids brings equal ones side by side, and
    ``np.add.reduceat`` sums each such segment in one pass.
    """
    xp = xp_of(out)
    if ids.size == 0:
        return
    if xp is not np:
        xp.add.at(out, ids, values)  # on a GPU: atomic additions, all rows at once
        return
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_ids[1:] != sorted_ids[:-1])))
    out[sorted_ids[starts]] += np.add.reduceat(values[order], starts, axis=0)


def keep_freed_memory() -> None:
    """Ask the C library to keep freed memory for the next arrays, instead of giving it to the system.

    A training step frees all its arrays, and the next one needs the same sizes again. By default
    glibc hands large blocks back and fetches them anew, and the system clears every page of them
    once more: a tenth to a quarter of the time of a step. The process then stays as large as its
    largest step. This is a setting of the whole process; C libraries other than glibc have no such
    call, and nothing is changed there.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not on Linux, or another C library
        return
    # names and numbers of the options: mallopt(3)
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
    mallopt(M_TRIM_THRESHOLD, 2**30)  # bytes that may lie unused before any are given back
    mallopt(M_MMAP_THRESHOLD, 2**30)  # bytes from which a block is fetched from the system on its own
    mallopt(M_ARENA_MAX, 1)  # one heap for all threads: those of further threads end at 64 MB
