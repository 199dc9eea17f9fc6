"""Starter: the parent's side of the first process in a box, which forks one for each call (see running.py)."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import weakref

from minis2s.classroom.box import bubblewrap, places
from minis2s.classroom.box.errors import Died
from minis2s.classroom.box.inside import descendants
from minis2s.classroom.box.layers import Layers
from minis2s.classroom.box.running import END_SECONDS, Running
from minis2s.errors import UserError

BOOT = "import sys; sys.path.insert(0, {!r}); from inside.starter import main; main({})"
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # or the time that a call takes is a matter of luck
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}
START_SECONDS = 30.0  # for NumPy to load on a machine under load

STARTERS: set[int] = set()  # the children of this process that live on purpose
STARTING = threading.Lock()


class Starter:
    """The process that forks the others, in its own session, folder and layers."""

    def __init__(self, layers: Layers, memory: int, cpu: int):
        self.layers, self.cpu = layers, cpu
        self.folder = contextlib.ExitStack()
        self.lib, cwd = self.folder.enter_context(places.furnished())
        wanted = [
            name for name in ("landlock", "seccomp", "namespaces", "bubblewrap") if getattr(layers, name)
        ]
        settings = {
            "path": [*places.standard_library(), str(self.lib)],
            "readable": places.readable(self.lib),
            "layers": wanted,
            "memory": memory,
            "cpu": cpu,
        }
        self.lock = threading.Lock()
        self.running: weakref.WeakSet[Running] = weakref.WeakSet()
        descendants.adopt()  # should the starter be killed, its orphans come to us
        command = bubblewrap.command(self.lib, cwd) if layers.bubblewrap else []
        ours, theirs = socket.socketpair()
        with theirs, STARTING:
            command += [places.python(), "-I", "-S", "-B", "-c", BOOT.format(str(self.lib), theirs.fileno())]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd=cwd,
                start_new_session=True,
            )
            STARTERS.add(self.process.pid)
        self.channel = ours
        ours.settimeout(START_SECONDS)
        try:
            ours.sendall(json.dumps(settings).encode() + b"\n")
            said = ours.recv(500)
        except OSError:
            said = b""
        if said != b"ready":
            self.close()
            why = said.decode(errors="replace") or "its first process ended"
            raise UserError(
                f"no box with the layers {layers} on this machine ({why}): make it with fewer layers"
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def fork(self) -> "Running":
        """A fresh process under all layers. Raises Died, and UserError where a layer is refused."""
        requests, to_child = os.pipe()
        from_child, replies = os.pipe()
        leash, theirs = socket.socketpair()
        running = Running(to_child, from_child, leash, self)
        try:
            with self.lock:
                socket.send_fds(self.channel, [b"f"], [requests, replies, theirs.fileno()])
        except OSError:
            running.end(0)
            raise Died("its box was killed") from None
        finally:
            os.close(requests)
            os.close(replies)
            theirs.close()
        self.running.add(running)
        header, _ = running.receive(START_SECONDS, 0)
        if header.get("status") != "ready":
            running.end(END_SECONDS)
            raise UserError(f"a process could not be put under the layers {self.layers}: {header.get('why')}")
        return running

    def close(self) -> None:
        """End every process of this box."""
        for running in list(self.running):
            running.end(END_SECONDS)
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)  # the starter sweeps and ends
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        self.kill()
        self.folder.close()

    def kill(self) -> None:
        """End the starter, where it has not ended as it should, and all that came of it."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        STARTERS.discard(self.process.pid)
        self.sweep(everywhere=self.process.returncode != 0)

    def sweep(self, everywhere: bool) -> None:
        """Kill what came to this process as an orphan: it is the sub-reaper of a starter that is gone.

        A starter leads a session of its own, and bubblewrap's processes are in it. Was the starter killed, then
        an orphan may have made another session: so `everywhere` is any session but ours, and that of other starters.
        """

        def spared(pid: int) -> bool:
            try:
                session = os.getsid(pid)
            except ProcessLookupError:
                return True
            theirs = session == self.process.pid or (everywhere and session != os.getsid(0))
            return pid in STARTERS or not theirs

        with STARTING:
            descendants.sweep(END_SECONDS, spared)
