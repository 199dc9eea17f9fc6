"""Gradient checking: is a hand-written backward pass the derivative of its forward pass?

`gradcheck` answers with a Report: a verdict on each gradient, and where and why it is wrong;
`assert_gradients` makes an assertion of it. The numeric side is numeric.py, the verdicts are in
verdict.py, the search for the mistake in diagnose.py.
"""

from minis2s.gradcheck.causes import CAUSES, Place
from minis2s.gradcheck.check import assert_gradients, gradcheck
from minis2s.gradcheck.diagnose import Cause
from minis2s.gradcheck.legacy import check_loss, check_op, require
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.verdict import Block, Finding

__all__ = ["CAUSES", "Block", "Cause", "Finding", "Place", "Report", "assert_gradients", "check_loss", "check_op", "gradcheck", "require"]
