"""A small assignment, with one task whose pair the gradient checker knows, and a right answer to it.

mini: the assignment, read. answer: the text of a right submission. wrong: the same with a wrong sign.
notebook(*cells): the text of a notebook with these code cells.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from minis2s.classroom.source import Assignment, read_assignment, solution

SOURCE = '''\
# %% [markdown] lang="en" minutes=10
# # A linear map

# %% [markdown] lang="zh"
# # 线性映射

# %%
import numpy as np

from minis2s.classroom.checks import fresh

# %% tags=["answer"] task="linear" kind="linear"
def linear_forward(x, W, b=None):
    """x (..., D), W (D, O), b (O,) or None. Returns (y (..., O), cache)."""
    # BEGIN SOLUTION
    y = x @ W
    return (y if b is None else y + b), (x, W, b)
    # END SOLUTION


def linear_backward(dy, cache):
    """Returns (dx, dW, db)."""
    # BEGIN SOLUTION
    x, W, b = cache
    dx = dy @ W.T
    x, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dW = x.T @ dy
    return dx, dW, (None if b is None else dy.sum(axis=0))
    # END SOLUTION

# %% tags=["public"] task="linear" check="shapes" points=1
import numpy as np

from minis2s.classroom.checks import Wrong

y, cache = linear_forward(np.ones((2, 3)), np.ones((3, 4)), np.ones(4))
if np.shape(y) != (2, 4):
    raise Wrong(f"y has the shape {np.shape(y)}, it should be (2, 4)")

# %% tags=["hidden"] task="linear" check="gradients" points=3
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
N, D, O = (int(n) for n in rng.integers(2, 7, 3))
x, W, b, dy = (rng.standard_normal(shape) for shape in ((N, D), (D, O), (O,), (N, O)))
y, cache = linear_forward(x, W, b)
same(y, x @ W + b, "y")
grads = parts(linear_backward(dy, cache), "dx dW db", "linear_backward")
for mine, theirs, name in zip(grads, (dy @ W.T, x.T @ dy, dy.sum(axis=0)), ("dx", "dW", "db")):
    same(mine, theirs, name)

# %% [markdown] lang="en" tags=["written"] task="why" points=2
# Why is db a sum?

# %% [markdown] lang="zh" tags=["written"] task="why" points=2
# db 为什么是求和？

# %% [markdown] lang="en" tags=["model-answer"] task="why"
# All rows use the same b.

# %% [markdown] lang="zh" tags=["model-answer"] task="why"
# 每一行都用同一个 b。
'''


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """The file of the assignment."""
    path = tmp_path_factory.mktemp("assignment") / "linear_map.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def mini(source) -> Assignment:
    return read_assignment(source)


@pytest.fixture(scope="session")
def answer(mini) -> str:
    return solution(mini)


@pytest.fixture(scope="session")
def wrong(answer) -> str:
    return answer.replace("dW = x.T @ dy", "dW = -x.T @ dy")


@pytest.fixture(scope="session")
def notebook() -> Callable[..., str]:
    def made(*cells: str) -> str:
        return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})

    return made
