"""Which array module an array belongs to, how arrays come to the host, and adding to repeated rows.

CuPy is replaced by small fakes here: what the package does when CuPy is missing, broken or without
a GPU can then be seen on any machine. tests/test_strict_cupy.py runs the computations.
"""

import os
import platform
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from minis2s import backend
from minis2s.backend import (
    array_module,
    keep_freed_memory,
    known_modules,
    row_blocks,
    scatter_add,
    to_numpy,
    transposed,
    xp_of,
)
from minis2s.errors import UserError


class CUDARuntimeError(RuntimeError):
    """Stands for cupy.cuda.runtime.CUDARuntimeError, which is a RuntimeError too."""


def fake_cupy(count) -> ModuleType:
    """A module that looks like CuPy as far as `array_module` looks; `count` counts the GPUs."""
    cupy = ModuleType("cupy")
    cupy.ndarray = type("ndarray", (), {})
    cupy.asnumpy = lambda x: np.array([42])
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=count)
    )
    return cupy


def no_driver() -> int:
    raise CUDARuntimeError("cudaErrorInsufficientDriver: the driver is too old")


class BrokenFinder:
    """Finds CuPy, whose import then fails as it does when its libraries are not there."""

    def find_spec(self, name, path=None, target=None):
        if name == "cupy":
            raise ImportError("CuPy is not correctly installed: libcublas.so.12 not found")


# -- array_module -------------------------------------------------------------------------------


def test_numpy_needs_nothing():
    assert array_module("numpy") is np


@pytest.mark.parametrize("name", ["", "NumPy", "torch", "jax"])
def test_an_unknown_backend_is_named_with_the_choices(name):
    with pytest.raises(UserError, match=f"unknown backend '{name}'.*numpy, cupy"):
        array_module(name)


def test_missing_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy then raises ModuleNotFoundError
    with pytest.raises(UserError, match="not installed.*pip install cupy-cuda12x.*--backend numpy") as caught:
        array_module("cupy")
    assert "\n" not in str(caught.value)


def test_broken_cupy_is_not_called_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [BrokenFinder(), *sys.meta_path])
    with pytest.raises(UserError, match="installed but cannot be imported.*libcublas") as caught:
        array_module("cupy")
    assert "\n" not in str(caught.value)


def test_cupy_without_a_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(no_driver))
    with pytest.raises(UserError, match="cannot use a GPU here.*driver is too old.*nvidia-smi"):
        array_module("cupy")


def test_cupy_without_a_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(lambda: 0))
    with pytest.raises(UserError, match="found no GPU"):
        array_module("cupy")


def test_cupy_with_a_gpu(monkeypatch):
    cupy = fake_cupy(lambda: 2)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert array_module("cupy") is cupy


# -- xp_of, known_modules, to_numpy -------------------------------------------------------------


def test_cupy_is_known_once_somebody_imported_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert known_modules() == [np]
    cupy = fake_cupy(lambda: 1)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert known_modules() == [np, cupy]
    x = cupy.ndarray()
    assert xp_of(x) is cupy
    assert to_numpy(x).tolist() == [42]
    assert xp_of(np.zeros(1)) is np


def test_a_module_that_failed_to_import_is_not_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert known_modules() == [np]
    with pytest.raises(TypeError, match="builtins.list"):
        xp_of([1.0])


@pytest.mark.parametrize("x", [[1.0], 1.0, np.float32(1), None, "x"])
def test_what_is_no_array_is_refused_by_its_type(x):
    with pytest.raises(TypeError, match=f"got .*{type(x).__qualname__}"):
        xp_of(x)
    with pytest.raises(TypeError):
        to_numpy(x)


def test_a_numpy_array_is_not_copied():
    x = np.zeros(3)
    assert to_numpy(x) is x


def test_to_numpy_of_a_device_array(strict_xp):
    x = strict_xp.asarray(np.arange(3.0))
    assert xp_of(x) is strict_xp
    assert type(to_numpy(x)) is np.ndarray
    assert to_numpy(x).tolist() == [0, 1, 2]


