"""Products with few rows: a matrix cut into blocks that are multiplied as they lie.

Before a BLAS library multiplies, it copies both matrices into an order that suits the processor. For a large
product that costs next to nothing. In the loop of a recurrent layer the product has a few rows, the sentences
of a batch, and the weights are copied anew at every step: with 16 rows and H = 256 for half of the time.

OpenBLAS's kernels for AVX-512 leave the copying out where a product is small enough
(interface/gemm.c, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c). So the weights are cut into small
blocks, once for the whole loop, and NumPy is asked for the products with all blocks in one call.
"""

import contextlib
import ctypes
from functools import cache
from pathlib import Path

import numpy as np

from minis2s.backend import Array, xp_of

K, N = 128, 64  # of a block: 32 KB of float32, which stay in the processor's innermost cache
MOST = 10**6  # multiplications of a product that OpenBLAS takes without copying
# the processors, as OpenBLAS names its kernels, for which it does so
KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")


class Blocks:
    """A matrix (..., K, N), for products a @ blocks with a (B, K): the same as a @ W, but for rounding."""

    __array_ufunc__ = None  # NumPy leaves `a @ blocks` to __rmatmul__

    def __init__(self, W: Array, k: int, n: int):
        """Blocks of k rows and n columns; the rows and columns of W are multiples of them."""
        *front, rows, columns = W.shape
        cut = W.reshape(*front, rows // k, k, columns // n, n)
        self.blocks = np.ascontiguousarray(cut.swapaxes(-3, -2))  # (..., rows / k, columns / n, k, n)

    def __rmatmul__(self, a: Array) -> Array:
        *front, ks, ns, k, n = self.blocks.shape
        B = len(a)
        parts = a.reshape(B, ks, 1, k).transpose(1, 2, 0, 3)  # (K / k, 1, B, k)
        out = np.empty((*front, ks, B, ns, n), dtype=a.dtype)
        np.matmul(parts, self.blocks, out=out.swapaxes(-3, -2))  # each product goes where it belongs
        out = out.reshape(*front, ks, B, ns * n)
        return out[..., 0, :, :] if ks == 1 else out.sum(axis=-3)


def for_loop(W: Array, rows: int) -> "Array | Blocks":
    """W (..., K, N) in order, for products with so many rows in a loop: cut into blocks, where that is faster."""
    fits = W.shape[-2] % K == 0 and W.shape[-1] % N == 0 and rows * K * N <= MOST
    if fits and isinstance(W, np.ndarray) and blas_kernels() in KERNELS:
        return Blocks(W, K, N)
    return xp_of(W).ascontiguousarray(W)


@cache
def blas_kernels() -> str | None:
    """The processor for which NumPy's OpenBLAS multiplies ("SkylakeX"); None for another library.

    OpenBLAS comes with NumPy's wheels for Linux and Windows, and can be asked there.
    """
    for library in (Path(np.__file__).parent.parent / "numpy.libs").glob("libscipy_openblas*"):
        for name in ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename"):
            with contextlib.suppress(OSError, AttributeError):  # no such library, or no such name in it
                ask = getattr(ctypes.CDLL(str(library)), name)
                ask.restype = ctypes.c_char_p
                return ask().decode()
    return None
