"""`make`: a bug hunt for a class, in which each student gets code with another planted bug, under other names.

What is chosen for whom follows from the seed and from a key of 32 random bytes, kept with the teacher: with the
key the same seed gives the same set, without it nobody can compute an answer, however easy the seed is to guess.
"""

import csv
import io
import os
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from minis2s.classroom.bughunt_bugs import TASKS
from minis2s.classroom.bughunt_draw import drawn_sheets, prove
from minis2s.classroom.bughunt_students import Student, read_students
from minis2s.classroom.bughunt_text import Sheet, source
from minis2s.classroom.build import Made, publish
from minis2s.classroom.cells import LANGUAGES
from minis2s.classroom.exports.student import student_files
from minis2s.classroom.results import guarded
from minis2s.classroom.source import read_assignment
from minis2s.errors import UserError
from minis2s.files import read_text

KEY = "bughunt.key"
HINT = 0  # what the checker tells the students: that it is wrong, not where and why
README = """# The answers of a bug hunt ({task})

* `STUDENT.py`: the source of a student's hunt, with the answers and the hidden checks. Grade with this folder:
  `minis2s class grade SUBMISSIONS --assignment THIS_FOLDER --out DIR`
* `answers.csv`: who has which bug, in which line, and the number of the right explanation.
* `bughunt.key`: with it the same task, list and seed give the same set again, in any folder that has it in its
  `teacher`. Without it nobody can compute an answer. The seed was: `{seed}`
* Whoever comes late goes to the end of the list; run the command again, and the others' hunts stay as they are.

Students who have the package can ask its checker at a higher level of hints what is wrong, and read the engine's
own code. In an examination let them work where it is not installed.

# 找错练习的答案（{task}）

* `STUDENT.py`：每个学生的练习源文件，含答案和看不见的检查。用这个文件夹评分：
  `minis2s class grade SUBMISSIONS --assignment THIS_FOLDER --out DIR`
* `answers.csv`：谁的错误是哪一个、在哪一行、正确解释的编号。
* `bughunt.key`：有了它，同样的任务、名单和种子会再次给出同一套练习，只要放在新文件夹的 `teacher` 里。没有它，
  谁也算不出答案。种子是：`{seed}`
* 后来的学生加在名单末尾，再运行一次命令即可，其他人的练习不变。

装有本软件包的学生可以调高检查器的提示级别，问出错在哪里，也可以去读引擎自己的代码。考试时请让他们在没有安装它的机器上做。
"""


class Hunt(NamedTuple):
    """What `make` has made."""

    task: str
    folder: Path
    students: int
    bugs: int  # different ones
    unchanged: int  # files that were there already, just so
    key: Path | None  # where else the key is kept; None where it is in this folder alone

    def __str__(self) -> str:
        shared = (
            "each another bug" if self.bugs == self.students
            else f"{self.bugs} different bugs: some students share one, under other names"
        )  # fmt: skip
        again = (
            f"the key is in {self.key} as well, so that the same seed gives the same set in any folder"
            if self.key
            else f"to make the same set in another folder, copy teacher/{KEY} into it first"
        )
        return (
            f"{self.folder / 'students'}: {self.students} bug hunts ({self.task}), {shared}; hand these out\n"
            f"{self.folder / 'teacher'}: their sources with the answers, and the key; keep this to yourself\n{again}"
        )


