"""The lessons as notebooks: one source, of which each language gets the text cells in that language.

A source is a Python file in Jupytext's percent format, with every text cell in English and in Chinese.
The notebook that is built from it holds no trace of the machine or the day: the same source makes the
same bytes. Each carries two checksums, of what it was built from and of all that stands in the file; so a
notebook in which somebody has worked is told from one that may be replaced.
"""

import hashlib
import importlib
import inspect
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from minis2s.errors import UserError
from minis2s.files import make_folder, read_text, reading, write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

LANGUAGES = {"en": "English", "zh": "Chinese"}
EXTRA = 'pip install "minis2s[lessons]"'
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}
CELL_METADATA = ("lang", "tags", "jupyter")  # what a source says of a cell; Jupytext adds things of its own
SECONDS = 600  # for one cell
SEAL = re.compile(r'"seal": "([0-9a-f]*)"')
SOURCE = re.compile(r'"source": "([0-9a-f]{64})"')


class Unsolved(Exception):
    """What the check of an exercise raises until it is solved."""


@contextmanager
def exercise(name: str) -> Iterator[None]:
    """Around the check of an exercise. In a notebook its cell stays red until the exercise is solved; a plain
    program prints that it is not, and goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- what fills the hole may raise anything
        message = f"{name} is not solved yet: {reason(error)}"
        if "ipykernel" in sys.modules:
            raise Unsolved(message) from None
        print(message)
    else:
        print(f"{name} is solved")


def reason(error: Exception) -> str:
    """Why an exercise is not solved, in one line; of an error in the learner's own function also where it was."""
    kind, said = type(error).__name__, next(iter(str(error).splitlines()), "")
    trace = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AssertionError | NotImplementedError) or trace[-1].filename == __file__:
        return said or kind  # written for the learner
    not_theirs = (str(Path(__file__).parent), f"{os.sep}site-packages{os.sep}")
    frames = [
        frame
        for frame in trace
        if frame.name != "<module>" and not any(folder in frame.filename for folder in not_theirs)
    ]
    where = f" in line {frames[-1].lineno}, function {frames[-1].name}" if frames else ""
    return f"{kind}{where}: {said}" if said else f"{kind}{where}"


def what_is_wrong(report: Any) -> str:
    """One line for the check of an exercise: which gradients of a `gradcheck.Report` are wrong and by how much,
    not why."""
    told = [finding.says for finding in report.findings if finding.ok is False]
    for block in report.blocks:
        if block.verdict == "wrong":
            told.append(f"d{block.name} has a relative error of {block.error:.1e}")
        elif block.verdict != "right":
            told.append(block.note or f"d{block.name}: {block.verdict}")
    return "; ".join([report.summary(), *told])


def with_changes(changes: Mapping[str, str], *functions: Callable) -> Any:
    """The functions with some of their text replaced, {old: new}: how a lesson plants a bug into its own code.

    They see the names that the functions see, and one another. One function comes back as it is, several as
    a tuple. Raises ValueError for a text that does not occur exactly once.
    """
    text = "\n\n".join(inspect.getsource(function) for function in functions)
    for old, new in changes.items():
        if text.count(old) != 1:
            raise ValueError(f"{old!r} should occur once in the text, it occurs {text.count(old)} times")
        text = text.replace(old, new)
    names = dict(functions[0].__globals__)
    exec(text, names)
    changed = tuple(names[function.__name__] for function in functions)
    return changed if len(changed) > 1 else changed[0]


def lesson_folder() -> Path:
    """Where the sources are: beside the package in a clone, inside of it where a wheel was installed.

    Raises UserError when they are in neither place.
    """
    package = Path(__file__).parent
    installed, clone = package / "lesson_sources", package.parent / "lessons"
    if installed.is_dir():
        return installed
    if clone.is_dir() and (package.parent / "pyproject.toml").is_file():  # not a stranger's package "lessons"
        return clone
    raise UserError(f"the lessons are missing: neither {installed} nor {clone} is there; install minis2s again")


def lessons() -> dict[str, Path]:
    """The sources by their names, in the order in which they are to be read: {"01_softmax": path, ...}."""
    return {path.stem: path for path in sorted(lesson_folder().glob("*.py"))}


def notebook_name(lesson: str, language: str) -> str:
    return f"{lesson}.{language}.ipynb"


def build(source: Path, language: str) -> "NotebookNode":
    """The notebook of a lesson in one language, not executed.

    Text cells without a language belong to every notebook. A cell's id is its number in the source, so code
    has the same id in each language.

    Raises UserError when Jupytext is not installed or the source cannot be read.
    """
    jupytext, nbformat = package("jupytext"), package("nbformat")
    cells = []
    for number, cell in enumerate(jupytext.reads(read_text(source), fmt="py:percent").cells):
        if cell.metadata.get("lang", language) != language:
            continue
        cell.id = f"{'code' if cell.cell_type == 'code' else 'text'}-{number:03d}"
        cell.metadata = {name: cell.metadata[name] for name in CELL_METADATA if name in cell.metadata}
        cells.append(cell)
    about = {"lesson": source.stem, "lang": language, "source": "", "seal": ""}
    metadata = {"kernelspec": PYTHON, "language_info": {"name": "python"}, "minis2s": about}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    notebook.metadata.minis2s.source = checksum(nbformat.writes(notebook))
    return notebook


