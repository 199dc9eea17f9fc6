"""Sources of assignments: how they are read, what is refused, and that those which there are keep the form.

What the assignments mark right and wrong is in test_assignment_marks.py.

mutate: not this file (what it tests holds no operation that a bug could be planted into)
"""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from minis2s.classroom import source as module
from minis2s.classroom.cells import solved, stub
from minis2s.classroom.source import assignments, empty, read_assignment, secrets, solution
from minis2s.cli import parse
from minis2s.errors import UserError
from minis2s.gradcheck import assert_gradients

ROOT = Path(__file__).parents[2]
ALL = assignments()
each_assignment = pytest.mark.parametrize("name", ALL)


@pytest.fixture(scope="module")
def lessons_tests():
    """The module of the lessons' tests, which knows when a translation is the same text."""
    spec = importlib.util.spec_from_file_location("lessons_tests", ROOT / "tests" / "test_lessons.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# -- a small one ---------------------------------------------------------------------------------------------


def test_it_is_taken_apart(mini):
    assert (mini.name, mini.minutes, mini.points) == ("linear_map", 10, 6)
    assert mini.title == {"en": "A linear map", "zh": "线性映射"}
    (task,), (question,) = mini.tasks, mini.written
    assert (task.name, task.functions, task.kind, task.points) == (
        "linear", ("linear_forward", "linear_backward"), "linear", 4,
    )  # fmt: skip
    assert task.pair == ("linear_forward", "linear_backward") and mini.task("linear") == task
    assert [(check.name, check.public, check.points) for check in task.checks] == [
        ("shapes", True, 1), ("gradients", False, 3),
    ]  # fmt: skip
    assert question.question == {"en": "Why is db a sum?", "zh": "db 为什么是求和？"}
    assert question.answer["en"] == "All rows use the same b." and question.points == 2


def test_a_hole_raises_with_the_task_and_the_function(mini):
    names: dict = {}
    exec(empty(mini), names)
    for function in ("linear_forward", "linear_backward"):
        with pytest.raises(NotImplementedError, match=f"^linear: write {function}$"):
            names[function](None, None)
    assert names["linear_forward"].__doc__.startswith("x (")
    exec(solution(mini), names)
    (answer,) = (cell for cell in mini.cells if cell.role == "answer")
    assert "SOLUTION" not in stub(answer) + solved(answer)


def test_secrets_are_what_the_student_is_not_given(mini):
    found = secrets(mini)
    assert (
        "dW = x.T @ dy" in found and "All rows use the same b." in found and "每一行都用同一个 b。" in found
    )
    assert 'same(y, x @ W + b, "y")' in found
    assert not {"import numpy as np", '"""Returns (dx, dW, db)."""', "Why is db a sum?"} & set(found)


def test_a_solution_stays_a_secret_where_a_text_or_a_longer_line_tells_it(source, tmp_path):
    telling = tmp_path / "telling.py"
    text = source.read_text(encoding="utf-8").replace("Why is db a sum?", "Why `dW = x.T @ dy`?")
    telling.write_text(f"{text}\n# %%\nx = dy = 1.0\nhalf = dW = x.T @ dy / 2\n", encoding="utf-8")
    assert "dW = x.T @ dy" in secrets(read_assignment(telling))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (' minutes=10', "", "line 1: the first cell is a text with minutes"),
        ("# # A linear map", "# A linear map", "line 2: the first text begins with the title"),
        ('lang="zh"\n# # 线性映射', 'lang="en"\n# # 线性映射', "followed by its translation"),
        ('\n# %% [markdown] lang="zh"\n# # 线性映射\n', "", "followed by its translation"),
        ('# %% [markdown] lang="en" minutes=10', '# %% [markdown] lang="de" minutes=10', 'lang="en" or lang="zh"'),
        ('tags=["answer"]', 'tags=["anwser"]', "'anwser' is no tag of a code cell; there are answer"),
        ('tags=["answer"]', 'tags=["answer", "hidden"]', "one tag, not 2"),
        ('tags=["answer"] task="linear"', 'tags=["answer"]', "needs task="),
        ('check="shapes" points=1', 'check="shapes"', "needs points="),
        ('check="shapes" points=1', 'check="shapes" points=0', "needs points="),
        ('check="shapes" points=1', 'check="shapes" points=1 colour="red"', "cannot read 'colour="),
        ('check="shapes" points=1', 'check="shapes" points="1"', "points='1' is of the wrong type"),
        ('check="shapes" points=1', 'check="shapes" points=1 points=2', "points is given twice"),
        ('check="gradients"', 'check="shapes"', "has a check 'shapes' already"),
        ('kind="linear"', 'kind="lineer"', "not 'lineer'"),
        ("def linear_backward", "def linear_backwards", "defines a pair"),
        ("    # BEGIN SOLUTION\n    y = x @ W", "    y = x @ W", "expected # BEGIN SOLUTION, found # END SOLUTION"),
        ("    # END SOLUTION\n\n\ndef", "\n\ndef", "expected # END SOLUTION, found # BEGIN SOLUTION"),
        ("    # BEGIN SOLUTION\n    y", "# BEGIN SOLUTION\n    y", "stand inside one function"),
        ("    y = x @ W\n", "    y = x @@ W\n", "line 16: not right Python"),
        ("np.ones(4))\nif", "np.ones(4)))\nif", "not right Python"),
        ("import numpy as np\n\nfrom minis2s.classroom.checks import Wrong", "from minis2s.classroom.checks import Wrong",
         "stands alone: np is neither imported"),
        ("y, cache = linear_forward(np.ones((2, 3)), np.ones((3, 4)), np.ones(4))", "y = np.ones((2, 4))",
         "calls no function"),
        ('tags=["public"] task="linear"', 'tags=["public"] task="other"', "no answer cell before this check"),
        ('tags=["answer"] task="linear"', 'tags=["answer"] task="Linear map"', "small letters"),
        ("# %%\nimport numpy as np\n", '# %% task="x"\nimport numpy as np\n', "task means nothing"),
        ("# %%\nimport numpy as np\n", '# %% lang="en"\nimport numpy as np\n', "code belongs to both"),
        ("# %%\nimport numpy as np\n", "# %%\n# BEGIN SOLUTION\n", "belongs into an answer cell"),
        ('tags=["written"] task="why"', 'tags=["written"] task="linear"', "a task linear already"),
        ('tags=["model-answer"] task="why"', 'tags=["model-answer"] task="what"', "has to follow its question"),
        ('# Why is db a sum?', 'Why is db a sum?', "must begin with #"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_source_is_told_with_its_line(source, tmp_path, old, new, said):
    text = source.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "broken.py"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        read_assignment(path)
    assert re.match(rf"{re.escape(str(path))}, line \d+: ", str(raised.value)), raised.value
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ["\n", "import numpy\n"])
def test_a_file_without_cells_is_no_assignment(tmp_path, text):
    path = tmp_path / "none.py"
    path.write_text(text)
    with pytest.raises(UserError, match="there are no cells"):
        read_assignment(path)


def test_line_ends_of_windows_make_no_difference(source, tmp_path, mini):
    path = tmp_path / "linear_map.py"
    path.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    assert solution(read_assignment(path)) == solution(mini)


def test_a_task_without_checks_is_refused(source, tmp_path):
    text = source.read_text(encoding="utf-8")
    path = tmp_path / "unchecked.py"
    start, stop = text.index('# %% tags=["public"]'), text.index('# %% [markdown] lang="en" tags=["written"]')
    path.write_text(text[:start] + text[stop:], encoding="utf-8")
    with pytest.raises(UserError, match="the task linear has no check"):
        read_assignment(path)


def test_without_a_clone_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "minis2s" / "classroom" / "source.py"))
    with pytest.raises(UserError, match="work in a clone"):
        assignments()


