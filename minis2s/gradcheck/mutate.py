"""How sharp is a check? Plant the bugs of the catalogue, one at a time, and see which it notices.

`mutate` asks any Python function, `mutate_pair` a check of one forward and backward pair, `mutate_tests`
a file or folder of pytest tests. What lives is reported with the blind spot that let it live: the
circumstances that it needs to show, measured where that is possible.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from minis2s.errors import UserError
from minis2s.functional import OPS
from minis2s.gradcheck.mutants.forked import Ended, run_forked
from minis2s.gradcheck.mutants.mutant import Mutant, mutated_op, planted, target_function
from minis2s.gradcheck.mutants.situations import (
    MODELS,
    WEAKNESSES,
    hidden_by,
    shows,
    situations,
    tiny_model,
)
from minis2s.op import Op

LIMIT = 60.0  # seconds for one check of one mutant; tests have a limit from their own time
Progress = Callable[[int, int, "Result"], None]  # (how many are done, of how many, the latest)


class Result(NamedTuple):
    """What became of one mutant."""

    mutant: Mutant
    killed: bool
    how: str  # who noticed it, or why it counts as noticed
    seconds: float


@dataclass
class Score:
    """What a check noticed of the bugs that were planted."""

    results: list[Result]
    seconds: float = 0.0

    @property
    def kills(self) -> list[Mutant]:
        return [result.mutant for result in self.results if result.killed]

    @property
    def survivors(self) -> list[Mutant]:
        return [result.mutant for result in self.results if not result.killed]

    @cached_property
    def blind_spots(self) -> dict[str, str]:
        """Of each survivor, by name, what let it live; measured when first asked for."""
        return {mutant.name: blind_spot(mutant) for mutant in self.survivors}

    def __str__(self) -> str:
        total, kills = len(self.results), len(self.kills)
        lines = [f"{kills} of {total} planted bugs noticed ({percent(kills, total)}) in {self.seconds:.0f} s"]
        for mutant in self.survivors:
            lines += [f"  lives: {mutant.name}", f"    {mutant.says}", f"    {self.blind_spots[mutant.name]}"]
        return "\n".join(lines)

    def as_json(self) -> dict:
        return {
            "planted": len(self.results),
            "noticed": len(self.kills),
            "seconds": self.seconds,
            "mutants": [
                {
                    "name": r.mutant.name,
                    "target": r.mutant.target,
                    "says": r.mutant.says,
                    "cause": r.mutant.cause,
                    "killed": r.killed,
                    "how": r.how,
                    "seconds": r.seconds,
                    "blind_spot": None if r.killed else self.blind_spots[r.mutant.name],
                }
                for r in self.results
            ],
        }


def percent(part: int, whole: int) -> str:
    """Rounded down: 99.9 % is not all of it."""
    return f"{int(1000 * part / whole) / 10 if whole else 0:.1f} %"


# -- the blind spot ----------------------------------------------------------------------------------


def blind_spot(mutant: Mutant) -> str:
    """One sentence: what a check lacks that does not notice this mutant."""
    if mutant.about != "backward":
        if mutant.hidden_when:
            return f"it does not show where {mutant.hidden_when}: is that so in the check?"
        return "nothing is known that hides it: the check does not look at what it changes"
    seen = shows(mutant)
    needs = [WEAKNESSES[weakness] for weakness in hidden_by(mutant)]
    where = ""
    if not mutant.op and len(seen) < len(situations(mutant, None)):
        where = f"it shows in these models: {'; '.join(seen)}; "
    if needs:
        return f"{where}it shows only with {' and with '.join(needs)}: the check seems to have none"
    blocks = sorted({block.removesuffix(" in a second call") for wrong in seen.values() for block in wrong})
    shown = ", ".join(blocks[:6]) + (", ..." if len(blocks) > 6 else "")
    return f"{where}it shows in any situation ({shown} wrong): the check does not look there, or tolerates too much"


# -- checks that are functions --------------------------------------------------------------------------


def mutate(
    check: Callable[[], object],
    mutants: Iterable[Mutant],
    *,
    jobs: int = 1,
    limit: float = LIMIT,
    progress: Progress | None = None,
) -> Score:
    """Run `check()` with each mutant planted; it notices by raising anything, or by returning False.

    Raises UserError when the check fails without any mutant.
    """

    def with_mutant(mutant: Mutant) -> dict:
        with planted(mutant):
            return asked(check)

    refuse_broken(check)
    return score_of([(m, partial(with_mutant, m)) for m in mutants], jobs, limit, progress)


def mutate_pair(
    check: Callable[[Op], object],
    kind: str,
    mutants: Iterable[Mutant],
    *,
    jobs: int = 1,
    limit: float = LIMIT,
    progress: Progress | None = None,
) -> Score:
    """Run `check(op)` on the operation `kind` with each of its bugs, beside the right one.

    Mutants that are in no operation `kind`, or not in one of its two functions, are passed over.

    Raises UserError when the check fails on the right operation, or there is no bug of that kind.
    """
    if kind not in OPS:
        raise UserError(f"unknown kind {kind!r}: choose one of {', '.join(OPS)}")
    op = OPS[kind]
    chosen = [m for m in mutants if m.op == kind and target_function(m.target) is op.backward]
    if not chosen:
        raise UserError(f"there is no planted bug of the operation {kind!r} among those chosen")
    refuse_broken(partial(check, op))
    work = [(m, partial(asked, partial(check, mutated_op(m)))) for m in chosen]
    return score_of(work, jobs, limit, progress)


def checker_check(mutant: Mutant) -> bool:
    """Whether the engine's own gradient checker finds nothing wrong with a mutant.

    A bug of an operation is looked for in that operation alone, one between operations in tiny models.
    """
    from minis2s.gradcheck import gradcheck

    with planted(mutant):
        if not mutant.op:
            return all(gradcheck(tiny_model(name), fast=True).ok for name in MODELS)
        forms = ({"reset_after": True}, {"reset_after": False}) if mutant.op.startswith("gru") else ({},)
        return all(gradcheck(OPS[mutant.op], **form).ok for form in forms)


def mutate_checker(
    mutants: Iterable[Mutant], *, jobs: int = 1, limit: float = LIMIT, progress: Progress | None = None
) -> Score:
    """The engine's own gradient checker on every backward mutant."""
    work = [(m, partial(asked, partial(checker_check, m))) for m in mutants if m.about == "backward"]
    return score_of(work, jobs, limit, progress)


