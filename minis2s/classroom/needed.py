"""Which statements of a program its functions need, and the program without the others.

What a statement reads and binds is taken from its bytecode, where local variables are told from the names
of the program; it is compiled for that and not executed.
"""

import ast
import builtins
import dis
import warnings
from collections.abc import Iterable, Sequence
from types import CodeType
from typing import NamedTuple

READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF")
BINDS = ("STORE_NAME", "STORE_GLOBAL")
# whoever uses these may reach any name of the program
REACHES_ALL = {"globals", "locals", "vars", "eval", "exec", "__import__"}


class Names(NamedTuple):
    """What a statement at the top of a program has to do with names.

    changes: whose object it alters: table["a"] = 1, Settings.size = 2, names.append(3).
    """

    reads: set[str]
    binds: set[str]
    changes: set[str]


def needed(body: Sequence[ast.stmt], functions: Iterable[str]) -> list[ast.stmt]:
    """The statements that these functions need, in their order: their definitions, and what these use in turn."""
    names = [names_of(node) for node in body]
    modules = {n for node in body if isinstance(node, ast.Import | ast.ImportFrom) for n in binds(node)}
    makers: dict[str, set[int]] = {}  # by name: the statements that bind or change it
    for n, these in enumerate(names):
        for name in these.binds | (these.changes - modules):
            makers.setdefault(name, set()).add(n)
    chosen = {n for n, node in enumerate(body) if always(node)}
    waiting, met = [*functions, *(name for n in chosen for name in names[n].reads)], set()
    while waiting:
        name = waiting.pop()
        if name in met:
            continue
        met.add(name)
        if name in REACHES_ALL:
            own = [these for node, these in zip(body, names, strict=True) if not imports_minis2s(node)]
            waiting += [bound for these in own for bound in these.binds]
        for n in makers.get(name, set()) - chosen:
            chosen.add(n)
            waiting += names[n].reads
    return [node for n, node in enumerate(body) if n in chosen]


def always(node: ast.stmt) -> bool:
    """from x import *, whose names nobody knows, and from __future__ import y."""
    if not isinstance(node, ast.ImportFrom):
        return False
    return node.module == "__future__" or any(alias.name == "*" for alias in node.names)


def names_of(node: ast.stmt) -> Names:
    """A statement that cannot be compiled (a return outside of a function) has to do with nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(ast.Module([node], []), "<submission>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return Names(set(), set(), set())
    reads, bound = set(), set()
    waiting = [code]
    while waiting:
        code = waiting.pop()
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        at_the_top = code.co_name == "<module>"
        for instruction in dis.get_instructions(code):
            if instruction.opname in READS:
                reads.add(instruction.argval)
            elif instruction.opname == "STORE_GLOBAL" or (instruction.opname in BINDS and at_the_top):
                bound.add(instruction.argval)
    return Names(reads, bound, changed(node) - set(dir(builtins)))


def binds(node: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    return names_of(node).binds


def imports_minis2s(node: ast.stmt) -> bool:
    """It is not there where submissions are graded."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "minis2s" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minis2s"


def changed(node: ast.stmt) -> set[str]:
    """The names at the root of what a statement changes: of the targets of an assignment, and of a method's call."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set()
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            found |= changed(child)
    if isinstance(node, ast.Assign):
        roots = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        roots = [node.target]
    else:
        roots = [node.value.func] if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else []
    for root in roots:
        inside = root
        while isinstance(inside, ast.Attribute | ast.Subscript | ast.Call):
            inside = inside.func if isinstance(inside, ast.Call) else inside.value
        if isinstance(inside, ast.Name) and inside is not root:
            found.add(inside.id)
    return found


def without(text: str, tree: ast.Module, dropped: Iterable[ast.stmt]) -> str:
    """The text without some statements at its top; all else stays in its line."""
    gone = {id(node) for node in dropped}
    lines = [line.encode() for line in text.split("\n")]  # columns count bytes
    spans = [(*begin(node), node.end_lineno - 1, node.end_col_offset) for node in tree.body if id(node) in gone]
    shared = shared_lines(tree)
    for first, start, last, end in reversed(spans):
        before, after = lines[first][:start], lines[last][end:]
        lines[first : last + 1] = [b""] * (last - first + 1)
        # between semicolons something has to stand
        lines[first] = before + (b"pass" if first in shared else b"")
        lines[last] += (b"pass" if after.lstrip().startswith(b";") and not lines[last] else b"") + after
    kept = "\n".join(line.decode() for line in lines)
    wanted = [ast.dump(node) for node in tree.body if id(node) not in gone]
    try:
        if [ast.dump(node) for node in ast.parse(kept).body if not isinstance(node, ast.Pass)] == wanted:
            return kept
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # so written that it cannot be cut: the lines move
    return ast.unparse(ast.Module([node for node in tree.body if id(node) not in gone], []))


def begin(node: ast.stmt) -> tuple[int, int]:
    """The line, from 0, and the column where a statement begins, its decorators included."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return first - 1, node.col_offset


def shared_lines(tree: ast.Module) -> set[int]:
    """The lines, from 0, on which more than one statement begins or ends."""
    seen, shared = set(), set()
    for node in tree.body:
        own = {begin(node)[0], node.end_lineno - 1}
        shared |= own & seen
        seen |= own
    return shared
