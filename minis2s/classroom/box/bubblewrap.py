"""Bubblewrap: a file system of its own that holds Python, NumPy and nothing else, read-only; no network.

`bwrap` is a small program of the system (apt-get install bubblewrap), https://github.com/containers/bubblewrap.
"""

import functools
import os
import shutil
import sysconfig
from pathlib import Path

from minis2s.classroom.box import places
from minis2s.errors import UserError

HIDDEN = (
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
)


def command(lib: Path, cwd: Path) -> list[str]:
    """What to write before a command, so that it runs in the file system of a box. Raises UserError without bwrap."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise UserError(
            "the layer bubblewrap needs the program bwrap: apt-get install bubblewrap, or leave it out"
        )
    # the capability is one in its own user namespace: the keepers make a namespace for each call with it
    words = [bwrap, *HIDDEN, "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--proc", "/proc"]
    for path in [
        *system_libraries(),
        places.python(),
        *places.standard_library(),
        *map(str, places.numpy_folders()),
    ]:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        else:
            words += ["--ro-bind", path, path]
    for other in others(places.standard_library() + system_libraries()):
        words += ["--tmpfs", other]
        words += [
            w
            for p in places.numpy_folders()
            if p.is_relative_to(other)
            for w in ("--ro-bind", str(p), str(p))
        ]
    for path in (places.INSIDE, lib, cwd):
        words += ["--ro-bind", str(path), str(path)]
    return [*words, "--remount-ro", "/", "--chdir", str(cwd)]


@functools.cache
def system_libraries() -> list[str]:
    """Where the libraries lie that Python and NumPy are linked with."""
    homes = [
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        sysconfig.get_config_var("LIBDIR") or "",
    ]
    return [home for home in dict.fromkeys(homes) if os.path.isdir(home)]


def others(homes: list[str]) -> list[str]:
    """The folders of other packages within the libraries, and of minis2s itself."""
    found = []
    for home in map(Path, homes):
        found += [folder / name for folder in (home, *home.glob("python3*")) for name in places.OTHERS]
        found += [p for p in (places.INSIDE.parents[2],) if p.is_relative_to(home)]
    return list(dict.fromkeys(str(path.resolve()) for path in found if path.is_dir()))
