"""The lessons keep their promises: they run as programs and as notebooks, their exercises can be solved."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "lessons").glob("*.py"))
GRADIENT_CHECK = ROOT / "lessons" / "gradient_check.py"
PACKAGES = ("jupytext", "nbclient", "ipykernel")
MOST_LINES = 15  # that one cell may print


class Cell(NamedTuple):
    options: str  # what stands after "# %%"
    body: str

    @property
    def is_text(self) -> bool:
        return self.options.startswith("[markdown]")

    @property
    def text(self) -> str:
        """Of a text cell, without the comment signs."""
        return "\n".join(line.removeprefix("#").removeprefix(" ") for line in self.body.splitlines()).strip()


def cells_of(path: Path) -> list[Cell]:
    header, *rest = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = [part.partition("\n") for part in rest]
    return [Cell(options.strip(), body.strip("\n")) for options, _, body in parts]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"OPENBLAS_NUM_THREADS": "1"} | more


def run_as_program(path: Path, cwd: Path) -> str:
    """What it prints; it must end well and complain about nothing."""
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=cwd, env=environment(MPLBACKEND="Agg"), timeout=300,
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# -- what is written ---------------------------------------------------------------------------------


def test_there_are_lessons():
    assert GRADIENT_CHECK in LESSONS


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_header_says_what_kind_of_file_it_is(path):
    header = path.read_text(encoding="utf-8").partition("# %%")[0]
    for line in ("# jupyter:", "#       format_name: percent", "#   kernelspec:", "#     name: python3"):
        assert line in header.splitlines()


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_text_names_its_language(path):
    texts = [cell for cell in cells_of(path) if cell.is_text]
    assert len(texts) >= 10
    for cell in texts:
        assert re.search(r'\blang="(en|zh)"', cell.options), cell.body[:80]
        assert all(line.startswith("#") for line in cell.body.splitlines() if line), cell.body[:80]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_one_sentence_stands_under_every_picture(path):
    cells = cells_of(path)
    pictures = [n for n, cell in enumerate(cells) if not cell.is_text and "plt.subplots" in cell.body]
    assert pictures
    for n in pictures:
        assert cells[n + 1].is_text
        assert re.fullmatch(r"[^.]+\.", cells[n + 1].text), cells[n + 1].text


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_line_is_too_long(path):
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 110] == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_check_of_an_exercise_is_tagged(path):
    checks = [cell for cell in cells_of(path) if re.search(r"^with exercise\(", cell.body, re.MULTILINE)]
    assert len(checks) >= 3
    tagged = [cell for cell in cells_of(path) if "raises-exception" in cell.options]
    assert tagged == checks


def test_what_is_to_be_guessed_is_folded():
    breaking = [cell for cell in cells_of(GRADIENT_CHECK) if re.match(r"(students\[|hidden_pair)", cell.body)]
    assert len(breaking) == 11
    for cell in breaking:
        assert '"source_hidden": true' in cell.options


def test_the_readme_names_every_lesson():
    readme = (ROOT / "lessons" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`(.+)`\]", readme, re.MULTILINE) == [path.name for path in LESSONS]


# -- as a program --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_runs_as_a_program(tmp_path):
    printed = run_as_program(GRADIENT_CHECK, tmp_path).splitlines()
    assert sum(line.startswith("evidence: ") for line in printed) >= 20
    unsolved = [line for line in printed if " is not solved yet: " in line]
    assert [line.partition(",")[0] for line in unsolved] == ["Exercise 1", "Exercise 2", "Exercise 3"]
    assert list(tmp_path.iterdir()) == []


SLOW = {"gradcheck", "look", "evidence", "train", "properties", "subplots"}  # to call
RESULTS = {"report", "reports"}  # of them


def defines_only(code: str) -> bool:
    """Whether a cell imports, defines and breaks pairs, and leaves the slow work to others."""
    statements = [s for s in ast.parse(code).body if not isinstance(s, ast.FunctionDef | ast.ClassDef)]
    nodes = [node for statement in statements for node in ast.walk(statement)]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return not (read | attributes) & (SLOW | RESULTS)


@pytest.mark.slow
def test_the_solutions_solve_the_exercises(tmp_path):
    cells = cells_of(GRADIENT_CHECK)
    (first,) = [n for n, cell in enumerate(cells) if cell.is_text and cell.text.startswith("## 9. Exercises")]
    solutions = re.findall(r"^```python\n(.*?)^```", cells[-1].text, re.MULTILINE | re.DOTALL)
    assert len(solutions) == 3
    parts = [cell.body for cell in cells[:first] if not cell.is_text and defines_only(cell.body)]
    for cell in cells[first:]:
        if "raises-exception" in cell.options:
            parts.append(solutions.pop(0))
        if not cell.is_text:
            parts.append(cell.body)
    program = tmp_path / "solved.py"
    program.write_text("\n\n".join(parts), encoding="utf-8")
    printed = run_as_program(program, tmp_path)
    assert re.findall(r"^Exercise (\d), .* is solved$", printed, re.MULTILINE) == ["1", "2", "3"]


# -- as a notebook ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The lesson, built and executed; skipped, with a warning in the summary, where that cannot be done."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        says = f"the lessons were NOT built and executed as notebooks: install {', '.join(missing)}"
        warnings.warn(says, stacklevel=1)
        pytest.skip(says)
    import jupytext
    from nbclient import NotebookClient

    built = jupytext.read(GRADIENT_CHECK)
    folder = tmp_path_factory.mktemp("notebook")
    env = environment(MPLBACKEND="module://matplotlib_inline.backend_inline")
    client = NotebookClient(
        built, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of the packages about each other
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment
        start = time.perf_counter()
        client.execute(env=env)
        print(f"executed in {time.perf_counter() - start:.1f} s")
    assert list(folder.iterdir()) == []
    return built


def outputs(cell, kind: str) -> list:
    return [output for output in cell.get("outputs", []) if output.output_type == kind]


@pytest.mark.slow
def test_only_unsolved_exercises_raise(notebook):
    for cell in notebook.cells:
        errors = outputs(cell, "error")
        if "raises-exception" in cell.metadata.get("tags", []):
            (error,) = errors
            assert error.ename == "Unsolved"
            assert re.match(r"Exercise \d, .* is not solved yet: ", error.evalue)
        else:
            assert errors == []


@pytest.mark.slow
def test_the_reports_are_shown_as_pages(notebook):
    shown = [output.data for cell in notebook.cells for output in outputs(cell, "execute_result")]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert len(pages) == 10
    for page in pages:
        assert 'class="gradcheck"' in page and page.count("<details") == 3


@pytest.mark.slow
def test_the_pictures_are_shown(notebook):
    drawn = [o for c in notebook.cells for o in outputs(c, "display_data") if "image/png" in o.data]
    assert len(drawn) == sum("plt.subplots" in c.source for c in notebook.cells if c.cell_type == "code") == 3


@pytest.mark.slow
def test_no_cell_prints_a_wall_or_complains(notebook):
    for cell in notebook.cells:
        streams = outputs(cell, "stream")
        assert {output.name for output in streams} <= {"stdout"}
        assert sum(len(output.text.splitlines()) for output in streams) <= MOST_LINES, cell.source


@pytest.mark.slow
def test_the_languages_are_in_the_metadata(notebook):
    assert all(cell.metadata["lang"] == "en" for cell in notebook.cells if cell.cell_type == "markdown")
