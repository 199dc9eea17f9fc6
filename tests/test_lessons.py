"""The lessons keep their promises: they read the same in both languages, run as programs and as notebooks,
and their exercises are red until they are solved, and can be solved.

Every lessons/*.py is tested; its solutions are in a file of the same name in tests/lessons/ (lessons/README.md
says in what form). LESSONS_PYTHON names a Python that runs the programs in place of this one, as one with the
oldest NumPy.

mutate: not this file (a lesson runs in a process of its own, where no bug is planted)
"""

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

from minis2s.lessons import build, execute

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "lessons").glob("*.py"))
GRADIENT_CHECK = ROOT / "lessons" / "gradient_check.py"
NUMBERED = [path for path in LESSONS if re.match(r"\d\d_", path.name)]
PYTHON = os.environ.get("LESSONS_PYTHON") or sys.executable
PACKAGES = ("jupytext", "nbclient", "ipykernel")

MOST_LINES = 15  # that one cell may print
MOST_SOURCE = 90  # of the engine's own code
LEAST_EVIDENCE = 8
SECONDS, MEBIBYTES = 60, 1000  # that a lesson may take

CHINESE = re.compile("[\u4e00-\u9fff]")
WIDE = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")  # with the punctuation

# the last thing that a lesson does here: what it has taken
MEASURE = """
import os as _os, sys as _sys, numpy as _numpy
try:  # of this process alone; what getrusage says includes the process that started it
    with open("/proc/self/status") as _file:
        _kib = next(int(_line.split()[1]) for _line in _file if _line.startswith("VmHWM"))
except OSError:
    import resource as _resource
    _kib = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss // (1024 if _sys.platform == "darwin" else 1)
print("measured:", sum(_os.times()[:4]), _kib // 1024, _numpy.__version__)
"""


class Cell(NamedTuple):
    options: str  # what stands after "# %%"
    body: str

    @property
    def is_text(self) -> bool:
        return self.options.startswith("[markdown]")

    @property
    def language(self) -> str:
        found = re.search(r'\blang="(en|zh)"', self.options)
        return found[1] if found else ""

    @property
    def text(self) -> str:
        """Of a text cell, without the comment signs."""
        return "\n".join(line.removeprefix("#").removeprefix(" ") for line in self.body.splitlines()).strip()

    @property
    def checks(self) -> str:
        """The exercise that a code cell checks, as "Exercise 1", or nothing."""
        found = re.search(r'^with exercise\("(Exercise \d+), [^"]+"\):', self.body, re.MULTILINE)
        return found[1] if found and not self.is_text else ""


def cells_of(path: Path) -> list[Cell]:
    header, *rest = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = [part.partition("\n") for part in rest]
    return [Cell(options.strip(), body.strip("\n")) for options, _, body in parts]


def texts_of(path: Path, language: str) -> list[str]:
    return [cell.text for cell in cells_of(path) if cell.is_text and cell.language == language]


FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def fenced(text: str) -> list[str]:
    return FENCED.findall(text)


def prose(text: str) -> str:
    """A text without its blocks of code and its `code`."""
    return re.sub(r"`[^`\n]+`", "", FENCED.sub("", text))


def formulas(text: str) -> list[str]:
    found = re.findall(r"\$\$.+?\$\$|\$[^$]+\$", prose(text), re.DOTALL)
    return sorted(" ".join(formula.split()) for formula in found)


def headings(text: str) -> list[int]:
    """The levels of the headings, in their order."""
    return [len(signs) for signs in re.findall(r"^(#+) ", FENCED.sub("", text), re.MULTILINE)]


def differences(english: str, chinese: str) -> list[str]:
    """In what a translation is not the same text."""
    found = []
    for what, of in (("headings", headings), ("formulas", formulas), ("blocks of code", fenced)):
        if of(english) != of(chinese):
            found.append(f"{what}: {of(english)} in English, {of(chinese)} in Chinese")
    if english.count("<details>") != chinese.count("<details>"):
        found.append("<details>: not the same number")
    if WIDE.search(english):
        found.append("Chinese signs in the English text")
    if re.search("[a-zA-Z]{3}", re.sub(r"\$[^$]+\$", "", prose(english))) and not CHINESE.search(chinese):
        found.append("no Chinese in the Chinese text")
    return found


