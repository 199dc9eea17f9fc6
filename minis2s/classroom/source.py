"""The source of an assignment: one Python file in percent format, for the student and for the teacher.

`read_assignment` takes it apart into cells, tasks with their checks, and written questions, and refuses
what is not well formed, naming the line. lessons/assignments/README.md says how a source is written.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from minis2s.classroom.cells import (
    LANGUAGES,
    TEXT_TAGS,
    Cell,
    cells_of,
    functions_of,
    heading,
    solution_blocks,
    solved,
    stub,
)
from minis2s.classroom.well_formed import refuse_mistakes
from minis2s.errors import UserError
from minis2s.files import read_text


@dataclass(frozen=True)
class Check:
    """One check of a task: test code that uses the student's functions by name and raises when they are wrong."""

    task: str
    name: str
    points: float
    public: bool
    source: str


@dataclass(frozen=True)
class Written:
    """A written question, which the teacher marks."""

    task: str
    points: float
    question: dict[str, str]  # by language
    answer: dict[str, str]


@dataclass(frozen=True)
class Task:
    """What the student writes in one answer cell."""

    name: str
    functions: tuple[str, ...]  # defined in the answer cell, in its order
    kind: str  # of minis2s.gradcheck, or ""
    checks: tuple[Check, ...]

    @property
    def points(self) -> float:
        return sum(check.points for check in self.checks)

    @property
    def pair(self) -> tuple[str, str] | None:
        """The names of the forward and the backward function that gradcheck can diagnose."""
        backward = next((name for name in self.functions if name.endswith("_backward")), "")
        forward = backward.removesuffix("backward") + "forward"
        return (forward, backward) if self.kind and forward in self.functions else None


@dataclass(frozen=True)
class Assignment:
    """An assignment, whole. text: of the source file."""

    name: str
    path: Path
    text: str = field(repr=False)
    title: dict[str, str]
    minutes: int
    cells: tuple[Cell, ...] = field(repr=False)
    tasks: tuple[Task, ...]
    written: tuple[Written, ...]

    @property
    def points(self) -> float:
        """Of all tasks and written questions."""
        return sum(part.points for part in (*self.tasks, *self.written))

    def task(self, name: str) -> Task:
        """The task of that name. Raises KeyError."""
        return {task.name: task for task in self.tasks}[name]


def assignment_folder() -> Path:
    """Where the sources are: in a clone only, since a wheel, which students install, must not hold solutions.

    Raises UserError where they are not.
    """
    clone = Path(__file__).parents[2]
    folder = clone / "lessons" / "assignments"
    if folder.is_dir() and (clone / "pyproject.toml").is_file():
        return folder
    raise UserError(
        "the assignments are not here: an installed minis2s leaves them out, because they hold the solutions; "
        "work in a clone of the repository, or name the file of an assignment"
    )


def assignments() -> dict[str, Path]:
    """The sources by their names, in their order: {"1_softmax_cross_entropy": path, ...}. Raises UserError."""
    return {path.stem: path for path in sorted(assignment_folder().glob("*.py"))}


def read_assignment(path: str | Path) -> Assignment:
    """An assignment from its source. Raises UserError that names the file and the line of a mistake."""
    path = Path(path)
    text = read_text(path).replace("\r\n", "\n")
    cells = cells_of(path, text)
    refuse_mistakes(path, cells)
    tasks, written = [], []
    for cell in cells:
        if cell.role == "answer":
            checks = tuple(
                Check(c.task, c.check, c.points, c.role == "public", c.source)
                for c in cells
                if c.role in ("public", "hidden") and c.task == cell.task
            )
            tasks.append(Task(cell.task, functions_of(cell.source), cell.gradcheck, checks))
        elif cell.role == "written" and cell.lang == LANGUAGES[0]:
            question, answer = (
                {c.lang: c.source for c in cells if c.role == role and c.task == cell.task}
                for role in TEXT_TAGS
            )
            written.append(Written(cell.task, cell.points, question, answer))
    first = {cell.lang: cell for cell in reversed(cells) if cell.kind == "text"}
    title = {lang: heading(cell.source) for lang, cell in first.items()}
    minutes = first[LANGUAGES[0]].minutes
    return Assignment(path.stem, path, text, title, minutes, tuple(cells), tuple(tasks), tuple(written))


# -- what the student gets, and what not ---------------------------------------------------------------------


def solution(assignment: Assignment) -> str:
    """A program with the given code and all solutions: what a right submission defines."""
    return program(assignment, solved)


def empty(assignment: Assignment) -> str:
    """The same with holes in place of the solutions: what an untouched submission defines."""
    return program(assignment, stub)


def program(assignment: Assignment, answer) -> str:
    parts = [
        answer(cell) if cell.role == "answer" else cell.source
        for cell in assignment.cells
        if cell.kind == "code" and cell.role in ("given", "answer")
    ]
    return "\n\n\n".join(parts) + "\n"


def secrets(assignment: Assignment) -> list[str]:
    """The lines that no student may see, stripped: of solutions, hidden checks and model answers.

    What stands in a line that every student is given is no secret, nor is a line without a letter. A line of a solution
    is one unless the whole of it is a line of given code: a text for students, or a longer line, may not tell it.
    """
    solutions, others, code, texts = set(), set(), set(), set()
    for cell in assignment.cells:
        lines = [line.strip() for line in cell.source.split("\n")]
        if cell.role in ("hidden", "model-answer"):
            others.update(lines)
        elif cell.role == "answer":
            for begin, end in solution_blocks(cell.source):
                solutions.update(lines[begin : end - 1])
            code.update(line.strip() for line in stub(cell).split("\n"))
        else:
            (code if cell.kind == "code" else texts).update(lines)
    in_code, in_texts = "\n".join(code), "\n".join(texts)
    found = solutions - code
    found |= {line for line in others - solutions if line not in in_code and line not in in_texts}
    return sorted(line for line in found if re.search(r"\w", line))
