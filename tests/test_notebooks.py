"""`minis2s lessons` and what it is made of: notebooks from sources, and what happens to those of before.

Most tests use a lesson of a few lines; only one reads the real ones.

mutate: not this file (no bug can be planted into it)
"""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jupytext")

from minis2s import files, gradcheck, lessons
from minis2s.cli import lessons as command
from minis2s.cli import main
from minis2s.errors import UserError
from minis2s.lessons import Unsolved, build, exercise, what_is_wrong, with_changes

ROOT = Path(__file__).parents[1]
LESSON = '''# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] lang="en"
# # The tiny lesson
# What is $1 + 1$?

# %% [markdown] lang="zh"
# # 小小的一课
# $1 + 1$ 是多少？

# %% tags=["hide-input"] jupyter={"source_hidden": true}
two = 1 + 1
print("evidence:", two)


# %% [markdown]
# $$2$$

# %% tags=["raises-exception"]
raise ValueError("not yet")
'''


@pytest.fixture
def sources(tmp_path, monkeypatch) -> Path:
    """A folder with two lessons in place of the real ones."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "01_tiny.py").write_text(LESSON, encoding="utf-8")
    (folder / "02_second.py").write_text(LESSON.replace("tiny", "second"), encoding="utf-8")
    (folder / "README.md").write_text("no lesson")
    monkeypatch.setattr(lessons, "lesson_folder", lambda: folder)
    return folder


@pytest.fixture
def here(sources, tmp_path, monkeypatch) -> Path:
    """The folder in which the command is given, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def work_in(path: Path) -> str:
    """What a learner does: change a line of the notebook."""
    text = path.read_text(encoding="utf-8")
    assert text.count("two = 1 + 1") == 1
    path.write_text(text.replace("two = 1 + 1", "two = 3 - 1"), encoding="utf-8")
    return path.read_text(encoding="utf-8")


ALL = ["01_tiny.en.ipynb", "01_tiny.zh.ipynb", "02_second.en.ipynb", "02_second.zh.ipynb"]


# -- building --------------------------------------------------------------------------------------


def test_each_language_has_its_own_texts_and_the_same_code(sources):
    english, chinese = (build(sources / "01_tiny.py", language) for language in ("en", "zh"))
    assert [cell.source for cell in english.cells if cell.cell_type == "markdown"] == [
        "# The tiny lesson\nWhat is $1 + 1$?", "$$2$$"
    ]  # fmt: skip
    assert [cell.source for cell in chinese.cells if cell.cell_type == "markdown"] == [
        "# 小小的一课\n$1 + 1$ 是多少？", "$$2$$"
    ]  # fmt: skip
    code = [[cell for cell in notebook.cells if cell.cell_type == "code"] for notebook in (english, chinese)]
    assert code[0] == code[1] and len(code[0]) == 2
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code[0])
    first, second = code[0]
    assert first.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert second.metadata == {"tags": ["raises-exception"]}


def test_the_same_source_makes_the_same_bytes(here):
    for folder in ("a", "b"):
        assert main(["lessons", "--to", folder]) == 0
    assert names(here / "a") == names(here / "b") == ALL
    for name in ALL:
        assert (here / "a" / name).read_bytes() == (here / "b" / name).read_bytes()


