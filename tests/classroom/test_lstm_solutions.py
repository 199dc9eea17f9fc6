"""The checks of the LSTM assignment: right answers in any style pass all of them, no wrong one does.

Here the functions run in this process, and what crosses the pipes of a box is packed and unpacked on the way; the
same answers through the box itself are graded by benchmarks/grading.py.
"""

import contextlib
import importlib.util
import io
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from minis2s.classroom.box.inside import protocol
from minis2s.classroom.checks import run_check
from minis2s.classroom.extract import extract
from minis2s.classroom.intake import find
from minis2s.classroom.source import assignments, empty, read_assignment, solution


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


solutions, lstm_class = load("lstm_solutions"), load("lstm_class")
RIGHT, WRONG = solutions.right(), solutions.wrong()
ASSIGNMENT = read_assignment(assignments()["4_lstm"])
NAMES = [name for task in ASSIGNMENT.tasks for name in task.functions]
SLOW = ("finite differences", "complex step")  # the grader's clock finds them, not a check


def functions_of(text: str) -> dict:
    """The functions that a program defines, with their results as they come out of a box."""
    module = ModuleType("student")
    sys.modules["student"] = module  # where dataclasses look for themselves
    with contextlib.redirect_stderr(io.StringIO()):
        exec(compile(text, "student.py", "exec"), vars(module))
    return {name: piped(vars(module)[name], name) for name in NAMES if name in vars(module)}


def piped(function, name: str):
    def unpacked(value):
        packing = protocol.Packing()
        tree = packing.tree(value)
        return protocol.Unpacking(bytearray(packing.payload)).value(tree)

    def call(*arguments):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = function(*arguments)
        return (unpacked(value[0]), value[1]) if name.endswith("forward") else unpacked(value)

    call.__name__ = name
    return call


def failed(text: str, seed: int, *, first: bool = False) -> list[str]:
    """What the checks say of a program; with `first`, no more than one of them."""
    functions, found = functions_of(text), []
    for task in ASSIGNMENT.tasks:
        for check in task.checks:
            outcome = run_check(check, functions, seed)
            if not outcome.right:
                found.append(f"{task.name}, {check.name}: {outcome.outcome}, {outcome.reason}")
                if first:
                    return found
    return found


def test_there_are_enough_of_them():
    assert len(RIGHT) >= 40 and len(WRONG) >= 100
    for some in (RIGHT, WRONG):
        assert len({s.name for s in some}) == len({(s.file, s.data) for s in some}) == len(some)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory) -> dict:
    """The programs of the right answers as they would go into the box."""
    folder = tmp_path_factory.mktemp("class")
    for n, one in enumerate(RIGHT):
        (folder / f"{n:03d}").mkdir()
        (folder / f"{n:03d}" / one.file).write_bytes(one.data)
    found = find(folder)
    assert len(found) == len(RIGHT)
    return {RIGHT[int(s.student)].name: extract(s, ASSIGNMENT) for s in found}


@pytest.mark.parametrize("name", [s.name for s in RIGHT])
def test_a_right_answer_gets_all_points(extracted, name):
    source = extracted[name]
    assert source.refused == ""
    assert failed(source.text, seed=len(name)) == []


def test_no_wrong_answer_gets_all_points():
    passed = [s.name for s in WRONG if not any(w in s.name for w in SLOW) and not failed(s.data.decode(), 7, first=True)]
    assert passed == []


def test_what_the_wrong_answers_are_made_of_is_right():
    """So each of them is wrong by its bug alone."""
    assert failed(solutions.engine(), 3) == [] == failed(solution(ASSIGNMENT), 3)
    assert len(failed(empty(ASSIGNMENT), 3)) == sum(len(task.checks) for task in ASSIGNMENT.tasks)
    bases = {}
    for bug in solutions.student_bugs().BUGS:
        if bug.kind in ("lstm", "lstm_step"):
            bases[solutions.of_a_base(bug, "")] = bug
    assert len(bases) == 4
    for text in bases:
        assert failed(text, 3) == []


def test_a_class(tmp_path):
    """The class of the benchmark: the same from the same seed, and of as many as asked for."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        students = lstm_class.write_class(tmp_path / name, 12, 3, 4, seed=5)
        assert len(students) == 19 == len(list((tmp_path / name).iterdir()))
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.py")) for n in ("a", "b")]
    assert files[0] == files[1]
    assert {s.student for s in find(tmp_path / "a")} == set(students)


def test_no_hostile_program_has_a_right_answer():
    """They do harm in one function, and what that returns is zeros, if anything: full marks would be a win."""
    harmless = "raise ValueError"
    for name, text in lstm_class.hostile_programs().items():
        body = lstm_class.IN_A_STEP[name].split("\n")[0]
        assert text.count(body) >= 1 and "lstm_step_forward" in text.rpartition("\ndef ")[2]
    text = lstm_class.hostile_programs()["ends its process"].replace("os._exit(0)", harmless)
    assert len(failed(text, 1)) >= 8
