"""Running a file that somebody else wrote, for its functions.

`student_file` imports it here, in this process, and lends it what it may expect of a script's world: its
own folder on the path, sys.argv, no terminal to ask, no window to open. Whatever goes wrong in it is one
sentence with the line of that file.
"""

import contextlib
import io
import os
import sys
import tokenize
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from unittest import mock

from minis2s.errors import UserError
from minis2s.files import reading
from minis2s.gradcheck.problem import Guard, Misbehaved

MODULE = "__student__"  # not "__main__": what a file does as a script is not wanted here


def compiled(path: Path) -> CodeType:
    """The code of a Python file. Raises UserError when there is no such file, or it is not Python."""
    if path.suffix == ".ipynb":
        raise UserError(
            f"{path} is a notebook: save its functions in a .py file, or call gradcheck in the notebook"
        )
    if path.suffix != ".py" and not path.is_dir() and path.exists():
        raise UserError(f"{path} is no Python file: its name must end in .py")
    with reading(path) as file:
        source = file.read()
    if b"\0" in source:
        raise UserError(f"{path} is no Python text: save the file again as UTF-8")
    refuse_other_encodings(path, source)
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise UserError(f"{path} is not right Python: {syntax(error)}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is not right Python: {one_line(error)}") from None


def refuse_other_encodings(path: Path, source: bytes) -> None:
    """Raises UserError where the bytes are not in the encoding that the file says, UTF-8 if it says none.

    `compile` lets wrong bytes in comments pass, and may lose the lines around them.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    except (
        SyntaxError
    ):  # the first lines are not UTF-8, or name an encoding that there is not: `compile` says that
        encoding = "utf-8"
    try:
        source.decode(encoding)
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        name = "UTF-8" if encoding.startswith("utf-8") else encoding
        raise UserError(
            f"{path}, line {line}: not {name} text (byte 0x{source[error.start]:02x}): save the file again as UTF-8"
        ) from None


def syntax(error: SyntaxError) -> str:
    """What is wrong and where: "line 3: '(' was never closed: z = (x @ W"."""
    line = (error.text or "").strip()[:80]
    said = f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    return f"{said}: {line}" if line else said


def one_line(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:200] or "no message"
    except Exception:  # noqa: BLE001 -- an error whose __str__ is wrong too
        return "no message"


class ToStderr(io.TextIOBase):
    """What is printed goes to stderr, and ends with a line end, so that our own words begin a line."""

    in_a_line = False

    def write(self, text: str) -> int:
        if text:
            self.in_a_line = not text.endswith("\n")
        return sys.stderr.write(text)

    def end(self) -> None:
        if self.in_a_line:
            self.write("\n")


@contextlib.contextmanager
def student_file(path: Path, seconds: float) -> Iterator[ModuleType]:
    """The module that the file makes. What it prints goes to stderr.

    Inside the `with` block its functions find their neighbours, an empty standard input and no display.
    Raises UserError when the file cannot be imported, in one sentence, or not within `seconds`.
    """
    code = compiled(path)
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    folder = str(path.resolve().parent)
    with (
        contextlib.ExitStack() as after,
        mock.patch.object(sys, "path", [folder, *sys.path]),
        mock.patch.object(sys, "argv", [str(path)]),
        mock.patch.object(sys, "stdin", io.StringIO()),
        mock.patch.dict(os.environ, {"MPLBACKEND": "Agg"}),
    ):
        here, printed = Path.cwd(), ToStderr()
        sys.modules[MODULE] = module  # dataclasses look their module up
        after.callback(sys.modules.pop, MODULE, None)
        try:
            with contextlib.redirect_stdout(printed), Guard(seconds).alarm(seconds, "the import"):
                exec(code, vars(module))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise UserError(why_not(path, error, seconds)) from error
        finally:
            printed.end()
            os.chdir(here)  # the files that we write are named from here
        if figures_drawn():
            print(
                f"minis2s: note: {path} draws figures when it is imported; they are not shown",
                file=sys.stderr,
            )
        yield module


def why_not(path: Path, error: BaseException, seconds: float) -> str:
    """One sentence on an exception that came out of the file while it was imported."""
    place = place_in(path.resolve().parent, path.name, error)
    script = 'below if __name__ == "__main__":'
    if isinstance(error, Misbehaved):
        return (
            f"{path} is not imported after {seconds:g} seconds{place}: look for a loop that never ends, "
            f"put long work {script} or allow more with --seconds"
        )
    if isinstance(error, SystemExit):
        return f"{path} ends the program (sys.exit) when it is imported{place}: put that {script}"
    if isinstance(error, EOFError):
        return f"{path} asks for input when it is imported{place}: put that {script}"
    if isinstance(error, SyntaxError) and error.filename:
        file = Path(error.filename).name
        return f"{path} cannot be imported{place}: {file} is not right Python: {syntax(error)}"
    return f"{path} cannot be imported: {type(error).__name__}{place}: {one_line(error)}"


def place_in(folder: Path, name: str, error: BaseException) -> str:
    """ " at line 7 (x = y)": the last line in the file itself, or in a neighbour that it imports."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if frame.lineno and file.name.endswith(".py") and file.resolve().parent == folder:
            of = "" if file.name == name else f" of {file.name}"
            line = f" ({frame.line.strip()[:80]})" if frame.line else ""
            return f" at line {frame.lineno}{of}{line}"
    return ""


def figures_drawn() -> bool:
    """Did the file open figures of matplotlib? They are closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    try:
        drawn = bool(pyplot is not None and pyplot.get_fignums())
        if drawn:
            pyplot.close("all")
        return drawn
    except Exception:  # noqa: BLE001 -- not our figures
        return False