# -- copies in order, blocks of rows ---------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (128, 512), (200, 1), (0, 4), (4, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transposed_is_a_copy_of_the_transpose_in_order(shape, dtype):
    W = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for given in (W, np.asfortranarray(W), np.repeat(W, 2, axis=1)[:, ::2]):
        out = transposed(given)
        assert out.dtype == dtype and out.flags.c_contiguous and not np.shares_memory(out, given)
        np.testing.assert_array_equal(out, W.T)


@pytest.mark.parametrize(("N", "V"), [(0, 3), (1, 1), (7, 3), (100, 10), (3, 10**6)])
def test_row_blocks_meet_every_row_once(monkeypatch, N, V):
    monkeypatch.setattr(backend, "IN_CACHE", 30)
    blocks = list(row_blocks(np.broadcast_to(np.float32(0), (N, V))))
    assert [n for rows in blocks for n in range(N)[rows]] == list(range(N))
    assert all(rows.stop - rows.start == max(1, 30 // V) for rows in blocks)


# -- scatter_add --------------------------------------------------------------------------------


@pytest.mark.parametrize("ids_dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "ids",
    [
        [0],
        [4, 4, 4, 4, 4],
        [3, 1, 3, 0, 1, 3],
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0, 0],
    ],
)
def test_scatter_add_is_add_at(ids, dtype, ids_dtype):
    rng = np.random.default_rng(0)
    ids = np.array(ids, ids_dtype)
    values = rng.normal(size=(ids.size, 3)).astype(dtype)
    out = rng.normal(size=(5, 3)).astype(dtype)
    expected = out.copy()
    np.add.at(expected, ids, values)
    given = values.copy()
    scatter_add(out, ids, values)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-14)
    assert out.dtype == dtype
    assert np.array_equal(values, given)


def test_scatter_add_of_many_rows():
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 50, 2000)
    values = rng.normal(size=(2000, 4))
    out, expected = np.zeros((60, 4)), np.zeros((60, 4))
    np.add.at(expected, ids, values)
    scatter_add(out, ids, values)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)
    assert not out[50:].any()


def test_scatter_add_into_and_from_views():
    rng = np.random.default_rng(2)
    ids = np.array([1, 0, 1])
    values = rng.normal(size=(2, 3)).T  # not contiguous
    whole = np.zeros((3, 4))
    scatter_add(whole[:, 1:3], ids, values)
    np.testing.assert_allclose(whole[1, 1:3], values[0] + values[2])
    np.testing.assert_allclose(whole[0, 1:3], values[1])
    assert not whole[:, [0, 3]].any()


def test_scatter_add_of_nothing_changes_nothing():
    out = np.ones((3, 2), np.float32)
    scatter_add(out, np.array([], np.int64), np.zeros((0, 2), np.float32))
    assert out.tolist() == [[1, 1]] * 3


def test_scatter_add_refuses_ids_outside_the_table():
    out = np.zeros((3, 2))
    with pytest.raises(IndexError):
        scatter_add(out, np.array([0, 3]), np.ones((2, 2)))


def test_the_backends_are_listed():
    assert backend.NAMES == ("numpy", "cupy")


PAGE_FAULTS = """
import resource, sys
import numpy as np
from minis2s.backend import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(2**20)  # 8 MB, once: what the repetitions can use again
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_kept_for_the_next_arrays():
    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", PAGE_FAULTS, how], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    pages = 20 * 2**23 // os.sysconf("SC_PAGE_SIZE")
    assert faults("keep") < 100 < pages
    # without it every page is fetched again (or every huge page, which are 512 times fewer)
    assert faults("keep") < faults("leave")


def test_keeping_freed_memory_does_nothing_where_the_c_library_cannot(monkeypatch):
    def none(name):
        raise OSError("no such library")

    monkeypatch.setattr("minis2s.backend.ctypes.CDLL", none)
    keep_freed_memory()
