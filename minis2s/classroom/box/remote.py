"""Remote: a function of a student's code, called as if it were here; and the handles of what stays in the box."""

import inspect
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np

from minis2s.classroom.box import replies
from minis2s.classroom.box.errors import Died, Nonsense
from minis2s.classroom.box.inside import protocol
from minis2s.classroom.box.running import END_SECONDS, Running
from minis2s.errors import UserError

if TYPE_CHECKING:
    from minis2s.classroom.box.box import Box


class Cache:
    """A handle to what a forward function keeps for its backward: the thing itself stays in the process that made it.

    changes: how often a call of a pair has changed it. Whoever compares the arrays in a cache before and after a
    call, as the gradient checker does, so sees what happened in the box.
    """

    __slots__ = ("__dict__", "__weakref__", "number", "running")  # `changes` alone is in the __dict__

    def __init__(self, running: Running, number: int):
        self.running, self.number = running, number
        self.changes = np.zeros(1)

    def __repr__(self) -> str:
        return "<a cache in a box>"


class Line:
    """The one process of a pair, and the numbers of the caches in it that nobody needs any more."""

    def __init__(self, box: "Box"):
        self.box = box
        self.running: Running | None = None
        self.unneeded: list[int] = []

    def get(self) -> Running:
        if self.running is None or not self.running.alive:
            self.running, self.unneeded = self.box.fresh(), []
        return self.running

    def forget(self) -> list[int]:
        numbers, self.unneeded[:] = self.unneeded[:], []
        return numbers


class Remote:
    """One function of a student's code. Calls raise Boxed errors.

    A name that ends in "_forward" returns (out, cache), and the cache is a handle: a call that is given it goes to the
    process that made it. Every other call has a fresh process, or that of the pair.

    seconds: what the last call took by the parent's clock, without the loading. __signature__: of the student's def.
    """

    def __init__(self, box: "Box", name: str, signature: inspect.Signature | None, line: Line | None = None):
        self.box, self.line = box, line
        self.__name__ = self.__qualname__ = name
        self.seconds = 0.0
        if signature is not None:
            self.__signature__ = signature

    def __repr__(self) -> str:
        return f"<boxed function {self.__name__}>"

    def __call__(self, *arguments, **named):
        caches = [x for x in leaves([arguments, named]) if isinstance(x, Cache)]
        if any(cache.running is not caches[0].running for cache in caches):
            raise UserError(f"{self.__name__} was given caches of two processes: call it with those of one")
        if caches:
            running = caches[0].running
        else:
            running = self.box.fresh() if self.line is None else self.line.get()
        keep = self.__name__.endswith("_forward")
        cache = Cache(running, running.next_number()) if keep else None
        try:
            value = self.exchange(running, arguments, named, cache)
        except BaseException:
            cache = None
            raise
        finally:
            if cache is None and self.line is None and not caches:
                running.end(END_SECONDS)
        if cache is None:
            return value
        if self.line is not None:
            weakref.finalize(cache, self.line.unneeded.append, cache.number)
        return value, cache

    def exchange(self, running: Running, arguments: tuple, named: dict, cache: Cache | None):
        """What the student's function returned, in that process."""
        if not running.alive:
            raise Died("the process that holds its cache has ended")
        packing = protocol.Packing()
        try:
            tree = packing.tree(as_sent({"list": list(arguments), "named": named}))
        except protocol.Unfit as error:
            raise UserError(
                f"{self.__name__} takes arrays, numbers and tuples of these, not: {error}"
            ) from None
        request = {
            "do": "call",
            "function": self.__name__,
            "arguments": tree,
            "keep": None if cache is None else cache.number,
            "watch": self.line is not None,
            "forget": [] if self.line is None else self.line.forget(),
        }
        start = time.monotonic()
        reply, data = self.box.ask(running, request, packing.payload, self.box.reply)
        self.seconds = time.monotonic() - start
        if reply.get("status") != "ok":
            raise replies.failure(reply, self.__name__, self.box.lines, self.box.memory)
        given = list(leaves([arguments, named]))
        arrays = [x for x in given if isinstance(x, np.ndarray)]
        dtypes = protocol.REAL if self.line is None else protocol.COMPLEX
        try:
            value, changed, stale = replies.values(reply, data, dtypes, self.box.reply, arrays)
        except protocol.Nonsense as error:
            raise Nonsense(f"{self.__name__} returned {error}") from None
        if self.line is not None:
            write_back(changed, arrays)
            for cache in (x for x in given if isinstance(x, Cache) and stale):
                cache.changes += 1
        return value


def leaves(value):
    """The parts of nested lists, tuples and dictionaries, in the order in which they are sent."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        yield from leaves(list(value.values()))
    else:
        yield value


def as_sent(value):
    """The value with the numbers of its caches in their places."""
    if isinstance(value, Cache):
        return protocol.Cache(value.number)
    if isinstance(value, list):
        return [as_sent(part) for part in value]
    if isinstance(value, tuple):
        return tuple(as_sent(part) for part in value)
    if isinstance(value, dict):
        return {key: as_sent(part) for key, part in value.items()}
    return value


def write_back(changed, arrays: list[np.ndarray]) -> None:
    """What the student's code did to its arguments is done to the caller's arrays; None: it did nothing."""
    if not isinstance(changed, list) or len(changed) != len(arrays):
        return
    for new, old in zip(changed, arrays, strict=True):
        if (
            isinstance(new, np.ndarray)
            and (new.shape, new.dtype) == (old.shape, old.dtype)
            and old.flags.writeable
        ):
            np.copyto(old, new)
