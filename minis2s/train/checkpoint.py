"""Files that are whole or not there: checkpoints, and the small JSON files of a run folder.

A checkpoint is one .npz archive: named arrays, and a JSON note that says what they are. Every
write goes to a second file beside the target, which takes the target's name only when it is safely
on the disk; a full disk, a kill or a power cut therefore leaves the file of before. Nothing that is
read here can run code: pickled arrays are refused.
"""

import errno
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minis2s.errors import UserError

FORMAT = "minis2s checkpoint"
VERSION = 1
META = "__meta__"  # the archive's first entry: format, version, meta and array names, as JSON bytes

ZIP_START = b"PK\x03\x04"
NUMBERS = "biufc"  # the dtype kinds an entry may have: bool, int, unsigned, float, complex

BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")

REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "your disk quota is used up; free some space and run again",
    errno.EFBIG: "it would be larger than files may be here; see ulimit -f, or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; change the permissions or choose another path",
    errno.EPERM: "permission denied; change the permissions or choose another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; correct the path",
    errno.EISDIR: "that is a folder; name a file",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def save_checkpoint(path: str | Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write `arrays` and `meta` as one .npz file, whole or not at all.

    arrays: NumPy arrays of numbers or bools, any shape, by name.  meta: what JSON can hold; nan,
    infinity and NumPy scalars too (the latter come back as plain numbers, as tuples do as lists).

    Equal contents give equal bytes. `numpy.load` reads the file as well.

    Raises UserError when the file cannot be written; then what was at `path` before is untouched.
    Raises ValueError or TypeError, naming it, for an entry that a checkpoint cannot hold.
    """
    for name, array in arrays.items():
        if name in ("", META):
            raise ValueError(f"an array of a checkpoint cannot be named {name!r}")
        if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMBERS:
            found = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"checkpoint entry {name!r} should be a NumPy array of numbers, got {found}")
    note = {"format": FORMAT, "version": VERSION, "meta": meta, "arrays": list(arrays)}
    note_bytes = json.dumps(note, default=np.generic.item).encode()
    entries = {META: np.frombuffer(note_bytes, dtype=np.uint8), **arrays}
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in entries.items():
            # np.savez would refuse an array called "file", and put the time of day into the bytes
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def load_checkpoint(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file of `save_checkpoint`; returns (arrays, meta).

    Raises UserError when the file is missing, a folder, unreadable, empty, cut short, damaged, no
    checkpoint at all, or written by a newer version.
    """
    with reading(path) as file:
        try:
            start = file.read(len(ZIP_START))
            if not start:
                raise UserError(f"{path} is empty; use another checkpoint")
            if not ZIP_START.startswith(start):
                raise UserError(f"{path} is not a minis2s checkpoint (nor any .npz file)")
            with zipfile.ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                if META not in names:
                    raise UserError(f"{path} is an archive, but not a minis2s checkpoint")
                note = read_note(archive, path)
                if names != [META, *note["arrays"]]:  # the table of contents has no checksum of its own
                    raise ValueError(f"the archive holds {names}, its note says {note['arrays']}")
                return {name: read_entry(archive, name) for name in note["arrays"]}, note["meta"]
        except (UserError, OSError):
            raise
        except Exception as error:
            # a damaged archive can make zipfile and NumPy's reader raise nearly anything
            raise UserError(f"{path} is cut short or damaged; use another checkpoint") from error


def read_note(archive: zipfile.ZipFile, path: str | Path) -> dict[str, Any]:
    note = json.loads(read_entry(archive, META).tobytes())
    if note["format"] != FORMAT:
        raise UserError(f"{path} holds {note['format']!r}, not a {FORMAT}")
    if note["version"] > VERSION:
        raise UserError(
            f"{path} was written by a newer minis2s (format {note['version']}, this one reads up to "
            f"{VERSION}); upgrade with pip install --upgrade minis2s"
        )
    return note


def read_entry(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as entry:
        array = np.lib.format.read_array(entry, allow_pickle=False)
        # reading on to the end also makes zipfile compare the checksum
        if entry.read(1) or array.dtype.kind not in NUMBERS:
            raise ValueError(f"entry {name!r} is not one plain array of numbers")
    return array


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """All that decides the next draws of `rng`, as plain JSON (Python's integers have 128 bits).

    How often `rng` has been spawned from is not part of it: spawn before, not after, a restore.
    """
    return json.loads(json.dumps(rng.bit_generator.state, default=np.ndarray.tolist))


def restore_rng(state: Mapping[str, Any]) -> np.random.Generator:
    """A generator that goes on drawing where the one of `rng_state` stood.

    Raises UserError when `state` is not such a state.
    """
    try:
        name = state["bit_generator"]
        if name not in BIT_GENERATORS:
            raise ValueError(f"unknown bit generator {name!r}")
        bits = getattr(np.random, name)()
        bits.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"the saved random state is damaged ({error!r}); use another checkpoint") from error
    return np.random.Generator(bits)


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
    with reading(path) as file:
        data = file.read()
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start + 1})") from error
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
