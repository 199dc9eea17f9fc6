"""The assignments mark as they should: the solution gets all points, an empty copy none, and no wrong answer all of
its task; and what an assignment trains at its end, it trains with the student's functions.

The wrong answers are in wrong/, a file for each assignment: under `# %% task: what is wrong` the lines of the solution
that are others. All of this runs without a box; test_grade.py has the same way with one.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import minis2s
from minis2s.classroom.cells import solved, stub
from minis2s.classroom.checks import run_check
from minis2s.classroom.pace import teachers
from minis2s.classroom.source import Assignment, Task, assignments, read_assignment, solution

WRONG = Path(__file__).parent / "wrong"
NAMES = sorted(assignments())
SEEDS = (1, 2)


@cache
def read(name: str) -> Assignment:
    return read_assignment(assignments()[name])


def functions(assignment: Assignment, answer: Callable, **replaced: str) -> dict:
    """What is defined after all given cells and all answers, each made by `answer` unless it is replaced."""
    namespace: dict = {"__name__": assignment.name}
    for cell in assignment.cells:
        if cell.kind == "code" and cell.role in ("given", "answer"):
            text = cell.source if cell.role == "given" else replaced.get(cell.task) or answer(cell)
            exec(compile(text, f"<{assignment.name}, cell {cell.number}>", "exec"), namespace)
    return namespace


def outcomes(task: Task, defined: dict, seed: int) -> Iterator:
    """Of each check of a task, one after the other."""
    for check in task.checks:
        yield check, run_check(check, {name: defined[name] for name in task.functions}, seed)


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_gets_all_points(name):
    defined = functions(read(name), solved)
    for seed in SEEDS:
        for task in read(name).tasks:
            for check, outcome in outcomes(task, defined, seed):
                assert outcome.right, f"{task.name}, {check.name}, seed {seed}: {outcome.reason}"


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_is_asked_on_a_large_input(name):
    """A pair that the large input did not suit would not be asked for its pace, whoever wrote it."""
    assignment = read(name)
    for task in assignment.tasks:
        if task.pair is not None:
            assert teachers(solution(assignment), task.pair, task.kind) is not None, task.name


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_copy_gets_none(name):
    defined = functions(read(name), stub)
    for task in read(name).tasks:
        for check, outcome in outcomes(task, defined, seed=1):
            assert outcome.outcome == "not written", f"{task.name}, {check.name}: {outcome}"


def wrong_answers(name: str) -> list[tuple[str, str, str]]:
    """(task, what is wrong, the answer) of each entry of a file in wrong/."""
    right = {cell.task: bare(solved(cell)) for cell in read(name).cells if cell.role == "answer"}
    entries = re.split(r"^# %% ", (WRONG / f"{name}.diff").read_text("utf-8"), flags=re.MULTILINE)[1:]
    answers = []
    for entry in entries:
        head, _, changes = entry.partition("\n")
        task, _, what = head.partition(": ")
        answers.append((task, what, changed(right[task], changes)))
    return answers


def bare(code: str) -> list[str]:
    """The lines of code without its docstrings, comments and empty lines."""
    lines = code.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = token.line[: token.start[1]].rstrip()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [""] * (text.end_lineno - text.lineno + 1)
    return [line for line in lines if line.strip()]


def changed(lines: list[str], changes: str) -> str:
    """The code with its changes, which @@ divides: lines that go (-), that come (+), and that tell the place ( )."""
    places = []
    for change in changes.rstrip("\n").split("\n@@\n"):
        marked = change.split("\n")
        old, new = ([line[1:] for line in marked if line[0] in signs] for signs in (" -", " +"))
        found = [n for n in range(len(lines)) if lines[n : n + len(old)] == old]
        assert len(found) == 1, f"these lines should stand once in the solution, not {len(found)} times: {old}"
        places.append((found[0], found[0] + len(old), new))
    result = list(lines)
    for start, stop, new in sorted(places, reverse=True):
        result[start:stop] = new
    return "\n".join(result)


@pytest.mark.parametrize("name", NAMES)
def test_no_wrong_answer_gets_all_points_of_its_task(name):
    tasks = {task.name: task for task in read(name).tasks}
    for place, what, answer in wrong_answers(name):
        defined = functions(read(name), solved, **{place: answer})
        # it stops at the first check that finds it
        assert not all(outcome.right for _, outcome in outcomes(tasks[place], defined, seed=1)), (
            f"all points for {place}: {what}"
        )
    assert {place for place, _, _ in wrong_answers(name)} == set(tasks), "each task has wrong answers"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_trained_at_the_end_is_the_students(name, monkeypatch, capsys):
    words = minis2s.load_task("reverse", size=96)
    monkeypatch.setattr(minis2s, "load_task", lambda *_, **__: words)
    used = set()

    def watched(function: Callable) -> Callable:
        def call(*arguments, **named):
            used.add(function.__name__)
            return function(*arguments, **named)

        return call

    defined = functions(read(name), solved)
    for task in read(name).tasks:
        defined |= {function: watched(defined[function]) for function in task.functions}
    (cell,) = (cell for cell in read(name).cells if cell.role == "train")
    source = re.sub(r"^STEPS = \d+", "STEPS = 4", cell.source, flags=re.MULTILINE)
    exec(compile(source, f"<{name}, training>", "exec"), defined)
    assert used and capsys.readouterr().out
