"""A report as plain numbers and texts, for programs: what `Report.to_dict` and `to_json` are made of.

Numbers that JSON has no word for, nan and infinite ones, become None.
"""

import sys

import numpy as np

from minis2s.gradcheck.causes import Finding
from minis2s.gradcheck.trial import Cause
from minis2s.gradcheck.verdict import Block


def version() -> str:
    """That of minis2s; the whole package lies above this one, which may not import it, and is loaded by now."""
    return sys.modules["minis2s"].__version__


def storable(text: str) -> str:
    r"""Text that UTF-8 can hold: half a surrogate pair becomes its escape, \ud800, as JSON writes it."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def cause_dict(cause: Cause, shown: int) -> dict:
    found = {"cause": cause.cause, "says": cause.says, "confidence": cause.confidence}
    return found | (
        {"line": cause.line, "wrong": cause.wrong, "equation": cause.equation} if shown >= 3 else {}
    )


def finding_dict(finding: Finding) -> dict:
    """A finding as it may be shown: `seen` has done its work by then."""
    found = finding._asdict()
    del found["seen"]
    return found


def block_dict(block: Block) -> dict:
    def number(x: float | None):
        return None if x is None or not np.isfinite(x) else float(x)

    return {
        "name": block.name,
        "verdict": block.verdict,
        "error": number(block.error),
        "noise": number(block.noise),
        "index": None if block.index is None else list(block.index),
        "backward": number(block.analytic),
        "numeric": number(block.numeric),
        "taylor_slope": number(block.slope),
        "note": block.note,
    }
