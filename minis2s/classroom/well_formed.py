"""What can be wrong with the source of an assignment, found before anything is built from it.

One function for each rule; each raises UserError with the file, the line and what to do.
"""

import ast
import builtins
from collections import Counter
from pathlib import Path

from minis2s.classroom.cells import (
    BEGIN,
    CODE_TAGS,
    END,
    LANGUAGES,
    NAME,
    TEXT_TAGS,
    Cell,
    enclosing,
    functions_of,
    heading,
    identifier,
    mistake,
    solution_blocks,
)  # fmt: skip
from minis2s.gradcheck.kinds import KINDS

NEEDS = {  # options that a cell of a role must have; it may have no others
    "answer": {"task"},
    "public": {"task", "check", "points"},
    "hidden": {"task", "check", "points"},
    "written": {"task", "points"},
    "model-answer": {"task"},
    "train": set(),
    "given": set(),
}


def refuse_mistakes(path: Path, cells: list[Cell]) -> None:
    """Raises UserError for the first mistake."""
    if not cells:
        raise mistake(path, 1, "there are no cells; each begins with a line # %%")
    for cell in cells:
        refuse_wrong_options(path, cell)
        if cell.kind == "code":
            refuse_wrong_code(path, cell)
    refuse_missing_translations(path, cells)
    refuse_a_wrong_beginning(path, cells)
    refuse_wrong_tasks(path, cells)
    refuse_wrong_questions(path, cells)


def refuse_wrong_options(path: Path, cell: Cell) -> None:
    line = cell.line - 1
    known = TEXT_TAGS if cell.kind == "text" else CODE_TAGS
    unknown = [tag for tag in cell.tags if tag not in known]
    if unknown:
        raise mistake(
            path, line, f"{unknown[0]!r} is no tag of a {cell.kind} cell; there are {', '.join(known)}"
        )
    if len(cell.tags) > 1:
        raise mistake(path, line, f"a cell has one tag, not {len(cell.tags)}")
    if cell.kind == "text" and cell.lang not in LANGUAGES:
        raise mistake(path, line, 'a text cell names its language: lang="en" or lang="zh"')
    if cell.kind == "code" and cell.lang:
        raise mistake(path, line, "code belongs to both languages and has no lang")
    given = {name for name in ("task", "check", "points") if getattr(cell, name)}
    needed = NEEDS[cell.role]
    for name in sorted(needed - given):
        raise mistake(path, line, f"a cell {cell.role!r} needs {name}=... (points are more than 0)")
    for name in sorted(given - needed):
        raise mistake(path, line, f"{name} means nothing in a cell {cell.role!r}")
    if cell.task and not NAME.fullmatch(cell.task):
        raise mistake(path, line, f"the name of a task is of small letters, digits and _, not {cell.task!r}")
    if cell.check and not identifier(cell.check):
        raise mistake(path, line, f"the name of a check has letters of ASCII in it, not {cell.check!r}")
    if cell.gradcheck and (cell.role != "answer" or cell.gradcheck not in KINDS):
        raise mistake(
            path, line, f"kind is one of {', '.join(KINDS)}, in an answer cell; not {cell.gradcheck!r}"
        )
    if cell.minutes and (cell.number > 1 or cell.kind != "text"):
        raise mistake(path, line, "minutes stand in the first text cell")