def test_a_notebook_is_valid_and_says_what_it_is(here):
    import nbformat

    assert main(["lessons"]) == 0
    notebook = nbformat.read(here / "minis2s-lessons" / "01_tiny.zh.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert (notebook.metadata.minis2s.lesson, notebook.metadata.minis2s.lang) == ("01_tiny", "zh")
    ids = [cell.id for cell in notebook.cells]
    assert ids == ["text-001", "code-002", "text-003", "code-004"]


@pytest.mark.parametrize("language", lessons.LANGUAGES)
@pytest.mark.parametrize("name", lessons.lessons())
def test_every_lesson_builds(name, language):
    notebook = build(lessons.lessons()[name], language)
    assert notebook.cells[0].source.startswith("# ")
    assert {cell.metadata.lang for cell in notebook.cells if cell.cell_type == "markdown"} == {language}


# -- the command -----------------------------------------------------------------------------------


def test_it_fills_a_folder_and_says_how_to_open_it(here, capsys):
    assert main(["lessons"]) == 0
    assert names(here / "minis2s-lessons") == ALL
    first, last = capsys.readouterr().out.splitlines()
    assert first == "minis2s-lessons: 4 notebooks written"
    assert last.startswith("open: ") and last.endswith("jupyter lab minis2s-lessons")


def test_the_line_that_opens_it_can_be_pasted(here, capsys, monkeypatch):
    monkeypatch.setattr("minis2s.cli.lessons.jupyter", lambda: "my venv/bin/jupyter")
    assert main(["lessons", "--to", "my lessons"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "open: 'my venv/bin/jupyter' lab 'my lessons'"


def test_one_language_some_lessons_another_folder(here, capsys):
    assert main(["lessons", "second", "--lang", "zh", "--to", "my notes/deep"]) == 0
    assert names(here / "my notes" / "deep") == ["02_second.zh.ipynb"]
    assert capsys.readouterr().out.endswith("jupyter lab 'my notes/deep'\n")


def test_the_list(here, capsys):
    assert main(["lessons", "--list"]) == 0
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["01_tiny", "The tiny lesson"], ["02_second", "The second lesson"]
    ]  # fmt: skip
    assert names(here) == []


def test_what_is_there_already_is_not_written_again(here, capsys):
    main(["lessons"])
    path = here / "minis2s-lessons" / ALL[0]
    os.utime(path, (1, 1))
    assert main(["lessons"]) == 0
    assert "0 notebooks written, 4 there already" in capsys.readouterr().out
    assert path.stat().st_mtime == 1


def test_a_changed_notebook_is_kept(here, capsys):
    main(["lessons"])
    folder = here / "minis2s-lessons"
    mine = work_in(folder / ALL[0])
    (folder / ALL[1]).unlink()
    capsys.readouterr()
    assert main(["lessons"]) == 0
    out, err = capsys.readouterr()
    assert "1 notebook written, 2 there already, 1 left alone" in out
    assert "you have worked in 01_tiny.en.ipynb" in err and "--force" in err
    assert (folder / ALL[0]).read_text(encoding="utf-8") == mine and names(folder) == ALL
    assert main(["lessons", "--force"]) == 0
    assert "two = 1 + 1" in (folder / ALL[0]).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"my notes", b"\xff\xfe\x00", b'{"seal": ""}', b'{"seal": "0"}'])
def test_a_file_of_another_origin_is_kept(here, content):
    folder = here / "minis2s-lessons"
    folder.mkdir()
    (folder / ALL[0]).write_bytes(content)
    assert main(["lessons"]) == 0
    assert (folder / ALL[0]).read_bytes() == content and names(folder) == ALL


def test_outputs_are_work_too(here):
    """Jupyter saves what the cells have printed: that is not thrown away either."""
    main(["lessons"])
    path = here / "minis2s-lessons" / ALL[0]
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"][1]["execution_count"] = 1
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False), encoding="utf-8")
    before = path.read_bytes()
    main(["lessons"])
    assert path.read_bytes() == before


def test_an_untouched_notebook_follows_its_source(here, sources, capsys):
    main(["lessons"])
    (sources / "01_tiny.py").write_text(LESSON.replace("evidence:", "new evidence:"), encoding="utf-8")
    capsys.readouterr()
    assert main(["lessons"]) == 0
    assert "2 notebooks written, 2 there already" in capsys.readouterr().out
    assert "new evidence" in (here / "minis2s-lessons" / ALL[0]).read_text(encoding="utf-8")


# -- executing -------------------------------------------------------------------------------------


@pytest.fixture
def kernel():
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")


