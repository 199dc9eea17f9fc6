"""Box: a student's source behind processes, and Remote: one of its functions, to be called with arrays.

with Box(source, ["lstm_forward", "lstm_backward"]) as box:
    forward, backward = box.function("lstm_forward"), box.function("lstm_backward")
    out, cache = forward(x, h0, c0, Wx, Wh, b)   # a fresh process; the cache stays there
    grads = backward(dout, cache)                 # goes to that process
"""

import builtins
import inspect
import keyword
import os
import time
from collections.abc import Sequence

import numpy as np

from minis2s.classroom.box.errors import (
    Boxed,
    Missing,
    Nonsense,
    NotLoaded,
    OutOfMemory,
    Raised,
    TimedOut,
)
from minis2s.classroom.box.inside import protocol
from minis2s.classroom.box.layers import Layers, available_layers
from minis2s.classroom.box.process import END_SECONDS, Running, Starter
from minis2s.errors import UserError

EXCEPTIONS = {
    name for name, x in vars(builtins).items() if isinstance(x, type) and issubclass(x, BaseException)
}
KINDS = {int(kind): kind for kind in inspect._ParameterKind}
REPLY = protocol.Rules()
REPLY_IN_DIAGNOSIS = protocol.Rules(protocol.COMPLEX)


class Cache:
    """A handle to what a forward function keeps for its backward: the thing itself stays in the process that made it."""

    def __init__(self, running: Running, number: int):
        self.running, self.number = running, number

    def __repr__(self) -> str:
        return "<a cache in a box>"


class Box:
    """A student's code in a box.

    source: the text that is run. functions: the names that may be asked for.
    layers: those of the machine, unless others are given. seconds: of the clock on the wall, for loading and for
    each call. budget: seconds for all calls together. memory: bytes of address space. reply: bytes of an answer.

    Raises UserError where a box is impossible. What the student's code does wrong comes as a Boxed error from
    the functions.
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
        self.seconds, self.left, self.memory, self.reply = seconds, budget, memory, reply
        self.budget = budget
        self.loaded: dict | Boxed | None = None
        self.starter: Starter | None = None

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the box."""
        if self.starter is not None:
            self.starter.close()
            self.starter = None

    # -- loading

    def load(self) -> dict:
        """What became of the source: {"failed": [(line, exception), ...], "functions": {name: Signature or None}}.

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

    def fresh(self) -> Running:
        """A process that has run the source. Raises Boxed errors."""
        if self.starter is not None and not self.starter.alive:
            self.close()
        if self.starter is None:
            cpu = int(np.ceil(self.budget)) + 1
            self.starter = Starter(self.layers, self.memory, cpu)
        running = self.starter.fork()
        request = {"do": "load", "functions": self.names}
        try:
            reply, _ = self.ask(running, request, self.source.encode("utf-8", "replace"), 0)
            found = self.read_loaded(reply)
        except BaseException:
            running.end(END_SECONDS)
            raise
        self.loaded = self.loaded or found
        return running

    def ask(self, running: Running, request: dict, payload: bytes, most: int) -> tuple[dict, bytearray]:
        if self.left <= 0:
            raise TimedOut(f"the {self.budget:g} seconds for all calls together are used up")
        start = time.monotonic()
        try:
            return running.ask(request, payload, start + min(self.seconds, self.left), most)
        finally:
            self.left -= time.monotonic() - start

    def read_loaded(self, reply: dict) -> dict:
        """The reply to `load`, every part of it looked at."""
        lines = self.source.count("\n") + 1
        if reply.get("status") == "unreadable":
            where = line_in(reply, lines)
            raise NotLoaded("it is no Python that can be read" + (f" (line {where})" if where else ""))
        if reply.get("status") != "loaded" or type(reply.get("functions")) is not dict:
            raise Nonsense("its process sent a header of an unknown form")
        failed = []
        for item in reply["failed"] if type(reply.get("failed")) is list else []:
            if type(item) is list and len(item) == 2 and type(item[0]) is str and item[0] in EXCEPTIONS:
                failed.append((line_in({"line": item[1]}, lines), item[0]))
        found = {
            name: signature(reply["functions"][name]) for name in self.names if name in reply["functions"]
        }
        return {"failed": failed[:20], "functions": found}

    # -- functions

    def function(self, name: str) -> "Remote":
        """A function of the student's. Raises Missing where there is none, and what `load` raises."""
        return Remote(self, name, self.signature(name))

    def pair(self, name: str) -> tuple["Remote", "Remote"]:
        """(forward, backward) of `name`, in one process for all calls: quick, complex numbers allowed.

        What these change in their arguments is changed in the caller's arrays, as of a local function.
        """
        line = Line(self)
        names = f"{name}_forward", f"{name}_backward"
        forward, backward = (Remote(self, n, self.signature(n), line) for n in names)
        return forward, backward

    def signature(self, name: str) -> inspect.Signature | None:
        if name not in self.names:
            raise UserError(
                f"{name} is none of the functions that the box was made with: {', '.join(self.names)}"
            )
        found = self.load()["functions"]
        if name not in found:
            raise Missing(f"there is no function {name}")
        return found[name]


class Line:
    """The one process of a pair, and the caches in it that nobody needs any more."""

    def __init__(self, box: Box):
        self.box = box
        self.running: Running | None = None
        self.forget: list[int] = []

    def get(self) -> Running:
        if self.running is None or not self.running.alive:
            self.running, self.forget = self.box.fresh(), []
        return self.running


