"""The language of the pipes: frames of a JSON header and raw bytes. Both ends use this text; neither trusts the other.

A frame is 16 bytes (magic, length of the header, length of the payload), the header, the payload. A value is a
tree in the header: None, bool, int, float and str stand for themselves, the rest is {"list": [...]}, {"tuple": [...]},
{"dict": [[key, value], ...]}, {"complex": [re, im]}, {"cache": number}, {"array": [dtype, shape]} and {"number": ...}
(a NumPy number), whose bytes follow in the payload, in the order of the tree. All is measured before it is allocated.
In a diagnosis {"argument": n} is the n-th array that was handed in, and {"again": n} the n-th one of the answer itself.
"""

import json
import math
import struct

import numpy as np

MAGIC = b"box1"
PREFIX = struct.Struct("<4sIQ")  # magic, bytes of the header, bytes of the payload
HEADER_BYTES = 1 << 20
NODES, DEPTH = 50_000, 8  # of a tree
DIMS, LENGTH = 32, 1 << 40  # of a shape
TEXT, KEY = 200, 40  # characters of a string, and of a key of a dictionary
INTEGER = 1 << 64
REAL = {"|b1", "|i1", "|u1", *(f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8)), "<f2", "<f4", "<f8"}
COMPLEX = REAL | {"<c8", "<c16"}


class Nonsense(ValueError):
    """What came is not in the language; the message says what is wrong, never what was in it."""


class Unfit(ValueError):
    """A value that cannot be sent; the message says which type or dtype it has."""


class Cache:
    """Stands for a cache that stays in the box: its number there."""

    def __init__(self, number: int):
        self.number = number


# -- frames


def frame(header: dict, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return PREFIX.pack(MAGIC, len(text), len(payload)) + text + payload


def lengths(prefix: bytes, most: int) -> tuple[int, int]:
    """(bytes of the header, bytes of the payload) that a prefix promises. Raises Nonsense."""
    magic, header, payload = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise Nonsense("bytes that are no message of the box")
    if header > HEADER_BYTES:
        raise Nonsense(f"a header of {header:,} bytes, where {HEADER_BYTES:,} are allowed")
    if payload > most:
        raise Nonsense(f"a reply of {payload:,} bytes, where {most:,} are allowed")
    return header, payload


def parsed(text: bytes) -> dict:
    """The header as a dictionary. Raises Nonsense."""
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError, MemoryError):
        raise Nonsense("a header that is not JSON") from None
    if type(header) is not dict:
        raise Nonsense("a header that is no dictionary")
    return header


# -- values


