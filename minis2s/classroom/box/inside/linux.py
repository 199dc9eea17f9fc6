"""System calls by plain ctypes, for what Python has no function of. Each raises OSError where it is refused."""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
ON_LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None, use_errno=True) if ON_LINUX else None


def checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def refuse_elsewhere() -> None:
    if LIBC is None:
        raise OSError("this is no Linux")


def syscall(number: int, *arguments) -> int:
    """A system call by its number; whole numbers go over as 64 bits."""
    refuse_elsewhere()
    return checked(
        LIBC.syscall(
            ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
        )
    )


def prctl(option: int, *arguments) -> int:
    refuse_elsewhere()
    padded = [*arguments, 0, 0, 0, 0][:4]
    return checked(LIBC.prctl(option, *(ctypes.c_ulong(a) if isinstance(a, int) else a for a in padded)))


def unshare(flags: int) -> None:
    refuse_elsewhere()
    checked(LIBC.unshare(flags))
