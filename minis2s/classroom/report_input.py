"""What the class report is made from: the results of `minis2s class grade`, each looked at before it is believed."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from minis2s.classroom.feedback import GRADED
from minis2s.classroom.results import read_result
from minis2s.errors import UserError
from minis2s.files import read_text


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
        result = read_result(path)
        first_of.setdefault(result["assignment"], path)
        results.append(result)
    if len(first_of) > 1:
        (one, at), (other, there) = list(first_of.items())[:2]
        raise UserError(
            f"{inside} mixes assignments: {at.name} is of {one!r}, {there.name} of {other!r}; "
            "grade each assignment into a folder of its own"
        )
    return sorted(results, key=lambda result: result["student"])


def sources_of(folder: Path, results: Iterable[Mapping]) -> dict[str, str]:
    """The programs as they were graded: FOLDER/sources/KEY.py, where they are."""
    found = {}
    for result in results:
        path = folder / "sources" / f"{Path(result['key']).name}.py"
        if result["status"] == GRADED and path.is_file():
            found[result["student"]] = read_text(path)
    return found
