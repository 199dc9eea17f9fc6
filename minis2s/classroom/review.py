"""What a teacher should look at in a program that checks cannot see: calculus that is none, and odd reaches.

A derivative by complex steps is exact to the last digit, so no tolerance finds it. Neither do these rules prove
anything: each names a line and what stands there, for a human to read.
"""

import ast
import re
import unicodedata
from collections.abc import Iterator, Sequence

MOST = 20  # notes on one program
COMPLEX_WORD = re.compile(r"complex|cdouble|csingle|imag", re.IGNORECASE)
LONG_WORD = re.compile(r"longdouble|longfloat|float96|float128|Decimal|Fraction")  # differences of them are exact, too
COMPLEX_TYPE = re.compile(r"[<>=|]?c(8|16|32)")
REACHING = {
    "getattr", "setattr", "eval", "exec", "compile", "globals", "locals", "vars", "__import__", "import_module",
    "open", "breakpoint", "input", "memoryview", "__class__", "__bases__", "__mro__", "__subclasses__", "__globals__",
    "__builtins__", "__code__", "__closure__", "__dict__", "__self__", "__wrapped__", "__loader__", "__spec__",
    "__array_ufunc__", "__array_function__", "__array__",
}  # fmt: skip
HARMLESS = {  # of the standard library
    "__future__", "abc", "array", "bisect", "collections", "contextlib", "copy", "dataclasses", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "logging", "math", "numbers", "operator", "random", "statistics",
    "string", "time", "types", "typing", "typing_extensions", "warnings", "numpy", "minis2s",
}  # fmt: skip
ODD_MODULES = {"cmath": "complex numbers", "fft": "complex numbers", "emath": "complex numbers", "scimath": "complex numbers"}
ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN")


def review(body: Sequence[ast.stmt]) -> list[tuple[int, str]]:
    """(line, what a teacher should look at there), in the order of the lines; each thing once."""
    found: dict[str, int] = {}
    for statement in body:
        for node in ast.walk(statement):
            for says in remarks(node):
                found.setdefault(says, getattr(node, "lineno", statement.lineno))
    for line, says in forward_in_backward(body):
        found.setdefault(says, line)
    return sorted(((line, says) for says, line in found.items()), key=lambda pair: pair[0])[:MOST]


def remarks(node: ast.AST) -> Iterator[str]:
    """What one node of the tree gives to look at."""
    if isinstance(node, ast.Constant):
        yield from in_a_constant(node.value)
    elif isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Pow) and isinstance(node.left, ast.UnaryOp) and is_fraction(node.right):
            yield "takes the root of a negative number, which is complex"
    for name in names_in(node):
        if COMPLEX_WORD.search(name):
            yield f"uses complex numbers ({name[:40]})"
        elif LONG_WORD.search(name):
            yield f"uses numbers of more digits ({name[:40]})"
        elif name in ODD_MODULES:
            yield f"uses {ODD_MODULES[name]} ({name})"
        elif name in REACHING:
            yield f"uses {name}"
        if not name.isascii() and len(alphabets(name)) > 1:
            yield f"has a name with letters of several alphabets, {' and '.join(alphabets(name))}, that look alike"
    if isinstance(node, ast.Import):
        yield from (f"imports {a.name[:40]}" for a in node.names if a.name.split(".")[0] not in HARMLESS)
    elif isinstance(node, ast.ImportFrom):
        if (node.module or "").split(".")[0] not in HARMLESS:
            yield f"imports {(node.module or 'a neighbour')[:40]}"


def in_a_constant(value: object) -> Iterator[str]:
    if isinstance(value, complex):
        yield "uses complex numbers (a literal with j)"
    elif isinstance(value, str) and len(value) <= 60:  # longer ones are documentation
        if COMPLEX_TYPE.fullmatch(value) or (COMPLEX_WORD.search(value) and " " not in value.strip()):
            yield f"uses complex numbers (the text {value.strip()[:40]!r})"
        elif LONG_WORD.search(value) and " " not in value.strip():
            yield f"uses numbers of more digits (the text {value.strip()[:40]!r})"


def is_fraction(node: ast.AST) -> bool:
    """Is it a number that is not whole?"""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return True
    return isinstance(node, ast.Constant) and isinstance(node.value, float) and not node.value.is_integer()


def names_in(node: ast.AST) -> Iterator[str]:
    """The names that a node itself holds, not those below it."""
    for attribute in ("id", "attr", "arg"):
        name = getattr(node, attribute, None)
        if isinstance(name, str):
            yield name
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    if isinstance(node, ast.alias):
        yield from node.name.split(".")


def alphabets(name: str) -> list[str]:
    """The alphabets of a name, of those whose letters look alike."""
    words = {unicodedata.name(c, "").split(" ")[0] for c in name if c.isalpha()}
    return [alphabet for alphabet in ALPHABETS if alphabet in words]


def forward_in_backward(body: Sequence[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Backward functions that call a forward function, directly or through their helpers: differences, perhaps."""
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    calls = {
        name: {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in functions}
        for name, node in functions.items()
    }
    for name in [name for name in functions if "backward" in name][:MOST]:
        reached, waiting = set(), [name]
        while waiting:
            more = calls[waiting.pop()] - reached
            reached |= more
            waiting += more
        for forward in sorted(other for other in reached if "forward" in other):
            yield functions[name].lineno, f"lets {name} call {forward}: does it differentiate by differences?"
