"""Box: a student's source behind processes.

with Box(source, ["lstm_forward", "lstm_backward"]) as box:
    forward, backward = box.function("lstm_forward"), box.function("lstm_backward")
    out, cache = forward(x, h0, c0, Wx, Wh, b)   # a fresh process; the cache stays there
    grads = backward(dout, cache)                 # goes to that process
"""

import inspect
import math
import os
import threading
import time
from collections.abc import Sequence

from minis2s.classroom.box import replies
from minis2s.classroom.box.errors import Boxed, Missing, NotLoaded, TimedOut
from minis2s.classroom.box.layers import Layers, available_layers
from minis2s.classroom.box.process import Starter
from minis2s.classroom.box.remote import Line, Remote
from minis2s.classroom.box.running import END_SECONDS, Running
from minis2s.errors import UserError


class Box:
    """A student's code in a box.

    source: the text that is run. functions: the names that may be asked for.
    layers: those of the machine, unless others are given. seconds: of the clock on the wall, for loading and for
    each call; budget: for all of them together. memory: bytes of address space. reply: bytes of an answer.

    Raises UserError where a box is impossible. What the student's code does wrong comes as a Boxed error from
    `load`, `function`, `pair` and the functions.
    """

    def __init__(
        self,
        source: str,
        functions: Sequence[str],
        *,
        layers: Layers | None = None,
        seconds: float = 10.0,
        budget: float = 120.0,
        memory: int = 1 << 30,
        reply: int = 1 << 26,
    ):
        if not hasattr(os, "fork"):
            raise UserError(
                "student code can be boxed on Linux (all layers) and macOS (limits only), not on this system: "
                "on Windows, run it in WSL"
            )
        self.source, self.names = source, list(functions)
        self.layers = available_layers() if layers is None else layers
        self.seconds, self.budget, self.left = seconds, budget, budget
        self.memory, self.reply = memory, reply
        self.loaded: dict | Boxed | None = None
        self.starter: Starter | None = None
        self.starting = threading.Lock()

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the box."""
        if self.starter is not None:
            self.starter.close()
            self.starter = None

    @property
    def lines(self) -> int:
        """How many lines the source has."""
        return self.source.count("\n") + 1

    def load(self) -> dict:
        """What became of the source: {"failed": [(line, exception), ...], "functions": {name: Signature or None}}.

        A statement at the top of the source that fails is noted under "failed", and the rest goes on.
        Raises NotLoaded, or another Boxed error where it ran too long, died, ...
        """
        if self.loaded is None:
            try:
                self.fresh().end(END_SECONDS)
            except Boxed as error:
                self.loaded = error
        if isinstance(self.loaded, Boxed):
            raise self.loaded
        return self.loaded

    def function(self, name: str) -> Remote:
        """A function of the student's; each call has a fresh process. Raises Missing, and what `load` raises."""
        return Remote(self, name, self.signature(name))

    def pair(self, name: str) -> tuple[Remote, Remote]:
        """(forward, backward) of `name`, in one process for all calls: quick, complex numbers allowed.

        What these change in their arguments is changed in the caller's arrays, as by a local function.
        """
        line = Line(self)
        forward, backward = (
            Remote(self, n, self.signature(n), line) for n in (f"{name}_forward", f"{name}_backward")
        )
        return forward, backward

    def signature(self, name: str) -> inspect.Signature | None:
        if name not in self.names:
            raise UserError(
                f"{name} is none of the functions that the box was made for: {', '.join(self.names)}"
            )
        found = self.load()["functions"]
        if name not in found:
            raise Missing(f"there is no function {name}")
        return found[name]

    # -- processes

    def fresh(self) -> Running:
        """A process that has run the source. Raises Boxed errors."""
        with self.starting:
            if self.starter is not None and not self.starter.alive:
                self.close()
            if self.starter is None:
                self.starter = Starter(self.layers, self.memory, math.ceil(self.budget) + 1)
        try:
            source = self.source.encode()
        except UnicodeEncodeError:
            raise NotLoaded("it holds half a character (a lone surrogate)") from None
        running = self.starter.fork()
        try:
            reply, _ = self.ask(running, {"do": "load", "functions": self.names}, source, 0)
            found = replies.loaded(reply, self.names, self.lines)
        except BaseException:
            running.end(END_SECONDS)
            raise
        self.loaded = self.loaded or found
        return running

    def ask(self, running: Running, request: dict, payload: bytes, most: int) -> tuple[dict, bytearray]:
        """(header, payload) of the reply, within the time that is left. Raises Boxed errors."""
        if self.left <= 0:
            raise TimedOut(f"the {self.budget:g} seconds for all calls together are used up")
        start = time.monotonic()
        seconds = min(self.seconds, self.left)
        try:
            return running.ask(request, payload, seconds, most)
        finally:
            self.left -= time.monotonic() - start