def refuse_wrong_code(path: Path, cell: Cell) -> None:
    try:
        ast.parse(cell.source)
    except SyntaxError as error:
        raise mistake(path, cell.line + (error.lineno or 1) - 1, f"not right Python: {error.msg}") from None
    marks = [
        (n, line.strip()) for n, line in enumerate(cell.source.split("\n"), 1) if line.strip() in (BEGIN, END)
    ]
    if cell.role != "answer":
        if marks:
            raise mistake(path, cell.line + marks[0][0] - 1, f"{marks[0][1]} belongs into an answer cell")
        return
    expected = [BEGIN, END] * (len(marks) // 2 + 1)
    for (n, mark), wanted in zip(marks, expected, strict=False):
        if mark != wanted:
            raise mistake(path, cell.line + n - 1, f"expected {wanted}, found {mark}")
    if len(marks) % 2:
        raise mistake(path, cell.line + marks[-1][0] - 1, f"no {END} follows")
    if not marks:
        raise mistake(path, cell.line - 1, f"an answer cell has a solution, between {BEGIN} and {END}")
    lines = cell.source.split("\n")
    for begin, end in solution_blocks(cell.source):
        block = [line for line in lines[begin - 1 : end] if line.strip()]
        outside = [line for line in block if indent(line) < indent(block[0])]
        if not enclosing(cell.source, begin) or outside or indent(block[-1]) != indent(block[0]):
            raise mistake(
                path,
                cell.line + begin - 1,
                f"{BEGIN} and {END} stand inside one function, as far in as its lines",
            )
    if cell.gradcheck:
        names = functions_of(cell.source)
        backward = next((name for name in names if name.endswith("_backward")), "x_backward")
        if backward.removesuffix("backward") + "forward" not in names or backward not in names:
            raise mistake(path, cell.line - 1, "a cell with a kind defines a pair, x_forward and x_backward")


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def refuse_missing_translations(path: Path, cells: list[Cell]) -> None:
    texts = [(before, cell) for before, cell in zip([None, *cells], cells, strict=False)]
    for n, (before, cell) in enumerate(texts):
        if cell.lang == "en":
            after = cells[n + 1] if n + 1 < len(cells) else None
            if after is None or after.lang != "zh" or like(after) != like(cell):
                raise mistake(
                    path, cell.line - 1, 'the text has to be followed by its translation, with lang="zh"'
                )
        elif cell.lang == "zh" and (before is None or before.lang != "en"):
            raise mistake(
                path, cell.line - 1, 'the English text, with lang="en", has to stand before its translation'
            )


def like(cell: Cell) -> tuple:
    return cell.tags, cell.task, cell.points


def refuse_a_wrong_beginning(path: Path, cells: list[Cell]) -> None:
    if cells[0].lang != "en" or not cells[0].minutes:
        raise mistake(
            path, cells[0].line - 1, "the first cell is a text with minutes=... (how long it takes)"
        )
    for cell in cells[:2]:
        if not heading(cell.source):
            raise mistake(path, cell.line, "the first text begins with the title, a heading with one #")


def refuse_wrong_tasks(path: Path, cells: list[Cell]) -> None:
    known: dict[str, tuple[str, ...]] = {}
    checks: Counter = Counter()
    defined: Counter = Counter()
    for cell in cells:
        if cell.role == "answer":
            if cell.task in known:
                raise mistake(path, cell.line - 1, f"the task {cell.task} has an answer cell already")
            known[cell.task] = functions_of(cell.source)
            for name in known[cell.task]:
                defined[name] += 1
                if defined[name] > 1:
                    raise mistake(path, cell.line - 1, f"{name} is defined in two answer cells")
        elif cell.role in ("public", "hidden"):
            if cell.task not in known:
                raise mistake(
                    path, cell.line - 1, f"no answer cell before this check has the task {cell.task}"
                )
            refuse_borrowed_names(path, cell, known[cell.task])
            checks[cell.task, identifier(cell.check)] += 1
            if checks[cell.task, identifier(cell.check)] > 1:
                raise mistake(path, cell.line - 1, f"the task {cell.task} has a check {cell.check!r} already")
    tested = {task for task, _ in checks}
    for cell in cells:
        if cell.role == "answer" and cell.task not in tested:
            raise mistake(path, cell.line - 1, f"the task {cell.task} has no check")


def refuse_borrowed_names(path: Path, cell: Cell, functions: tuple[str, ...]) -> None:
    """A check stands alone: graders run each by itself."""
    tree = ast.parse(cell.source)
    bound = {*dir(builtins), *functions}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in bound:
            raise mistake(
                path, cell.line + node.lineno - 1,
                f"a check stands alone: {node.id} is neither imported in it nor a function of the task {cell.task}",
            )  # fmt: skip
    if not any(isinstance(node, ast.Name) and node.id in functions for node in ast.walk(tree)):
        raise mistake(
            path, cell.line - 1, f"the check {cell.check!r} calls no function of the task {cell.task}"
        )


def refuse_wrong_questions(path: Path, cells: list[Cell]) -> None:
    tasks = {cell.task for cell in cells if cell.role == "answer"}
    seen: set[str] = set()
    for n, cell in enumerate(cells):
        if cell.role == "written" and cell.lang == "en":
            if cell.task in tasks | seen:
                raise mistake(path, cell.line - 1, f"there is a task {cell.task} already")
            seen.add(cell.task)
            after = cells[n + 2] if n + 2 < len(cells) else None
            if after is None or after.role != "model-answer" or after.task != cell.task:
                raise mistake(
                    path, cell.line - 1, f"the model answer to {cell.task} has to follow its question"
                )
        elif cell.role == "model-answer" and cell.lang == "en":
            before = cells[n - 1]
            if before.role != "written" or before.task != cell.task:
                raise mistake(
                    path, cell.line - 1, f"the question {cell.task} has to stand before its model answer"
                )
