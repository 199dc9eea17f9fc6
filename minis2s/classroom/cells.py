"""The cells of an assignment's source: Python in percent format, each cell with what it is for.

`cells_of` reads them, itself and not by Jupytext, because each mistake in a source is told with its line; `stub` and `solved` are an answer cell as the student gets it and as the teacher has it.
"""

import ast
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from minis2s.errors import UserError

LANGUAGES = ("en", "zh")
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
TEXT_TAGS = ("written", "model-answer")
CODE_TAGS = ("answer", "public", "hidden", "train")
OPTIONS = ("lang", "tags", "task", "check", "kind", "points", "minutes")
OPTION = re.compile(r'(\w+)=("[^"\n]*"|\[[^\]\n]*\]|[0-9.]+)(?:\s+|$)')
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Cell:
    """A cell. source: the code, or the text without its comment signs. number: counts the cells from 0."""

    kind: str  # "text" or "code"
    source: str
    number: int
    line: int  # of the first line of `source` in the file
    lang: str | None = None
    tags: tuple[str, ...] = ()
    task: str = ""
    check: str = ""
    gradcheck: str = ""  # a kind of minis2s.gradcheck
    points: float = 0
    minutes: int = 0

    @property
    def role(self) -> str:
        """ "answer", "public", "hidden", "train", "written", "model-answer", or "given"."""
        return next((tag for tag in self.tags if tag in TEXT_TAGS + CODE_TAGS), "given")


def heading(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def identifier(name: str) -> str:
    """The name of a check as a part of a function's name: letters of ASCII, digits and _."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def mistake(path: Path, line: int, what: str) -> UserError:
    return UserError(f"{path}, line {line}: {what}")


def cells_of(path: Path, text: str) -> list[Cell]:
    """The cells of a source. Raises UserError for a line `# %%` that cannot be read."""
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if line == "# %%" or line.startswith("# %% ")]
    cells = []
    if not starts:
        return cells
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(lines)], strict=True)):
        options = lines[start].removeprefix("# %%").strip()
        kind = "text" if options.startswith("[markdown]") else "code"
        body = lines[start + 1 : stop]
        while body and not body[-1].strip():
            body.pop()
        if kind == "text":
            for n, line in enumerate(body):
                if line and not line.startswith("#"):
                    raise mistake(path, start + 2 + n, "each line of a text cell must begin with #")
            body = [line.removeprefix("#").removeprefix(" ") for line in body]
        settings = options_of(path, start + 1, options.removeprefix("[markdown]").strip())
        cells.append(Cell(kind, "\n".join(body), number, start + 2, **settings))
    return cells


def options_of(path: Path, line: int, text: str) -> dict:
    """What stands after `# %%`: name="text", tags=["..."], points=2."""
    found, end = {}, 0
    for match in OPTION.finditer(text):
        name, value = match.groups()
        if match.start() != end or name not in OPTIONS:
            break
        end = match.end()
        if name in found:
            raise mistake(path, line, f"{name} is given twice")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            raise mistake(path, line, f"{name}={value} cannot be read") from None
    if end != len(text):
        raise mistake(
            path, line, f'cannot read {text[end:]!r} after # %%; expected, as needed, {", ".join(OPTIONS)}, '
            'as in lang="en" tags=["public"] task="step" check="shapes" points=1'
        )  # fmt: skip
    for name, value in found.items():
        wanted = {"tags": list, "points": (int, float), "minutes": int}.get(name, str)
        if not isinstance(value, wanted):
            raise mistake(path, line, f"{name}={value!r} is of the wrong type")
    if "tags" in found:
        found["tags"] = tuple(map(str, found["tags"]))
    if "kind" in found:
        found["gradcheck"] = found.pop("kind")
    return found


# -- code ------------------------------------------------------------------------------------------------------


def functions_of(code: str) -> tuple[str, ...]:
    """The names of the functions that a cell defines, in its order."""
    return tuple(node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef))


@lru_cache(maxsize=64)
def parsed(code: str) -> ast.Module:
    """The tree of a cell, which is asked for once for each block of a solution in it."""
    return ast.parse(code)


def enclosing(code: str, line: int) -> str:
    """The name of the function in which a line (from 1) of a cell stands, or ""."""
    inside = [
        node for node in ast.walk(parsed(code))
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= node.end_lineno
    ]  # fmt: skip
    return max(inside, key=lambda node: node.lineno).name if inside else ""


def solution_blocks(code: str) -> list[tuple[int, int]]:
    """(line of BEGIN, line of END), from 1, of each block of a solution."""
    lines = [line.strip() for line in code.split("\n")]
    begins = [n for n, line in enumerate(lines, 1) if line == BEGIN]
    ends = [n for n, line in enumerate(lines, 1) if line == END]
    return list(zip(begins, ends, strict=False))


def hole(cell: Cell, line: int) -> str:
    """What students find in place of the solution at this line of a cell. It is this error by which checks, the box
    and the intake tell a task that is not written from one that is wrong."""
    return f'raise NotImplementedError("{cell.task}: write {enclosing(cell.source, line)}")'


def stub(cell: Cell) -> str:
    """The code of an answer cell with a hole in place of each solution, which raises with the task's name."""
    lines: list[str | None] = list(cell.source.split("\n"))
    for begin, end in solution_blocks(cell.source):
        indent = re.match(r"\s*", lines[begin - 1])[0]
        lines[begin - 1 : end] = [indent + hole(cell, begin), *[None] * (end - begin)]
    return "\n".join(line for line in lines if line is not None)


def solved(cell: Cell) -> str:
    """The code of an answer cell with its solution, without the marks around it."""
    return "\n".join(line for line in cell.source.split("\n") if line.strip() not in (BEGIN, END))
