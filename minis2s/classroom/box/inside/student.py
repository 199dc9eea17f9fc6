"""The process in which a student's code runs: it is told to load a source and to call functions, and answers.

Whatever happens after `load`, the student's code may have changed anything in this process, this file's functions
included. So nothing here protects anybody: the layers do, and the parent, which believes no reply.
"""

import __future__

import ast
import builtins
import inspect
import os
import sys
import types

import numpy as np

from . import protocol

FILE = "<student>"
PLAIN = (float, int, bool, str, bytes, type(None))


class Student:
    """One student's module, and the caches that its forward functions made."""

    def __init__(self):
        self.module = types.ModuleType("student")
        self.caches: dict[int, object] = {}

    def load(self, source: str, functions: list[str]) -> dict:
        """Run a source statement by statement; one that fails is noted, the rest goes on."""
        sys.modules["student"] = self.module
        try:
            statements = ast.parse(source, FILE).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return {"status": "unreadable", "line": getattr(error, "lineno", None) or 0}
        flags, failed = 0, []
        for statement in statements:
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                flags |= sum(
                    getattr(__future__, a.name).compiler_flag
                    for a in statement.names
                    if hasattr(__future__, a.name)
                )
            try:
                code = compile(ast.Module([statement], []), FILE, "exec", flags, dont_inherit=True)
                exec(code, self.module.__dict__)
            except BaseException as error:  # noqa: BLE001  (sys.exit() at the top of a file is no end either)
                failed.append([kind_of(error), line_of(error) or statement.lineno])
        there = {name: getattr(self.module, name, None) for name in functions}
        found = {name: parameters(f) for name, f in there.items() if callable(f)}
        return {"status": "loaded", "failed": failed[:20], "functions": found}

    def call(self, request: dict, payload: bytearray) -> tuple[dict, bytes]:
        """(header of the reply, its payload): what the function returned, or how it failed."""
        for number in request["forget"]:
            self.caches.pop(number, None)
        try:
            arguments = protocol.Unpacking(payload, caches=self.caches).value(request["arguments"])
            before = digest(list(self.caches.values())) if request["watch"] else None
            try:
                function = getattr(self.module, request["function"])
                value = function(*arguments["list"], **arguments["named"])
            except BaseException as error:  # noqa: BLE001
                return {"status": "raised", "type": kind_of(error), "line": line_of(error) or 0}, b""
            if request["keep"] is not None:
                if not isinstance(value, tuple | list) or len(value) != 2:
                    return {"status": "unfit", "what": "no pair"}, b""
                value, self.caches[request["keep"]] = value
            if not request["watch"]:
                packing = protocol.Packing()
                return {"status": "ok", "value": packing.tree(value)}, packing.payload
            given, changed = arrays_given(request["arguments"], arguments, payload)
            packing = protocol.Packing({id(a): {"argument": n} for n, a in enumerate(given)})
            reply = {"status": "ok", "value": packing.tree(value)}
            packing.known = None
            reply["changed"] = packing.tree(given) if changed else None
            others = [cache for number, cache in self.caches.items() if number != request["keep"]]
            reply["stale"] = before != digest(others)
            return reply, packing.payload
        except protocol.Unfit as error:
            return {"status": "unfit", "what": str(error)[:80]}, b""
        except MemoryError:
            return {"status": "raised", "type": "MemoryError", "line": 0}, b""


def kind_of(error: BaseException) -> str:
    """The name of the built-in exception that this is one of; a student's own name says nothing to others."""
    for base in type(error).__mro__:
        if getattr(builtins, base.__name__, None) is base:
            return base.__name__
    return "Exception"


def line_of(error: BaseException) -> int | None:
    """The last line of the student's source that the error came through."""
    if isinstance(error, SyntaxError) and error.filename == FILE:
        return error.lineno
    line, place = None, error.__traceback__
    while place is not None:
        if place.tb_frame.f_code.co_filename == FILE:
            line = place.tb_lineno
        place = place.tb_next
    return line


def parameters(function) -> list | None:
    """[name, kind, whether it has a default, the default where it is a plain value] of each parameter."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except BaseException:  # noqa: BLE001
        return None
    rows = []
    for p in found:
        default = p.default if type(p.default) in (bool, int, float, str, type(None)) else None
        rows.append([p.name, int(p.kind), p.default is not p.empty, default])
    return rows


def arrays_given(tree, arguments, payload: bytearray) -> tuple[list, bool]:
    """(the arrays among the arguments, in their order; whether the call changed one of them)."""
    arrays, now = [], []

    def visit(tree, value) -> None:
        if type(tree) is not dict:
            return
        ((name, inner),) = tree.items()
        if name == "array":
            arrays.append(value)
        if name in ("array", "number"):
            now.append(value.tobytes())
        elif name == "dict":
            for key, part in inner:
                visit(part, value[key])
        elif name in ("list", "tuple"):
            for part, x in zip(inner, value, strict=False):
                visit(part, x)

    visit(tree, arguments)
    return arrays, b"".join(now) != payload


def digest(thing, depth: int = 0) -> list[int]:
    """A number for each array in a cache of any kind: containers and objects."""
    if isinstance(thing, np.ndarray):
        return [hash(thing.tobytes())] if thing.dtype != object else []
    if isinstance(thing, dict):
        thing = list(thing.values())
    elif not isinstance(thing, list | tuple):
        thing = list(getattr(thing, "__dict__", {}).values()) if not isinstance(thing, type) else []
    if depth == 8:
        return []
    # a cache of lists may hold hundreds of thousands of plain numbers: they are passed over at once
    return [number for part in thing if type(part) not in PLAIN for number in digest(part, depth + 1)]


# -- the pipes


def receive(fd: int) -> tuple[dict, bytearray]:
    header, size = protocol.lengths(read(fd, protocol.PREFIX.size), 1 << 62)
    return protocol.parsed(read(fd, header)), read(fd, size)


def read(fd: int, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = os.readv(fd, [view])
        if not got:
            os._exit(0)  # the parent is gone
        view = view[got:]
    return data


def send(fd: int, header: dict, payload: bytes = b"") -> None:
    view = memoryview(protocol.frame(header, payload))
    while view:
        view = view[os.write(fd, view) :]


def serve(requests: int, replies: int) -> None:
    """Answer requests until there are no more."""
    student = Student()
    while True:
        request, payload = receive(requests)
        if request["do"] == "load":
            header, data = student.load(payload.decode(), request["functions"]), b""
        else:
            header, data = student.call(request, payload)
        send(replies, {**header, "id": request["id"]}, data)
