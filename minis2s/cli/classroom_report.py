"""`minis2s class report`: one page and one table on a class that has been graded."""

import argparse

from minis2s.classroom.report import save_report
from minis2s.classroom.source import empty, read_assignment
from minis2s.cli.options import share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="the folder that minis2s class grade has written")
    parser.add_argument(
        "--assignment",
        metavar="SOURCE",
        help="the source of the assignment: for its title, and so that what all were given does not count as alike",
    )
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="the language of the page (default en)")
    parser.add_argument(
        "--alike", type=share, metavar="0..1", help="list programs that have this share of their own in common"
    )


def run(args: argparse.Namespace) -> int:
    """The command: write both, and say where they are."""
    options = {"lang": args.lang} | ({} if args.alike is None else {"threshold": args.alike})
    if args.assignment:
        assignment = read_assignment(args.assignment)
        options |= {"title": assignment.title.get(args.lang, ""), "handed_out": empty(assignment)}
    for path in save_report(args.folder, **options):
        print(path)
    return 0
