"""Grading a class: every submission in a process of its own, so many at once; what is done already is kept.

A submission that breaks its process is reported like any other. Results are written here, in the parent, as
each comes in, so that a run that was killed goes on where it stopped.
"""

import signal
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from minis2s.classroom.box import available_layers
from minis2s.classroom.box.inside.linux import prctl
from minis2s.classroom.grade import SECONDS, Rules, grade, record, refused
from minis2s.classroom.intake import Submission, find
from minis2s.classroom.results import all_results, earlier, grades, is_done, make_folders, save, with_history
from minis2s.classroom.source import Assignment, read_assignment
from minis2s.errors import UserError
from minis2s.files import write_text
from minis2s.forked import run_forked

PR_SET_PDEATHSIG = 1
Progress = Callable[[int, int, dict], None]  # (done, of how many, the result that came in last)


class Graded(NamedTuple):
    """What came of a class. results: of this run's submissions, by student; kept: how many were graded before."""

    results: list[dict]
    kept: int


def grade_class(
    submissions: str | Path,
    assignment: str | Path,
    out: str | Path,
    *,
    official: bool = False,
    jobs: int = 2,
    hint: int = 2,
    again: bool = False,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> Graded:
    """Grade a folder, a zip or a file of submissions into the folder `out`.

    assignment: a source, or a folder with a source STUDENT.py for each student. official: refuse where the box has
    only limits. jobs: submissions at once. hint: the level of hints for students, 0 to 3. again: grade also what
    has been graded. seconds: for one call of a student's function.

    Raises UserError when there is nothing to grade, the assignment cannot be read, `out` holds the results of
    another assignment or cannot be written, or the layers are too few.
    """
    rules = Rules(available_layers(), official, hint, seconds)
    if official and not rules.layers.official:
        raise UserError(
            f"official grading needs more than {rules.layers}: a Linux kernel with Landlock (5.13 or later), or "
            "bubblewrap (apt install bubblewrap); without --official, marks are for practice"
        )
    out = Path(out)
    refuse_a_folder_in_the_other(Path(submissions), out)
    found = find(submissions)
    sources = Sources(Path(assignment), [s.student for s in found])
    make_folders(out)
    refuse_another_assignment(out, sources.name)
    before = {s.key: earlier(out, s.key) for s in found}
    results: dict[str, dict] = {}
    waiting: list[tuple[Submission, Assignment]] = []
    for submission in found:
        own = sources.of(submission)
        wanted = named(record(submission, own or sources.any, rules), sources)
        if not again and is_done(before[submission.key], wanted):
            results[submission.key] = before[submission.key]
        elif own is None:
            reason = f"there is no assignment for {submission.student} in {assignment}"
            results[submission.key] = named(refused(submission, sources.any, rules, reason), sources)
            save(out, with_history(results[submission.key], before[submission.key]), "", sources.any.title)
        else:
            waiting.append((submission, own))
    kept = len(results)
    if progress and kept:
        progress(kept, len(found), {})
    for submission, own, result, source in graded(waiting, rules, jobs):
        result = with_history(named(result, sources), before[submission.key])
        save(out, result, source, own.title)
        results[submission.key] = result
        if progress:
            progress(len(results), len(found), result)
    write_text(out / "grades.csv", grades(all_results(out)))
    return Graded([results[submission.key] for submission in found], kept)


def graded(
    waiting: list[tuple[Submission, Assignment]], rules: Rules, jobs: int
) -> Iterator[tuple[Submission, Assignment, dict, str]]:
    """(submission, assignment, record, program), as they come in."""

    def job(submission: Submission, assignment: Assignment) -> dict:
        with suppress(OSError):  # elsewhere than on Linux it ends a little later
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a run that is killed leaves nobody at work
        result, source = grade(submission, assignment, rules)
        return {"result": result, "source": source}

    work = [partial(job, *both) for both in waiting]
    limits = [rules.limit(assignment) for _, assignment in waiting]
    for n, ended in run_forked(work, jobs, limits):
        submission, assignment = waiting[n]
        if ended.answer is None:
            reason = f"grading it was stopped, {ended.trouble}: look at it yourself"
            yield submission, assignment, refused(submission, assignment, rules, reason), ""
        else:
            yield submission, assignment, ended.answer["result"], ended.answer["source"]


def named(result: dict, sources: "Sources") -> dict:
    """The result with the name of the class's assignment: each student of a bug hunt has another source."""
    return result | {"assignment": sources.name}


# -- the assignment, and the folders -------------------------------------------------------------------------


class Sources:
    """The source of an assignment, or of one for each student. Raises UserError for one that cannot be read."""

    def __init__(self, path: Path, students: list[str]):
        self.by_student: dict[str, Assignment] = {}
        if not path.is_dir():
            self.one = self.any = read_assignment(path)
            self.name = self.one.name
            return
        self.one = None
        self.name = path.resolve().parent.name if path.name == "teacher" else path.resolve().name
        files = {alike(file.stem): file for file in sorted(path.glob("*.py"))}
        if not files:
            raise UserError(f"there is no source of an assignment in {path}: expected STUDENT.py for each student")
        for student in students:
            if alike(student) in files:
                self.by_student[alike(student)] = read_assignment(files[alike(student)])
        if not self.by_student:
            raise UserError(
                f"{path} holds a source for none of these students: expected STUDENT.py for each, as "
                f"{students[0]}.py; to grade all with one source, name the file itself"
            )
        self.any = next(iter(self.by_student.values()))

    def of(self, submission: Submission) -> Assignment | None:
        return self.one or self.by_student.get(alike(submission.student)) or self.by_student.get(alike(submission.key))


def alike(name: str) -> str:
    """A name without what differs from one file system to the next."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def refuse_a_folder_in_the_other(submissions: Path, out: Path) -> None:
    """Raises UserError where results would lie among the submissions, or the other way round."""
    one, other = submissions.resolve(), out.resolve()
    if submissions.is_dir() and (other.is_relative_to(one) or one.is_relative_to(other)):
        raise UserError(f"{out} and {submissions} lie in each other: choose a folder of its own with --out")


def refuse_another_assignment(out: Path, name: str) -> None:
    for result in all_results(out):
        if result.get("assignment") != name:
            raise UserError(
                f"{out} holds results of {result.get('assignment')}, not of {name}: choose another folder with --out"
            )
