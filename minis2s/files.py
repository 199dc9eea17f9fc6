"""Files that are whole or not there, and errors that a user can act on.

Everything that reads or writes a file comes through here. A write goes to a second file beside
the target, which takes the target's name only when it is safely on the disk: a full disk, a kill
or a power cut leaves the file of before. What the system refuses is said in one sentence.
"""

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minis2s.errors import UserError

REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "your disk quota is used up; free some space and run again",
    errno.EFBIG: "it would be larger than files may be here; see ulimit -f, or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; change the permissions or choose another path",
    errno.EPERM: "permission denied; change the permissions or choose another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; correct the path",
    errno.EEXIST: "there is a file of that name; choose another folder",
    errno.EISDIR: "that is a folder; name a file",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def read_text(path: str | os.PathLike) -> str:
    """The whole file as UTF-8 text, without a byte order mark; line ends are left as they are.

    Raises UserError when the file is missing, is a folder, cannot be read or is not UTF-8
    (with the number of the first line that is not).
    """
    with reading(path) as file:
        data = file.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is UTF-16 text, but UTF-8 is needed: save it again as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 text (byte 0x{data[error.start]:02x}): save the file again as UTF-8"
        ) from None


def read_lines(path: str | os.PathLike) -> list[str]:
    """The lines of a text file without their line ends; an empty line is the empty text.

    A line ends at a line feed, with or without a carriage return before it, and nowhere else:
    U+2028 and its kin are ordinary characters.

    Raises UserError as `read_text` does, and when the file is empty.
    """
    text = read_text(path)
    if not text:
        raise UserError(f"{path} is empty, but at least one line of text is needed")
    lines = text.split("\n")
    if lines[-1] == "":  # what follows the last line end is no line
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as an indented JSON file, whole or not at all.

    nan and infinity, which JSON does not have, become null; NumPy scalars plain numbers.

    Raises UserError when the file cannot be written; then what was at `path` before is untouched.
    """
    text = json.dumps(json_value(obj), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises UserError when it is missing, a folder, unreadable, not UTF-8 or not JSON (naming the line).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON (line {error.lineno}: {error.msg})") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be read") from error


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as a UTF-8 file, line ends as they are, whole or not at all; errors as `write_json`."""
    with replacing(path) as file:
        # half a surrogate pair (a file name that is not UTF-8) becomes \udcXX, which JSON reads back
        file.write(text.encode("utf-8", errors="backslashreplace"))


def json_value(obj: Any) -> Any:
    if isinstance(obj, np.generic):
        obj = obj.item()
    if isinstance(obj, dict):
        return {key: json_value(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [json_value(value) for value in obj]
    return None if isinstance(obj, float) and not math.isfinite(obj) else obj


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there. Raises UserError when that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot("make the folder", path, error) from None


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to; at the end of the `with` block it becomes `path`, all of it at once.

    When anything fails, Ctrl-C included, the half-written file is removed and `path` is as before.
    Raises UserError for what the system refuses.
    """
    path = Path(path)
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the contents must be on the disk before the name is
        os.replace(part, path)
    except OSError as error:
        raise cannot("write", path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    with suppress(OSError):  # some systems cannot sync a folder; the new name then lands a little later
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def reading(path: str | Path) -> Iterator[BinaryIO]:
    """A file to read from; raises UserError for what the system refuses."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise cannot("read", path, error) from error


def cannot(do: str, path: str | Path, error: OSError) -> UserError:
    if error.errno == errno.ENOENT:
        reason = "there is no such file" if do == "read" else "its folder does not exist; create it first"
    else:
        reason = REASONS.get(error.errno, error.strerror or str(error))
    return UserError(f"cannot {do} {path}: {reason}")