def is_one_sentence(text: str, end: str) -> bool:
    """Whether a text is one sentence that ends in `end`; the dots in numbers, code and formulas do not count."""
    plain = re.sub(r"(?<=\d)\.(?=\d)|\$[^$]+\$", "", prose(text)).strip()
    stops = "。！？" if end == "。" else ".!?"
    return bool(re.fullmatch(f"[^{stops}]+{re.escape(end)}", plain)) and "\n\n" not in plain


each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
each_numbered = pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)


# -- what is written ---------------------------------------------------------------------------------


def test_there_are_lessons():
    assert GRADIENT_CHECK in LESSONS


@each_lesson
def test_the_header_says_what_kind_of_file_it_is(path):
    header = GRADIENT_CHECK.read_text(encoding="utf-8").partition("# %%")[0]
    for line in ("# jupyter:", "#       format_name: percent", "#   kernelspec:", "#     name: python3"):
        assert line in header.splitlines()
    assert path.read_text(encoding="utf-8").partition("# %%")[0] == header  # a further empty line would be a cell


@each_lesson
def test_every_text_names_its_language(path):
    texts = [cell for cell in cells_of(path) if cell.is_text]
    assert len(texts) >= 20
    for cell in texts:
        assert cell.language, cell.body[:80]
        assert all(line.startswith("#") for line in cell.body.splitlines() if line), cell.body[:80]


@each_lesson
def test_every_text_is_followed_by_its_translation(path):
    cells = [*cells_of(path), Cell("", "")]
    assert headings(cells[0].text)[:1] == [1]
    for before, cell, after in zip([Cell("", ""), *cells], cells, cells[1:], strict=False):
        if cell.is_text and cell.language == "en":
            assert after.is_text and after.language == "zh", f"no Chinese after: {cell.text[:80]}"
            assert not (found := differences(cell.text, after.text)), (found, cell.text[:80])
        elif cell.is_text:
            assert before.is_text and before.language == "en", f"no English before: {cell.text[:80]}"


@each_lesson
def test_the_translation_is_as_long_as_the_text(path):
    long, short = (len("".join(prose("\n".join(texts_of(path, lang))).split())) for lang in ("en", "zh"))
    assert 0.2 < short / long < 0.9


@pytest.mark.parametrize(
    ("english", "chinese", "said"),
    [
        ("# A\ntext", "# 甲\n文字", ""),
        ("see $x$ and $y$", "先看 $y$，再看 $x$", ""),
        ("```python\n# code\n```", "```python\n# code\n```", ""),
        ("$x$", "$x$", ""),
        ("# A", "## 甲", "headings"),
        ("# A", "甲", "headings"),
        ("see $x_1$", "见 $x_2$", "formulas"),
        ("$$x$$ here", "这里 $x$", "formulas"),
        ("```\na\n```", "```\nb\n``` 甲", "blocks of code"),
        ("<details>hint</details>", "提示", "<details>"),
        ("the state，h", "状态，h", "Chinese signs"),
        ("the state", "the state", "no Chinese"),
    ],
)
def test_a_wrong_translation_would_be_noticed(english, chinese, said):
    found = differences(english, chinese)
    assert said in "".join(found) and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("text", "end", "is_one"),
    [
        ("The loss falls to 0.25.", ".", True),
        ("The `a.b` of $x. y$ falls.", ".", True),
        ("It falls. It rises.", ".", False),
        ("It falls", ".", False),
        ("It falls\n\nand falls.", ".", False),
        ("损失降到 0.25。", "。", True),
        ("下降。上升。", "。", False),
        ("下降.", "。", False),
    ],
)
def test_a_sentence_is_known(text, end, is_one):
    assert is_one_sentence(text, end) == is_one


@each_lesson
def test_no_line_is_too_long(path):
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 110] == []


@each_lesson
def test_evidence_has_its_assertion(path):
    for cell in cells_of(path):
        if not cell.is_text and "evidence: " in cell.body:
            assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.body))), cell.body


@each_lesson
def test_a_check_of_an_exercise_is_tagged(path):
    checks = [cell for cell in cells_of(path) if cell.checks]
    assert len(checks) >= 3
    assert [cell.checks for cell in checks] == [f"Exercise {n}" for n in range(1, len(checks) + 1)]
    assert [cell for cell in cells_of(path) if "raises-exception" in cell.options] == checks


@each_lesson
def test_an_exercise_has_something_folded_to_open(path):
    cells = cells_of(path)
    first = next(n for n, cell in enumerate(cells) if cell.checks)
    while not (cells[first].language == "en" and headings(cells[first].text)):
        first -= 1
    hints = "".join(cell.text for cell in cells[first:] if cell.language == "en").count("<details>")
    assert hints >= sum(bool(cell.checks) for cell in cells)


