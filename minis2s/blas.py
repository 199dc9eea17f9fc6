"""How many threads a matrix product takes: environment variables, which NumPy's BLAS reads when it is loaded."""

import os

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def has_one_thread() -> bool:
    """Whether BLAS was told to use one thread; OpenBLAS goes by the first of the variables that is set."""
    return next((os.environ[name] for name in BLAS_THREADS if name in os.environ), None) == "1"
