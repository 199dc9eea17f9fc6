"""Tests of pytest against the planted bugs: each bug in a forked process, the likeliest tests first."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from minis2s.errors import UserError
from minis2s.forked import run_forked
from minis2s.gradcheck.mutants.mutant import Mutant, planted
from minis2s.gradcheck.mutants.score import Progress, Result, Score, judged

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

    It runs pytest in this process once, to have everything imported, so call it from a process that is
    not itself a pytest run.

    Raises UserError when there are no tests, or when they fail without any mutant.
    """
    began = time.monotonic()
    path = Path(path)
    files = test_files(path)
    near = {home_of(m): mirrored(path, files, home_of(m)) for m in mutants}
    far = {home: [f for f in files if f not in near[home]] for home in near}
    results: dict[str, Result] = {}
    seconds: dict[Path, float] = {}
    killers: dict[str, Counter[str]] = {m.target: Counter() for m in mutants}
    with TemporaryDirectory() as folder:
        # failing examples must not be found again by the next, honest run
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        for stage in (near, far):
            living = [m for m in mutants if m.name not in results or not results[m.name].killed]
            living = [m for m in living if stage[home_of(m)]]
            wanted = sorted({f for m in living for f in stage[home_of(m)]})
            if not wanted:
                continue
            run_pytest(["--collect-only", *map(str, wanted)])
            seconds |= baseline(wanted, jobs, limit, folder)
            ordered = {home: sorted(stage[home], key=seconds.get) for home in map(home_of, living)}
            work = [partial(tests_notice, m, ordered[home_of(m)], folder, killers) for m in living]
            limits = [limit or max(30.0, 10 * sum(seconds[f] for f in ordered[home_of(m)])) for m in living]
            for n, ended in run_forked(work, jobs, limits):
                mutant = living[n]
                results[mutant.name] = judged(mutant, ended)
                if ended.answer and ended.answer["test"]:
                    killers[mutant.target][ended.answer["test"]] += 1
                if progress is not None:
                    done = sum(r.killed for r in results.values())
                    progress(done, len(mutants), results[mutant.name])
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


def baseline(files: list[Path], jobs: int, limit: float | None, folder: str) -> dict[Path, float]:
    """How many seconds each file takes on the right code. Raises UserError when one does not pass."""
    work = [partial(tests_notice, None, [f], folder, {}) for f in files]
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


class Plugin:
    """What we want of pytest: the name of the first test that fails, and perhaps a choice of cases.

    word: with it, of each test only the cases that have it in their name; of a test without such a case
        the first one.
    """

    def __init__(self, word: str | None):
        self.word = word
        self.failed = ""

    def pytest_collection_modifyitems(self, items) -> None:
        if self.word is None:
            return
        cases: dict[tuple, list] = {}
        for item in items:
            cases.setdefault((item.path, getattr(item, "originalname", item.name)), []).append(item)
        kept = []
        for same_test in cases.values():
            named = [item for item in same_test if self.word and self.word in item.name.partition("[")[2]]
            kept += named or same_test[:1]
        items[:] = kept

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    pytest_collectreport = pytest_runtest_logreport


def tests_notice(
    mutant: Mutant | None, files: list[Path], folder: str, killers: dict[str, Counter[str]]
) -> dict:
    """Run tests until one fails: those that noticed similar mutants, the likely cases of each test, then all.

    killers: by target, how often each test noticed a mutant there.
    """

    def run(tests: list[str], word: str | None = None) -> dict | None:
        plugin = Plugin(word)
        code = run_pytest(["-x", "--tb=no", f"--basetemp={folder}/{os.getpid()}", *tests], plugin)
        if code in (0, 5):  # 5: no test in the file
            return None
        file, _, name = plugin.failed.partition("::")
        known = next((f"{f}::{name}" for f in files if name and f.name == Path(file).name), "")
        how = plugin.failed or f"pytest ended with code {code} on {' '.join(tests)}"
        return {"killed": True, "how": how, "test": known}

    def run_all() -> dict:
        likely = [] if mutant is None else tried_first(mutant, killers, files)
        everything = list(map(str, files))
        noticed = (
            (likely and run(likely))
            or (mutant is not None and run(everything, mutant.op.removesuffix("_step")))
            or next(filter(None, (run([file]) for file in everything)), None)
        )
        return noticed or {"killed": False, "how": "not noticed", "test": ""}

    if mutant is None:
        return run_all()
    with planted(mutant):
        return run_all()


def tried_first(mutant: Mutant, killers: dict[str, Counter[str]], files: list[Path]) -> list[str]:
    """A few tests that are likely to notice: those that did so in the same function, then in the same file."""
    mine = [test for test, _ in killers[mutant.target].most_common(4)]
    others: Counter[str] = Counter()
    for target, tests in killers.items():
        if target.split(":")[0] == mutant.target.split(":")[0]:
            others.update(tests)
    mine += [test for test, _ in others.most_common(8) if test not in mine]
    homes = {str(f) for f in files}
    return [test for test in mine if test.partition("::")[0] in homes]


def run_pytest(arguments: list[str], *plugins) -> int:
    """pytest in this process, without a word; its exit code."""
    try:
        import pytest
    except ImportError as error:
        raise UserError("running tests needs pytest: pip install pytest") from error
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=list(plugins)))
