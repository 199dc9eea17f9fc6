"""Gradient checking: is a hand-written backward pass the derivative of its forward pass?

`gradcheck` answers with a Report: a verdict on each gradient, and where and why it is wrong;
`assert_gradients` makes an assertion of it; `check_loss` compares gradients that are there already.
`properties` finds mistakes of the forward pass, which no gradient check sees. The numeric side is
numeric.py, the verdicts are in judge.py, the search for the mistake in diagnose.py.
"""

import sys
from types import ModuleType

from minis2s.gradcheck.causes import CAUSES, Finding, Place
from minis2s.gradcheck.check import assert_gradients, gradcheck
from minis2s.gradcheck.loss_check import check_loss
from minis2s.gradcheck.properties import properties
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.trial import Cause
from minis2s.gradcheck.verdict import Block

__all__ = [
    "CAUSES",
    "Block",
    "Cause",
    "Finding",
    "Place",
    "Report",
    "assert_gradients",
    "check_loss",
    "gradcheck",
    "properties",
]


class Callable(ModuleType):
    """The package has the name of its main function: `from minis2s import gradcheck` gives something to
    call, as `from minis2s.gradcheck import gradcheck` does."""

    def __call__(self, *args, **options) -> Report:
        return gradcheck(*args, **options)


sys.modules[__name__].__class__ = Callable
