"""The students of a class, from a CSV file: one a row, by name or by name and id, with a header or without one.

Whoever cannot be told apart, or not be given a file of the own, is refused by name.
"""

import csv
import io
import re
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from minis2s.classroom.intake import RESERVED
from minis2s.errors import UserError
from minis2s.files import read_text, reading

NAMES = {"name", "student", "student name", "full name", "姓名", "学生", "学生姓名", "名字"}
IDS = {"id", "student id", "sis user id", "number", "email", "login", "学号", "编号", "邮箱"}
FORBIDDEN = re.compile(r"[^\w.@·-]+")  # in the name of a file, which also stands in commands
LONGEST = 80  # characters in the name of a file


class Student(NamedTuple):
    """A student. key: the id where there is one, else the name, as the name of a file."""

    name: str
    key: str


def read_students(path: str | Path) -> list[Student]:
    """The students in the order of the file.

    Of several columns a header says which is which; without a header they are name and id. Raises UserError for a
    file that cannot be read, for an empty list, and for students that are there twice.
    """
    path = Path(path)
    table = rows_of(path)
    students, seen = [], {}
    for line, row in table:
        student = student_of(path, line, row)
        one = unicodedata.normalize("NFKC", student.key).casefold()
        if one in seen:
            other, first = seen[one]
            same = f"{student.key!r} is" if other == student.key else f"{other!r} and {student.key!r} are"
            raise UserError(
                f"{path}, lines {first} and {line}: {same} the same student, or the same name of a file; give each "
                "student an id, in a second column, or take one of the two out"
            )
        seen[one] = student.key, line
        students.append(student)
    if not students:
        raise UserError(f"{path} names no student: write one in each line, as a name or as name,id")
    return students


def rows_of(path: Path) -> list[tuple[int, list[str]]]:
    """(line, [name] or [name, id]) of each student."""
    text = text_of(path)
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    table = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                table.append((reader.line_num, cells))
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: not a row of a table ({error}); mend the quotation marks"
        ) from None
    if not table:
        return []
    heads = [cell.casefold().replace("_", " ") for cell in table[0][1]]
    name = next((n for n, head in enumerate(heads) if head in NAMES), None)
    number = next((n for n, head in enumerate(heads) if head in IDS), None)
    if name is None and number is None:
        for line, row in table:
            if len(row) > 2:
                raise UserError(
                    f"{path}, line {line}: {len(row)} columns, and no header that says which is the name: expected a "
                    "name, or name and id, or a first line with the words name and id"
                )
        return table
    chosen = [n for n in (name, number) if n is not None]
    for line, row in table[1:]:
        if len(row) <= max(chosen):
            raise UserError(f"{path}, line {line}: {len(row)} columns, but the header has {len(heads)}")
    return [(line, [row[n] for n in chosen]) for line, row in table[1:]]


def text_of(path: Path) -> str:
    try:
        text = read_text(path)
    except UserError as error:
        raise UserError(gbk_remedy(path) or str(error)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def gbk_remedy(path: Path) -> str:
    """What to do about a file that is not UTF-8 but could be GBK, as spreadsheets write it in China; else ""."""
    with reading(path) as file:
        data = file.read()
    with suppress(UnicodeDecodeError):
        if not data.startswith((b"\xff\xfe", b"\xfe\xff")) and data.decode("gb18030"):
            return (
                f'{path} is not UTF-8 text, it may be GBK: save it as "CSV UTF-8" in the spreadsheet, '
                f"or convert it: iconv -f GBK -t UTF-8 {path} > students.csv"
            )
    return ""


def student_of(path: Path, line: int, row: list[str]) -> Student:
    name, number = row[0], row[1] if len(row) > 1 else ""
    label = number or name
    for text in (name, number):
        if not text.isprintable():
            raise UserError(
                f"{path}, line {line}: {text!r} has a line break or an invisible character in it; take it out"
            )
    key = FORBIDDEN.sub("_", unicodedata.normalize("NFC", label)).strip("._-")
    if not re.search(r"\w", key):
        raise UserError(
            f"{path}, line {line}: {label!r} is no name that a file can have; use a letter or a digit at least"
        )
    if RESERVED.fullmatch(key):
        raise UserError(
            f"{path}, line {line}: no file can be called {key!r} on Windows; write the name in another way"
        )
    if len(key) > LONGEST:
        raise UserError(
            f"{path}, line {line}: the name has {len(key)} characters, {LONGEST} at most can be used; give an id"
        )
    return Student(name or key, key)
