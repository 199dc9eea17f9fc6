"""Cores, matrix products and the program's own name: what a command knows of the machine it is on.

It is settled before NumPy is loaded, so this file must not import it.

Small matrix products gain little from threads inside BLAS, so a command works with workers of its
own, on shares of a batch, and tells BLAS to use one thread in each.
"""

import os
import shutil
import sys
from pathlib import Path

from minis2s.blas import BLAS_THREADS

BLAS_KERNELS = "OPENBLAS_CORETYPE"
MOST_THREADS = 4  # more threads than that get too small a share of a batch


def program() -> str:
    """How this program can be called again from here: with a path, where the virtual environment is not active."""
    called = Path(sys.argv[0])
    if shutil.which("minis2s"):
        return "minis2s"
    if called.stem != "minis2s":
        return "python -m minis2s"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    return min(usable_cores(), MOST_THREADS)


def configure_blas() -> None:
    """One thread for each matrix product, and the kernels that fit the processor.

    What the user has set stays. Too late once NumPy is loaded, and then harmless.
    """
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")
    # OpenBLAS 0.3.31 takes AMD's Zen 5 for a processor without AVX-512: products take twice as long
    if BLAS_KERNELS not in os.environ and is_zen5():
        os.environ[BLAS_KERNELS] = "SkylakeX"


def is_zen5(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this is an AMD processor of family 26 that offers AVX-512 to us (Linux only)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file.read(1 << 14).splitlines() if ":" in line)
    except OSError:
        return False
    fields = {name.strip(): value.split() for name, value in fields.items()}
    return (
        fields.get("vendor_id") == ["AuthenticAMD"]
        and fields.get("cpu family") == ["26"]
        and {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(fields.get("flags", ()))
    )


def blas_settings() -> dict[str, str]:
    """The environment variables that decide how NumPy multiplies matrices, as they are now."""
    return {name: os.environ[name] for name in (*BLAS_THREADS, BLAS_KERNELS) if name in os.environ}