def make(
    task: str,
    students: str | Path,
    seed: int | str,
    to: str | Path,
    progress: Callable[[list], Iterable] = iter,
) -> Hunt:
    """Make a bug hunt for each student of a list into the folder `to`.

    task: one of TASKS. students: a CSV file, see `read_students`. seed: a number or any text.
    `to`/students/KEY/LANGUAGE is for the student, `to`/teacher/KEY.py is the source with the answers, from which
    it is graded. KEY is the student's id, or the name.

    The same task, list, seed and key give the same files. The key is `to`/teacher/bughunt.key; where there is none
    it is that of the teacher's account (`account_key`), so that another folder gets the same set. Whoever is added
    at the end of the list changes nothing for the others.

    progress: wraps the list of students, as tqdm does.

    Raises UserError for an unknown task, a list that cannot be used, and where `to` holds other hunts.
    """
    if task not in TASKS:
        raise UserError(f"there is no bug hunt of {task!r}: the tasks are {', '.join(TASKS)}")
    seed, to = str(seed).strip(), Path(to)
    if not seed:
        raise UserError("the seed is empty: give a number or a phrase")
    class_list = read_students(students)
    key = key_of(to / "teacher" / KEY)
    coming, sheets, made = drawn_sheets(task, class_list, seed, key), [], []
    with TemporaryDirectory() as folder:
        for student in progress(class_list):
            sheets.append(next(coming))
            made += files_of(student, sheets[-1], Path(folder))
    made += [
        Made(f"teacher/{KEY}", "the key", key.hex().encode() + b"\n"),
        Made("teacher/answers.csv", "who has which bug", answers(class_list, sheets)),
        Made("teacher/README.md", "what is here", README.format(task=task, seed=seed).encode()),
    ]
    refuse_other_hunts(to, made)
    unchanged = publish(made, to, f"bug hunt {task}")
    with suppress(OSError):
        (to / "teacher").chmod(0o700)  # others on this machine may be students
    kept = account_path() if os.path.lexists(account_path()) and read_key(account_path()) == key else None
    return Hunt(task, to, len(sheets), len({sheet.bug for sheet in sheets}), unchanged, kept)


def files_of(student: Student, sheet: Sheet, folder: Path) -> list[Made]:
    """The source with the answers, for the teacher, and all that the student gets, proven to be what they should be."""
    text = source(sheet)
    path = folder / f"{student.key}.py"
    path.write_text(text, encoding="utf-8", newline="\n")
    assignment = read_assignment(path)
    prove(sheet, assignment)
    made = [Made(f"teacher/{student.key}.py", "the source with the answers; grade with it", text.encode())]
    for lang in LANGUAGES:
        for name, content in student_files(assignment, lang, HINT).items():
            made.append(Made(f"students/{student.key}/{lang}/{name}", "for the student", content.encode()))
    return made


def answers(students: list[Student], sheets: list[Sheet]) -> bytes:
    """The table of who has which bug, as CSV for a spreadsheet."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["name", "student", "bug", "lines", "choice", "says"])
    for student, sheet in zip(students, sheets, strict=True):
        says = sheet.choices[sheet.choice - 1][0]
        row = [student.name, student.key, sheet.bug, " or ".join(map(str, sheet.lines)), sheet.choice, says]
        writer.writerow([guarded(cell) for cell in row])
    return table.getvalue().encode("utf-8-sig")


def refuse_other_hunts(to: Path, made: list[Made]) -> None:
    """Raises UserError where a student has another hunt here already: it may be handed out, and begun."""
    other = [
        Path(file.path).stem for file in made
        if re.fullmatch(r"teacher/.*\.py", file.path) and (to / file.path).is_file() and (to / file.path).read_bytes() != file.data
    ]  # fmt: skip
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise UserError(
            f"{to} holds other bug hunts of {', '.join(other[:3])}{more}, which may be handed out: give the same task, "
            "seed and order of students, with new ones at the end of the list, or choose another folder"
        )


# -- the key -----------------------------------------------------------------------------------------------------


def key_of(path: Path) -> bytes:
    """The key of a hunt: the one that is in its folder, else that of the account. Raises UserError."""
    return read_key(path) if os.path.lexists(path) else account_key()


def read_key(path: Path) -> bytes:
    text = read_text(path).strip()
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise UserError(
            f"{path} is not a key (64 of the digits 0-9a-f): put the right one there; if it is lost, remove the file, "
            "and the same seed will give another set"
        )
    return bytes.fromhex(text)


def account_path() -> Path:
    """Where the key of the teacher's account is kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "minis2s" / KEY


def account_key() -> bytes:
    """The key of the teacher's account, made at the first call. Where it cannot be kept, a new one each time.

    Raises UserError for a file that is there and is no key.
    """
    path = account_path()
    if not os.path.lexists(path):
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.with_name(f"{KEY}.{os.getpid()}.part")
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "w") as out:
                out.write(secrets.token_hex(32) + "\n")
            with suppress(FileExistsError):
                os.link(part, path)  # unlike a renaming it leaves a key alone that another run has just made
            part.unlink()
    return read_key(path) if os.path.lexists(path) else secrets.token_bytes(32)
