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
import threading
import time
import weakref

from minis2s.classroom.box import bubblewrap, places
from minis2s.classroom.box.errors import Died, Nonsense, TimedOut
from minis2s.classroom.box.inside import descendants, protocol, starter
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
END_SECONDS = 5.0  # for what a call left to be killed

STARTERS: set[int] = set()  # the children of this process that live on purpose
STARTING = threading.Lock()


class Starter:
    """The process that forks the others, in its own session, folder and layers."""

    def __init__(self, layers: Layers, memory: int, cpu: int):
        self.layers, self.cpu = layers, cpu
        self.folder = contextlib.ExitStack()
        lib, cwd = self.folder.enter_context(places.furnished())
        wanted = [
            name for name in ("landlock", "seccomp", "namespaces", "bubblewrap") if getattr(layers, name)
        ]
        settings = {
            "path": [*places.standard_library(), str(lib)],
            "readable": places.readable(lib),
            "layers": wanted,
            "memory": memory,
            "cpu": cpu,
        }
        self.lock = threading.Lock()
        self.running: weakref.WeakSet[Running] = weakref.WeakSet()
        descendants.adopt()  # should the starter be killed, its orphans come to us
        ours, theirs = socket.socketpair()
        with theirs, STARTING:
            command = bubblewrap.command(lib, cwd) if layers.bubblewrap else []
            command += [places.python(), "-I", "-S", "-B", "-c", BOOT.format(str(lib), theirs.fileno())]
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
        self.channel.close()  # the starter sweeps and ends
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
        if self.process.returncode != 0:
            kill_strays()


class Running:
    """One process of a student's code, and the pipes to it."""

    def __init__(self, to_child: int, from_child: int, leash: socket.socket, starter: Starter):
        self.to_child, self.from_child, self.leash = to_child, from_child, leash
        self.starter = starter
        for fd in (to_child, from_child):
            os.set_blocking(fd, False)
        self.close = weakref.finalize(self, close_all, to_child, from_child, leash)
        self.status: int | None = None  # how it ended, once it has
        self.cpu = 0.0  # seconds of a processor that it used, once it has ended
        self.early = bytearray()  # read beyond a reply
        self.numbers = 0

    @property
    def alive(self) -> bool:
        return self.close.alive

    def next_number(self) -> int:
        """A number for a cache in this process."""
        self.numbers += 1
        return self.numbers

    def ask(self, header: dict, payload: bytes, seconds: float, most: int) -> tuple[dict, bytearray]:
        """(header, payload) of the reply to a request. Raises Boxed errors; then the process is ended."""
        nonce = secrets.token_hex(8)
        try:
            if self.early or self.chunk():
                raise protocol.Nonsense("an answer that nobody had asked for")
            reply, data = self.receive(seconds, most, protocol.frame({**header, "id": nonce}, payload))
            if reply.pop("id", None) != nonce:
                raise protocol.Nonsense("an answer that nobody had asked for")
        except protocol.Nonsense as error:
            self.end(END_SECONDS)
            raise Nonsense(f"its process sent {error}") from None
        return reply, data

    def receive(self, seconds: float, most: int, request: bytes = b"") -> tuple[dict, bytearray]:
        """Write a request while the reply is read. Raises Died, TimedOut and Nonsense (the protocol's)."""
        deadline = time.monotonic() + seconds
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
                raise TimedOut(f"no answer within {seconds:.3g} seconds")
            for fd, _ in poll.poll(left * 1000):
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

    def ended(self) -> Died | TimedOut:
        """The process has closed its pipe: why?"""
        self.end(END_SECONDS)
        status = self.status or 0
        if not os.WIFSIGNALED(status):
            return Died(
                f"its process ended (exit code {os.waitstatus_to_exitcode(status)}) before it answered"
            )
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or (number == signal.SIGKILL and self.cpu >= self.starter.cpu):
            return TimedOut("it used more processor time than it may")
        name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
        return Died(f"its process was ended ({name}) before it answered")

    def end(self, seconds: float) -> None:
        """Kill the process and all that came of it, and learn how it ended."""
        if not self.alive:
            return
        with contextlib.suppress(OSError):
            self.leash.shutdown(socket.SHUT_WR)
            self.leash.settimeout(max(seconds, 0.001))
            said = self.leash.recv(100)
            if len(said) == starter.STATUS.size:
                self.status, self.cpu = starter.STATUS.unpack(said)
        self.close()
        if self.status is None:  # its keeper was killed or stopped: nobody has cleaned up
            self.starter.kill()


def close_all(to_child: int, from_child: int, leash: socket.socket) -> None:
    leash.close()
    os.close(to_child)
    os.close(from_child)


def kill_strays() -> None:
    """Kill the orphans of a starter that was killed: they came to this process, which is their sub-reaper.

    A starter leads a session of its own, and what comes of it can never be in ours. So a child in another
    session that is no starter is a stray.
    """

    def spared(pid: int) -> bool:
        if pid in STARTERS:
            return True
        try:
            return os.getsid(pid) == os.getsid(0)
        except ProcessLookupError:
            return True

    with STARTING:
        descendants.sweep(5.0, spared)