def asked(check: Callable[[], object]) -> dict:
    try:
        answer = check()
    except BaseException as error:  # noqa: BLE001 -- it noticed, in whatever way
        return {"killed": True, "how": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    return {"killed": answer is False, "how": "it returned False" if answer is False else "not noticed"}


def refuse_broken(check: Callable[[], object]) -> None:
    answer = asked(check)
    if answer["killed"]:
        raise UserError(
            f"the check fails on the right code already ({answer['how']}): mend it before its sharpness is measured"
        )


def score_of(
    work: Sequence[tuple[Mutant, Callable[[], dict]]], jobs: int, limit: float, progress: Progress | None
) -> Score:
    began = time.monotonic()
    results: dict[int, Result] = {}
    for n, ended in run_forked([job for _, job in work], jobs, [limit] * len(work)):
        results[n] = judged(work[n][0], ended)
        if progress is not None:
            progress(len(results), len(work), results[n])
    return Score([results[n] for n in range(len(work))], time.monotonic() - began)


def judged(mutant: Mutant, ended: Ended) -> Result:
    """A job without an answer counts as noticed: a hanging or dying check does not pass."""
    if ended.answer is None:
        return Result(mutant, True, ended.trouble, ended.seconds)
    return Result(mutant, ended.answer["killed"], ended.answer["how"], ended.seconds)


# -- checks that are pytest files -----------------------------------------------------------------------


def mutate_tests(
    path: str | Path,
    mutants: Sequence[Mutant],
    *,
    jobs: int = 1,
    limit: float | None = None,
    progress: Progress | None = None,
) -> Score:
    """Run the tests in `path`, a file or a folder, against each mutant.

    In a folder that mirrors the package (functional/, nn/, ..., test_optim.py), the tests that mirror
    the mutant's file come first, the quickest file first; all others only if these let it live.
    limit: seconds for each mutant and part; without it ten times what the right code takes, 30 at least.

    It runs pytest in this process once, to have everything imported, so call it from a process that is
    not itself a pytest run.

    Raises UserError when there are no tests, or when they fail without any mutant.
    """
    began = time.monotonic()
    path = Path(path)
    files = test_files(path)
    near = {m.target.split(":")[0].split(".")[0]: [] for m in mutants}
    for home in near:
        mirrored = [f for f in files if f == path / f"test_{home}.py" or (path / home) in f.parents]
        near[home] = mirrored or files
    results: dict[str, Result] = {}
    seconds: dict[Path, float] = {}
    with TemporaryDirectory() as folder:
        # failing examples must not be found again by the next, honest run
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        for stage in (near, {home: [f for f in files if f not in near[home]] for home in near}):
            living = [m for m in mutants if m.name not in results or not results[m.name].killed]
            wanted = sorted({f for m in living for f in stage[m.target.split(":")[0].split(".")[0]]})
            if not wanted:
                continue
            run_pytest(["--collect-only", *map(str, wanted)])
            seconds |= baseline(wanted, jobs, limit, folder)
            work, limits = [], []
            for m in living:
                mine = sorted(stage[m.target.split(":")[0].split(".")[0]], key=seconds.__getitem__)
                work.append(partial(tests_notice, m, mine, folder))
                limits.append(limit or max(30.0, 10 * sum(seconds[f] for f in mine)))
            for n, ended in run_forked(work, jobs, limits):
                results[living[n].name] = judged(living[n], ended)
                if progress is not None:
                    done = sum(r.killed for r in results.values())
                    progress(done, len(mutants), results[living[n].name])
    return Score([results[m.name] for m in mutants], time.monotonic() - began)


def test_files(path: Path) -> list[Path]:
    """The test files in `path`, without those that plant mutants themselves."""
    if not path.exists():
        raise UserError(f"there are no tests at {path}: name a file or folder of pytest tests")
    if path.is_file():
        return [path]
    files = [f for f in sorted(path.rglob("test_*.py")) if "gradcheck.mutants" not in f.read_text("utf-8")]
    if not files:
        raise UserError(f"there is no test_*.py in {path}")
    return files


def baseline(files: list[Path], jobs: int, limit: float | None, folder: str) -> dict[Path, float]:
    """How many seconds each file takes on the right code. Raises UserError when one does not pass."""
    work = [partial(tests_notice, None, [f], folder) for f in files]
    seconds = {}
    for n, ended in run_forked(work, jobs, [limit or 600.0] * len(work)):
        answer = ended.answer or {"killed": True, "how": ended.trouble}
        if answer["killed"]:
            raise UserError(
                f"{files[n]} fails without any planted bug already ({answer['how']}): mend it first, "
                "or nothing can be learned from its failures"
            )
        seconds[files[n]] = ended.seconds
    return seconds


class FirstFailure:
    """A pytest plugin that remembers the first test that failed."""

    def __init__(self):
        self.name = ""

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid

    pytest_collectreport = pytest_runtest_logreport


def tests_notice(mutant: Mutant | None, files: list[Path], folder: str) -> dict:
    """Run the files one after the other until a test fails."""

    def run() -> dict:
        for file in files:
            first = FirstFailure()
            code = run_pytest(["-x", f"--basetemp={folder}/{os.getpid()}", str(file)], first)
            if code == 2 and not first.name:  # interrupted by the test itself
                return {"killed": True, "how": f"{file} was interrupted"}
            if code not in (0, 5):  # 5: no test in the file
                return {"killed": True, "how": first.name or f"pytest ended with code {code} on {file}"}
        return {"killed": False, "how": "not noticed"}

    if mutant is None:
        return run()
    with planted(mutant):
        return run()


def run_pytest(arguments: list[str], *plugins) -> int:
    """pytest in this process, without a word; its exit code."""
    try:
        import pytest
    except ImportError as error:
        raise UserError("running tests needs pytest: pip install pytest") from error
    from contextlib import redirect_stderr, redirect_stdout

    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=list(plugins)))
