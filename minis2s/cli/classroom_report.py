"""`minis2s class report`: what the class got wrong, as a page and a table."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from minis2s.classroom.report import read_results, save_report
from minis2s.classroom.report_words import LANGUAGES
from minis2s.classroom.similarity import THRESHOLD
from minis2s.classroom.source import Assignment, assignments, empty, read_assignment
from minis2s.cli.options import share
from minis2s.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="the folder that minis2s class grade ... --out DIR has filled"
    )
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of the page (default en)")
    parser.add_argument(
        "--assignment",
        metavar="SOURCE",
        help="the source of the assignment, or a bug hunt's folder of sources: what it hands out is not compared "
        "(default: the assignment of that name in this clone)",
    )
    parser.add_argument(
        "--alike",
        type=share,
        default=THRESHOLD,
        metavar="0..1",
        help=f"list programs that have this share of their own in common (default {THRESHOLD:g})",
    )


def run(args: argparse.Namespace) -> int:
    """The command: read, count, write two files, and say where they are."""
    sources = sources_of(args.assignment, read_results(args.folder)[0]["assignment"])
    title = sources[0].title.get(args.lang, "") if len(sources) == 1 else ""
    page, table = save_report(
        args.folder,
        lang=args.lang,
        title=title,
        handed_out=[empty(source) for source in sources] or None,
        threshold=args.alike,
    )
    print(f"{page}  for the teacher's browser; it has students' names and code in it")
    print(f"{table}  a line for each student")
    return 0


def sources_of(given: str | None, name: str) -> Sequence[Assignment]:
    """The assignment that was graded; of a bug hunt one for each student; none where it is not known."""
    if given is None:
        try:
            known = assignments()
        except UserError:  # an installed minis2s has no assignments: the page says that it does not know
            return []
        return [read_assignment(known[name])] if name in known else []
    paths = sorted(Path(given).glob("*.py")) if Path(given).is_dir() else [Path(given)]
    if not paths:
        raise UserError(
            f"there is no source of an assignment in {given}: expected STUDENT.py for each student"
        )
    return [read_assignment(path) for path in paths]
