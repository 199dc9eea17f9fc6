"""Grading one submission: its program goes into a box, each check is run with a new seed, and what is wrong is diagnosed.

The parent has the checks, the seeds, the reference and the clock. What comes back is a plain dictionary, the
record of results.py; whatever a submission does, there is one.
"""

import hashlib
import platform
import time
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from minis2s.classroom.box import Layers
from minis2s.classroom.diagnosis import SECONDS as DIAGNOSIS
from minis2s.classroom.extract import Source, extract
from minis2s.classroom.feedback import GRADED
from minis2s.classroom.intake import Submission
from minis2s.classroom.marking import CALLS, marked, total
from minis2s.classroom.results import REFUSED
from minis2s.classroom.source import Assignment
from minis2s.gradcheck.plain import version

SECONDS = 5.0  # for a call


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
    tasks = marked(source, assignment, rules.layers, rules.hint, rules.seconds, notes)
    found = {
        "status": GRADED,
        "file": source.file,
        "notes": notes,
        "score": total(task["score"] for task in tasks),
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
        "points": total(task.points for task in assignment.tasks),
        "tasks": [],
        "written": [],
        "layers": rules.layers.names,
        "official": rules.official,
        "hint": rules.hint,
        "call_seconds": rules.seconds,
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
