"""Reading and writing UTF-8 text files, with errors that a user can act on.

Everything in data/ that touches a file comes through here, so that a missing file, a folder
in place of a file, another encoding or a full disk is reported in one way. A line ends at
"\\n" or "\\r\\n" and nowhere else: U+2028 and its kin are ordinary characters of a text.
"""

import os
from pathlib import Path

from minis2s.errors import UserError


def read_text(path: str | os.PathLike) -> str:
    """The whole file as text, without a byte order mark; line ends are left as they are.

    Raises UserError when the file is missing, is a folder, cannot be read or is not UTF-8
    (with the number of the first line that is not).
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, but a text file is needed") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
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

    Raises UserError as ``read_text`` does, and when the file is empty.
    """
    text = read_text(path)
    if not text:
        raise UserError(f"{path} is empty, but at least one line of text is needed")
    lines = text.split("\n")
    if lines[-1] == "":  # what follows the last line end is no line
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 file whole or not at all: an old file stays intact until the new one is complete.

    Raises UserError when the folder is missing, read-only or full.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
