"""The text of what a student handed in, cell by cell, from a notebook or a .py file of any encoding.

A Listing is one text with what is known of its lines: which cell each belongs to. Lines are never moved: what
is left out later leaves an empty line behind, so that a line number always leads to the student's own line.
"""

import ast
import codecs
import json
import re
import warnings
from dataclasses import dataclass, field

from minis2s.classroom.handed_in import clean
from minis2s.errors import UserError

MOST_CODE = 1_000_000  # characters of code in all
MOST_CELLS, LONGEST_LINE = 3000, 20_000
MOST_BRACKETS = 500_000  # of a notebook: each is a list or a dictionary in memory
COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
CELL = re.compile(r"^# (%%|In\[)")  # percent format, and what nbconvert writes
OPTION = re.compile(r'(\w+)=(?:"([^"]*)"|\["([^"]*)"\])')  # task="x", tags=["y"]
# letters that hide code from its reader: they turn its direction or cannot be seen, some of them in names
HIDDEN = re.compile(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e0fff]"
)
ODD = re.compile(f"{HIDDEN.pattern}|[\ud800-\udfff\0]")
ENCODINGS = {  # by the names that Python gives them
    "gb2312": "GBK", "gbk": "GBK", "gb18030": "GBK", "big5": "Big5", "cp1252": "Latin-1", "iso8859-1": "Latin-1",
    "iso8859-15": "Latin-1", "utf-16": "UTF-16", "shift_jis": "Shift JIS", "euc_kr": "EUC-KR",
}  # fmt: skip


@dataclass
class Part:
    """A cell. start, stop: its lines in the listing, counted from 0, stop not included; name: "cell 3", or ""."""

    start: int
    stop: int
    code: bool = True
    name: str = ""
    task: str = ""
    tag: str = ""


@dataclass
class Listing:
    """lines: of the whole text; parts: its cells in order; notes: what had to be done to read it."""

    lines: list[str]
    parts: list[Part]
    notes: list[str] = field(default_factory=list)

    def text(self, part: Part | None = None) -> str:
        lines = self.lines if part is None else self.lines[part.start : part.stop]
        return "\n".join(lines)

    def place(self, line: int | None) -> str:
        """Where a line of the listing, counted from 1, is for the student: "line 7", "cell 3, line 2"."""
        for part in self.parts:
            if line is not None and part.name and part.start < line <= part.stop:
                return f"{part.name}, line {line - part.start}"
        return f"line {line}"


def listing(data: bytes, name: str) -> Listing:
    """What a file holds, whatever its name says. Raises UserError with the reason why it cannot be read."""
    if data.startswith(b"PK\x03\x04"):
        raise UserError(f"{name} is a zip under another name: give it the ending .zip")
    text, notes = decoded(data, name)
    start = text.lstrip()[:20].lower()
    if start.startswith(("<!doctype", "<html")):
        raise UserError(f"{name} is a web page, not a notebook: download the notebook itself")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    as_json = start.startswith("{") or ".ipynb" in name.lower()
    if as_json and text.count("{") + text.count("[") > MOST_BRACKETS:
        raise UserError(f"{name} is made of too many parts: clear the outputs of the notebook and hand it in again")
    found = notebook(text) if as_json else None
    if found is None and ".ipynb" in name.lower() and (len(text) > MOST_CODE or parsed(text)[0] is None):
        raise UserError(f"{name} is no notebook: it is not valid JSON; save it again in Jupyter")
    if (found is None) == (".ipynb" in name.lower()):
        notes.append(f"{name} is a {'notebook' if found else 'Python file'}, whatever its name says")
    found = found or percent(text)
    found.notes[:0] = notes
    if len(found.parts) > MOST_CELLS:
        raise UserError(f"{name} holds {len(found.parts):,} cells, at most {MOST_CELLS:,} are read")
    refuse_unreadable_code(found, name)
    return found


def decoded(data: bytes, name: str) -> tuple[str, list[str]]:
    """The text, and notes on its encoding. UTF-8 if it can be that; a line "coding:" is only believed if not."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = "utf-16"
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            found = guessed(data)
        else:
            refuse_nulls(text, name)
            return text, strange_cookie(data, name)
    try:
        text = data.decode(found)
    except UnicodeDecodeError:
        raise UserError(f"{name} is not text in UTF-8 or any usual encoding: save it again as UTF-8") from None
    refuse_nulls(text, name)
    return text, [f"{name} is not UTF-8; it was read as {ENCODINGS[found]}"]


def guessed(data: bytes) -> str:
    """The encoding of text that is not UTF-8: as its first lines say, else GBK where it looks Chinese, else Latin-1."""
    said = cookie(data)
    if said in ENCODINGS:
        return said
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "iso8859-1" if re.search(rb"[\x81\x8d\x8f\x90\x9d]", data) else "cp1252"
    high = re.findall(rb"[\x80-\xff]", data[:100_000])
    # the common characters of GB 2312 lie in these rows; accents of Latin-1 stand alone between ASCII letters
    pairs = re.findall(rb"[\xb0-\xd7\xa1-\xa3][\xa1-\xfe]", data[:100_000])
    return "gb18030" if 4 * len(pairs) >= len(high) else "cp1252"


def cookie(data: bytes) -> str:
    """The encoding that one of the first two lines names, by Python's name of it, or ""."""
    for line in data.split(b"\n")[:2]:
        if found := COOKIE.match(line):
            try:
                return codecs.lookup(found[1].decode()).name
            except (LookupError, UnicodeError):
                return clean(found[1].decode("ascii", "replace"))
    return ""


