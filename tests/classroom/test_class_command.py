"""`minis2s class`: the commands from the outside, killed and interrupted too."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minis2s.cli import main

SLOW = "import time\n\n\ndef linear_forward(x, W, b=None):\n    time.sleep(60)\n"


def minis2s(*argv) -> tuple[int, str, str]:
    """Run the command line in this process: (exit code, output, errors)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in argv])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path, answer, wrong) -> Path:
    (tmp_path / "class").mkdir()
    for name, text in (("ann", answer), ("bob", wrong), ("小明", "(")):
        (tmp_path / "class" / f"{name}.py").write_text(text, encoding="utf-8")
    return tmp_path / "class"


def test_grade_ends_with_a_table_of_the_class(folder, source, tmp_path, wrong):
    (folder / "bob.py").write_text(wrong.replace("dx = dy", "dx = 1.0 * (1 + 0j).real * dy"), encoding="utf-8")
    code, out, err = minis2s("class", "grade", folder, "--assignment", source, "--out", tmp_path / "marks", "--jobs", 1)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["ann", "4/4"] and lines[1].split() == ["bob", "1/4", "linear", "1/4"]
    assert "refused" in lines[2] and "'(' was never closed" in lines[2]
    assert "3 submissions: 2 graded, 1 refused" in out and "layers: rlimits" in out and "grades.csv" in out
    assert "look at bob: line" in err and "complex" in err
    code, out, _ = minis2s("class", "grade", folder, "--assignment", source, "--out", tmp_path / "marks")
    assert code == 0 and "3 of them before" in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["class", "grade", "none", "--assignment", "none.py", "--out", "o"], "cannot read none: there is no such file"),
        (["class", "grade", "."], "--assignment"),
        (["class", "grade", ".", "--asignment", "x"], "did you mean --assignment"),
        (["class", "grad"], "did you mean grade?"),
        (["clas"], "did you mean class?"),
        (["class", "grade", ".", "--assignment", "x", "--out", "o", "--hint", "4"], "--hint"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(argv, says):
    code, out, err = minis2s(*argv)
    assert code == 2 and not out and says in err and len(err.splitlines()) == 1


def test_help_names_the_four_commands(capsys):
    assert main(["class", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("build", "grade", "bughunt", "report"))


def test_build_says_what_is_what(source, tmp_path):
    code, out, _ = minis2s("class", "build", source, "--to", tmp_path / "made")
    assert code == 0 and "the notebook for students" in out and "6 points" in out
    assert (tmp_path / "made" / "students" / "en" / "linear_map.py").is_file()


def started(folder: Path, source: Path, out: Path) -> subprocess.Popen:
    """A run of its own, at work on a submission that takes its time, once the others are done."""
    (folder / "zed.py").write_text(SLOW, encoding="utf-8")
    run = subprocess.Popen(
        [sys.executable, "-m", "minis2s", "class", "grade", folder, "--assignment", source, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    end = time.monotonic() + 60
    while len(list(out.glob("results/*.json"))) < 3:
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.02)
    return run


def below(parent: int) -> set[int]:
    """The processes that come of a process, as far as it can be seen."""
    found, parents = {parent}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    for _ in range(9):
        found |= {child for child, of in parents.items() if of in found}
    return found - {parent}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text()}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("with_signal", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_that_is_killed_loses_nothing_and_leaves_nobody(folder, source, tmp_path, with_signal, code):
    out = tmp_path / "marks"
    run = started(folder, source, out)
    at_work = below(run.pid)
    assert at_work
    run.send_signal(with_signal)
    _, err = run.communicate(timeout=30)
    assert run.returncode == code and (with_signal == signal.SIGKILL or b"minis2s: interrupted" in err)
    end = time.monotonic() + 10
    while alive(at_work) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(at_work)
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    assert all(json.loads(before[out / "results" / f"{name}.json"]) for name in ("ann", "bob", "小明"))
    (folder / "zed.py").unlink()
    said = minis2s("class", "grade", folder, "--assignment", source, "--out", out)
    assert said[0] == 0 and "3 of them before" in said[1]
    assert {path: path.read_bytes() for path in before} == before