class Remote:
    """One function of a student's code. Calls raise Boxed errors.

    seconds: what the last call took, by the parent's clock, without the loading.
    """

    def __init__(self, box: Box, name: str, signature: inspect.Signature | None, line: Line | None = None):
        self.box, self.line = box, line
        self.__name__ = self.__qualname__ = name
        self.seconds = 0.0
        if signature is not None:
            self.__signature__ = signature

    def __repr__(self) -> str:
        return f"<boxed function {self.__name__}>"

    def __call__(self, *arguments, **named):
        if self.line is None:
            caches = list(caches_in([arguments, named]))
            running = caches[0].running if caches else self.box.fresh()
            if any(cache.running is not running for cache in caches):
                raise UserError(
                    f"{self.__name__} was given caches from two processes: call it with those of one"
                )
        else:
            running = self.line.get()
        keep = self.__name__.endswith("_forward")
        try:
            value, number = self.exchange(running, arguments, named, keep)
        except BaseException:
            if self.line is None:
                running.end(END_SECONDS)
            raise
        if keep:
            cache = Cache(running, number)
            return value, cache
        if self.line is None and not list(caches_in([arguments, named])):
            running.end(END_SECONDS)
        return value

    def exchange(self, running: Running, arguments: tuple, named: dict, keep: bool):
        if not running.alive:
            raise Nonsense("its process is gone")
        number = running.calls = getattr(running, "calls", 0) + 1
        packing = protocol.Packing()
        tree = packing.tree(
            {"list": [as_sent(a) for a in arguments], "named": {k: as_sent(v) for k, v in named.items()}}
        )
        request = {
            "do": "call",
            "function": self.__name__,
            "arguments": tree,
            "keep": number if keep else None,
            "watch": self.line is not None,
            "forget": [],
        }
        start = time.monotonic()
        reply, data = self.box.ask(running, request, packing.payload, self.box.reply)
        self.seconds = time.monotonic() - start
        return self.read(reply, data, arguments, named), number

    def read(self, reply: dict, data: bytearray, arguments: tuple, named: dict):
        """The value of a reply, or the error that it tells of."""
        name, status = self.__name__, reply.get("status")
        if status == "raised":
            raise self.raised(reply)
        if status == "unfit":
            raise Nonsense(f"{name} returned {unfit(reply)}")
        if status != "ok" or not {"value"} <= set(reply) <= {"status", "value", "changed"}:
            raise Nonsense("its process sent a header of an unknown form")
        rules = REPLY if self.line is None else REPLY_IN_DIAGNOSIS
        trees = {"list": [reply["value"], reply.get("changed")]}
        try:
            if protocol.measured(trees, rules, self.box.reply) != len(data):
                raise protocol.Nonsense("another number of bytes than its arrays have")
            value, changed = protocol.Unpacking(data).value(trees)
        except protocol.Nonsense as error:
            raise Nonsense(f"{name} returned {error}") from None
        if self.line is not None and changed:
            write_back(changed, arrays_in([arguments, named]))
        return value

    def raised(self, reply: dict) -> Boxed:
        kind, line = reply.get("type"), line_in(reply, self.box.source.count("\n") + 1)
        if type(kind) is not str or kind not in EXCEPTIONS:
            kind = "Exception"
        where = f" at line {line}" if line else ""
        if kind == "NotImplementedError":
            return Missing(f"{self.__name__} is not written yet")
        if kind == "MemoryError":
            return OutOfMemory(
                f"{self.__name__} asked for more than the {self.box.memory >> 20} MB that it may have"
            )
        return Raised(f"{self.__name__} raised {kind}{where}", kind, line)


def unfit(reply: dict) -> str:
    what = reply.get("what")
    if what == "no pair":
        return "something other than two things, (out, cache)"
    known = type(what) is str and (what in vars(builtins) or what in ("function", "module"))
    return (
        f"a {what} where an array or a number belongs"
        if known
        else "something that is no array and no number"
    )


def line_in(reply: dict, lines: int) -> int:
    line = reply.get("line")
    return line if type(line) is int and 1 <= line <= lines else 0


def signature(rows) -> inspect.Signature | None:
    """The signature that the box tells of; None where it is none."""
    if type(rows) is not list or len(rows) > 64:
        return None
    found = []
    try:
        for name, kind, has_default, default in rows:
            if type(name) is not str or len(name) > 80 or not name.isidentifier() or keyword.iskeyword(name):
                return None
            if type(default) not in (bool, int, float, type(None)):
                default = None
            empty = inspect.Parameter.empty
            found.append(
                inspect.Parameter(name, KINDS[kind], default=default if has_default is True else empty)
            )
        return inspect.Signature(found)
    except (ValueError, TypeError, KeyError):
        return None


def leaves(value):
    """The parts of nested lists, tuples and dictionaries, in the order in which they are sent."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        yield from leaves(list(value.values()))
    else:
        yield value


def caches_in(value):
    return (x for x in leaves(value) if isinstance(x, Cache))


def arrays_in(value) -> list[np.ndarray]:
    return [x for x in leaves(value) if isinstance(x, np.ndarray)]


def as_sent(value):
    """The value with the numbers of its caches in their place."""
    if isinstance(value, Cache):
        return protocol.Cache(value.number)
    if isinstance(value, list):
        return [as_sent(part) for part in value]
    if isinstance(value, tuple):
        return tuple(as_sent(part) for part in value)
    if isinstance(value, dict):
        return {key: as_sent(part) for key, part in value.items()}
    return value


def write_back(changed: list, arrays: list[np.ndarray]) -> None:
    """What the student's code did to its arguments is done to the caller's, where it is the same kind of array."""
    if len(changed) == len(arrays):
        for new, old in zip(changed, arrays, strict=True):
            if (
                isinstance(new, np.ndarray)
                and new.shape == old.shape
                and new.dtype == old.dtype
                and old.flags.writeable
            ):
                np.copyto(old, new)
