"""Checkpoints: weights, optimizer and random states in one file that is safe to load.

A checkpoint is one .npz archive: named arrays, and a JSON note that says what they are. It is
written whole or not at all (see files.py), and nothing that is read here can run code: pickled
arrays are refused, and whatever is damaged or foreign is refused in one sentence.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minis2s.errors import UserError
from minis2s.files import reading, replacing

FORMAT = "minis2s checkpoint"
VERSION = 1
META = "__meta__"  # the archive's first entry: format, version, meta and array names, as JSON bytes

ZIP_START = b"PK\x03\x04"
NUMBERS = "biufc"  # the dtype kinds an entry may have: bool, int, unsigned, float, complex

BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


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
