"""What a class got wrong, counted from the results of `minis2s class grade`.

Nothing here judges a program: marks and diagnoses are those of the results.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from minis2s.classroom.feedback import GRADED
from minis2s.classroom.report_input import read_results, sources_of
from minis2s.classroom.results import RIGHT, outcomes_of
from minis2s.classroom.similarity import THRESHOLD, Similarity, similarity


class CheckCount(NamedTuple):
    """How the class did in one check."""

    task: str
    check: str
    public: bool
    points: float
    outcomes: Counter  # outcome -> students

    @property
    def right(self) -> int:
        return self.outcomes[RIGHT]

    @property
    def students(self) -> int:
        return self.outcomes.total()


class Count(NamedTuple):
    """One thing that went wrong: of `all` students who were diagnosed in this task, with `wrong` of them."""

    task: str
    what: str
    wrong: int
    all: int


class HintCount(NamedTuple):
    """What came after the feedback of one hint level.

    gradings: those that were handed in again after it. open: their checks that were not right. mended: how many of
    these were right the next time. broken: checks that were right, and the next time no longer.
    """

    hint: int
    students: int
    gradings: int
    open: int
    mended: int
    broken: int


@dataclass(frozen=True)
class Figures:
    """All that the report shows."""

    assignment: str
    results: list[dict]  # as read, by student
    checks: list[CheckCount]
    gradients: list[Count]  # by gradient: "dWx"
    gates: list[Count]  # by gate: "f"
    steps: list[Count]  # by step at which it first goes wrong: "3"
    nodes: list[Count]  # by the first wrong quantity, going backward: "dc"
    causes: list[Count]  # by a key of gradcheck's CAUSES
    hints: list[HintCount]
    alike: Similarity
    threshold: float
    handed_out: bool  # whether what the class was given could be left out of the comparison
    sources: dict[str, str]  # the program of each student whose text is there

    @property
    def graded(self) -> list[dict]:
        return [result for result in self.results if result["status"] == GRADED]

    @property
    def refused(self) -> list[dict]:
        return [result for result in self.results if result["status"] != GRADED]


# -- counting ----------------------------------------------------------------------------------------------------


def figures_of(
    folder: str | os.PathLike, *, handed_out: Sequence[str] | None = None, threshold: float = THRESHOLD
) -> Figures:
    """Count what is in the results of a folder. Raises UserError as `read_results`.

    handed_out: the programs that students were given, which are left out of the comparison of programs; None
    where they are not known. threshold: the share from which two programs are listed.
    """
    results = read_results(folder)
    graded = [result for result in results if result["status"] == GRADED]
    sources = sources_of(Path(folder), graded)
    diagnoses = list(diagnosed(graded))
    return Figures(
        assignment=results[0]["assignment"],
        results=results,
        checks=check_counts(graded),
        gradients=counts(diagnoses, wrong_blocks),
        gates=counts(diagnoses, lambda d: list(place_of(d).get("gate") or "")),
        steps=counts(diagnoses, lambda d: [s] if (s := place_of(d).get("step")) is not None else []),
        nodes=counts(diagnoses, lambda d: [n] if (n := place_of(d).get("node")) else []),
        causes=counts(diagnoses, lambda d: [c] if (c := cause_of(d)) else []),
        hints=hint_counts(graded),
        alike=similarity(sources, handed_out or (), threshold=threshold),
        threshold=threshold,
        handed_out=handed_out is not None,
        sources=sources,
    )


def check_counts(graded: Iterable[Mapping]) -> list[CheckCount]:
    found: dict[tuple[str, str], CheckCount] = {}
    for result in graded:
        for task in result.get("tasks") or []:
            for check in task.get("checks") or []:
                key = task["task"], check["check"]
                if key not in found:
                    found[key] = CheckCount(
                        *key, bool(check.get("public")), check.get("points") or 0, Counter()
                    )
                found[key].outcomes[check["outcome"]] += 1
    return list(found.values())


def diagnosed(graded: Iterable[Mapping]) -> Iterator[tuple[str, Mapping]]:
    for result in graded:
        for task in result.get("tasks") or []:
            if isinstance(task.get("diagnosis"), dict):
                yield task["task"], task["diagnosis"]


def counts(diagnoses: Sequence[tuple[str, Mapping]], wrong) -> list[Count]:
    """By task, what is wrong with most students first. wrong(diagnosis) -> the things that are wrong in it."""
    asked = Counter(task for task, _ in diagnoses)
    found = Counter((task, str(what)) for task, diagnosis in diagnoses for what in set(wrong(diagnosis)))
    order = {task: n for n, task in enumerate(asked)}
    rows = [Count(task, what, n, asked[task]) for (task, what), n in found.items()]
    return sorted(rows, key=lambda row: (order[row.task], -row.wrong, row.what))


def wrong_blocks(diagnosis: Mapping) -> list[str]:
    blocks = [b for b in diagnosis.get("blocks") or [] if isinstance(b, dict)]
    return [f"d{block.get('name')}" for block in blocks if block.get("ok") is False]


def place_of(diagnosis: Mapping) -> Mapping:
    place = diagnosis.get("place")
    return place if isinstance(place, dict) else {"node": place} if place else {}


def cause_of(diagnosis: Mapping) -> str:
    cause = diagnosis.get("cause")
    return str(cause.get("cause") or "") if isinstance(cause, dict) else str(cause or "")


def hint_counts(graded: Iterable[Mapping]) -> list[HintCount]:
    """For each hint level: what became of the checks that were not right, in the student's next grading."""
    sums: dict[int, Counter] = defaultdict(Counter)
    students: dict[int, set[str]] = defaultdict(set)
    for result in graded:
        for (hint, before), (_, after) in pairwise(gradings(result)):
            if hint is None or not before:
                continue
            both = before.keys() & after.keys()
            open_ = [name for name in both if before[name] != RIGHT]
            students[hint].add(result["student"])
            sums[hint] += Counter(
                gradings=1,
                open=len(open_),
                mended=sum(after[name] == RIGHT for name in open_),
                broken=sum(after[name] != RIGHT and before[name] == RIGHT for name in both),
            )
    return [
        HintCount(
            hint, len(students[hint]), *(sums[hint][f] for f in ("gradings", "open", "mended", "broken"))
        )
        for hint in sorted(sums)
    ]


def gradings(result: Mapping) -> Iterator[tuple[int | None, dict[str, str]]]:
    """(hint level of the feedback, outcome of each check) of each grading of a student, the last one at the end."""
    for earlier in result.get("history") or []:
        checks = earlier.get("checks") if isinstance(earlier, dict) else None
        if isinstance(checks, dict):
            hint = earlier.get("hint")
            yield (hint if isinstance(hint, int) else None), {str(k): str(v) for k, v in checks.items()}
    yield None, outcomes_of(result)


def place_in_words(diagnosis: Mapping) -> str:
    place = place_of(diagnosis)
    parts = [str(place.get("node") or "")]
    if place.get("gate"):
        parts.append(f"gate {', '.join(str(place['gate']))}")
    if place.get("step") is not None:
        parts.append(f"step {place['step']}")
    return " ".join(filter(None, parts))