# -- those that there are --------------------------------------------------------------------------------------


def test_there_are_eight():
    assert [name.split("_")[0] for name in ALL] == list("12345678")


@each_assignment
def test_the_header_says_what_kind_of_file_it_is(name):
    header = ALL["4_lstm"].read_text(encoding="utf-8").partition("# %%")[0]
    assert "#       format_name: percent" in header
    assert ALL[name].read_text(encoding="utf-8").partition("# %%")[0] == header


@each_assignment
def test_it_has_all_parts(name):
    assignment = read_assignment(ALL[name])
    roles = [cell.role for cell in assignment.cells]
    assert roles.count("train") == 1 and assignment.written and 30 <= assignment.minutes <= 300
    for task in assignment.tasks:
        assert {check.public for check in task.checks} == {True, False}, f"{task.name}: checks of both sorts"
        hidden = sum(check.points for check in task.checks if not check.public)
        assert hidden > task.points / 2, f"{task.name}: what is seen is for learning"
    first = roles.index("answer")
    given = "\n".join(cell.source for cell in assignment.cells[:first] if cell.kind == "code")
    assert "def " in given, "a solved example stands before the first task"
    assert any(task.pair for task in assignment.tasks) or "beam" in name
    assert "NotImplementedError" not in solution(assignment)


