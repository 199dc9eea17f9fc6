"""From the source of an assignment to a folder with everything that is handed out.

A new folder appears whole or not at all. In a folder that was built before, files that are still as they were
built are brought up to date, and one that somebody has changed since stops the build before anything is written.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minis2s.classroom.cells import LANGUAGES
from minis2s.classroom.exports.gradescope import gradescope_zip
from minis2s.classroom.exports.nbgrader import nbgrader_notebook
from minis2s.classroom.exports.otter import otter_notebook
from minis2s.classroom.exports.student import student_files
from minis2s.classroom.exports.teacher import teacher_notebook
from minis2s.classroom.source import Assignment, read_assignment
from minis2s.errors import UserError
from minis2s.files import cannot, json_value, make_folder, read_json, replacing, write_json

HINT = 1  # how much the students' own check tells them: where, but not why
RECORD = ".built.json"  # what was built: {"assignment": name, "files": {path: sha256}}


class Made(NamedTuple):
    """A file of the build. path: inside of the folder. says: what it is for, in one sentence."""

    path: str
    says: str
    data: bytes


class Built(NamedTuple):
    """What `build` has made. files: all of them, (path in the folder, one sentence); unchanged: how many were there already."""

    folder: Path
    assignment: Assignment
    files: tuple[tuple[str, str], ...]
    unchanged: int


def build(path: str | Path, to: str | Path, languages: Sequence[str] = LANGUAGES, hint: int = HINT) -> Built:
    """Build an assignment into the folder `to`, which is made if it is not there.

    hint: the level up to which the students' own gradient check speaks (0 to 3).

    Raises UserError for a source that is not well formed, for a language that there is not, for a folder
    that cannot be written, and where a file to be written is there already and is not as it was built.
    """
    assignment, to = read_assignment(path), Path(to)
    unknown = [lang for lang in languages if lang not in LANGUAGES]
    if unknown or not languages:
        raise UserError(
            f"the languages of an assignment are {' and '.join(LANGUAGES)}, not {' '.join(unknown) or 'none'}"
        )
    if not 0 <= hint <= 3:
        raise UserError(f"the highest level of hints is 0 to 3, got {hint}")
    made = everything(assignment, languages, hint)
    unchanged = publish(made, to, assignment.name)
    return Built(to, assignment, tuple((file.path, file.says) for file in made), unchanged)


def everything(assignment: Assignment, languages: Sequence[str], hint: int) -> list[Made]:
    """All files, in the order in which they are told of."""
    name, made = assignment.name, []

    def add(path: str, says: str, data: str | bytes) -> None:
        made.append(Made(path, says, data.encode() if isinstance(data, str) else data))

    for lang in languages:
        says = {
            ".ipynb": "the notebook for students",
            ".py": "the same as a program",
            "": "the checks that students see, for pytest",
            ".md": "how students work with it",
        }
        for file, text in student_files(assignment, lang, hint).items():
            kind = "" if file.startswith("test_") else Path(file).suffix
            add(f"students/{lang}/{file}", says[kind], text)
    for lang in languages:
        add(
            f"teacher/{name}.{lang}.ipynb", "your copy, with solutions, hidden checks and model answers",
            teacher_notebook(assignment, lang),
        )  # fmt: skip
    add(f"teacher/{name}.py", "the source that this was built from; grade with it", assignment.text)
    for lang in languages:
        add(
            f"nbgrader/{lang}/source/{name}/{name}.ipynb",
            "for nbgrader, a course folder: nbgrader generate_assignment; minis2s must be installed where it grades",
            nbgrader_notebook(assignment, lang),
        )
        add(
            f"nbgrader/{lang}/nbgrader_config.py",
            "its configuration",
            'c = get_config()\nc.CourseDirectory.course_id = "minis2s"\n',
        )
    for lang in languages:
        add(
            f"otter/{lang}/{name}.ipynb",
            "for otter-grader: otter assign; minis2s must be installed where it grades",
            otter_notebook(assignment, lang),
        )
    add(f"gradescope/{name}.zip", "for Gradescope: upload as the autograder", gradescope_zip(assignment))
    return made


# -- to the disk -----------------------------------------------------------------------------------------------


def publish(made: list[Made], to: Path, name: str) -> int:
    """Write the files; returns how many were there already, just so. Raises UserError; see the module."""
    record = {"assignment": name, "files": {file.path: checksum(file.data) for file in made}}
    if not os.path.lexists(to):
        whole_folder(made, to, record)
        return 0
    known = recorded(to, name)
    there = {file.path: checksum_of(to / file.path) for file in made if os.path.lexists(to / file.path)}
    changed = [path for path, found in there.items() if found not in (known.get(path), record["files"][path])]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"{to} holds files that are not as they were built: {', '.join(changed[:3])}{more}; nothing was written: "
            "move them away, or choose another folder"
        )
    for file in made:
        if there.get(file.path) != record["files"][file.path]:
            write(to / file.path, file.data)
    record["files"] = known | record["files"]  # what another choice of languages has made
    write_json(to / RECORD, record)
    return sum(found == record["files"][path] for path, found in there.items())


def whole_folder(made: list[Made], to: Path, record: dict) -> None:
    """A new folder, under its name only when all of it is there."""
    to = Path(os.path.abspath(to))
    make_folder(to.parent)
    part = to.parent / f".{to.name}.{os.getpid()}.part"
    try:
        for file in made:
            write(part / file.path, file.data)
        write_json(part / RECORD, record)
        try:
            part.rename(to)
        except OSError as error:
            raise cannot("make the folder", to, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    with replacing(path) as file:
        file.write(data)


def recorded(to: Path, name: str) -> dict[str, str]:
    """The checksums of the last build in this folder. Raises UserError where it was of another assignment."""
    if not to.is_dir():
        raise UserError(f"{to} is a file; name a folder to build into")
    if not (to / RECORD).is_file():
        return {}
    record = json_value(read_json(to / RECORD))
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return {}
    if record.get("assignment") != name:
        raise UserError(
            f"{to} holds the assignment {record.get('assignment')}: choose another folder for {name}"
        )
    return record["files"]


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checksum_of(path: Path) -> str:
    """Of a file that is there; of what is no file, "no file"."""
    try:
        return checksum(path.read_bytes())
    except OSError:
        return "no file"
