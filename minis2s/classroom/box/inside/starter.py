"""The first process in a box: it loads NumPy once and then forks a fresh process for each call.

It never runs a student's code. For each call it forks a keeper, and the keeper forks the student's process, which
puts on the layers before it reads the source. The keeper waits for the parent to let go of its leash, kills all that
came of the call, orphans included (it is their sub-reaper), and tells how the student's process ended.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import sys

from . import descendants, landlock, limits, linux, namespaces, seccomp, student

STATUS = struct.Struct("<id")  # how a process ended, as wait() tells it; seconds of a processor


def main(control: int) -> None:
    """Serve the socket `control`, until the parent closes it."""
    channel = socket.socket(fileno=control)
    text = b""
    while not text.endswith(b"\n"):
        text += channel.recv(1 << 20) or os._exit(0)
    settings = json.loads(text)
    sys.path[:] = settings["path"]
    warm()
    try:
        layers = Layers(settings)
    except OSError as error:
        channel.send(f"refused: {error}".encode())
        os._exit(1)
    descendants.adopt()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out on the machine, these processes go first, not other people's
    with contextlib.suppress(OSError):  # elsewhere than on Linux
        linux.prctl(linux.PR_SET_DUMPABLE, 0)  # no process of the same user looks into this one
    channel.send(b"ready")
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 1, 3)
        if not data:
            descendants.sweep()
            os._exit(0)
        reap()
        if os.fork() == 0:
            channel.close()
            try:
                keep(*fds, layers)
            finally:
                os._exit(1)
        for fd in fds:
            os.close(fd)


def warm() -> None:
    """What every call would otherwise do again: load modules, take the buffers of the BLAS."""
    import numpy as np

    np.linalg.inv(np.eye(3) @ np.eye(3))
    np.random.default_rng(0).standard_normal(2)
    np.fft.fft(np.ones(2))


class Layers:
    """The layers that the student's process puts on, as far as they can be made beforehand."""

    def __init__(self, settings: dict):
        self.settings, self.wanted = settings, settings["layers"]
        if "namespaces" in self.wanted and "bubblewrap" not in self.wanted:  # which has made them
            namespaces.enter()
        self.rules = landlock.ruleset(settings["readable"]) if "landlock" in self.wanted else None

    def put_on(self) -> None:
        """Restrict this process for good. Raises OSError."""
        limits.no_new_privileges()
        limits.limit(self.settings["memory"], self.settings["cpu"])
        if self.rules is not None:
            landlock.restrict(self.rules)
            os.close(self.rules)
        if "seccomp" in self.wanted:
            seccomp.restrict()


def keep(requests: int, replies: int, leash: int, layers: Layers) -> None:
    """The keeper of one call."""
    os.setsid()
    descendants.adopt()
    try:
        if "namespaces" in layers.wanted or "bubblewrap" in layers.wanted:
            namespaces.number_anew()
        pid = os.fork()
    except OSError as error:
        student.send(replies, {"status": "unboxed", "why": str(error)})
        return
    if pid == 0:
        try:
            os.close(leash)
            os.setsid()
            run(requests, replies, layers)
        finally:
            os._exit(1)
    os.close(requests)
    os.close(replies)
    os.read(leash, 1)  # until the parent closes its end
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    descendants.sweep()
    os.write(leash, STATUS.pack(status, usage.ru_utime + usage.ru_stime))
    os._exit(0)


def run(requests: int, replies: int, layers: Layers) -> None:
    """The student's process."""
    try:
        layers.put_on()
    except OSError as error:
        student.send(replies, {"status": "unboxed", "why": str(error)})
        return
    student.send(replies, {"status": "ready"})
    student.serve(requests, replies)


def reap() -> None:
    """Forget the keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