@each_assignment
def test_the_text_says_how_many_points_there_are(name):
    assignment = read_assignment(ALL[name])
    for lang, points in (("en", r"\((\d+) points?\)"), ("zh", r"（(\d+) 分）")):
        text = "\n".join(
            cell.source for cell in assignment.cells if cell.lang == lang and cell.role != "model-answer"
        )
        for part, of in [(task, task.name) for task in assignment.tasks] + [
            (w, w.task) for w in assignment.written
        ]:
            found = re.findall(rf"^#+ .*`{of}`.*?{points}", text, re.MULTILINE)
            assert found == [f"{part.points:g}"], (
                f"{of}, {lang}: a heading with `{of}` and its {part.points:g} points"
            )


@each_assignment
def test_students_are_told_where_one_mistake_costs_points_twice(name):
    """Before each task whose solution calls a function of another task."""
    assignment, said = read_assignment(ALL[name]), {"en": "", "zh": ""}
    owner = {function: task.name for task in assignment.tasks for function in task.functions}
    for cell in assignment.cells:
        if cell.kind == "text" and cell.role == "given":
            said[cell.lang] += cell.source.replace("\n", " ")
        elif cell.role == "answer":
            called = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
            if {owner[name] for name in called & owner.keys()} - {cell.task}:
                assert re.search("mistakes (would )?count here as well", said["en"]), cell.task
                assert "错误在这里也会扣分" in said["zh"], cell.task
            said = {"en": "", "zh": ""}


@each_assignment
def test_every_text_is_followed_by_the_same_text_in_chinese(name, lessons_tests):
    texts = [cell for cell in read_assignment(ALL[name]).cells if cell.kind == "text"]
    for english, chinese in zip(texts[::2], texts[1::2], strict=True):
        assert (english.lang, chinese.lang) == ("en", "zh")
        both = (
            re.sub(r"\\text\{[^}]*\}", "", cell.source) for cell in (english, chinese)
        )  # words in a formula
        assert not lessons_tests.differences(*both), english.source[:80]
    lengths = [
        len("".join(lessons_tests.prose("".join(cell.source for cell in texts if cell.lang == lang)).split()))
        for lang in ("en", "zh")
    ]
    assert 0.2 < lengths[1] / lengths[0] < 0.9


@each_assignment
def test_no_line_is_too_long(name):
    """A wide sign counts as one, as in the lessons."""
    lines = ALL[name].read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 130 and not line.startswith("# $$")] == []


@each_assignment
def test_the_students_own_check_says_right_of_the_solution(name, capsys):
    assignment, names = read_assignment(ALL[name]), {}
    exec(solution(assignment), names)
    for task in assignment.tasks:
        if task.pair:
            assert_gradients(tuple(names[function] for function in task.pair), kind=task.kind, fast=True)


# -- what their README says ----------------------------------------------------------------------------------------

README = (ROOT / "lessons" / "assignments" / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for line in README.splitlines() if line.startswith(".venv/bin/minis2s class ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_readme_are_such_as_there_are(line):
    """Each follows from the one before: what is named lies in this clone or in the folder course."""
    words = shlex.split(line)[1:]
    parse(words)
    for word in words:
        if "/" in word:
            assert word.startswith("course/") or (ROOT / word).exists(), word


def test_the_readme_has_the_whole_path_and_every_assignment():
    assert [line.split()[2] for line in COMMANDS[:4]] == ["build", "grade", "report", "bughunt"]
    table = re.findall(r"^\| \[`(\w+)\.py`\]\((\w+)\.py\) \|", README, re.MULTILINE)
    assert table == [(name, name) for name in ALL]
    assert "Checks inside a notebook are for learning, and can be beaten" in README
