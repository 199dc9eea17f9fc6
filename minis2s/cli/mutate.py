"""`minis2s mutate`: plant known bugs, one at a time, and see whether a check notices them.

The check is a file or folder of tests, a function that judges one forward and backward pair, or, if
nothing is named, the gradient checker of minis2s itself.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from minis2s.cli.machine import usable_cores
from minis2s.cli.options import count, positive
from minis2s.cli.words import counted, did_you_mean
from minis2s.errors import UserError
from minis2s.files import write_json
from minis2s.gradcheck.mutants import MUTANTS, Mutant, by_area
from minis2s.gradcheck.mutate import Result, mutate_checker, mutate_pair, mutate_tests


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("the check (default: the gradient checker of minis2s)")
    what.add_argument("--tests", metavar="PATH", help="a file or folder of pytest tests of minis2s")
    what.add_argument(
        "--check",
        metavar="FILE.py:NAME",
        help="a function NAME(op) that raises, or returns False, when it finds the operation wrong",
    )
    what.add_argument("--kind", metavar="KIND", help="with --check: which operation it judges, as lstm or gru_step")
    parser.add_argument("--only", metavar="TEXT", help="plant only bugs whose name contains TEXT, as lstm/ or mask")
    parser.add_argument(
        "--part", type=part, default=(1, 1), metavar="K/N", help="plant every N-th bug only, from the K-th on, as 2/3"
    )
    parser.add_argument("--list", action="store_true", help="show the bugs and plant none")
    parser.add_argument("--jobs", type=count, metavar="N", help="try N bugs at once (default: the cores)")
    parser.add_argument("--json", metavar="FILE", help="write the result into FILE as well")
    parser.add_argument(
        "--timeout",
        type=positive,
        metavar="S",
        help="seconds for each bug, after which it counts as noticed (default: from the check's own time)",
    )


def part(text: str) -> tuple[int, int]:
    """K/N, with K from 1 to N."""
    first, _, step = text.partition("/")
    if not (first.isdecimal() and step.isdecimal() and 1 <= int(first) <= int(step)):
        raise argparse.ArgumentTypeError(f"must be K/N with K from 1 to N, as 2/3, got {text!r}")
    return int(first), int(step)


def run(args: argparse.Namespace) -> int:
    """The command: 0 when every bug was noticed, 1 when some live."""
    first, step = args.part
    mutants = chosen(args.only)[first - 1 :: step]
    if not mutants:
        raise UserError(f"--part {first}/{step} leaves no bug to plant: there are fewer than {first}")
    if args.list:
        show(mutants)
        return 0
    if args.tests and args.check:
        raise UserError("--tests and --check name two checks: choose one")
    if bool(args.check) != bool(args.kind):
        raise UserError("--check and --kind belong together: --check FILE.py:NAME --kind lstm")
    if args.check:  # before anything takes time
        check = load_check(args.check)
    options = {"jobs": args.jobs or usable_cores(), "limit": args.timeout}
    with tqdm(total=len(mutants), unit="bug", disable=None, leave=False) as bar:

        def progress(done: int, total: int, result: Result) -> None:
            bar.total, bar.n = total, done
            bar.set_description(result.mutant.name[:40], refresh=False)
            bar.refresh()

        options["progress"] = progress
        if args.tests:
            score = mutate_tests(args.tests, mutants, **options)
        else:
            measure = partial(mutate_pair, check, args.kind) if args.check else mutate_checker
            score = measure(mutants, **{name: x for name, x in options.items() if x is not None})
    print(score)
    if args.json:
        write_json(Path(args.json), score.as_json())
    return 1 if score.survivors else 0


def chosen(text: str | None) -> list[Mutant]:
    """The mutants whose name contains the text. Raises UserError when there is none."""
    found = [m for m in MUTANTS.values() if text is None or text.lower() in m.name.lower()]
    if not found:
        guess = did_you_mean(text, {*by_area, *MUTANTS, *(name.split("/")[0] for name in MUTANTS)})
        raise UserError(f"no planted bug has {text!r} in its name{guess} (see minis2s mutate --list)")
    return found


def show(mutants: list[Mutant]) -> None:
    for mutant in mutants:
        print(f"{mutant.name}\n    {mutant.says}")
    print(counted(len(mutants), "planted bug"))


def load_check(where: str) -> Callable:
    """The function that FILE.py:NAME names. Raises UserError when it cannot be had."""
    path, _, name = where.rpartition(":")
    if not path or not name:
        raise UserError(f"--check needs FILE.py:NAME, got {where!r}")
    if not Path(path).is_file():
        raise UserError(f"cannot read {path}: there is no such file")
    spec = importlib.util.spec_from_file_location("the_check", path)
    if spec is None:
        raise UserError(f"{path} is no Python file: --check needs FILE.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))  # it may import what lies beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(
            f"{path} cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    finally:
        sys.path.pop(0)
    check = getattr(module, name, None)
    if not callable(check):
        functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UserError(f"{path} has no function {name!r}{did_you_mean(name, functions)}")
    return check
