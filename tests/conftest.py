"""Fixtures that several test files share.

strict_xp        a stand-in for CuPy that needs no GPU, known to the package while the test runs
gpu              CuPy itself; a test that asks for it is skipped where there is no GPU
load             load("speed_floor") is the script of that name in benchmarks/
counted          counted(run) is how many numbers run() multiplies in np.matmul
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

import minis2s.backend

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# no property test is timed: a machine under load is no bug
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def load_beside(name: str) -> ModuleType:
    """The module tests/NAME.py; tests/ is no package, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STRICT_CUPY = load_beside("strict_cupy")


@pytest.fixture
def strict_xp(monkeypatch) -> ModuleType:
    """The module strict_cupy, its count of transfers at zero."""
    monkeypatch.setattr(minis2s.backend, "known_modules", lambda: [np, STRICT_CUPY])
    STRICT_CUPY.transfers.reset()
    return STRICT_CUPY


@pytest.fixture
def gpu() -> ModuleType:
    """CuPy with a GPU that it can use; skips the test, saying why, where there is none."""
    try:
        return minis2s.backend.array_module("cupy")
    except minis2s.backend.UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def load(monkeypatch) -> Callable[[str], ModuleType]:
    """The scripts in benchmarks/ import each other by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def counted(monkeypatch) -> Callable[[Callable[[], object]], int]:
    def count(run: Callable[[], object]) -> int:
        found = 0
        matmul = np.matmul

        def counting(a, b, out):
            nonlocal found
            found += out.size * a.shape[-1]
            return matmul(a, b, out=out)

        with monkeypatch.context() as patched:
            patched.setattr(np, "matmul", counting)
            run()
        return found

    return count
