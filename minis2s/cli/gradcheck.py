"""`minis2s gradcheck FILE.py`: are the backward passes in it right, and if not, where and why?

Functions are found by their names: lstm_forward and lstm_backward are an LSTM (subjects.py). The file
itself is run by student.py.
"""

import argparse
from pathlib import Path

from minis2s.cli.options import positive, whole
from minis2s.cli.student import student_file
from minis2s.cli.subjects import Subject, known_kind, subjects
from minis2s.errors import UserError
from minis2s.files import write_json
from minis2s.gradcheck import Report, gradcheck
from minis2s.gradcheck.checker import SECONDS
from minis2s.gradcheck.html import save_html
from minis2s.gradcheck.kinds import KINDS, Kind
from minis2s.gradcheck.report import DIFFERS, HINTS

NEEDED = ("targets", "ids", "keep_mask", "p")  # of the further arguments; the others may be left out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE.py[:NAME]",
        help="a Python file with KIND_forward and KIND_backward, as lstm_forward; all are checked",
    )
    parser.add_argument(
        "--list", action="store_true", help="show the kinds, with the arguments of their functions"
    )
    what = parser.add_argument_group("what is checked")
    what.add_argument("--kind", metavar="KIND", help="which operation it is, as lstm or gru_step")
    what.add_argument(
        "--name",
        metavar="NAME",
        help="the one to check: NAME_forward and NAME_backward, an Op, a pair or a Layer",
    )
    what.add_argument(
        "--gates", metavar="LETTERS", help="the order in which the gates lie, as ifgo (default: ifog, run)"
    )
    what.add_argument(
        "--reset-before", action="store_true", help="the GRU's reset gate acts before the product with Wh"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--hint", type=int, choices=range(HINTS + 1), default=HINTS, metavar="N",
        help="show 0 the verdict and the numbers of each gradient, 1 also where it is wrong, "
        f"2 what kind of mistake it is and what to do, 3 the formula (default: {HINTS})",
    )  # fmt: skip
    how.add_argument(
        "--fast", action="store_true", help="one random direction for each gradient, not every entry"
    )
    how.add_argument("--seed", type=whole, default=0, metavar="N", help="of the random inputs (default: 0)")
    how.add_argument(
        "--seconds", type=positive, default=SECONDS, metavar="S",
        help=f"stop code that runs longer (default: {SECONDS:g})",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the reports there too")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures of the differences")


def run(args: argparse.Namespace) -> int:
    """The command: 0 when everything is right, 1 when something is wrong or cannot be judged.

    A forward pass that is not that of its kind is wrong too. With --json a file is written also where the
    check cannot be made: for a grader, who reads its `error`.
    """
    if args.list:
        print("\n".join(map(signature, KINDS.values())))
        return 0
    if args.file is None:
        raise UserError("give a FILE.py, or --list to see what can be checked")
    path, name = file_and_name(args.file, args.name)
    kind = args.kind and known_kind(args.kind)
    for out in filter(None, (args.json, args.html)):
        if Path(out).resolve() == path.resolve():
            raise UserError(f"{out} is the file to be checked: choose another name for the result")
    reports: list[Report] = []
    try:
        with student_file(path, args.seconds) as module:
            chosen = subjects(module, path, name, kind)
            forms = [form_of(subject, args, chosen) for subject in chosen]
            for subject, form in zip(chosen, forms, strict=True):
                report = check(subject, form, args)
                print(report if not reports else f"\n{report}", flush=True)
                reports.append(report)
    except UserError as error:
        if args.json:
            write_json(
                args.json,
                [*(r.to_dict() for r in reports), not_checked(name or path.stem, kind, error, args)],
            )
        raise
    if args.json:
        write_json(args.json, [report.to_dict() for report in reports])
    if args.html:
        save_html(reports, args.html, gates=args.gates or "")
    return 0 if all(report.ok and report.forward != DIFFERS for report in reports) else 1


def not_checked(name: str, kind: str | None, error: UserError, args: argparse.Namespace) -> dict:
    """In place of a report, with its keys, what a grader reads about a file that could not be checked."""
    report = Report(name, kind or "", hint=args.hint, seed=args.seed, fast=args.fast)
    return report.to_dict() | {"error": str(error), "summary": str(error)}


def file_and_name(file: str, name: str | None) -> tuple[Path, str | None]:
    """FILE.py:NAME in its two parts; the file's own name may have a colon in it, as C:/lstm.py."""
    before, colon, after = file.rpartition(":")
    if colon and after.isidentifier() and not Path(file).exists():
        if name not in (None, after):
            raise UserError(f"{file} and --name {name} name two things: choose one")
        return Path(before), after
    return Path(file), name


def form_of(subject: Subject, args: argparse.Namespace, chosen: list[Subject]) -> dict:
    """How a pair is laid out. Raises UserError where an option fits nothing that is checked."""
    kinds = [KINDS[s.kind] for s in chosen if s.kind]
    form = {}
    if args.gates is not None:
        if not any(sorted(args.gates) == sorted(kind.gates) for kind in kinds if kind.gates):
            known = (
                " or ".join(dict.fromkeys(f"{k.gates} in any order" for k in kinds if k.gates))
                or "there are none"
            )
            raise UserError(f"--gates {args.gates} does not fit the gates of what is checked: {known}")
        if subject.kind and sorted(args.gates) == sorted(KINDS[subject.kind].gates):
            form["gates"] = args.gates
    if args.reset_before:
        if not any(kind.name.startswith("gru") for kind in kinds):
            raise UserError("--reset-before is for a gru, and none is checked")
        if subject.kind and subject.kind.startswith("gru"):
            form["reset_after"] = False
    return form


def check(subject: Subject, form: dict, args: argparse.Namespace) -> Report:
    settings = {"hint": args.hint, "fast": args.fast, "seed": args.seed, "seconds": args.seconds}
    try:
        return gradcheck(subject.thing, kind=subject.kind, **form, **settings)
    except UserError as error:
        raise UserError(f"{subject.name}: {error}") from error


def signature(kind: Kind) -> str:
    """A kind as its two functions, with shapes."""

    def shaped(name: str, axes: str) -> str:
        return f"{name} ({', '.join(axes)})" if axes else name

    def together(names: list[str]) -> str:
        return names[0] if len(names) == 1 else f"({', '.join(names)})"

    needed = [name for name in kind.extras if name in NEEDED]
    optional = "".join(f"[, {name}]" for name in kind.extras if name not in NEEDED)
    arguments = ", ".join([*(shaped(*item) for item in kind.arguments.items()), *needed]) + optional
    outs = together([shaped(*item) for item in kind.outs.items()])
    upstream, gradients = (together([f"d{n}" for n in names]) for names in (kind.outs, kind.arguments))
    lines = [
        kind.name,
        f"    {kind.name}_forward({arguments}) -> ({outs}, cache)",
        f"    {kind.name}_backward({upstream}, cache) -> {gradients}",
    ]
    if kind.gates:
        letters = ", ".join(kind.gates)
        lines.append(
            f"    G = {len(kind.gates)} H: the gates {letters} side by side (another order: --gates)"
        )
    return "\n".join(lines)
