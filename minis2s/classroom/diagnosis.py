"""Where and why the pair of a task is wrong: the gradient checker is asked, with the pair in its box.

place and cause are those of the checker's own table, and for the teacher; what the student is told is cut
to the hint level.
"""

from collections.abc import Callable

import numpy as np

from minis2s.classroom.box import Box, Boxed, Raised, TimedOut
from minis2s.classroom.feedback import REVIEW
from minis2s.classroom.source import Task
from minis2s.errors import UserError
from minis2s.gradcheck import Block, Report, gradcheck
from minis2s.gradcheck.problem import Misbehaved, TooSlow
from minis2s.gradcheck.verdict import MISSING, RIGHT, VACUOUS, WRONG

SECONDS = 20.0  # for a pair
SHAPES = {kind.__name__: kind for kind in (ValueError, IndexError, TypeError)}  # to which the checker adds a note


def diagnosis(
    box: Box, task: Task, wrapped: Callable[[Callable], Callable], hint: int, notes: list[str]
) -> dict | None:
    """What the checker says of a task's pair, as a part of the record; None where it cannot be asked, with a note.

    wrapped: makes of a boxed function one that tells its errors with the student's own lines.
    """
    prefix = task.pair[0].removesuffix("_forward")
    try:
        pair = [plainly(wrapped(remote)) for remote in box.pair(prefix)]
        report = gradcheck(pair, kind=task.kind, hint=hint, seconds=SECONDS)
    except Boxed:
        return None  # it is not there: the checks have said so
    except UserError as error:  # its signature is not that of the kind
        notes.append(f"{task.name}: no diagnosis: {error}")
        return None
    except Exception as error:  # noqa: BLE001 -- a program that the checker is not up to must not stop the grading
        notes.append(f"{REVIEW}{task.name}: no diagnosis, the checker stopped ({type(error).__name__})")
        return None
    return as_record(report, task.kind)


def plainly(function: Callable) -> Callable:
    """The function with errors as the checker takes them: one sentence, without the names of the box's errors."""

    def call(*arguments, **named):
        try:
            return function(*arguments, **named)
        except TimedOut as error:
            raise TooSlow(f"{function.__name__} is too slow: {error.reason}") from None
        except Raised as error:
            if error.kind in SHAPES:
                raise SHAPES[error.kind](error.reason) from None
            raise Misbehaved(error.reason) from None
        except Boxed as error:
            raise Misbehaved(error.reason) from None

    call.__name__ = function.__name__
    if hasattr(function, "__signature__"):
        call.__signature__ = function.__signature__
    return call


def as_record(report: Report, kind: str) -> dict:
    place = None if report.place is None else {**vars(report.place), "says": str(report.place)}
    return {
        "kind": kind,
        "ok": report.ok,
        "verdict": report.verdict,
        "forward": report.forward,
        "place": place,
        "cause": None if report.cause is None else report.cause.cause,
        "hint": report.hint,
        "hints": report.hints(),
        "text": str(report),
        "blocks": [
            {"name": b.name, "ok": is_right(b), "error": float(b.error) if np.isfinite(b.error) else None}
            for b in report.blocks
        ],
    }


def is_right(block: Block) -> bool | None:
    """True, False, or None where the checker cannot tell."""
    if block.verdict in (WRONG, MISSING):
        return False
    return True if block.verdict == RIGHT or (block.verdict == VACUOUS and block.proven) else None
