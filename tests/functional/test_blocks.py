"""Weights in blocks: the same product, in every loop that has one, and no blocks where they do not pay."""

import importlib

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.functional import blocks
from minis2s.functional.blocks import Blocks, blas_kernels, for_loop


@pytest.fixture(params=["SkylakeX", "Haswell"])
def kernels(request, monkeypatch):
    """As if NumPy's BLAS multiplied for that processor."""
    monkeypatch.setattr(blocks, "blas_kernels", lambda: request.param)
    return request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [0, 1, 3, 17])
@pytest.mark.parametrize(("shape", "k", "n"), [((6, 8), 3, 4), ((6, 8), 6, 2), ((4, 6, 8), 2, 8), ((2, 3, 4, 6), 1, 1)])
def test_the_product_with_blocks_is_that_with_the_matrix(shape, k, n, rows, dtype):
    rng = np.random.default_rng(0)
    W, a = rng.standard_normal(shape).astype(dtype), rng.standard_normal((rows, shape[-2])).astype(dtype)
    product = a @ Blocks(W, k, n)
    assert product.dtype == dtype and product.shape == (a @ W).shape
    np.testing.assert_allclose(product, a @ W, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-14)


def test_the_rows_need_not_lie_in_order():
    rng = np.random.default_rng(0)
    W, a = rng.standard_normal((6, 8)), rng.standard_normal((6, 5, 2))[..., 1].T
    np.testing.assert_allclose(a @ Blocks(W, 3, 4), a @ W, atol=1e-14)


@pytest.mark.parametrize(
    ("shape", "rows", "cut"),
    [
        ((4, 256, 256), 64, True),
        ((1024, 256), 1, True),
        ((256, 256), 123, False),  # too many multiplications in a block
        ((256, 100), 8, False),  # no whole blocks
        ((100, 256), 8, False),
    ],
)
def test_blocks_where_the_kernels_are_and_the_matrix_is_made_of_them(kernels, shape, rows, cut):
    W = np.asfortranarray(np.random.default_rng(0).standard_normal(shape))
    ready = for_loop(W, rows)
    assert isinstance(ready, Blocks) == (cut and kernels == "SkylakeX")
    if not isinstance(ready, Blocks):
        assert ready.flags.c_contiguous and np.array_equal(ready, W)


@pytest.mark.parametrize(("cell", "options"), [("rnn", ()), ("lstm", ()), ("gru", (True,)), ("gru", (False,))])
def test_every_cell_computes_the_same_in_blocks(monkeypatch, cell, options):
    """States, gradients and all; at sizes that are cut, with padding, in float64."""
    T, B, D, H = 3, 5, 4, 128
    parts, gates, biases = {"rnn": (1, 1, 1), "lstm": (2, 4, 1), "gru": (1, 3, 2)}[cell]
    rng = np.random.default_rng(0)
    x, dhs = rng.standard_normal((T, B, D)), rng.standard_normal((T, B, H))
    state, dstate = rng.standard_normal((2, parts, B, H))
    weights = [rng.standard_normal((n, gates * H)) / np.sqrt(n) for n in (D, H)]
    weights += list(rng.standard_normal((biases, gates * H)))
    mask = np.arange(T)[:, None] < np.array([3, 2, 1, 3, 0])
    made = []

    def run(kernels: str) -> list[np.ndarray]:
        monkeypatch.setattr(blocks, "blas_kernels", lambda: kernels)
        op = getattr(F, cell)
        out, cache = op.forward(x, *state, *weights, mask, *options)
        return [*out, *op.backward((dhs, *dstate), cache)]

    module = importlib.import_module(f"minis2s.functional.{cell}")
    monkeypatch.setattr(module, "for_loop", lambda *args: made.append(for_loop(*args)) or made[-1])
    for a, b in zip(run("SkylakeX"), run("Haswell"), strict=True):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())
    cut = [isinstance(ready, Blocks) for ready in made]
    assert cut == [True] * (len(cut) // 2) + [False] * (len(cut) // 2) and len(cut) >= 4


def test_a_library_that_cannot_be_asked_is_another_library(monkeypatch, tmp_path):
    (tmp_path / "numpy.libs").mkdir()
    (tmp_path / "numpy.libs/libscipy_openblas.so").write_text("no library")
    monkeypatch.setattr(np, "__file__", str(tmp_path / "numpy/__init__.py"))
    assert blas_kernels.__wrapped__() is None


def test_the_kernels_are_those_of_numpys_own_library():
    """A name of one word, or None where NumPy came with another library."""
    name = blas_kernels()
    assert name is None or name.isalnum()
    bundled = "openblas" in str(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"])
    if not bundled:
        pytest.skip(f"SKIPPED: this NumPy has no OpenBLAS of its own; the kernels are {name}")
    assert name
