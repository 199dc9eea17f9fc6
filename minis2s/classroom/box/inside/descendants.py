"""Killing all that came of a process: as their sub-reaper, a process inherits every orphan among them."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from . import linux


def adopt() -> None:
    """From now on the orphans among the descendants of this process become its children (on Linux)."""
    with contextlib.suppress(OSError):
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)


def sweep(seconds: float = 5.0, spared: Callable[[int], bool] = lambda pid: False) -> None:
    """Kill and reap the children of this process, and what they leave, until there are none but those spared."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = [pid for pid in children() if not spared(pid)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)


def children() -> list[int]:
    """The processes whose parent is this one; none where there is no /proc."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
                found += [int(pid) for pid in file.read().split()]
    return found
