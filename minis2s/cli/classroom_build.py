"""`minis2s class build`: everything that is handed out of an assignment, and the teacher's copy."""

import argparse
from pathlib import Path

from minis2s.classroom.build import HINT, build
from minis2s.classroom.source import assignments
from minis2s.cli.words import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", nargs="?", help="the source of an assignment, as lessons/assignments/4_lstm.py"
    )
    parser.add_argument("--to", metavar="DIR", help="the folder to fill (default: the name of the assignment)")
    parser.add_argument(
        "--hint",
        type=int,
        choices=range(4),
        default=HINT,
        metavar="0..3",
        help=f"up to which level the students' own gradient check speaks (default {HINT})",
    )
    parser.add_argument("--list", action="store_true", help="show the assignments that there are, and build nothing")


def run(args: argparse.Namespace) -> int:
    """The command: build, and say what is what."""
    if args.list or args.source is None:
        for name, path in assignments().items():
            print(f"{name:<26}{path}")
        return 0
    to = args.to or Path(args.source).stem
    built = build(args.source, to, hint=args.hint)
    width = max(len(path) for path, _ in built.files)
    for path, says in built.files:
        print(f"{path:<{width}}  {says}")
    kept = f", {built.unchanged} as before" if built.unchanged else ""
    print(f"{built.folder}: {counted(len(built.files), 'file')}{kept}; {built.assignment.points:g} points")
    return 0
