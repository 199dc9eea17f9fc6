"""What a class handed in: a folder, a zip from an LMS, or one file, sorted by student.

`find` never fails for one of the submissions: one that cannot be graded is there as well, with the reason.
A student is a file, a zip or a folder at the top; what Moodle and Canvas write around a name is understood.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from minis2s.classroom.handed_in import File, clean, files_in, files_in_zip, read, refuse
from minis2s.errors import UserError

CODE = (".ipynb", ".py")
ENDINGS = (*CODE, ".ipynb.txt", ".ipynb.json", ".py.txt", ".zip")  # browsers and LMSs add to a name
MOST_FILES = 20  # of one student, that are looked at
MOODLE = re.compile(r"^(.+?_\d+)_assignsubmission_[a-z]+_?$")
CANVAS = re.compile(r"^([^_]+(?:_LATE)?_\d+)_\d+_.+$")
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)  # names that Windows keeps


class Submission(NamedTuple):
    """What one student handed in.

    student: the name, as it may be shown. key: the same as a file name, unique in the class.
    files: what may hold code, notebooks and .py files; refused: why there is nothing to grade, or "".
    """

    student: str
    key: str
    files: tuple[File, ...] = ()
    refused: str = ""
    notes: tuple[str, ...] = ()

    def sha256(self) -> str:
        """A checksum of all its files: the same for the same submission."""
        found = hashlib.sha256(self.refused.encode("utf-8", errors="replace"))
        for file in self.files:
            try:
                data = read(file)
            except UserError as error:
                data = str(error).encode("utf-8", errors="replace")
            found.update(hashlib.sha256(file.name.encode("utf-8", errors="replace")).digest())
            found.update(hashlib.sha256(data).digest())
        return found.hexdigest()


def find(where: str | Path) -> list[Submission]:
    """The submissions in a folder, a zip of a whole class, or one file, in the order of the students' names.

    Raises UserError when there is no such file or folder, or nothing in it.
    """
    where = Path(where)
    if where.is_dir():
        found = [in_the_students_name(file) for file in files_in(where)]
    elif where.suffix.lower() == ".zip" and where.is_file():
        found = of_a_zip(where)
    elif where.is_file():
        found = [File((where.name,), where, (), where.stat().st_size)]
    else:
        raise UserError(f"cannot read {where}: there is no such file or folder")
    if not found:
        raise UserError(f"{where} is empty: expected notebooks, .py files, zips, or a folder for each student")
    students: dict[str, list[File]] = {}
    for file in found:
        students.setdefault(student_of(file.parts), []).append(file)
    taken: set[str] = set()
    return [submission(name, files, taken) for name, files in sorted(students.items())]


def in_the_students_name(file: File) -> File:
    """A file whose name is not Unicode, or in another form of it, with a name that can be shown."""
    return file._replace(parts=tuple(clean(part) for part in file.parts))


def of_a_zip(path: Path) -> list[File]:
    """The files in a zip: of a class, or of the one student whose name it bears."""
    whole = File((path.stem,), path)
    inside = [file._replace(parts=file.parts[1:]) for file in files_in_zip(whole)]
    if len([file for file in inside if may_be_code(file)]) == 1:
        return [file._replace(parts=(path.stem, *file.parts)) for file in inside]
    tops = {file.parts[0] for file in inside}
    if len(tops) == 1 and all(len(file.parts) > 1 for file in inside):  # the zip of a folder
        inside = [file._replace(parts=file.parts[1:]) for file in inside]
    return [in_the_students_name(file) for file in inside]


def student_of(parts: tuple[str, ...]) -> str:
    """The name at the top, without what an LMS writes around it."""
    top = parts[0]
    if len(parts) > 1:
        found = MOODLE.match(top)
    else:
        found = CANVAS.match(top)
        ending = max((e for e in ENDINGS if top.lower().endswith(e)), key=len, default=Path(top).suffix)
        top = top[: len(top) - len(ending)] or top
    return clean(found[1] if found else top)


def submission(student: str, files: list[File], taken: set[str]) -> Submission:
    """What one student handed in, with the reason where there is nothing to grade."""
    key = unused(file_name(student), taken)
    code, others = [], []
    for file in unpacked(files):
        (code if may_be_code(file) and not file.trouble else others).append(file)
    code.sort(key=lambda file: file.name)
    if not code:
        return Submission(student, key, refused=why_nothing(others))
    troubled = [file for file in others if file.trouble]
    notes = [f"not looked at: {clean(file.name)} {file.trouble}" for file in troubled[:5]]
    if len(troubled) > 5:
        notes.append(f"not looked at: {len(troubled) - 5} more files")
    if len(code) > MOST_FILES:
        notes.append(f"of {len(code)} notebooks and .py files, the first {MOST_FILES} were looked at")
    return Submission(student, key, tuple(code[:MOST_FILES]), "", tuple(notes))


def unpacked(files: Iterable[File]) -> Iterator[File]:
    """The files, and in place of a zip those in it; a zip that cannot be read comes with its trouble."""
    for file in files:
        if not file.name.lower().endswith(".zip") or file.trouble:
            yield file
            continue
        try:
            refuse(file)
            inside = files_in_zip(file)
        except UserError as error:
            yield file._replace(trouble=str(error).removeprefix(f"{clean(file.name)} "))
            continue
        zips = [f for f in inside if f.name.lower().endswith(".zip")]
        yield from (f for f in inside if f not in zips)
        yield from (f._replace(trouble="is a zip in a zip: unpack it") for f in zips)
        if not inside:
            yield file._replace(trouble="is an empty zip")


def may_be_code(file: File) -> bool:
    return file.name.lower().endswith(tuple(e for e in ENDINGS if e != ".zip"))


def why_nothing(others: list[File]) -> str:
    if not others:
        return "nothing was handed in: the folder is empty"
    troubled = next((file for file in others if file.trouble), None)
    if troubled is not None:
        return f"{clean(troubled.name)} {troubled.trouble}"
    names = ", ".join(clean(file.name) for file in others[:3])
    return f"there is no notebook and no .py file, only {names}{' and others' if len(others) > 3 else ''}"


def file_name(student: str) -> str:
    """The student's name as the name of a file on any system; where that changes it, with a checksum of it."""
    name = unicodedata.normalize("NFC", student)
    safe = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip(" ._-")
    while len(safe.encode()) > 100:
        safe = safe[:-1]
    if safe == name and not RESERVED.match(safe):
        return safe
    return f"{safe or 'student'}-{hashlib.sha256(name.encode('utf-8', errors='replace')).hexdigest()[:8]}"


def unused(key: str, taken: set[str]) -> str:
    """The key, with a number where another student's differs from it in capitals alone."""
    name, n = key, 2
    while name.casefold() in taken:
        name, n = f"{key}-{n}", n + 1
    taken.add(name.casefold())
    return name