def strange_cookie(data: bytes, name: str) -> list[str]:
    said = cookie(data)
    if said in ("", "utf-8", "utf-8-sig", "ascii", *ENCODINGS):
        return []
    return [f"{name} says that it is in the encoding {said[:40]}; it was read as UTF-8, which it is"]


def refuse_nulls(text: str, name: str) -> None:
    if "\0" in text:
        raise UserError(f"{name} has null bytes in it, so it is no text: save it again as UTF-8")


# -- notebooks and percent format ----------------------------------------------------------------------------


def notebook(text: str) -> Listing | None:
    """The cells of a notebook, of format 4 or 3, whatever metadata it has left; None where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    sheets = found.get("worksheets")  # format 3
    cells = sheets[0].get("cells") if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict) else None
    cells = found.get("cells", cells)
    if not isinstance(cells, list):
        return None
    result = Listing([], [])
    for number, cell in enumerate(cells, 1):
        source = source_of(cell)
        if source is None:
            result.notes.append(f"cell {number} is no cell of a notebook and was left out")
            continue
        about = cell.get("metadata")
        about = about if isinstance(about, dict) else {}
        code = cell.get("cell_type") == "code"
        result.lines.append(f"# cell {number}")
        lines = source.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").split("\n")
        start = len(result.lines)
        tags = about.get("tags")
        tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        result.parts.append(
            Part(start, start + len(lines), code, f"cell {number}", str(about.get("task", "")), *tags[:1])
        )
        result.lines += lines
    return result


def source_of(cell: object) -> str | None:
    """The source of a cell, however it is written; None where there is none."""
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else None


def percent(text: str) -> Listing:
    """The cells of a .py file; without any mark of a cell it is one."""
    lines = text.removeprefix("\ufeff").split("\n")
    starts = [n for n, line in enumerate(lines) if CELL.match(line)]
    parts = []
    for start, stop in zip([0, *starts], [*starts, len(lines)], strict=True):
        head = lines[start][:1000] if CELL.match(lines[start]) else ""
        options = {name: value or first for name, value, first in OPTION.findall(head)}
        marked = "[markdown]" in head
        parts.append(Part(start, stop, not marked, "", options.get("task", ""), options.get("tags", "")))
    return Listing(lines, [part for part in parts if part.stop > part.start])


def refuse_unreadable_code(found: Listing, name: str) -> None:
    """Raises UserError for code that hides from its reader, or that is too much for one."""
    code = [part for part in found.parts if part.code]
    size = sum(len(line) + 1 for part in code for line in found.lines[part.start : part.stop])
    longest = max((len(line) for part in code for line in found.lines[part.start : part.stop]), default=0)
    if size > MOST_CODE and longest <= LONGEST_LINE:
        raise UserError(f"{name} holds {size:,} characters of code, at most {MOST_CODE:,} are read")
    for part in code:
        for number, line in enumerate(found.lines[part.start : part.stop], part.start + 1):
            if len(line) <= LONGEST_LINE and not ODD.search(line):
                continue
            where = f"{name}, {found.place(number)}"
            if len(line) > LONGEST_LINE:
                raise UserError(f"{where}: a line of {len(line):,} characters; at most {LONGEST_LINE:,} are read")
            if hidden := HIDDEN.search(line):
                raise UserError(
                    f"{where}: the character U+{ord(hidden[0]):04X} cannot be seen and may hide code: delete it "
                    "(or write the line anew)"
                )
            raise UserError(f"{where}: a character that is none (half a surrogate pair, or a null): delete it")


# -- is it Python? -------------------------------------------------------------------------------------------


def parsed(text: str) -> tuple[ast.Module | None, str, int]:
    """(the syntax tree, "", 0), or (None, why there is none, at which line or 0)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text), "", 0
        except SyntaxError as error:
            return None, clean(error.msg), error.lineno or 0
        except (ValueError, RecursionError, MemoryError, OverflowError):
            return None, "nested too deeply to be read", 0
