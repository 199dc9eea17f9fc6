"""What a grading leaves in its folder: a JSON file for each student, and what is made from it.

DIR/results/STUDENT.json is the record; grades.csv (for an LMS), gradescope/STUDENT.json, feedback/STUDENT.html and
sources/STUDENT.py (the program as it was graded) are written from it. Every file is whole or not there.
"""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minis2s.classroom.feedback import for_students, page_of
from minis2s.errors import UserError
from minis2s.files import make_folder, read_json, write_json, write_text

REFUSED = "refused"
RIGHT = "right"
FOLDERS = ("results", "gradescope", "feedback", "sources")
FORMULA = ("=", "+", "-", "@", "|", "%", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
           "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
NEEDED = {"student": str, "key": str, "assignment": str, "status": str}
NUMBERS = ("score", "points", "seconds")
BEGINNING = re.compile(rf"([;,|]['\"\s]*)(?=[{re.escape(''.join(FORMULA))}])")


def make_folders(out: Path) -> None:
    """The folders of a grading. Raises UserError when they cannot be made."""
    for name in FOLDERS:
        make_folder(out / name)


def path_of(out: Path, key: str) -> Path:
    return out / "results" / f"{key}.json"


def earlier(out: Path, key: str) -> dict | None:
    """The result of an earlier grading; None where there is none, or it cannot be read any more."""
    path = path_of(out, key)
    if not path.is_file():
        return None
    try:
        return read_result(path)
    except UserError:
        return None  # not ours, or damaged: it is graded again


def is_done(result: dict | None, wanted: dict) -> bool:
    """Whether an earlier result is what a new grading would give: of the same program, assignment and settings.

    One that was stopped, by a full disk say, is not: the next run tries again.
    """
    names = ("source_sha256", "assignment_sha256", "hint", "official", "layers", "call_seconds", "versions")
    if result is None or result.get("stopped"):
        return False
    return all(result.get(name) == wanted[name] for name in names)


def with_history(result: dict, before: dict | None) -> dict:
    """The result with those of the same student's other programs before it."""
    if before is None:
        return result | {"history": []}
    past = [entry for entry in before.get("history") or [] if isinstance(entry, dict)]
    if before.get("source_sha256") != result["source_sha256"]:
        past.append({n: before.get(n) for n in ("finished", "score", "hint")} | {"checks": outcomes_of(before)})
    return result | {"history": past}


def outcomes_of(result: dict) -> dict[str, str]:
    """{"task/check": outcome} of a result."""
    return {
        f"{task['task']}/{check['check']}": check["outcome"]
        for task in result.get("tasks") or []
        for check in task.get("checks") or []
    }


def save(out: Path, result: dict, source: str, title: dict[str, str]) -> None:
    """Write all files of one student, the record last: where it is, the others are. Raises UserError.

    source: the program that was graded, "" where there was none. title: of the assignment, by language.
    """
    key = result["key"]
    write_text(out / "sources" / f"{key}.py", source)
    write_json(out / "gradescope" / f"{key}.json", gradescope(result))
    write_text(out / "feedback" / f"{key}.html", page_of(result, title))
    write_json(path_of(out, key), result)


def all_results(out: Path) -> list[dict]:
    """Every result in the folder, by student. Raises UserError for one that is none."""
    results = [read_result(path) for path in sorted((out / "results").glob("*.json"))]
    return sorted(results, key=lambda result: result["student"])


def read_result(path: Path) -> dict:
    """One result. Raises UserError when it is not what `minis2s class grade` writes."""
    result = read_json(path)
    refuse_a_stranger(path, result)
    return result


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


# -- the table -----------------------------------------------------------------------------------------------


def grades(results: Iterable[dict]) -> str:
    """The table for an LMS: a line for each student, as CSV."""
    results = list(results)
    tasks = dict.fromkeys(task["task"] for result in results for task in result.get("tasks") or [])
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow(["student", "score", "points", "percent", *tasks, "status", "reason", "file", "finished"])
    for result in results:
        scores = {task["task"]: task.get("score") for task in result.get("tasks") or []}
        score, points = result.get("score") or 0, result.get("points") or 0
        percent = round(100 * score / points, 1) if points else 0
        row = [
            result["student"], score, points, percent, *(scores.get(task, 0) for task in tasks),
            *(result.get(name) for name in ("status", "reason", "file", "finished")),
        ]  # fmt: skip
        table.writerow([guarded(value) for value in row])
    return written.getvalue()


def guarded(value: Any) -> str:
    """A cell of a table that no spreadsheet takes for a formula, on one line."""
    if value is None or isinstance(value, int | float):
        return "" if value is None else f"{value:g}"
    text = "".join(c if c.isprintable() else " " for c in str(value))
    text = BEGINNING.sub(r"\1'", text)  # also where another separator than ours would begin a cell
    return "'" + text if text.lstrip().startswith(FORMULA) else text


# -- Gradescope ----------------------------------------------------------------------------------------------


def gradescope(result: dict) -> dict:
    """The results.json of Gradescope. It has no times: how long a hidden check takes may tell what is in it."""
    tests = [
        {
            "name": f"{task['task']}: {check['check']}",
            "score": check["score"],
            "max_score": check["points"],
            "status": "passed" if check["outcome"] == RIGHT else "failed",
            "visibility": "visible" if check["public"] else "after_published",
            "output": check["reason"],
            "output_format": "text",
        }
        for task in result["tasks"]
        for check in task["checks"]
    ]
    said = [result["reason"], *for_students(result["notes"])]
    for task in result["tasks"]:
        if task["diagnosis"]:
            said += [f"{task['task']}: {hint}" for hint in task["diagnosis"]["hints"]]
    return {
        "score": result["score"],
        "output": "\n".join(filter(None, said)),
        "output_format": "text",
        "visibility": "visible",
        "tests": tests,
    }
