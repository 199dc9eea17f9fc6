"""`check_loss`: gradients that are there already, beside numeric ones of a loss that can be computed anew."""

import time
from collections.abc import Callable

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.checker import SECONDS, Checker
from minis2s.gradcheck.hygiene import given_gradients
from minis2s.gradcheck.judge import judge
from minis2s.gradcheck.misuse import refuse_settings
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.problem import Misbehaved, Problem
from minis2s.gradcheck.report import Report


def check_loss(
    loss: Callable[[], float],
    parameters: dict[str, np.ndarray],
    gradients: dict[str, np.ndarray],
    *,
    fast: bool = False,
    seed: int = 0,
    seconds: float = SECONDS,
) -> Report:
    """Compare gradients that are there already with numeric ones of a loss that can be computed anew.

    loss(): computes the loss from `parameters`, float64 arrays that are moved in place and put back bit
        for bit; every random choice in it must be fixed.
    gradients: what backward gave, by the same names.
    fast, seed, seconds: as in `gradcheck`.

    Returns a Report with a verdict for each parameter. Place and cause can be told for functions that
    are checked as a pair or a layer, not here. Raises UserError when a parameter is not float64,
    or a setting cannot be meant.
    """
    start = time.perf_counter()
    refuse_settings(seed=seed, seconds=seconds)
    checker = Checker(fast=fast, seed=seed, seconds=float(seconds))
    for name, x in parameters.items():
        if x.dtype != np.float64:
            raise UserError(f"{name} must be float64 to be checked, got {x.dtype}")
    before = {name: x.copy() for name, x in parameters.items()}

    def forward(blocks: dict):
        for name, x in parameters.items():
            x[...] = blocks[name]
        return [np.asarray(loss(), dtype=np.float64)], None

    report = Report("loss", seed=seed, searched=False)
    problem = Problem("loss", before, forward, lambda douts, cache: (gradients, ""), ["loss"])
    try:
        run = given_gradients(problem, checker.guard)
        oracle = Oracle(problem, run.douts, checker.guard, checker.rng(2), method="Richardson")
        report.blocks = list(judge(run, oracle, checker.rng(3), fast=fast, witness=not fast).values())
        report.findings, report.oracle = run.findings, oracle.method
    except Misbehaved as error:
        report.misbehaved(error)
    finally:
        for name, x in parameters.items():
            x[...] = before[name]
    report.fast, report.seconds = fast, time.perf_counter() - start
    return report
