"""A student's own tests: where they find the functions, in the program or the notebook in which the student works.

The file of tests that is handed out uses this, and the student's functions run in the student's own process:
it is for learning. Marks come from the grader.
"""

import ast
import json
import linecache
from collections.abc import Callable
from pathlib import Path

from minis2s.gradcheck import assert_gradients

SKIPPED = ("public", "train", "diagnosis")
KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


class NotThere(AssertionError):
    """The student's file cannot be read, or a function is missing; the message says what to do."""


class Mine:
    """The student's functions, out of NAME.py or NAME.ipynb beside the tests, whichever was saved last."""

    def __init__(self, tests: str, name: str):
        self.folder, self.name = Path(tests).parent, name
        self.loaded: dict | None = None

    def functions(self, *names: str) -> list[Callable]:
        """The functions of these names. Raises NotThere."""
        path = self.path()
        if self.loaded is None:
            self.loaded = load(path)
        missing = [name for name in names if not callable(self.loaded.get(name))]
        if missing:
            raise NotThere(
                f"{path.name} does not define {', '.join(missing)}: give the function its name back"
            )
        return [self.loaded[name] for name in names]

    def gradients(self, forward: str, backward: str, *, kind: str, hint: int) -> None:
        """Raises AssertionError that says where a gradient is wrong, up to the level of hints."""
        __tracebackhide__ = True
        assert_gradients(tuple(self.functions(forward, backward)), kind=kind, hint=hint)

    def path(self) -> Path:
        """The file in which the student works. Raises NotThere."""
        there = [path for end in (".py", ".ipynb") if (path := self.folder / f"{self.name}{end}").is_file()]
        if not there:
            raise NotThere(
                f"neither {self.name}.py nor {self.name}.ipynb is in {self.folder}: keep one of these names"
            )
        return max(there, key=lambda path: path.stat().st_mtime)


def load(path: Path) -> dict:
    """What the program or the notebook defines. Raises NotThere."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        cells = [(str(path), text)] if path.suffix == ".py" else list(code_cells(path.name, text))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotThere(f"{path.name} cannot be read ({type(error).__name__}): save it again") from None
    names: dict = {"__name__": path.stem, "__file__": str(path)}
    for place, source in cells:
        try:
            tree = ast.parse(source, place)
        except SyntaxError as error:
            raise NotThere(
                f"{Path(place).name}, line {error.lineno}: not right Python: {error.msg}"
            ) from None
        if path.suffix != ".py":
            tree.body = [node for node in tree.body if isinstance(node, KEPT)]
            linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        exec(compile(tree, place, "exec"), names)
    return names


def code_cells(name: str, text: str):
    """(place, source) of each code cell of a notebook that is not a check, without lines for Jupyter."""
    for number, cell in enumerate(json.loads(text)["cells"], 1):
        if cell["cell_type"] == "code" and not set(SKIPPED) & set(cell["metadata"].get("tags", ())):
            lines = "".join(cell["source"]).split("\n")
            yield (
                f"<{name}, cell {number}>",
                "\n".join("" if line.startswith(("%", "!")) else line for line in lines),
            )
