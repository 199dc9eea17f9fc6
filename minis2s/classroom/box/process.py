"""The parent's side of the processes: one starter for each box, one process for each call.

The parent never waits without a clock and never blocks on a pipe: it writes a request and reads the reply at the
same time, counts the bytes, and lets go of the leash when it has what it wants, or has waited long enough.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from pathlib import Path

from minis2s.classroom.box import places
from minis2s.classroom.box.errors import Died, Nonsense, OutOfMemory, TimedOut
from minis2s.classroom.box.inside import linux, protocol
from minis2s.classroom.box.layers import Layers
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
END_SECONDS = 10.0  # for what a call left to be killed


class Starter:
    """The process that forks the others, in its own session, folder and layers."""

    def __init__(self, layers: Layers, memory: int, cpu: int):
        self.layers = layers
        self.folder = tempfile.TemporaryDirectory(prefix="minis2s-box-", ignore_cleanup_errors=True)
        self.lib, cwd = places.furnish(Path(self.folder.name))
        self.settings = {
            "path": [*places.standard_library(), str(self.lib)],
            "readable": places.readable(self.lib),
            "layers": [name for name in ("landlock", "seccomp", "namespaces") if getattr(layers, name)],
            "memory": memory,
            "cpu": cpu,
        }
        self.lock = threading.Lock()
        self.running: weakref.WeakSet[Running] = weakref.WeakSet()
        with contextlib.suppress(OSError):
            linux.prctl(
                linux.PR_SET_CHILD_SUBREAPER, 1
            )  # should the starter be killed, its orphans come to us
        ours, theirs = socket.socketpair()
        with theirs:
            command = [places.python(), "-I", "-S", "-B", "-c", BOOT.format(str(self.lib), theirs.fileno())]
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
        self.channel = ours
        ours.settimeout(START_SECONDS)
        try:
            ours.sendall(json.dumps(self.settings).encode())
            said = ours.recv(16)
        except OSError:
            said = b""
        if said != b"ready":
            self.close()
            raise UserError(
                f"the box could not be started with the layers {layers}: run it with fewer layers"
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def fork(self) -> "Running":
        """A fresh process under all layers. Raises Died, and UserError where a layer is refused."""
        requests, to_child = os.pipe()
        from_child, replies = os.pipe()
        leash, theirs = socket.socketpair()
        running = Running(to_child, from_child, leash)
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
        header, _ = running.receive(time.monotonic() + START_SECONDS, 0)
        if header.get("status") != "ready":
            running.end(END_SECONDS)
            raise UserError(f"a process could not be put under the layers {self.layers}: {header.get('why')}")
        return running

    def close(self) -> None:
        """End every process of this box."""
        for running in list(self.running):
            running.end(END_SECONDS)
        self.channel.close()  # the starter sweeps and ends
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            kill_strays()
        self.folder.cleanup()


class Running:
    """One process of a student's code, and the pipes to it."""

    def __init__(self, to_child: int, from_child: int, leash: socket.socket):
        self.to_child, self.from_child, self.leash = to_child, from_child, leash
        for fd in (to_child, from_child):
            os.set_blocking(fd, False)
        self.close = weakref.finalize(self, close_all, to_child, from_child, leash)
        self.status: dict | None = None  # how it ended, once it has
        self.early = bytearray()  # read beyond a reply

    @property
    def alive(self) -> bool:
        return self.close.alive

    def ask(self, header: dict, payload: bytes, deadline: float, most: int) -> tuple[dict, bytearray]:
        """(header, payload) of the reply to a request. Raises Boxed errors; then the process is ended."""
        nonce = secrets.token_hex(8)
        try:
            if self.early or self.chunk():
                raise protocol.Nonsense("an answer that nobody had asked for")
            reply, data = self.receive(deadline, most, protocol.frame({**header, "id": nonce}, payload))
            if reply.pop("id", None) != nonce:
                raise protocol.Nonsense("an answer that nobody had asked for")
        except protocol.Nonsense as error:
            self.end(END_SECONDS)
            raise Nonsense(f"its process sent {error}") from None
        return reply, data

    def receive(self, deadline: float, most: int, request: bytes = b"") -> tuple[dict, bytearray]:
        """Write a request while the reply is read. Raises Died, TimedOut and Nonsense (the protocol's)."""
        unsent, data, needed = memoryview(request), self.early, protocol.PREFIX.size
        self.early = bytearray()
        lengths = None
        poll = select.poll()
        poll.register(self.from_child, select.POLLIN)
        if unsent:
            poll.register(self.to_child, select.POLLOUT)
        while True:
            if lengths is None and len(data) >= needed:
                lengths = protocol.lengths(data[: protocol.PREFIX.size], most)
                needed += sum(lengths)
            if lengths is not None and len(data) >= needed and not unsent:
                break
            if len(data) > needed:
                raise protocol.Nonsense("an answer that nobody had asked for")
            left = deadline - time.monotonic()
            if left <= 0:
                self.end(END_SECONDS)
                raise TimedOut("no answer within the time that a call has")
            for fd, event in poll.poll(left * 1000):
                if fd == self.to_child:
                    try:
                        unsent = unsent[os.write(fd, unsent[: 1 << 20]) :]
                    except BlockingIOError:
                        pass
                    except BrokenPipeError:
                        unsent = memoryview(b"")
                    if not unsent:
                        poll.unregister(fd)
                else:
                    got = self.chunk()
                    if got == b"":
                        raise self.ended()
                    data += got or b""
        self.early = data[needed:]
        start = protocol.PREFIX.size
        header = protocol.parsed(bytes(data[start : start + lengths[0]]))
        return header, data[start + lengths[0] : needed]

    def chunk(self) -> bytes | None:
        """What is there to be read; None: nothing yet; empty: never again."""
        try:
            return os.read(self.from_child, 1 << 20)
        except BlockingIOError:
            return None

    def ended(self) -> Died | TimedOut | OutOfMemory:
        """The process has closed its pipe: why?"""
        self.end(END_SECONDS)
        status = (self.status or {}).get("status", 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return TimedOut("it used more processor time than it may")
            name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
            return Died(f"its process was ended by {name} before it answered")
        return Died(f"its process ended (exit code {os.waitstatus_to_exitcode(status)}) before it answered")

    def end(self, seconds: float) -> None:
        """Kill the process and all that came of it, and learn how it ended."""
        if not self.alive:
            return
        with contextlib.suppress(OSError):
            self.leash.shutdown(socket.SHUT_WR)
            self.leash.settimeout(max(seconds, 0.001))
            self.status = json.loads(self.leash.recv(1000) or b"{}")
        self.close()


def close_all(to_child: int, from_child: int, leash: socket.socket) -> None:
    leash.close()
    os.close(to_child)
    os.close(from_child)


def kill_strays() -> None:
    """Kill what came to this process as an orphan of a starter that was killed: children in a session of their own."""
