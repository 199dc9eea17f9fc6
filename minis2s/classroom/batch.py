"""Grading a class: every submission in a process of its own, so many at once; what is done already is kept.

A submission that breaks its process is reported like any other. Results are written here, in the parent, as
each comes in, so that a run that was killed goes on where it stopped.
"""

import os
import signal
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from minis2s.classroom.box import available_layers
from minis2s.classroom.box.inside.linux import PR_SET_PDEATHSIG, prctl
from minis2s.classroom.feedback import REVIEW
from minis2s.classroom.grade import SECONDS, Rules, grade, record, refused
from minis2s.classroom.handed_in import clean
from minis2s.classroom.intake import Submission, find
from minis2s.classroom.results import all_results, earlier, grades, is_done, make_folders, save, with_history
from minis2s.classroom.source import Assignment, read_assignment
from minis2s.errors import UserError
from minis2s.files import read_json, write_text
from minis2s.forked import run_forked

TRIES = 20  # for the folder, a tenth of a second each: a run that was just killed needs a moment to end
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
    another assignment, cannot be written or is in use by another run, or the layers are too few.
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
    with alone(out) as lock:
        refuse_another_assignment(out, sources.name)
        return grade_into(out, found, sources, rules, jobs, again, progress, lock)


def grade_into(
    out: Path,
    found: list[Submission],
    sources: "Sources",
    rules: Rules,
    jobs: int,
    again: bool,
    progress: Progress | None,
    lock: int,
) -> Graded:
    """Grade what is not done yet, and write each result as it comes in. lock: what `alone` gave."""
    before = {s.key: earlier(out, s.key) for s in found}
    results: dict[str, dict] = {}
    waiting: list[tuple[Submission, Assignment]] = []
    kept = 0
    for submission in found:
        own = sources.of(submission)
        wanted = named(record(submission, own or sources.any, rules), sources)
        if not again and is_done(before[submission.key], wanted):
            results[submission.key] = before[submission.key]
            kept += 1
        elif own is None:
            reason = (
                f"there is no assignment for {submission.student} in {sources.path}: name the file, or its folder, "
                "after the student"
            )
            results[submission.key] = named(refused(submission, sources.any, rules, reason), sources)
            save(out, with_history(results[submission.key], before[submission.key]), "", sources.any.title)
        else:
            waiting.append((submission, own))
    if progress and results:
        progress(len(results), len(found), {})
    for submission, own, result, source in graded(waiting, rules, jobs, lock):
        result = with_history(named(result, sources), before[submission.key])
        save(out, result, source, own.title)
        results[submission.key] = result
        if progress:
            progress(len(results), len(found), result)
    write_text(out / "grades.csv", grades(all_results(out)))
    return Graded([results[submission.key] for submission in found], kept)


def graded(
    waiting: list[tuple[Submission, Assignment]], rules: Rules, jobs: int, lock: int
) -> Iterator[tuple[Submission, Assignment, dict, str]]:
    """(submission, assignment, record, program), as they come in."""

    def job(submission: Submission, assignment: Assignment) -> dict:
        os.close(lock)  # who outlives a run that was killed must not keep the next one out
        with suppress(OSError):  # elsewhere than on Linux it ends a little later
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a run that is killed leaves nobody at work
        result, source = grade(submission, assignment, rules)
        return {"result": result, "source": source}

    work = [partial(job, *both) for both in waiting]
    limits = [rules.limit(assignment) for _, assignment in waiting]
    for n, ended in run_forked(work, jobs, limits):
        submission, assignment = waiting[n]
        if ended.answer is None:
            result = refused(submission, assignment, rules, "grading it was stopped: your teacher looks at it")
            note = f"{REVIEW}grading it was stopped, {clean(ended.trouble)}; the next run tries again"
            yield submission, assignment, result | {"stopped": True, "notes": [*result["notes"], note]}, ""
        else:
            yield submission, assignment, ended.answer["result"], ended.answer["source"]


def named(result: dict, sources: "Sources") -> dict:
    """The result with the name of the class's assignment: each student of a bug hunt has another source."""
    return result | {"assignment": sources.name}


# -- the assignment, and the folders -------------------------------------------------------------------------


class Sources:
    """The source of an assignment, or of one for each student. Raises UserError for one that cannot be read."""

    def __init__(self, path: Path, students: list[str]):
        self.path = path
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
            # an LMS may write the id behind the name
            own = next((files[name] for name in (alike(student), alike(student.rpartition("_")[2])) if name in files), None)
            if own is not None:
                self.by_student[student] = read_assignment(own)
        if not self.by_student:
            raise UserError(
                f"{path} holds a source for none of these students: expected STUDENT.py for each, as "
                f"{students[0]}.py; to grade all with one source, name the file itself"
            )
        self.any = next(iter(self.by_student.values()))

    def of(self, submission: Submission) -> Assignment | None:
        return self.one or self.by_student.get(submission.student)


def alike(name: str) -> str:
    """A name without what differs from one file system to the next."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def refuse_a_folder_in_the_other(submissions: Path, out: Path) -> None:
    """Raises UserError where results would lie among the submissions, or the other way round."""
    one, other = submissions.resolve(), out.resolve()
    if submissions.is_dir() and (other.is_relative_to(one) or one.is_relative_to(other)):
        raise UserError(f"{out} and {submissions} lie in each other: choose a folder of its own with --out")


def refuse_another_assignment(out: Path, name: str) -> None:
    """Raises UserError where `out` holds results of another one."""
    for path in sorted((out / "results").glob("*.json")):
        try:
            result = read_json(path)
        except UserError:
            continue  # a damaged one is graded again, or told of when the table is made
        other = result.get("assignment", name) if isinstance(result, dict) else name
        if other != name:
            raise UserError(f"{out} holds results of {other}, not of {name}: choose another folder with --out")


@contextmanager
def alone(out: Path) -> Iterator[int]:
    """One run at a time in a folder, as two would mix their results; gives what is to be closed in a forked process.

    Raises UserError while another one is there.
    """
    try:
        import fcntl
    except ImportError:  # on Windows, of which run_forked says that it cannot be graded there
        yield -1
        return
    lock = os.open(out, os.O_RDONLY)
    try:
        for tries_left in reversed(range(TRIES)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not tries_left:
                    raise UserError(
                        f"another run is grading into {out}: wait until it has ended, or choose another folder with --out"
                    ) from None
                time.sleep(0.1)
            except OSError:  # a file system without locks
                break
        yield lock
    finally:
        os.close(lock)
