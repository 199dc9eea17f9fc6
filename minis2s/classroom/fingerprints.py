"""A program as fingerprints: its statements, three in a row, without what is easily changed.

Left out are names, numbers, texts, comments, type hints, the order of a sum and that of functions; what is left
is the syntax tree of each statement, and which of its names are the same.
"""

import ast
import builtins
import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

WINDOW = 3  # statements
MOST = 5000  # statements; a longer program is not compared
MODULES = ("np", "numpy", "math")
KNOWN_KEYWORDS = ("axis", "keepdims", "dtype", "out", "where", "axes", "key", "initial")
HINTS = ("annotation", "returns", "type_comment")  # of types: nothing runs differently without them
ORDERLESS = (ast.Add, ast.Mult)
# what a program did not name itself: kept, for it is what the program does
KNOWN = frozenset([*dir(builtins), *dir(np), *dir(np.ndarray), *dir(np.linalg), *dir(np.random)])


class Unit(NamedTuple):
    """One simple statement, or the head of a compound one."""

    tree: ast.AST
    first: int  # line
    last: int


Windows = dict[str, list[tuple[int, int]]]  # fingerprint -> where it stands: (first line, last line)


def windows(text: str) -> Windows | None:
    """The fingerprints of a program, with their lines; None for what is not Python, or too long."""
    try:
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
        if sum(isinstance(node, ast.stmt) for node in nodes) > MOST:
            return None
        found: Windows = {}
        writer = Writer(nodes)
        for units in list(sequences(tree.body)):  # all of them at once: the writer knows a tree by its id
            for n in range(max(1, len(units) - WINDOW + 1)):
                window = units[n : n + WINDOW]
                place = window[0].first, max(unit.last for unit in window)
                found.setdefault(writer.fingerprint(window), []).append(place)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return found


def sequences(body: Sequence[ast.stmt]) -> Iterator[list[Unit]]:
    """The simple statements of each function, in their order; functions in any order, nested ones too."""
    units: list[Unit] = []
    waiting: list[list[ast.stmt]] = []
    flatten(body, units, waiting)
    if units:
        yield units
    for inner in waiting:
        yield from sequences(inner)


def flatten(body: Sequence[ast.stmt], units: list[Unit], waiting: list[list[ast.stmt]]) -> None:
    """Append the statements of `body` to `units`; bodies of functions and classes go to `waiting`."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting.append(statement.body)
        elif isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass) or is_text(statement):
            continue
        elif isinstance(statement, ast.For | ast.AsyncFor | ast.While | ast.If | ast.With | ast.AsyncWith):
            units.append(head(statement))
            flatten(statement.body, units, waiting)
            flatten(getattr(statement, "orelse", []), units, waiting)
        elif isinstance(statement, ast.Try | ast.TryStar):
            for part in (statement.body, *(h.body for h in statement.handlers)):
                flatten(part, units, waiting)
            flatten([*statement.orelse, *statement.finalbody], units, waiting)
        elif isinstance(statement, ast.Match):
            for case in statement.cases:
                flatten(case.body, units, waiting)
        else:
            units.extend(simple(statement))


def is_text(statement: ast.stmt) -> bool:
    """A docstring, or another constant that does nothing."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def head(statement: ast.stmt) -> Unit:
    """Of a loop or a branch: what stands before the colon."""
    bare = copy.copy(statement)
    bare.body = []
    if hasattr(bare, "orelse"):
        bare.orelse = []
    inner = [node for node in ast.walk(bare) if hasattr(node, "end_lineno") and node is not bare]
    return Unit(bare, statement.lineno, max((node.end_lineno for node in inner), default=statement.lineno))


