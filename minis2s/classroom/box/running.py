"""One process of a student's code, seen from the parent: requests go in, replies come out, and it is ended.

The parent never waits without a clock and never blocks on a pipe: it writes a request and reads the reply at the
same time, counts the bytes, and lets go of the leash when it has what it wants, or has waited long enough.
"""

import contextlib
import os
import secrets
import select
import signal
import socket
import time
import weakref
from typing import TYPE_CHECKING

from minis2s.classroom.box.errors import Died, Nonsense, TimedOut
from minis2s.classroom.box.inside import protocol, starter

if TYPE_CHECKING:
    from minis2s.classroom.box.process import Starter

END_SECONDS = 5.0  # for what a call left to be killed


class Running:
    """One process of a student's code, and the pipes to it."""

    def __init__(self, to_child: int, from_child: int, leash: socket.socket, starter: "Starter"):
        self.to_child, self.from_child, self.leash = to_child, from_child, leash
        self.starter = starter
        for fd in (to_child, from_child):
            os.set_blocking(fd, False)
        self.close = weakref.finalize(self, close_all, to_child, from_child, leash)
        self.close.atexit = False  # (a fork of this process, as multiprocessing makes them, must not end it)
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
    with contextlib.suppress(OSError):
        leash.shutdown(socket.SHUT_WR)  # although a fork of this process may hold it, too
    leash.close()
    os.close(to_child)
    os.close(from_child)