@each_lesson
def test_a_hidden_bug_is_folded(path):
    folded = [cell for cell in cells_of(path) if "source_hidden" in cell.options]
    assert folded
    for cell in folded:
        assert '"source_hidden": true' in cell.options and "hide-input" in cell.options


def test_what_is_to_be_guessed_is_folded():
    breaking = [cell for cell in cells_of(GRADIENT_CHECK) if re.match(r"(students\[|hidden_pair)", cell.body)]
    assert len(breaking) == 11
    for cell in breaking:
        assert '"source_hidden": true' in cell.options


@each_numbered
def test_the_code_of_the_engine_is_shown(path):
    tagged = [cell for cell in cells_of(path) if "engine-source" in cell.options]
    assert tagged
    for cell in tagged:
        assert "inspect.getsource(" in cell.body


def test_the_readme_links_every_lesson_that_there_is():
    """Those that are still to be written stand in the table as well, without a link."""
    readme = (ROOT / "lessons" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\[)?`([a-z0-9_]+\.py)`(?:\]\(([^)]*)\))? \|", readme, re.MULTILINE)
    names = [name for _, name, _ in rows]
    assert names == sorted(names) and len(set(names)) == 13
    assert [name for linked, name, _ in rows if linked] == [path.name for path in LESSONS]
    assert all(target == name for linked, name, target in rows if linked)


# -- the answers ---------------------------------------------------------------------------------------


class Answers(NamedTuple):
    wrong: list[str]
    right: str


