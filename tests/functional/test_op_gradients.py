"""Every operation's backward is the derivative of its forward, and none goes unchecked."""

import importlib
import pkgutil

import minis2s.functional
from minis2s.functional import OPS
from minis2s.gradcheck import assert_gradients

TOLERANCE = 1e-10


def missing_upstreams(parts: int) -> list[tuple[int, ...]]:
    """Which output parts to leave without a gradient: none, each one, all but each one."""
    if parts == 1:
        return [()]
    everything = set(range(parts))
    one = [(k,) for k in everything]
    all_but_one = [tuple(sorted(everything - {k})) for k in everything]
    return [(), *sorted({*one, *all_but_one})]


def test_backward_is_the_derivative_of_forward(case, tools):
    parts = len(tools.parts(case.op.forward(*case.inputs)[0]))
    for without in missing_upstreams(parts):
        report = assert_gradients(case.op, *case.inputs, seed=7, without=without)
        given = [x for x in case.inputs[: case.n_differentiable] if x is not None]
        assert len(report.blocks) == len(given)
        assert all(block.error <= TOLERANCE for block in report.blocks), report
        assert not report.findings, report


def test_without_any_upstream_gradient_every_gradient_is_zero(cases):
    tried = set()
    for case in cases:
        out, cache = case.op.forward(*case.inputs)
        if type(out) is tuple:
            tried.add(case.name)
            din = case.op.backward((None,) * len(out), cache)
            for x, dx in zip(case.inputs, din, strict=False):
                assert dx.shape == x.shape and dx.dtype == x.dtype and not dx.any(), case.name
    assert tried >= {"rnn", "gru", "lstm", "lstm_step"}


def test_every_operation_has_a_case(cases):
    assert {case.name for case in cases} == set(OPS)


def test_every_operation_is_listed_under_its_own_name():
    assert all(name == op.name for name, op in OPS.items())
    assert len({op.forward for op in OPS.values()}) == len(OPS)


def test_every_pair_in_the_package_is_listed():
    pairs = set()
    for module in pkgutil.iter_modules(minis2s.functional.__path__):
        if module.name == "naive":
            continue
        functions = vars(importlib.import_module(f"minis2s.functional.{module.name}"))
        for name in functions:
            for here, there in (("_forward", "_backward"), ("_backward", "_forward")):
                if name.endswith(here):
                    other = name.removesuffix(here) + there
                    assert other in functions, f"{module.name}.{name} has no {other}"
                    stem = name.removesuffix(here)
                    pairs.add((functions[f"{stem}_forward"], functions[f"{stem}_backward"]))
    assert pairs == {(op.forward, op.backward) for op in OPS.values()}
