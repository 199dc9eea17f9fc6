"""The lines of the fused kernels, put through a C++ compiler: they mean in C what the stand-in for CuPy takes them for.

The text around the lines is what CuPy puts there: each parameter a reference into an array, one element
after the other. Skipped where there is no g++.
"""

import ctypes
import shutil
import subprocess
from typing import NamedTuple

import numpy as np
import pytest

from minis2s.kernels import Kernel, cross_entropy, gru, lstm

N = 257
KERNELS = {
    k.name: k for module in (lstm, gru, cross_entropy) for k in vars(module).values() if type(k) is Kernel
}
NAMES = {np.dtype(bool): "bool", np.dtype(np.int64): "int64_t", np.dtype(np.float32): "float"}
NAMES[np.dtype(np.float64)] = "double"


class Parameter(NamedTuple):
    type: str
    name: str


def parameters(text: str) -> list[Parameter]:
    return [Parameter(*part.split()) for part in text.split(",")]


def function(kernel: Kernel, dtype) -> str:
    """A kernel as a C++ function over N elements."""
    inputs, outputs = parameters(kernel.inputs), parameters(kernel.outputs)
    arguments = [f"const {p.type} *_raw_{p.name}" for p in inputs] + [
        f"{p.type} *_raw_{p.name}" for p in outputs
    ]
    references = [f"const {p.type} &{p.name} = _raw_{p.name}[_at];" for p in inputs]
    references += [f"{p.type} &{p.name} = _raw_{p.name}[_at];" for p in outputs]
    T = NAMES[np.dtype(dtype)]
    return "\n".join(
        [
            f"namespace {kernel.name}_{T} {{ typedef {T} T; typedef int64_t I;",
            f'extern "C" void {kernel.name}_{T}({", ".join(arguments)}) {{',
            f"for (int _at = 0; _at < {N}; _at++) {{ {' '.join(references)}",
            f"{kernel.lines} ; }} }} }}",
        ]
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here")
    folder = tmp_path_factory.mktemp("kernels")
    source, built = folder / "kernels.cpp", folder / "kernels.so"
    functions = [function(kernel, dtype) for kernel in KERNELS.values() for dtype in (np.float32, np.float64)]
    source.write_text("#include <cmath>\n#include <cstdint>\nusing namespace std;\n" + "\n".join(functions))
    # no double in the middle of floats, nothing unused; no fused multiply-add, which rounds once where NumPy does twice
    options = ["-Wall", "-Wextra", "-Wdouble-promotion", "-Wfloat-conversion", "-Werror", "-ffp-contract=off"]
    command = [compiler, "-std=c++17", "-O1", *options, "-shared", "-fPIC", source, "-o", built]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(built))


def argument(p: Parameter, dtype, rng: np.random.Generator) -> np.ndarray:
    """Something for a parameter: small ids, both truths, positive where a logarithm or a quotient needs it."""
    if p.type == "bool":
        return rng.random(N) < 0.6
    if p.type == "I":
        return rng.integers(0, 3, N)
    draw = rng.normal(size=N)
    return (1 + np.abs(draw) if p.name in ("total", "size") else draw).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KERNELS)
def test_the_lines_are_the_same_in_c(library, strict_xp, name, dtype):
    kernel, rng = KERNELS[name], np.random.default_rng(0)
    inputs = [argument(p, dtype, rng) for p in parameters(kernel.inputs)]
    outputs = [argument(p, dtype, rng) for p in parameters(kernel.outputs)]
    device = [strict_xp.asarray(a) for a in (*inputs, *outputs)]
    expected = kernel(strict_xp, *device)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*inputs, *outputs)]
    getattr(library, f"{name}_{NAMES[np.dtype(dtype)]}")(*pointers)
    for mine, theirs in zip(outputs, expected if isinstance(expected, tuple) else (expected,), strict=True):
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(mine, theirs.get(), rtol=tolerance, atol=tolerance)
        assert np.abs(mine).max() > 0.1
