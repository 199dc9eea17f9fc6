"""The files that students hand in, read with distrust: regular files alone, of bounded size, out of zips too.

Nothing is ever unpacked: a member of a zip is read into memory, whatever path its name claims. Links, devices
and bombs are refused with a reason before a byte of them is read.
"""

import io
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from minis2s.errors import UserError

MOST_BYTES = 20_000_000  # of a file handed in, as it lies there and unpacked
MOST_MEMBERS = 20_000  # of a folder or a zip
DEEPEST = 8  # folders in folders
SYSTEM = ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini", "node_modules")  # what computers leave behind
SORTS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those whose output can be bounded while it is unpacked
DRIVE = re.compile(r"^[A-Za-z]:")
BROKEN = (  # what the readers of archives raise for one that is not in order
    zipfile.BadZipFile, zlib.error, struct.error, EOFError,
    OSError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class File(NamedTuple):
    """A file that was handed in. parts: its path inside what was handed in, safe names only.

    path: where it lies; members: its position in that zip, and in a zip inside of it.
    """

    parts: tuple[str, ...]
    path: Path
    members: tuple[int, ...] = ()
    size: int = 0
    trouble: str = ""  # why it cannot be read, as far as is known without reading it

    @property
    def name(self) -> str:
        return "/".join(self.parts)


def read(file: File) -> bytes:
    """What the file holds. Raises UserError with the reason why it is not read."""
    refuse(file)
    with opened(file.path) as stream:
        if not file.members:
            return bounded(stream, file.name)
        data = None
        for member in file.members:
            with archive(stream if data is None else io.BytesIO(data), file.name) as zipped:
                with zipped.open(zipped.infolist()[member]) as inside:
                    data = bounded(inside, file.name)
        return data


def refuse(file: File) -> None:
    if file.trouble:
        raise UserError(f"{clean(file.name)} {file.trouble}")
    if file.size > MOST_BYTES:
        raise UserError(
            f"{clean(file.name)} has {file.size / 1e6:,.0f} MB, at most {MOST_BYTES / 1e6:.0f} MB are read: "
            "clear the outputs of the notebook and hand it in again"
        )


def bounded(stream: BinaryIO, name: str) -> bytes:
    """All of a stream, unless it holds more than it may: what an archive says of a size proves nothing."""
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{clean(name)} is larger than the {MOST_BYTES / 1e6:.0f} MB that are read")
    return data


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file with one name; no link is followed and nothing waits, should it have been exchanged."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UserError(f"{clean(path.name)} cannot be read: {error.strerror or error}") from None
    with os.fdopen(number, "rb") as stream:
        trouble = trouble_with(os.fstat(number))
        if trouble:
            raise UserError(f"{clean(path.name)} {trouble}")
        yield stream


@contextmanager
def archive(stream: BinaryIO, name: str) -> Iterator[zipfile.ZipFile]:
    """The zip in a stream. Raises UserError where it is none, or breaks while it is read."""
    try:
        with zipfile.ZipFile(stream) as zipped:
            yield zipped
    except BROKEN as error:
        reason = "it has a password" if "password" in str(error) else "it is damaged, or no zip at all"
        raise UserError(f"{clean(name)} cannot be read as a zip: {reason}; ask for it again") from None


# -- what there is -------------------------------------------------------------------------------------------


def files_in(folder: Path) -> Iterator[File]:
    """Every file below a folder, links and other things that are no files with their trouble. Raises UserError."""
    count = 0

    def below(here: Path, parts: tuple[str, ...]) -> Iterator[File]:
        nonlocal count
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            yield File(parts, here, trouble=f"cannot be read: {error.strerror or error}")
            return
        for entry in entries:
            count += 1
            if count > MOST_MEMBERS:
                raise UserError(f"{folder} holds more than {MOST_MEMBERS:,} files: name the folder of one class")
            if left_behind(entry.name):
                continue
            inside = (*parts, entry.name)
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError as error:
                yield File(inside, Path(entry.path), trouble=f"cannot be read: {error.strerror or error}")
                continue
            if not stat.S_ISDIR(about.st_mode):
                yield File(inside, Path(entry.path), (), about.st_size, trouble_with(about))
            elif len(inside) > DEEPEST:
                yield File(inside, Path(entry.path), trouble="lies too deep in folders to be looked at")
            else:
                there = list(below(Path(entry.path), inside))
                empty = [] if parts else [File(inside, Path(entry.path), trouble="is an empty folder")]
                yield from there or empty

    yield from below(folder, ())


def files_in_zip(file: File) -> list[File]:
    """Every file in a zip that was handed in. Raises UserError when it cannot be read."""
    if len(file.members) > 1:
        raise UserError(f"{clean(file.name)} is a zip in a zip in a zip: unpack it")
    found = []
    if file.members:
        with archive(io.BytesIO(read(file)), file.name) as zipped:
            members = zipped.infolist()
    else:
        with opened(file.path) as stream, archive(stream, file.name) as zipped:
            members = zipped.infolist()
    if len(members) > MOST_MEMBERS:
        raise UserError(f"{clean(file.name)} holds {len(members):,} files, at most {MOST_MEMBERS:,} are looked at")
    for number, member in enumerate(members):
        parts = safe_parts(name_of(member))
        if parts and not member.is_dir() and not any(map(left_behind, parts)):
            trouble = trouble_in_zip(member)
            found.append(
                File((*file.parts, *parts), file.path, (*file.members, number), member.file_size, trouble)
            )
    return found


def left_behind(name: str) -> bool:
    """Is it nothing that anybody wrote: .DS_Store, .ipynb_checkpoints, ~$draft?"""
    return name in SYSTEM or name.startswith((".", "~$"))


def trouble_with(about: os.stat_result) -> str:
    kind = stat.S_IFMT(about.st_mode)
    if kind != stat.S_IFREG:
        return f"is {SORTS.get(kind, 'a device or the like')}, not a file: hand in the file itself"
    return "is a hard link, a second name of another file: hand in a copy" if about.st_nlink > 1 else ""


def trouble_in_zip(member: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16) if member.create_system == 3 else 0  # 3: made on Unix
    if kind not in (0, stat.S_IFREG):
        return f"is {SORTS.get(kind, 'a device or the like')}, not a file: hand in the file itself"
    if member.flag_bits & 1:
        return "has a password: make the zip without one"
    if member.compress_type not in METHODS:
        return "is packed by an unusual method: make the zip anew with the usual one"
    return ""


def name_of(member: zipfile.ZipInfo) -> str:
    """The name of a member; one that does not say that it is UTF-8 was often written on a Chinese Windows."""
    name = member.orig_filename
    if not member.flag_bits & 0x800:
        for encoding in ("utf-8", "gb18030"):
            try:
                return name.encode("cp437").decode(encoding)
            except UnicodeError:
                continue
    return name


def safe_parts(name: str) -> tuple[str, ...]:
    """The folders and the file in a path of any system, without what leads out of it."""
    parts = DRIVE.sub("", name.replace("\0", "").replace("\\", "/")).split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def clean(text: str) -> str:
    """Text of a stranger for one line of a terminal: no control characters, no bidi, no half pairs, not too long."""
    text = unicodedata.normalize("NFC", str(text)[:1000])
    kept = (c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return "".join(kept)[:200]
