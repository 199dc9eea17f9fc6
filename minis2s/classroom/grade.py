"""Grading one submission: its program goes into a box, each check is run with a new seed, and what is wrong is diagnosed.

The parent has the checks, the seeds, the reference and the clock. What comes back is a plain dictionary, the
record of results.py; whatever a submission does, there is one.
"""

import hashlib
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from minis2s.classroom.box import Box, Boxed, Layers, Missing, Nonsense, Raised, Remote, TimedOut
from minis2s.classroom.checks import Outcome, new_seed, run_check
from minis2s.classroom.extract import Source, extract
from minis2s.classroom.intake import Submission
from minis2s.classroom.results import GRADED, REFUSED, REVIEW
from minis2s.classroom.source import Assignment, Task
from minis2s.errors import UserError
from minis2s.gradcheck import Report, gradcheck
from minis2s.gradcheck.plain import version
from minis2s.gradcheck.problem import Misbehaved, TooSlow
from minis2s.gradcheck.verdict import MISSING, VACUOUS, WRONG

SECONDS = 5.0  # for a call
SHORT = 1.0  # for a call, once one has taken longer than its time
CALLS = 6  # as many times the seconds of a call for all calls together
DIAGNOSIS = 20.0  # seconds for each task
# what the checker can say more of: numbers and shapes, and how they come about
TELLING = ("wrong", Raised.outcome, Nonsense.outcome)
SHAPES = {kind.__name__: kind for kind in (ValueError, IndexError, TypeError)}  # to which the checker adds a note


class Rules(NamedTuple):
    """How a class is graded. hint: the level of hints for the students; seconds: for a call."""

    layers: Layers
    official: bool = False
    hint: int = 2
    seconds: float = SECONDS

    def limit(self, assignment: Assignment) -> float:
        """Seconds for a whole submission: far more than it can need, should all else fail."""
        return 60 + 2 * CALLS * self.seconds + DIAGNOSIS * len(assignment.tasks)


def grade(submission: Submission, assignment: Assignment, rules: Rules) -> tuple[dict, str]:
    """(the record of a submission, the program that was graded); never raises for what is in the submission."""
    start = time.monotonic()
    source = extract(submission, assignment)
    if source.refused:
        return refused(submission, assignment, rules, source.refused, source), ""
    notes = list(source.notes)
    tasks = graded_tasks(source, assignment, rules, notes)
    found = {
        "status": GRADED,
        "file": source.file,
        "notes": notes,
        "score": sum(task["score"] for task in tasks),
        "tasks": tasks,
        "written": written(assignment, source),
        "seconds": round(time.monotonic() - start, 2),
    }
    return record(submission, assignment, rules) | found, source.text