@pytest.mark.slow
def test_executed_notebooks_have_outputs_and_stay_when_nothing_is_new(here, kernel, capfd):
    assert main(["lessons", "tiny", "--execute"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("01_tiny: executed in ")
    assert [line for line in err.splitlines() if "minis2s: note: JupyterLab" not in line] == []
    for name in ALL[:2]:
        cells = json.loads((here / "minis2s-lessons" / name).read_text(encoding="utf-8"))["cells"]
        assert cells[1]["outputs"][0]["text"] == ["evidence: 2\n"] and cells[1]["execution_count"] == 1
        assert cells[3]["outputs"][0]["evalue"] == "not yet"
    assert names(here) == ["minis2s-lessons"]
    assert main(["lessons", "tiny"]) == 0
    assert "0 notebooks written, 2 there already" in capfd.readouterr().out


@pytest.mark.slow
def test_a_lesson_that_stops_is_told_and_leaves_no_file(here, sources, kernel, capsys):
    (sources / "01_tiny.py").write_text(LESSON.replace("1 + 1\nprint", "1 / 0\nprint"), encoding="utf-8")
    assert main(["lessons", "tiny", "--execute"]) == 2
    assert "the lesson 01_tiny stopped: ZeroDivisionError: division by zero" in capsys.readouterr().err
    assert names(here / "minis2s-lessons") == []


@pytest.mark.slow
def test_ctrl_c_ends_the_kernel_too(tmp_path, kernel):
    """The real lessons, of which none is done so soon."""
    process = subprocess.Popen(
        [sys.executable, "-m", "minis2s", "lessons", "gradient_check", "--execute", "--to", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("this system does not tell of processes in /proc")
    while not (kernels := children.read_text().split()):
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(5)  # it is now asked to run cells
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "") and err.endswith("minis2s: interrupted\n")
    assert not any(Path(f"/proc/{kernel}").exists() for kernel in kernels)
    assert list(tmp_path.iterdir()) == []


# -- what can go wrong -----------------------------------------------------------------------------


def error_of(capsys, *argv: str) -> str:
    assert main(["lessons", *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minis2s: error: ")
    return line


@pytest.mark.parametrize("missing", ["jupytext", "nbformat"])
def test_without_jupytext_it_says_what_to_install(here, monkeypatch, capsys, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    said = error_of(capsys)
    assert f"needs the package {missing}" in said and 'pip install "minis2s[lessons]"' in said
    assert main(["lessons", "--list"]) == 0  # needs nothing


def test_without_jupyterlab_it_says_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert main(["lessons"]) == 0
    assert 'not installed: pip install "minis2s[lessons]"' in capsys.readouterr().err


def test_a_lesson_that_there_is_not(here, capsys):
    said = error_of(capsys, "secnd")
    assert "no lesson 'secnd'; did you mean second?" in said and "01_tiny, 02_second" in said
    assert names(here) == []


def test_a_folder_that_cannot_be(here, capsys):
    (here / "file").write_text("mine")
    assert "there is a file of that name; choose another folder" in error_of(capsys, "--to", "file")
    assert "cannot make the folder" in error_of(capsys, "--to", "file/deeper")
    assert (here / "file").read_text() == "mine"


def test_a_folder_that_may_not_be_written_to(here, monkeypatch, capsys):
    def refused(*args, **options):
        raise PermissionError(13, "Permission denied")

    (here / "minis2s-lessons").mkdir()
    monkeypatch.setattr(files, "open", refused, raising=False)  # who is root may write everywhere
    monkeypatch.setattr(lessons, "read_text", lambda path: LESSON)
    said = error_of(capsys)
    assert "cannot write minis2s-lessons/01_tiny.en.ipynb: permission denied" in said
    assert names(here / "minis2s-lessons") == []


def test_a_folder_in_the_place_of_a_notebook(here, capsys):
    (here / "minis2s-lessons" / ALL[0]).mkdir(parents=True)
    assert "that is a folder" in error_of(capsys)


def test_a_full_disk_leaves_the_notebook_of_before(here, sources, monkeypatch):
    main(["lessons"])
    path = here / "minis2s-lessons" / ALL[0]
    before = path.read_bytes()
    (sources / "01_tiny.py").write_text(LESSON.replace("evidence:", "new evidence:"), encoding="utf-8")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert main(["lessons"]) == 2
    assert path.read_bytes() == before and names(here / "minis2s-lessons") == ALL


# -- where the sources are -------------------------------------------------------------------------


def test_in_a_clone_they_lie_beside_the_package():
    assert lessons.lesson_folder() == ROOT / "lessons"


def test_in_a_wheel_they_lie_in_the_package(tmp_path, monkeypatch):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (target,) = config["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"].values()
    monkeypatch.setattr(lessons, "__file__", str(tmp_path / "minis2s" / "lessons.py"))
    (tmp_path / "lessons").mkdir()  # a stranger's package
    with pytest.raises(UserError, match="the lessons are missing"):
        lessons.lesson_folder()
    (tmp_path / target).mkdir(parents=True)
    assert lessons.lesson_folder() == tmp_path / target


def test_the_help_needs_no_notebook_packages():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('jupytext', 'nbformat', 'nbclient'))\n"
        "from minis2s.cli import main\n"
        "assert main(['lessons', '--help']) == 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert "--execute" in done.stdout


# -- what the lessons share ------------------------------------------------------------------------------


def doubled(x):
    return 2 * x


def doubled_twice(x):
    return doubled(doubled(x))


def test_a_changed_function_sees_the_others_and_leaves_them_alone():
    wrong = with_changes({"2 * x": "3 * x"}, doubled)
    assert (wrong(1), doubled(1)) == (3, 2)
    one, two = with_changes({"2 * x": "3 * x"}, doubled, doubled_twice)
    assert (one(1), two(1), doubled_twice(1)) == (3, 9, 4)


@pytest.mark.parametrize("text", ["4 * x", "doubled"])
def test_a_text_to_change_must_occur_once(text):
    with pytest.raises(ValueError, match="should occur once"):
        with_changes({text: "x"}, doubled, doubled_twice)


def test_an_exercise_prints_in_a_program_and_raises_in_a_notebook(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with exercise("Exercise 1, a hole"):
        raise AssertionError("first line\nsecond line")
    with exercise("Exercise 2, done"):
        pass
    printed = "Exercise 1, a hole is not solved yet: first line\nExercise 2, done is solved\n"
    assert capsys.readouterr().out == printed
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    with pytest.raises(Unsolved, match="Exercise 1, a hole is not solved yet: ZeroDivisionError .*: by zero"):
        with exercise("Exercise 1, a hole"):
            raise ZeroDivisionError("by zero")


def test_an_error_in_the_answer_is_told_with_its_place(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)

    def answer(x):
        return x @ np.ones(3)

    with exercise("Exercise 1, a product"):
        answer(np.ones(2))
    line = answer.__code__.co_firstlineno + 1
    said = f"Exercise 1, a product is not solved yet: ValueError in line {line}, function answer: matmul: "
    assert capsys.readouterr().out.startswith(said)


def test_what_is_wrong_names_the_gradients():
    def answer(x, W, b):
        return x @ W + b, lambda dy: (1.1 * dy @ W.T, x.T @ dy, dy)

    report = gradcheck(answer, np.ones((2, 3)), np.ones((3, 4)), np.ones(4))
    wrong = "wrong: of 3 gradients 1 wrong, 1 missing; dx has a relative error of 9.1e-02; the gradient of b has shape (2, 4), "
    assert what_is_wrong(report).startswith(wrong)
    assert "times" not in what_is_wrong(report)  # why it is wrong is for the learner to find


def test_what_is_wrong_tells_what_a_backward_raised():
    def answer(x):
        def backward(dy):
            raise NotImplementedError("fill in backward")

        return 2 * x, backward

    assert "NotImplementedError" in what_is_wrong(gradcheck(answer, np.ones(2)))