def simple(statement: ast.stmt) -> Iterator[Unit]:
    """One unit; a, b = c, d is two; a += b is a = a + b; a: int = b is a = b, and a: int nothing."""
    lines = statement.lineno, statement.end_lineno
    if isinstance(statement, ast.AnnAssign):
        if statement.value is None:
            return
        statement = ast.Assign([statement.target], statement.value)
    elif isinstance(statement, ast.AugAssign):
        statement = ast.Assign([statement.target], ast.BinOp(statement.target, statement.op, statement.value))
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
        sides = (ast.Tuple, ast.List)
        if isinstance(target, sides) and isinstance(value, sides) and len(target.elts) == len(value.elts):
            if not any(isinstance(e, ast.Starred) for e in (*target.elts, *value.elts)):
                for left, right in zip(target.elts, value.elts):
                    yield Unit(ast.Assign([left], right), *lines)
                return
    yield Unit(statement, *lines)


class Writer:
    """Statements as text, without what is easily changed. One for each program, as it knows its own names."""

    def __init__(self, nodes: Iterable[ast.AST]):
        """nodes: all of the program."""
        made = set()
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                made.add(node.id)
            elif isinstance(node, ast.arg):
                made.add(node.arg)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                made.add(node.name)
        self.foreign = KNOWN - made  # names that the program uses as Python and NumPy mean them
        self.shapes: dict[int, str] = {}

    def fingerprint(self, units: Sequence[Unit]) -> str:
        """The same for any choice of names that keeps the same ones the same."""
        names: dict[str, str] = {}
        text = "\n".join(self.written(unit.tree, names) for unit in units)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def written(self, node: ast.AST, names: dict[str, str], new: bool = True) -> str:
        """A syntax tree as text. names: what stands for each of the program's own names; with `new` it grows."""
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            if name in self.foreign and isinstance(node, ast.Name):
                return name
            if name not in names and not new:
                return "v"
            return names.setdefault(name, f"v{len(names)}")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in KNOWN:
            if node.value.id in MODULES:
                return node.attr
        if isinstance(node, ast.BinOp) and isinstance(node.op, ORDERLESS):
            return self.joined(node, self.in_any_order(node, names, new))
        return self.joined(node, [self.written(part, names, new) for part in self.parts(node)])

    def in_any_order(self, node: ast.BinOp, names: dict[str, str], new: bool) -> list[str]:
        """The terms of a sum or product as texts. Terms of one shape name nothing new: which of them is the first?"""
        texts = []
        for _, alike in groupby(self.parts(node), key=self.shape):
            first, *others = alike
            if others:
                texts += sorted(self.written(term, names, False) for term in (first, *others))
            else:
                texts.append(self.written(first, names, new))
        return texts

    def joined(self, node: ast.AST, parts: list[str]) -> str:
        if isinstance(node, ast.Constant | ast.JoinedStr):
            return "None" if getattr(node, "value", 0) is None else "k"
        if isinstance(node, ast.UnaryOp) and parts[-1] == "k":  # a negative number
            return "k"
        name = type(node).__name__
        if isinstance(node, ast.Attribute):
            name = f".{node.attr}" if node.attr in KNOWN else ".a"
        elif isinstance(node, ast.BinOp):
            name = type(node.op).__name__
        elif isinstance(node, ast.keyword):
            name = f"{node.arg}=" if node.arg in KNOWN_KEYWORDS else "="
        return f"{name}({','.join(parts)})"

    def parts(self, node: ast.AST) -> list[ast.AST]:
        """What hangs below a node; the terms of a sum or of a product in an order of their own."""
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ORDERLESS):
                return sorted(terms(node, type(node.op)), key=self.shape)
            return [node.left, node.right]
        left_out = (ast.expr_context, ast.operator)
        kept = [value for field, value in ast.iter_fields(node) if field not in HINTS]
        flat = [v for value in kept for v in (value if isinstance(value, list) else [value])]
        return [v for v in flat if isinstance(v, ast.AST) and not isinstance(v, left_out)]

    def shape(self, node: ast.AST) -> str:
        """What a term looks like when nobody minds the names; each is looked at once."""
        if id(node) not in self.shapes:
            if isinstance(node, ast.Name):
                text = node.id if node.id in self.foreign else "v"
            else:
                text = self.joined(node, [self.shape(part) for part in self.parts(node)])
            self.shapes[id(node)] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return self.shapes[id(node)]


def terms(node: ast.AST, op: type) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, op):
        yield from terms(node.left, op)
        yield from terms(node.right, op)
    else:
        yield node