def answers_of(path: Path) -> dict[str, Answers]:
    """The answers to each exercise of a lesson, from the file of the same name in tests/lessons/."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for cell in cells_of(ROOT / "tests" / "lessons" / path.name):
        exercise, wrong, _ = re.fullmatch(r"(Exercise \d+)(, wrong\b)?(.*)", cell.options).groups()
        found.setdefault(exercise, ([], []))[0 if wrong else 1].append(cell.body)
    assert all(len(right) == 1 for _, right in found.values()), "each exercise has one solution"
    return {exercise: Answers(wrong, right[0]) for exercise, (wrong, right) in found.items()}


@each_lesson
def test_every_exercise_has_a_solution_and_the_lesson_a_wrong_answer(path):
    answers = answers_of(path)
    assert sorted(answers) == [cell.checks for cell in cells_of(path) if cell.checks]
    assert any(wrong for wrong, _ in answers.values())


@each_lesson
def test_solutions_that_a_lesson_shows_are_those_that_are_tested(path):
    tested = {answer.right.strip() for answer in answers_of(path).values()}
    after = "\n".join(texts_of(path, "en")).partition("## Solutions")[2]
    for block in re.findall(r"^```python\n(.*?)^```", after, re.MULTILINE | re.DOTALL):
        assert block.strip() in tested


# -- as a program --------------------------------------------------------------------------------------


def with_answers(path: Path) -> str:
    """The program of a lesson; the check of an exercise once more after each wrong answer and the solution."""
    answers = answers_of(path)
    parts = []
    for cell in cells_of(path):
        if not cell.is_text:
            parts.append(cell.body)
        if cell.checks:
            wrong, right = answers[cell.checks]
            parts += [part for answer in (*wrong, right) for part in (answer, cell.body)]
    return "\n\n".join([*parts, MEASURE])


def run_program(text: str, folder: Path) -> list[str]:
    """The lines that a program prints; it must end well, complain about nothing and leave nothing behind."""
    program, here = folder / "lesson.py", folder / "here"
    program.write_text(text, encoding="utf-8")
    here.mkdir()
    done = subprocess.run(
        [PYTHON, str(program)],
        cwd=here, timeout=10 * SECONDS, capture_output=True, text=True, encoding="utf-8",
        env=os.environ | {
            "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(here.iterdir()) == []
    return done.stdout.splitlines()


def small_enough(line: str, wall: float) -> None:
    """Hold a lesson to its limits of time and memory; a machine with other work to do is no fault of it."""
    cpu, mebibytes, numpy = line.removeprefix("measured: ").split()
    print(f"NumPy {numpy}: {wall:.1f} s, {float(cpu):.1f} s of CPU time, {mebibytes} MiB")
    assert min(float(cpu), wall) < SECONDS
    assert int(mebibytes) < MEBIBYTES


@pytest.mark.slow
@each_lesson
def test_it_runs_as_a_program_and_its_exercises_can_be_solved(path, tmp_path):
    start = time.perf_counter()
    *printed, measured = run_program(with_answers(path), tmp_path)
    small_enough(measured, time.perf_counter() - start)
    assert sum(line.startswith("evidence: ") for line in printed) >= LEAST_EVIDENCE
    said = [found.groups() for line in printed if (found := re.match(r"(Exercise \d+), .* is (not )?solved", line))]
    expected = []
    for exercise, (wrong, _) in answers_of(path).items():
        expected += [(exercise, "not ")] * (1 + len(wrong)) + [(exercise, None)]
    assert said == sorted(expected, key=lambda pair: int(pair[0].split()[1]))


# -- as a notebook ---------------------------------------------------------------------------------------


def outputs(cell, kind: str) -> list:
    return [output for output in cell.get("outputs", []) if output.output_type == kind]


def lines_of(cell) -> list[str]:
    return "".join(output.text for output in outputs(cell, "stream")).splitlines()


def has_picture(cell) -> bool:
    return any("image/png" in o.data for kind in ("display_data", "execute_result") for o in outputs(cell, kind))


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def only_unsolved_exercises_raise(notebook) -> None:
    for cell in notebook.cells:
        errors = outputs(cell, "error")
        if "raises-exception" in tags(cell):
            (error,) = errors
            assert error.ename == "Unsolved"
            assert re.match(r"Exercise \d+, .* is not solved yet: ", error.evalue)
        else:
            assert errors == []


def no_cell_prints_a_wall_or_complains(notebook) -> None:
    for cell in notebook.cells:
        assert {output.name for output in outputs(cell, "stream")} <= {"stdout"}, lines_of(cell)
        assert len(lines_of(cell)) <= (MOST_SOURCE if "engine-source" in tags(cell) else MOST_LINES), cell.source


def one_sentence_stands_under_every_picture(english, chinese) -> None:
    pictures = {cell.id for cell in english.cells if has_picture(cell)}
    assert pictures
    for notebook, end in ((english, "."), (chinese, "。")):
        for cell, after in zip(notebook.cells, notebook.cells[1:], strict=False):
            if cell.id in pictures:
                assert after.cell_type == "markdown" and is_one_sentence(after.source, end), after.source


def every_section_has_evidence(notebook) -> None:
    """Of those that compute anything; the exercises have their checks."""
    sections: list[list] = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            sections.append([])
        sections[-1].append(cell)
    printed = [line for cell in notebook.cells for line in lines_of(cell)]
    assert sum(line.startswith("evidence: ") for line in printed) >= LEAST_EVIDENCE
    for section in sections:
        code = [cell for cell in section if cell.cell_type == "code"]
        if any(computes(cell.source) for cell in code) and not any("raises-exception" in tags(c) for c in code):
            lines = [line for cell in code for line in lines_of(cell)]
            assert any(line.startswith("evidence: ") for line in lines), section[0].source


def computes(code: str) -> bool:
    """Whether a cell does more than import, define and name constants."""
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Assign):
            if not isinstance(statement.value, ast.Constant | ast.Lambda):
                return True
        elif not isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            return True
    return False


def reports_are_shown_as_pages(notebook) -> None:
    shown = [output.data for cell in notebook.cells for output in outputs(cell, "execute_result")]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert len(pages) == 10
    for page in pages:
        assert 'class="gradcheck"' in page and page.count("<details") == 3


@pytest.mark.slow
@each_lesson
def test_it_runs_as_a_notebook(path):
    """One test, so that the notebook is executed once; skipped, with a warning, where that cannot be done."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        says = f"the lesson was NOT built and executed as a notebook: install {', '.join(missing)}"
        warnings.warn(says, stacklevel=1)
        pytest.skip(says)
    from nbformat.v4 import new_code_cell

    english, chinese = build(path, "en"), build(path, "zh")
    english.cells.append(new_code_cell(MEASURE))
    start = time.perf_counter()
    execute(english)
    wall = time.perf_counter() - start
    (measured,) = lines_of(english.cells.pop())
    small_enough(measured, wall)
    only_unsolved_exercises_raise(english)
    no_cell_prints_a_wall_or_complains(english)
    one_sentence_stands_under_every_picture(english, chinese)
    every_section_has_evidence(english)
    if path == GRADIENT_CHECK:
        reports_are_shown_as_pages(english)
