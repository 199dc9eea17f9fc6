"""The fast pairs compute what the obvious slow ones do; for a sequence: what its steps do."""

import numpy as np
import pytest

from minis2s import backend
from minis2s.functional import naive

TOLERANCE = 1e-12


def test_naive_and_fast_agree(case_with_naive, tools):
    case = case_with_naive
    out, _ = case.op.forward(*case.inputs)
    dout = tools.upstream(tools.as_arrays(out), np.random.default_rng(8))
    # a part without a gradient: none, then each in turn
    douts = [dout]
    if type(dout) is tuple:
        douts += [tuple(None if n == k else d for n, d in enumerate(dout)) for k in range(len(dout))]
    for dout in douts:
        slow, fast = (run(op, case.inputs, dout, tools) for op in (naive.OPS[case.name], case.op))
        assert len(slow) == len(fast) == len(tools.parts(out)) + case.n_differentiable
        assert all(tools.relative_error(b, a) <= TOLERANCE for a, b in zip(slow, fast, strict=True))


def run(op, inputs, dout, tools) -> list[np.ndarray]:
    """Outputs and gradients of an operation, in one list."""
    out, cache = op.forward(*inputs)
    return tools.arrays(tools.as_arrays((out, op.backward(dout, cache))))


def test_every_naive_version_is_compared(cases):
    assert set(naive.OPS) <= {case.name for case in cases}
    pairs = {name.removesuffix("_forward") for name in vars(naive) if name.endswith("_forward")}
    steps = {"rnn_step", "lstm_step", "gru_step"}  # imported: what the loops call
    assert pairs - steps == set(naive.OPS)


@pytest.mark.parametrize("numbers", [1, 13, 50])
def test_cross_entropy_of_a_few_rows_at_a_time(cases, tools, monkeypatch, numbers):
    """Small arrays are done in one go; here they are not: 1 row at a time, or a few, the last time fewer."""
    monkeypatch.setattr(backend, "IN_CACHE", numbers)
    found = [case for case in cases if case.name == "cross_entropy"]
    assert found
    for case in found:
        test_naive_and_fast_agree(case, tools)
