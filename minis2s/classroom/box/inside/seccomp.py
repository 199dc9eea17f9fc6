"""Seccomp: a filter that the kernel runs before every system call of a process, and of its threads.

What is not on the list below is refused (EPERM): sockets of every kind and so UDP and DNS, new processes and
programs, tracing, other processes' memory, shared memory that outlives, keys, io_uring, mounts, namespaces.
Written for x86_64 and aarch64; elsewhere this layer is left out. Source: man 2 seccomp; linux/filter.h.
"""

import ctypes
import errno
import os
import platform
import struct

from . import linux

PR_GET_SECCOMP, PR_SET_SECCOMP, MODE_FILTER = 21, 22, 2
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
X32 = 0x40000000  # a second set of numbers on x86_64
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column below, AUDIT_ARCH

# numbers on x86_64 and aarch64; None: not there
ALLOWED = {
    # files (which ones, Landlock decides) and pipes
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "close": (3, 57), "lseek": (8, 62), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59), "open": (2, None), "openat": (257, 56),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "poll": (7, None),
    "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # its own memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214), "membarrier": (324, 283),
    # its own threads and signals
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "exit": (60, 93), "exit_group": (231, 94),
    # clocks, and who and what it is
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "getrusage": (98, 165), "getrlimit": (97, 163), "getpid": (39, 172), "gettid": (186, 178),
    "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179), "getrandom": (318, 278),
}  # fmt: skip
IOCTL, FCNTL, CLONE, CLONE3 = (16, 29), (72, 25), (56, 220), (435, 435)
KILL_CALL, TGKILL, PRLIMIT = (62, 129), (234, 131), (302, 261)
IOCTLS = (0x5401, 0x5450, 0x5451)  # is it a terminal; close on exec, or not
FCNTLS = (0, 1, 2, 3, 4, 1030)  # copies and flags of a descriptor; never whom it sends signals to
CLONE_THREAD = 0x10000


def supported() -> bool:
    """Whether the kernel has filters, and this file knows the numbers of the machine."""
    try:
        return platform.machine() in MACHINES and linux.prctl(PR_GET_SECCOMP) >= 0
    except OSError:
        return False


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def when(number: int | None, inner: bytes) -> bytes:
    """`inner` for one system call; the number is loaded before and after."""
    if number is None:
        return b""
    inner += instruction(RETURN, REFUSE | errno.EPERM)
    return instruction(EQUAL, number, 0, len(inner) // 8) + inner


def argument_is(place: int, values: tuple[int, ...]) -> bytes:
    """Allowed where an argument (its lower 32 bits, which the kernel looks at) has one of the values."""
    tests = b"".join(instruction(EQUAL, v, 0, 1) + instruction(RETURN, ALLOW) for v in values)
    return instruction(LOAD, ARGUMENTS + 8 * place) + tests


def program(machine: str, pid: int) -> bytes:
    """The filter for a process with this number: it may signal itself alone."""
    column, architecture = MACHINES[machine]
    code = instruction(LOAD, ARCHITECTURE)
    code += instruction(EQUAL, architecture, 1, 0) + instruction(RETURN, KILL)
    code += instruction(LOAD, NUMBER)
    code += instruction(AT_LEAST, X32, 0, 1) + instruction(RETURN, REFUSE | errno.EPERM)
    for numbers in ALLOWED.values():
        if numbers[column] is not None:
            code += instruction(EQUAL, numbers[column], 0, 1) + instruction(RETURN, ALLOW)
    thread = (
        instruction(LOAD, ARGUMENTS) + instruction(ANY_BIT, CLONE_THREAD, 0, 1) + instruction(RETURN, ALLOW)
    )
    code += when(CLONE[column], thread)
    code += when(CLONE3[column], instruction(RETURN, REFUSE | errno.ENOSYS))  # libc then takes clone
    code += when(IOCTL[column], argument_is(1, IOCTLS))
    code += when(FCNTL[column], argument_is(1, FCNTLS))
    for numbers in (KILL_CALL, TGKILL):
        code += when(numbers[column], argument_is(0, (pid,)))
    code += when(PRLIMIT[column], argument_is(0, (0, pid)))
    return code + instruction(RETURN, REFUSE | errno.EPERM)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def restrict() -> None:
    """Put this process under the filter, for good. Needs no_new_privs. Raises OSError where it is not supported."""
    if not supported():
        raise OSError(errno.ENOSYS, "no seccomp for this machine")
    code = program(platform.machine(), os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = Program(len(code) // 8, ctypes.addressof(buffer))
    linux.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(filter_))