def record(submission: Submission, assignment: Assignment, rules: Rules) -> dict:
    """The record of a submission without anything in it."""
    return {
        "student": submission.student,
        "key": submission.key,
        "file": "",
        "assignment": assignment.name,
        "status": REFUSED,
        "reason": "",
        "notes": [],
        "score": 0,
        "points": sum(task.points for task in assignment.tasks),
        "tasks": [],
        "written": [],
        "layers": rules.layers.names,
        "official": rules.official,
        "hint": rules.hint,
        "versions": {"minis2s": version(), "python": platform.python_version(), "numpy": np.__version__},
        "seconds": 0,
        "source_sha256": submission.sha256(),
        "assignment_sha256": hashlib.sha256(assignment.text.encode()).hexdigest(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "history": [],
    }


def refused(
    submission: Submission, assignment: Assignment, rules: Rules, reason: str, source: Source | None = None
) -> dict:
    """The record of a submission that could not be graded."""
    file, notes = (source.file, source.notes) if source else ("", list(submission.notes))
    return record(submission, assignment, rules) | {"reason": reason, "file": file, "notes": notes}


def written(assignment: Assignment, source: Source) -> list[dict]:
    return [
        {"task": w.task, "points": w.points, "answer": source.written.get(w.task, "")} for w in assignment.written
    ]


# -- checks --------------------------------------------------------------------------------------------------


def graded_tasks(source: Source, assignment: Assignment, rules: Rules, notes: list[str]) -> list[dict]:
    """What came of every task; `notes` get what was seen while the program was loaded."""
    names = [name for task in assignment.tasks for name in task.functions]
    with Box(
        source.text, names, layers=rules.layers, seconds=rules.seconds, budget=CALLS * rules.seconds
    ) as box:
        functions, unloaded = loaded(box, source, names, notes)
        tasks = [checked(task, functions, unloaded) for task in assignment.tasks]
        box.left = max(box.left, DIAGNOSIS)
        for task, result in zip(assignment.tasks, tasks, strict=True):
            if worth_a_diagnosis(task, result):
                result["diagnosis"] = diagnosis(box, task, source, rules.hint, notes)
    return tasks


def loaded(
    box: Box, source: Source, names: list[str], notes: list[str]
) -> tuple[dict[str, Callable], Outcome | None]:
    """(the functions that are there, None), or (nothing, what is to be said of every check)."""
    try:
        failed = box.load()["failed"]
        functions = {}
        for name in names:
            try:
                functions[name] = Steady(box.function(name), source)
            except Missing:
                continue  # a check that needs it says so
    except Boxed as error:
        return {}, Outcome(error.outcome, f"the program as a whole: {error.reason}")
    notes += [f"{source.place(line)} raised {kind} when the program was loaded" for line, kind in failed]
    return functions, None


class Steady:
    """A function in a box; what it raises is told with the student's own lines.

    Once a call has run out of its time, the later ones have less: who waits for many should not wait long.
    """

    def __init__(self, remote: Remote, source: Source):
        self.remote, self.source = remote, source
        self.__name__ = remote.__name__
        if hasattr(remote, "__signature__"):
            self.__signature__ = remote.__signature__

    @property
    def seconds(self) -> float:
        return self.remote.seconds

    def pair(self) -> tuple["Steady", "Steady"]:
        """This forward function and its backward, all calls in one process."""
        remotes = self.remote.box.pair(self.__name__.removesuffix("_forward"))
        return tuple(Steady(remote, self.source) for remote in remotes)

    def __call__(self, *arguments, **named):
        try:
            return self.remote(*arguments, **named)
        except TimedOut:
            self.remote.box.seconds = min(self.remote.box.seconds, SHORT)
            raise
        except Raised as error:
            at = f" at {self.source.place(error.line)}" if error.line else ""
            raise Raised(f"{self.__name__} raised {error.kind}{at}", error.kind, error.line) from None


def checked(task: Task, functions: dict[str, Callable], unloaded: Outcome | None) -> dict:
    """What came of a task: every check run once, with a seed of its own."""
    checks = []
    for check in task.checks:
        seed = new_seed()
        outcome = unloaded or run_check(check, functions, seed)
        checks.append(
            {
                "check": check.name,
                "public": check.public,
                "points": check.points,
                "score": check.points if outcome.right else 0,
                "outcome": outcome.outcome,
                "reason": outcome.reason,
                "seed": seed,
            }
        )
    score = sum(check["score"] for check in checks)
    return {"task": task.name, "score": score, "points": task.points, "checks": checks, "diagnosis": None}


# -- diagnosis -----------------------------------------------------------------------------------------------


def worth_a_diagnosis(task: Task, result: dict) -> bool:
    """Is something wrong with a pair that gives answers?"""
    return task.pair is not None and any(check["outcome"] in TELLING for check in result["checks"])


def diagnosis(box: Box, task: Task, source: Source, hint: int, notes: list[str]) -> dict | None:
    """Where and why the pair of a task is wrong, as the gradient checker says it; None where it cannot be asked.

    place and cause are for the teacher; text and hints, for the student, hold what the hint level allows.
    """
    prefix = task.pair[0].removesuffix("_forward")
    try:
        pair = [plainly(Steady(remote, source)) for remote in box.pair(prefix)]
        report = gradcheck(pair, kind=task.kind, hint=hint, seconds=DIAGNOSIS)
    except Boxed:
        return None  # it is not there: the checks have said so
    except UserError as error:  # its signature is not that of the kind
        notes.append(f"{task.name}: no diagnosis: {error}")
        return None
    except Exception as error:  # noqa: BLE001 -- a program that the checker is not up to must not stop the grading
        notes.append(f"{REVIEW}{task.name}: no diagnosis, the checker stopped ({type(error).__name__})")
        return None
    return diagnosis_of(report, task.kind)


def plainly(function: Steady) -> Callable:
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


def diagnosis_of(report: Report, kind: str) -> dict:
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


def is_right(block) -> bool | None:
    """True, False, or None where the checker cannot tell."""
    if block.verdict in (WRONG, MISSING):
        return False
    return True if block.verdict == "right" or (block.verdict == VACUOUS and block.proven) else None

