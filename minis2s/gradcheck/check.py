"""`gradcheck`: is this backward pass the derivative of its forward pass, and if not, where and why?

The work is done in checker.py (what was handed in), kind_check.py (pairs of a known kind), loss_check.py
(gradients that are there already) and model.py (layers and models).
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from minis2s.gradcheck.checker import SECONDS, Checker
from minis2s.gradcheck.misuse import refuse_settings
from minis2s.gradcheck.report import HINTS, Report


def gradcheck(
    subject: Any,
    *inputs: Any,
    kind: str | None = None,
    fast: bool = False,
    hint: int = HINTS,
    seed: int = 0,
    gates: str | None = None,
    reset_after: bool | None = None,
    without: Sequence[int] = (),
    dtype: Any = np.float64,
    seconds: float = SECONDS,
) -> Report:
    """Check a hand-written backward pass against numeric derivatives; say where and why it is wrong.

    subject:
        a pair (forward, backward) or an `Op` of a known `kind` ("lstm", "gru_step", "attention",
            "cross_entropy" ...; an Op of the engine says its kind itself), with inputs made here;
        a pair with its own `inputs`, for any other operation;
        a plain function f(*inputs) -> (y, backward), where backward(dy) gives gradients of the inputs, in
            their order or as a dictionary by their names (key "x" or "dx" for x);
        a Layer, or a whole model (`Seq2Seq`), with inputs made here.
    fast: one random direction for each block, where otherwise every entry is measured.
    hint: the highest level of hints that the report shows: 0 none beside the numbers of each gradient, 1 where,
        2 what kind and what to do, 3 the formula.
    seed: of the inputs, the upstream gradients and the directions.
    gates: the order in which a pair's gates lie side by side, as "ifgo"; by default that of the engine.
    reset_after: which form a GRU has.
    without: numbers of the outputs that get no gradient from upstream: None is handed to backward there.
    dtype: float64, in which everything is checked whatever the function was written for; np.float32
        runs backward in float32 and judges it by what float32 can hold.
    seconds: how long the code under test may run in all.

    Returns a Report; it never raises for what the code under test does. Raises UserError for a subject
    that cannot be checked, an unknown kind, or a setting that cannot be meant.

    Sources: Squire and Trapp 1998 (complex step), Richardson 1911; the Taylor test as in Farrell et al.
    2013, section 6; the search for the cause is mutation analysis (DeMillo, Lipton and Sayward 1978).
    """
    refuse_settings(hint=hint, seed=seed, dtype=dtype, without=without, seconds=seconds)
    start = time.perf_counter()
    options = {} if reset_after is None else {"reset_after": reset_after}
    checker = Checker(fast=fast, seed=seed, dtype=dtype, seconds=float(seconds), without=without)
    report = checker.check(subject, inputs, kind, gates, options)
    report.hint, report.seed, report.fast = hint, seed, fast
    report.seconds = time.perf_counter() - start
    return report


def assert_gradients(subject: Any, *inputs: Any, **options: Any) -> Report:
    """`gradcheck` as an assertion, for pytest: raises AssertionError with the whole report as its message.

    Takes the arguments of `gradcheck`. The message names the worst block, its worst entry with both
    values, the place and the cause. Returns the report when every gradient is right.
    """
    __tracebackhide__ = True  # pytest shows the line that called this, and the report
    report = gradcheck(subject, *inputs, **options)
    if not report.ok:
        raise AssertionError(str(report))
    return report