class Packing:
    """Values to trees, their bytes collected in `chunks`.

    known: arrays that the other side has, by their id(), and what stands for them; None: every array is sent.
    """

    def __init__(self, known: dict[int, dict] | None = None):
        self.chunks: list[bytes] = []
        self.nodes = 0
        self.known = known

    def tree(self, value, depth: int = 0):
        """The tree of a value. Raises Unfit."""
        self.nodes += 1
        if depth > DEPTH or self.nodes > NODES:
            raise Unfit("values nested too deeply" if depth > DEPTH else "too many values in lists")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Cache):
            return {"cache": value.number}
        if isinstance(value, np.ndarray | np.generic):
            return self.array(value)
        if isinstance(value, int) and abs(value) < INTEGER:
            return int(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if isinstance(value, str) and len(value) <= TEXT:
            return str(value)
        if isinstance(value, list | tuple):
            name = "list" if isinstance(value, list) else "tuple"
            return {name: [self.tree(part, depth + 1) for part in value]}
        if isinstance(value, dict) and all(map(is_key, value)):
            return {"dict": [[str(k), self.tree(v, depth + 1)] for k, v in value.items()]}
        raise Unfit(type(value).__name__)

    def array(self, value) -> dict:
        if self.known is not None and type(value) is np.ndarray:
            if id(value) in self.known:
                return self.known[id(value)]
            self.known[id(value)] = {"again": len(self.chunks)}
        array = np.array(value, order="C", subok=False)  # a plain array, whatever it was
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str not in COMPLEX:
            raise Unfit(f"array of dtype {array.dtype.name}")
        self.chunks.append(array.tobytes())
        return {"number" if isinstance(value, np.generic) else "array": [array.dtype.str, list(array.shape)]}

    @property
    def payload(self) -> bytes:
        return b"".join(self.chunks)


def is_key(key) -> bool:
    return isinstance(key, str) and len(key) <= KEY and key.isascii() and key.isidentifier()


def measured(tree, dtypes: set[str], most: int) -> int:
    """How many bytes of payload the tree of an answer needs. Raises Nonsense for whatever an answer may not hold.

    Nothing is allocated for what the tree promises; more than `most` bytes are nonsense.
    """
    total, nodes, waiting = 0, 0, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > DEPTH or nodes > NODES:
            raise Nonsense("values nested too deeply" if depth > DEPTH else "too many values in lists")
        if node is None or type(node) in (bool, float):
            continue
        if type(node) is int:
            if abs(node) >= INTEGER:
                raise Nonsense("a whole number of more than 64 bits")
            continue
        if type(node) is str:
            raise Nonsense("text where an array or a number belongs")
        if type(node) is not dict or len(node) != 1:
            raise Nonsense("a header of an unknown form")
        ((name, inner),) = node.items()
        if name in ("array", "number"):
            total += size_of(inner, dtypes)
            if total > most:
                raise Nonsense(f"arrays of more than {most:,} bytes")
        elif name == "complex" and "<c16" in dtypes:
            if type(inner) is not list or [type(x) for x in inner] != [float, float]:
                raise Nonsense("a complex number of an unknown form")
        elif name in ("argument", "again") and "<c16" in dtypes:
            if type(inner) is not int or not 0 <= inner < NODES:
                raise Nonsense("an array of an unknown form")
        elif name in ("list", "tuple") and type(inner) is list:
            waiting += [(part, depth + 1) for part in inner]
        elif name == "dict" and type(inner) is list:
            for item in inner:
                if type(item) is not list or len(item) != 2 or not is_key(item[0]):
                    raise Nonsense("a dictionary of an unknown form")
                waiting.append((item[1], depth + 1))
        else:
            raise Nonsense("a header of an unknown form")
    return total


def size_of(spec, dtypes: set[str]) -> int:
    """Bytes of one array, from its dtype and shape."""
    if type(spec) is not list or len(spec) != 2:
        raise Nonsense("an array of an unknown form")
    dtype, shape = spec
    if type(dtype) is not str or dtype not in dtypes:
        raise Nonsense("an array of a dtype that is not allowed")
    if type(shape) is not list or len(shape) > DIMS:
        raise Nonsense("an array of an unknown form")
    if any(type(n) is not int or not 0 <= n <= LENGTH for n in shape):
        raise Nonsense("an array of an impossible shape")
    if math.prod(n for n in shape if n) > LENGTH:  # also where another length is zero
        raise Nonsense("an array of an impossible shape")
    return math.prod(shape) * int(dtype[2:])


class Unpacking:
    """Trees to values, out of a payload. A tree that came from the box has been `measured`."""

    def __init__(
        self, payload: bytes | bytearray, *, caches: dict | None = None, arguments: list | None = None
    ):
        self.payload, self.at, self.caches, self.arguments = payload, 0, caches, arguments or []
        self.arrays: list = []

    def value(self, tree):
        if type(tree) is not dict:
            return tree
        ((name, inner),) = tree.items()
        if name in ("array", "number"):
            dtype, shape = inner
            array = np.empty(shape, dtype)
            if array.size:
                array[...] = np.ndarray(shape, dtype, self.payload, self.at)
            self.at += array.nbytes
            self.arrays.append(array)
            return array[()] if name == "number" and not shape else array
        if name == "complex":
            return complex(*inner)
        if name == "cache":
            return self.caches[inner]
        if name in ("argument", "again"):
            there = self.arguments if name == "argument" else self.arrays
            if inner >= len(there):
                raise Nonsense("an array that is not there")
            return there[inner]
        if name == "dict":
            return {key: self.value(part) for key, part in inner}
        parts = [self.value(part) for part in inner]
        return parts if name == "list" else tuple(parts)
