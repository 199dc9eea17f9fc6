"""What a reply says, every part of it looked at: nothing in it is believed, and no text of it is passed on.

Names of exceptions and types are passed on where they are Python's own, numbers of lines where the source has them.
"""

import builtins
import inspect
import keyword

from minis2s.classroom.box.errors import Boxed, Nonsense, NotLoaded, NotWritten, OutOfMemory, Raised
from minis2s.classroom.box.inside import protocol

OWN = {name: x for name, x in vars(builtins).items() if isinstance(x, type) and x.__name__ == name}
EXCEPTIONS = {name for name, x in OWN.items() if issubclass(x, BaseException)}
PARAMETER_KINDS = {int(kind): kind for kind in inspect._ParameterKind}
UNKNOWN = "its process sent a header of an unknown form"
PARAMETERS, NAME = 64, 80  # of a function; characters


def loaded(reply: dict, names: list[str], lines: int) -> dict:
    """What `Box.load` returns. Raises NotLoaded and Nonsense."""
    if reply.get("status") == "unreadable":
        line = line_in(reply.get("line"), lines)
        raise NotLoaded("it is no Python that can be read" + (f" (line {line})" if line else ""))
    failed, functions = reply.get("failed"), reply.get("functions")
    if reply.get("status") != "loaded" or type(failed) is not list or type(functions) is not dict:
        raise Nonsense(UNKNOWN)
    rows = [row for row in failed[:20] if type(row) is list and len(row) == 2]
    return {
        "failed": [(line_in(line, lines), exception(kind)) for kind, line in rows],
        "functions": {name: signature(functions[name]) for name in names if name in functions},
    }


def values(reply: dict, data: bytearray, dtypes: set[str], most: int, arguments: list) -> tuple:
    """(value, changed arguments or None, whether a cache was changed) of a reply. Raises Nonsense, the protocol's."""
    if not {"status", "value"} <= set(reply) <= {"status", "value", "changed", "stale"}:
        raise protocol.Nonsense("a header of an unknown form")
    trees = {"tuple": [reply["value"], reply.get("changed")]}
    if protocol.measured(trees, dtypes, most) != len(data):
        raise protocol.Nonsense("another number of bytes than its arrays have")
    return *protocol.Unpacking(data, arguments=arguments).value(trees), reply.get("stale") is True


def failure(reply: dict, name: str, lines: int, memory: int) -> Boxed:
    """The error that a reply tells of."""
    if reply.get("status") == "unfit":
        return Nonsense(f"{name} returned {unfit(reply.get('what'))}")
    if reply.get("status") != "raised":
        return Nonsense(UNKNOWN)
    kind, line = exception(reply.get("type")), line_in(reply.get("line"), lines)
    if kind == "NotImplementedError":  # what a hole in the handed-out copy raises: not wrong, but not written
        return NotWritten(f"{name} is not written yet")
    if kind == "MemoryError":
        return OutOfMemory(f"{name} asked for more than the {memory >> 20} MB that it may have")
    return Raised(f"{name} raised {kind}" + (f" at line {line}" if line else ""), kind, line)


def unfit(what) -> str:
    if what == "no pair":
        return "something other than two things, (out, cache)"
    if type(what) is str and what in {*OWN, "function", "module"}:
        return f"a {what} where an array or a number belongs"
    return "something that is neither an array nor a number"


def exception(kind) -> str:
    return kind if type(kind) is str and kind in EXCEPTIONS else "Exception"


def line_in(line, lines: int) -> int:
    return line if type(line) is int and 1 <= line <= lines else 0


def signature(rows) -> inspect.Signature | None:
    """The signature that the box tells of; None where it is none."""
    if type(rows) is not list or len(rows) > PARAMETERS:
        return None
    found = []
    for row in rows:
        if type(row) is not list or len(row) != 4:
            return None
        name, kind, has_default, default = row
        if type(name) is not str or len(name) > NAME or keyword.iskeyword(name) or type(kind) is not int:
            return None
        if kind not in PARAMETER_KINDS or not name.isidentifier():
            return None
        default = default if type(default) in (bool, int, float) else None
        default = default if has_default is True else inspect.Parameter.empty
        found.append(inspect.Parameter(name, PARAMETER_KINDS[kind], default=default))
    try:
        return inspect.Signature(found)
    except ValueError:  # names twice, or in an impossible order
        return None
