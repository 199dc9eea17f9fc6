"""`minis2s class grade`: a folder of submissions in, marks and feedback out."""

import argparse
import sys

from tqdm import tqdm

from minis2s.classroom.batch import Graded, grade_class
from minis2s.classroom.feedback import GRADED, REVIEW
from minis2s.classroom.grade import SECONDS
from minis2s.classroom.handed_in import clean
from minis2s.cli.machine import program
from minis2s.cli.options import count, positive
from minis2s.cli.words import counted

WIDEST = 60  # characters of a reason in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "submissions", metavar="SUBMISSIONS", help="a folder (or a zip) of notebooks, .py files, zips or students' folders"
    )
    parser.add_argument(
        "--assignment",
        metavar="SOURCE",
        required=True,
        help="the source of the assignment, or a folder with a source STUDENT.py for each student (a bug hunt's)",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="the folder for marks and feedback")
    parser.add_argument(
        "--official", action="store_true", help="refuse to grade where only limits stand between students and this machine"
    )
    parser.add_argument("--jobs", type=count, default=2, metavar="N", help="grade N submissions at once (default 2)")
    parser.add_argument(
        "--hint",
        type=int,
        choices=range(4),
        default=2,
        metavar="0..3",
        help="what students are told of a mistake: 1 where, 2 what kind (default), 3 the formula; 0 nothing",
    )
    parser.add_argument("--again", action="store_true", help="grade also what has not changed since it was graded")
    parser.add_argument(
        "--seconds", type=positive, default=SECONDS, metavar="S", help=f"for a call of a function (default {SECONDS:g})"
    )


def run(args: argparse.Namespace) -> int:
    """The command: grade, and show the class."""
    with tqdm(unit="student", disable=None, leave=False, dynamic_ncols=True) as bar:

        def progress(done: int, total: int, result: dict) -> None:
            bar.total, bar.n = total, done
            bar.set_description(clean(result.get("student", ""))[:20], refresh=False)
            bar.refresh()

        graded = grade_class(
            args.submissions,
            args.assignment,
            args.out,
            official=args.official,
            jobs=args.jobs,
            hint=args.hint,
            again=args.again,
            seconds=args.seconds,
            progress=progress,
        )
    show(graded, args.out)
    return 0


def show(graded: Graded, out: str) -> None:
    """The class as a table, what there is to look at, and where it all is."""
    width = max((len(name_of(result)) for result in graded.results), default=0)
    for result in graded.results:
        marks = f"{result['score']:g}/{result['points']:g}" if result["status"] == GRADED else "refused"
        print(f"{name_of(result):<{width}}  {marks:>8}  {in_short(result)}".rstrip())
    results = graded.results
    refused = sum(result["status"] != GRADED for result in results)
    kept = f", {graded.kept} of them before" if graded.kept else ""
    print(f"{counted(len(results), 'submission')}: {len(results) - refused} graded, {refused} refused{kept}")
    print(f"layers: {', '.join(results[0]['layers'])}; marks in {out}/grades.csv, pages for students in {out}/feedback")
    for result in results:
        for note in result["notes"]:
            if note.startswith(REVIEW):
                print(f"minis2s: look at {name_of(result)}: {note.removeprefix(REVIEW)}", file=sys.stderr)
    print(f"next: {program()} class report {out}")


def name_of(result: dict) -> str:
    return clean(result["student"])[:30]


def in_short(result: dict) -> str:
    """Why it was refused, or the tasks in which something is wrong."""
    if result["status"] != GRADED:
        said = clean(result["reason"])
    else:
        wrong = [task for task in result["tasks"] if task["score"] < task["points"]]
        said = ", ".join(f"{task['task']} {task['score']:g}/{task['points']:g}" for task in wrong)
    return said if len(said) <= WIDEST else f"{said[: WIDEST - 3]}..."
