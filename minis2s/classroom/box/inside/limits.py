"""What every box has: limits on resources, no new privileges, no capabilities.

A capability would undo the rest: with CAP_SYS_RESOURCE a process raises its own limits, with CAP_DAC_OVERRIDE it
writes what is write-protected. RLIMIT_NPROC does not bind root, whatever its capabilities.
"""

import contextlib
import ctypes
import platform

from . import linux

CAPABILITY_VERSION_3 = 0x20080522


def limit(memory: int, cpu: int, files: int = 64) -> None:
    """memory: bytes of address space; cpu: seconds; files: that may be open at once. No new file can have content."""
    import resource

    wanted = {
        "RLIMIT_AS": memory,
        "RLIMIT_CPU": cpu,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": files,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    for name, value in wanted.items():
        if not hasattr(resource, name):
            continue
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)  # a stricter one that is there already can only stay
        # macOS refuses some; on Linux a limit that cannot be set is no box
        with contextlib.nullcontext() if linux.ON_LINUX else contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, (value, value))


KEYCTL, JOIN_SESSION_KEYRING = {"x86_64": 250, "aarch64": 219}, 1


class CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def no_new_privileges() -> None:
    """No set-uid program gives anything from here on, and root's capabilities are gone."""
    if not linux.ON_LINUX:
        return
    with contextlib.suppress(OSError):  # who is not root has none to drop, and may not
        for capability in range(64):
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if platform.machine() in KEYCTL:  # an empty ring: keys outlive the process that puts them there
        with contextlib.suppress(OSError):  # of a kernel without keys
            linux.syscall(KEYCTL[platform.machine()], JOIN_SESSION_KEYRING, None)
    header, none = CapabilityHeader(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    linux.checked(linux.LIBC.capset(ctypes.byref(header), none))
