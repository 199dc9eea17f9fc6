"""`minis2s class bughunt`: for each student code with another planted bug, to find, to explain and to mend."""

import argparse
from collections.abc import Iterator

from tqdm import tqdm

from minis2s.classroom.bughunt import make
from minis2s.classroom.bughunt_bugs import TASKS
from minis2s.cli.machine import program


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, choices=tuple(TASKS), help="the code that the bugs are planted into")
    parser.add_argument(
        "--students", required=True, metavar="LIST.csv", help="the class: a line for each student, with a name or an id"
    )
    parser.add_argument("--seed", required=True, metavar="S", help="a number or a phrase; the same gives the same set")
    parser.add_argument("--to", metavar="DIR", help="the folder to fill (default: bughunt-TASK)")


def run(args: argparse.Namespace) -> int:
    """The command: make the hunts, and say what to hand out and what to keep."""

    def progress(students: list) -> Iterator:
        return iter(tqdm(students, unit="student", disable=None, leave=False, dynamic_ncols=True))

    hunt = make(args.task, args.students, args.seed, args.to or f"bughunt-{args.task}", progress)
    print(hunt)
    print(f"grade with: {program()} class grade SUBMISSIONS --assignment {hunt.folder / 'teacher'} --out DIR")
    return 0
