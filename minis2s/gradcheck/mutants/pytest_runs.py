"""Tests of pytest against the planted bugs: each bug in a forked process, the likeliest tests first.

pytest collects the tests once. What would be its run of them is replaced by one run for each bug, in a child
that has everything imported and stops at the first test that fails.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest import mock

from minis2s.errors import UserError
from minis2s.forked import run_forked
from minis2s.gradcheck.mutants.mutant import Mutant, planted
from minis2s.gradcheck.mutants.score import Progress, Result, Score, judged

if TYPE_CHECKING:
    import pytest

# in the text of a test file: it plants mutants itself, or tests other processes, where none is planted
LEFT_OUT = ("gradcheck.mutants", "mutate: not this file")


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
    A file with the words "mutate: not this file" is left out.
    limit: seconds for each mutant and part; without it ten times what the right code takes, 30 at least.

    It runs pytest in this process, so call it from a process that is not itself a pytest run.

    Raises UserError when there are no tests, or when they fail without any mutant.
    """
    began = time.monotonic()
    path = Path(path)
    files = test_files(path)
    near = {home_of(m): mirrored(path, files, home_of(m)) for m in mutants}
    far = {home: [f for f in files if f not in near[home]] for home in near}
    results: dict[str, Result] = {}

    def took(result: Result) -> None:
        results[result.mutant.name] = result
        if progress is not None:
            progress(sum(r.killed for r in results.values()), len(mutants), result)

    with TemporaryDirectory() as folder:
        # failing examples must not be found again by the next, honest run; nor is what children leave to stay
        folders = {"HYPOTHESIS_STORAGE_DIRECTORY": folder, "PYTEST_DEBUG_TEMPROOT": folder}
        with mock.patch.dict(os.environ, folders):
            for stage in (near, far):
                living = [m for m in mutants if m.name not in results or not results[m.name].killed]
                living = [m for m in living if stage[home_of(m)]]
                if living:
                    try_all(living, stage, jobs, limit, took)
    return Score([results[m.name] for m in mutants], time.monotonic() - began)


def home_of(mutant: Mutant) -> str:
    """The part of the package that the mutant is in: "functional", "optim"."""
    return mutant.target.split(":")[0].split(".")[0]


def mirrored(path: Path, files: list[Path], home: str) -> list[Path]:
    """The files that mirror this part of the package; all where there are none."""
    return [f for f in files if f == path / f"test_{home}.py" or path / home in f.parents] or files


def test_files(path: Path) -> list[Path]:
    """The test files in `path`, without those that are `LEFT_OUT`."""
    if not path.exists():
        raise UserError(f"there are no tests at {path}: name a file or folder of pytest tests")
    if path.is_file():
        return [path]
    texts = {f: f.read_text("utf-8") for f in sorted(path.rglob("test_*.py"))}
    files = [f for f, text in texts.items() if not any(words in text for words in LEFT_OUT)]
    if not files:
        raise UserError(f"there is no test_*.py in {path}")
    return files


def try_all(
    mutants: Sequence[Mutant],
    files_for: dict[str, list[Path]],
    jobs: int,
    limit: float | None,
    took: Callable[[Result], None],
) -> None:
    """Try each mutant on the files for its home; `took` gets the results as they come."""

    def loop(tests: "Tests") -> None:
        seconds = baseline(tests, jobs, limit)
        ordered = {home: sorted(files_for[home], key=seconds.get) for home in map(home_of, mutants)}
        killers: dict[str, Counter[str]] = {m.target: Counter() for m in mutants}
        work = [partial(tests.notice, m, ordered[home_of(m)], killers) for m in mutants]
        limits = [limit or max(30.0, 10 * sum(seconds[f] for f in ordered[home_of(m)])) for m in mutants]
        for n, ended in run_forked(work, jobs, limits):
            if ended.answer and ended.answer["killed"]:
                killers[mutants[n].target][ended.answer["how"]] += 1
            took(judged(mutants[n], ended))

    wanted = sorted({f for m in mutants for f in files_for[home_of(m)]})
    Tests(wanted, loop).run()


