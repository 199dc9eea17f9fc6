"""Gradient checking: is a hand-written backward pass the derivative of its forward pass?

`check_op` asks it of one operation, `check_loss` of a whole model; both compare with numeric
derivatives in float64, one verdict per block (input or weight). `require` turns the verdicts
into an AssertionError that names block, entry and both values.
"""

from minis2s.gradcheck.legacy import Block, check_loss, check_op, require

__all__ = ["Block", "check_loss", "check_op", "require"]