def execute(notebook: "NotebookNode") -> None:
    """Run all cells in a new kernel of this Python, in a folder that is then thrown away; fills in the outputs.

    Raises UserError when a cell raises that is not tagged "raises-exception", with what it raised; when a
    cell takes longer than ten minutes; and when nbclient or the kernel is not installed.
    """
    nbclient, kernelspec, _ = map(package, ("nbclient", "jupyter_client.kernelspec", "ipykernel"))
    lesson = notebook.metadata.minis2s.lesson
    environment = os.environ | {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1"),
    }
    clone = Path(__file__).parents[1]
    if (clone / "pyproject.toml").is_file():  # the kernel starts elsewhere, and should find this very package
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(clone), os.environ.get("PYTHONPATH"))))
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages about each other
        client = nbclient.NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name=PYTHON["name"],
            resources={"metadata": {"path": folder}},
            extra_arguments=["--Application.log_level=40"],  # errors only, not what it thinks of its connection
            record_timing=False,  # or every run would leave its date in the file
        )
        # without folders of kernels only this Python's own is left, whatever else is installed
        client.create_kernel_manager().kernel_spec_manager = kernelspec.KernelSpecManager(kernel_dirs=[])
        try:
            client.execute(env=environment)
        except nbclient.exceptions.CellExecutionError as error:
            raise stopped(lesson, f"{error.ename}: {error.evalue}") from error
        except nbclient.exceptions.CellTimeoutError as error:
            raise stopped(lesson, f"a cell took more than {SECONDS} seconds") from error
        except nbclient.exceptions.DeadKernelError as error:
            raise stopped(lesson, "its kernel died, perhaps for want of memory") from error
        except AssertionError:
            if client.kc is not None:
                raise
            # Ctrl-C: nbclient ends the kernel, and then misses it
            raise KeyboardInterrupt from None


def stopped(lesson: str, why: str) -> UserError:
    return UserError(f"the lesson {lesson} stopped: {' '.join(why.split())}")


def copy_outputs(executed: "NotebookNode", other: "NotebookNode") -> None:
    """Give the notebook in another language the outputs of the code, which is the same in both."""
    code = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"}
    for cell in other.cells:
        if cell.cell_type == "code":
            cell.outputs = code[cell.id].outputs
            cell.execution_count = code[cell.id].execution_count


class Shelf:
    """The folder into which notebooks are written; what somebody has worked on stays.

    written, there_already, kept: paths, in the order in which they were met.
    """

    def __init__(self, folder: str | os.PathLike, *, force: bool = False):
        """folder: made if it is not there. force: replace changed notebooks as well. Raises UserError."""
        self.folder, self.force = Path(folder), force
        self.written: list[Path] = []
        self.there_already: list[Path] = []
        self.kept: list[Path] = []
        make_folder(self.folder)

    def accepts(self, notebook: "NotebookNode", *, executed: bool = False) -> bool:
        """Whether the notebook is to be written, and so, with `executed`, worth the time of running it."""
        path = self.path_of(notebook)
        if self.force or not os.path.lexists(path):
            return True
        text = text_of(path)
        if not untouched(text):
            self.kept.append(path)
            return False
        if not executed and SOURCE.search(text)[1] == notebook.metadata.minis2s.source:
            self.there_already.append(path)
            return False
        return True

    def put(self, notebook: "NotebookNode") -> None:
        """Write the notebook with its seal, whole or not at all. Raises UserError when that is impossible."""
        path = self.path_of(notebook)
        text = package("nbformat").writes(notebook) + "\n"
        # in the text of a cell the quotes would have backslashes: this place is the only one
        write_text(path, text.replace('"seal": ""', f'"seal": "{checksum(text)}"'))
        self.written.append(path)

    def path_of(self, notebook: "NotebookNode") -> Path:
        about = notebook.metadata.minis2s
        return self.folder / notebook_name(about.lesson, about.lang)


def text_of(path: Path) -> str:
    """What the file holds, however broken: it is only compared. Raises UserError when it cannot be read."""
    with reading(path) as file:
        return file.read().decode("utf-8", errors="replace")


def untouched(text: str) -> bool:
    """Whether a notebook is as `Shelf.put` wrote it: its seal is that of its text."""
    seals = SEAL.findall(text)
    return len(seals) == 1 and seals[0] == checksum(SEAL.sub('"seal": ""', text))


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def package(name: str) -> ModuleType:
    """A package of the extra "lessons". Raises UserError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"building notebooks needs the package {name.partition('.')[0]}: {EXTRA}") from None