def baseline(tests: "Tests", jobs: int, limit: float | None) -> dict[Path, float]:
    """How many seconds each file takes on the right code. Raises UserError when one does not pass."""
    files = tests.files
    work = [partial(tests.notice, None, [f], {}) for f in files]
    seconds = {}
    for n, ended in run_forked(work, jobs, [limit or 600.0] * len(work)):
        answer = ended.answer or {"killed": True, "how": ended.trouble}
        if answer["killed"]:
            raise fails_already(files[n], answer["how"])
        seconds[files[n]] = ended.seconds
    return seconds


def fails_already(file: Path, how: str) -> UserError:
    return UserError(
        f"{file} fails without any planted bug already ({how}): mend it first, "
        "or nothing can be learned from its failures"
    )


class Tests:
    """A plugin for pytest with the collected tests of some files, and what is done with them."""

    def __init__(self, files: list[Path], loop: Callable[["Tests"], None]):
        """loop: called with this object, once everything is collected, in place of running the tests."""
        self.files, self.loop = files, loop
        self.items: dict[Path, list[pytest.Item]] = {}
        self.failed = ""  # the name of the first test that failed
        self.error: BaseException | None = None

    def run(self) -> None:
        """Collect, and run the loop. Raises what the loop raises, and UserError where pytest cannot collect."""
        try:
            import pytest
        except ImportError as error:
            raise UserError("running tests needs pytest: pip install pytest") from error
        arguments = ["-q", "--tb=no", "--capture=no", "-p", "no:cacheprovider", *map(str, self.files)]
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            code = pytest.main(arguments, plugins=[self])
        if self.error is not None:
            raise self.error
        if code:
            raise UserError(f"pytest ended with code {int(code)} before any test was tried: run pytest by itself")

    # -- what pytest calls

    def pytest_runtestloop(self, session: "pytest.Session") -> bool:
        try:
            if session.testsfailed:  # a file could not be imported
                broken = next((f for f in self.files if self.failed.endswith(f.name)), self.files[0])
                raise fails_already(broken, self.failed)
            here = {f.resolve(): f for f in self.files}
            self.items = {f: [] for f in self.files}
            for item in session.items:
                self.items[here[item.path.resolve()]].append(item)
            self.loop(self)
        except BaseException as error:  # noqa: BLE001 -- pytest would make a report of it; `run` raises it
            self.error = error
        return True

    def pytest_sessionfinish(self, session: "pytest.Session") -> None:
        session.exitstatus = 0  # of no tests run, it would say so

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    pytest_collectreport = pytest_runtest_logreport

    # -- in a child

    def notice(self, mutant: Mutant | None, files: list[Path], killers: dict[str, Counter[str]]) -> dict:
        """Run tests until one fails: those that noticed similar mutants, the likely cases of each test, then all.

        killers: by target, how often each test noticed a mutant there.
        """
        everything = [item for f in files for item in self.items[f]]
        order = everything
        if mutant is not None:
            by_name = {item.nodeid: item for item in everything}
            likely = [by_name[name] for name in tried_first(mutant, killers) if name in by_name]
            order = unique([*likely, *cases(everything, mutant.op.removesuffix("_step")), *everything])
        with planted(mutant) if mutant is not None else nullcontext():
            for item, following in zip(order, [*order[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    return {"killed": True, "how": self.failed}
        return {"killed": False, "how": "not noticed"}


def cases(items: Iterable["pytest.Item"], word: str) -> list["pytest.Item"]:
    """Of each test only the cases that have the word in their name; of a test without such a case the first."""
    tests: dict[tuple, list[pytest.Item]] = {}
    for item in items:
        tests.setdefault((item.path, getattr(item, "originalname", item.name)), []).append(item)
    chosen = []
    for same_test in tests.values():
        named = [item for item in same_test if word and word in item.name.partition("[")[2]]
        chosen += named or same_test[:1]
    return chosen


def unique(items: Iterable["pytest.Item"]) -> list["pytest.Item"]:
    return list({id(item): item for item in items}.values())


def tried_first(mutant: Mutant, killers: dict[str, Counter[str]]) -> list[str]:
    """A few tests that are likely to notice: those that did so in the same function, then in the same file."""
    mine = [test for test, _ in killers[mutant.target].most_common(4)]
    others: Counter[str] = Counter()
    for target, tests in killers.items():
        if target.split(":")[0] == mutant.target.split(":")[0]:
            others.update(tests)
    return mine + [test for test, _ in others.most_common(8) if test not in mine]
