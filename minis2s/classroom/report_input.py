"""What the class report is made from: the results of `minis2s class grade`, each looked at before it is believed."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minis2s.classroom.results import GRADED
from minis2s.errors import UserError
from minis2s.files import read_json, read_text

NEEDED = {"student": str, "key": str, "assignment": str, "status": str}
NUMBERS = ("score", "points", "seconds")


def read_results(folder: str | os.PathLike) -> list[dict]:
    """The results in FOLDER/results, by student.

    Raises UserError when there are none, when one of them is not what `minis2s class grade` writes, and when they
    are of several assignments.
    """
    inside = Path(folder) / "results"
    paths = sorted(inside.glob("*.json")) if inside.is_dir() else []
    if not paths:
        raise UserError(
            f"there are no results in {inside}: name the folder that `minis2s class grade ... --out DIR` has written"
        )
    results, first_of = [], {}
    for path in paths:
        result = read_json(path)
        refuse_a_stranger(path, result)
        first_of.setdefault(result["assignment"], path)
        results.append(result)
    if len(first_of) > 1:
        (one, at), (other, there) = list(first_of.items())[:2]
        raise UserError(
            f"{inside} mixes assignments: {at.name} is of {one!r}, {there.name} of {other!r}; "
            "grade each assignment into a folder of its own"
        )
    return sorted(results, key=lambda result: result["student"])


def refuse_a_stranger(path: Path, result: Any) -> None:
    fault = ""
    if not isinstance(result, dict):
        fault = "it is not an object"
    else:
        for name, kind in NEEDED.items():
            if not isinstance(result.get(name), kind):
                fault = f"{name!r} is missing or no text"
        for name in NUMBERS:
            value = result.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                fault = f"{name!r} is no number"
        for name in ("tasks", "history", "notes", "layers"):
            if not isinstance(result.get(name) or [], list):
                fault = f"{name!r} is no list"
        for task in [] if fault else result.get("tasks") or []:
            if not (isinstance(task, dict) and isinstance(task.get("task"), str)):
                fault = "a task has no name"
            elif not all(
                isinstance(c, dict) and isinstance(c.get("check"), str) and isinstance(c.get("outcome"), str)
                for c in task.get("checks") or []
            ):
                fault = f"a check of the task {task['task']!r} has no name or no outcome"
    if fault:
        raise UserError(
            f"{path} is no result of `minis2s class grade` ({fault}): delete it, and grade that student again"
        )


def sources_of(folder: Path, results: Iterable[Mapping]) -> dict[str, str]:
    """The programs as they were graded: FOLDER/sources/KEY.py, where they are."""
    found = {}
    for result in results:
        path = folder / "sources" / f"{Path(result['key']).name}.py"
        if result["status"] == GRADED and path.is_file():
            found[result["student"]] = read_text(path)
    return found
