"""The files that a box sees: the standard library, NumPy, and the few files in `inside`."""

import contextlib
import functools
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

INSIDE = Path(__file__).parent / "inside"
OTHERS = ("site-packages", "dist-packages")  # other packages, minis2s perhaps among them


def python() -> str:
    """The interpreter itself, outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@functools.cache
def numpy_folders() -> list[Path]:
    """NumPy, and where there is one, the folder of its libraries."""
    home = Path(np.__file__).resolve().parent
    return [home, *(p for p in (home.with_name("numpy.libs"),) if p.is_dir())]


@contextlib.contextmanager
def furnished() -> Iterator[tuple[Path, Path]]:
    """(a folder for sys.path with links to NumPy and `inside` alone, an empty folder to be in), for a while."""
    with tempfile.TemporaryDirectory(prefix="minis2s-box-", ignore_cleanup_errors=True) as folder:
        lib, empty = Path(folder).resolve() / "lib", Path(folder).resolve() / "empty"
        lib.mkdir()
        empty.mkdir(mode=0o555)
        for path in [*numpy_folders(), INSIDE]:
            (lib / path.name).symlink_to(path, target_is_directory=True)
        yield lib, empty


@functools.cache
def standard_library() -> list[str]:
    """The folders of the standard library as they stand in sys.path."""
    homes = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    inside = [p for p in sys.path if os.path.isdir(p) and os.path.realpath(p) in homes]
    dynamic = [os.path.join(p, "lib-dynload") for p in sorted(homes)]
    return list(dict.fromkeys([*(inside or sorted(homes)), *filter(os.path.isdir, dynamic)]))


def readable(lib: Path) -> list[str]:
    """What a box may read: never a folder that holds other packages."""
    found = [str(lib), *map(str, numpy_folders())]
    for home in standard_library():
        names = os.listdir(home)
        if any(name in OTHERS for name in names):
            found += [os.path.join(home, name) for name in names if name not in OTHERS]
        else:
            found.append(home)
    return found
