"""Landlock: which files a process may read, and that it may neither connect nor send signals to others.

A process gives up rights for itself and its children, for good; no privilege is needed. What the kernel can
forbid grows with its ABI: files since 1 (Linux 5.13), TCP since 4 (6.7), signals and abstract sockets since 6 (6.12).
UDP is never among it. Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable

from . import linux

CREATE, ADD_RULE, RESTRICT = 444, 445, 446  # the same numbers on every architecture
READ_FILE, READ_DIR = 4, 8
FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # ABI -> rights that came with it
TCP_RIGHTS, SCOPES = {4: 3}, {6: 3}  # bind and connect; abstract sockets and signals
PATH_BENEATH = 1


class Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi() -> int:
    """The version of Landlock in this kernel; 0: none."""
    try:
        return linux.syscall(CREATE, None, 0, 1)
    except OSError:
        return 0


def known(rights: dict[int, int], version: int) -> int:
    return sum(bits for since, bits in rights.items() if since <= version)


def ruleset(readable: Iterable[str]) -> int:
    """A file descriptor of the rules: these files and folders may be read, and nothing else of a file system.

    Raises OSError where there is no Landlock.
    """
    version = abi()
    if not version:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    rules = Ruleset(known(FILE_RIGHTS, version), known(TCP_RIGHTS, version), known(SCOPES, version))
    size = 8 if version < 4 else 16 if version < 6 else 24
    fd = linux.syscall(CREATE, ctypes.byref(rules), size, 0)
    for path in readable:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # what is not there needs no rule
        try:
            is_folder = stat.S_ISDIR(os.fstat(parent).st_mode)
            rule = PathBeneath(READ_FILE | READ_DIR if is_folder else READ_FILE, parent)
            linux.syscall(ADD_RULE, fd, PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(parent)
    return fd


def restrict(fd: int) -> None:
    """Put this process under the rules, for good. Needs no_new_privs."""
    linux.syscall(RESTRICT, fd, 0)
