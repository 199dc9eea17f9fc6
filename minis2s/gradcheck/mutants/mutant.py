"""A mutant: one planted bug, as a fragment of a function's source and what stands in its place.

`planted` puts the bug into the running program and takes it out again; `mutated_op` makes a wrong
operation beside the right one and leaves the program alone. Both compile the function anew from its
file, so that a traceback shows the right line.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

from minis2s import backend, decode, functional, models, nn, optim  # noqa: F401 -- so that `home` finds them
from minis2s.functional import OPS
from minis2s.op import Op

ABOUT = ("backward", "forward", "optimizer", "clipping", "search")


class Mutant(NamedTuple):
    """A bug to plant, and the truth about it: what a diagnosis should say.

    node, gate and step name the place where, going backward from the loss, a gradient is wrong for
    the first time (see `causes.Place`), with an upstream gradient on every output; all are empty where
    no gradient is wrong. In a single step "dh0" and "dc0" are the state before it.
    """

    name: str  # "lstm/do uses c"
    target: str  # the module below minis2s and the function: "functional.lstm:lstm_backward"
    old: str  # a fragment that occurs exactly once in the function's source
    new: str  # what stands in its place
    says: str  # what is wrong, in one sentence
    cause: str  # a key of causes.CAUSES
    node: str = ""
    gate: str = ""
    step: int | None = (
        None  # counted from the end: -1 is the last step; None where it is not a matter of time
    )
    about: str = "backward"  # one of ABOUT
    op: str = ""  # the operation in functional.OPS that it breaks; "" where it lies between operations
    hidden_when: str = ""  # the circumstances that hide it, where `situations` cannot measure them


class Mutated(NamedTuple):
    """What makes a function another one: its code and the values of its defaults."""

    code: CodeType
    defaults: tuple | None
    keyword_defaults: dict | None

    def put_into(self, function: Callable) -> None:
        function.__code__ = self.code
        function.__defaults__ = self.defaults
        function.__kwdefaults__ = self.keyword_defaults


def target_function(target: str) -> FunctionType:
    """The function that a mutant's target names; a property's getter for a property."""
    home, path = target.split(":")
    found = sys.modules[f"minis2s.{home}"]
    for name in path.split("."):
        found = vars(found)[name]
    return found.fget if isinstance(found, property) else found


@cache
def pristine_text(path: str) -> str:
    """A source file as it was when first asked for: later edits of the file change nothing."""
    return Path(path).read_text(encoding="utf-8")


@cache
def pristine_source(target: str) -> str:
    """The source of the target, decorators aside, as it stands in its file."""
    text = pristine_text(target_function(target).__code__.co_filename)
    _, start, end = definition(ast.parse(text), target)
    return "\n".join(text.split("\n")[start - 1 : end]) + "\n"


def definition(tree: ast.Module, target: str) -> tuple[list[ast.stmt], int, int]:
    """The classes around the target and its `def`, outermost first, and the def's first and last line."""
    body, chain = tree.body, []
    for name in target.split(":")[1].split("."):
        (node,) = (n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name)
        chain.append(node)
        body = node.body
    return chain, chain[-1].lineno, chain[-1].end_lineno


def mutated_code(mutant: Mutant) -> Mutated:
    """The code and defaults of the mutant's target with the fragment replaced.

    Raises ValueError when the fragment does not occur exactly once, or when what comes out is not Python.
    """
    source = pristine_source(mutant.target)
    if source.count(mutant.old) != 1:
        raise ValueError(
            f"mutant {mutant.name!r}: the fragment {mutant.old!r} should occur once in {mutant.target}, "
            f"it occurs {source.count(mutant.old)} times"
        )
    function = target_function(mutant.target)
    path = function.__code__.co_filename
    text = pristine_text(path)
    try:
        tree = ast.parse(text.replace(source, source.replace(mutant.old, mutant.new), 1), path)
    except SyntaxError as error:
        raise ValueError(f"mutant {mutant.name!r} is not Python: {error}") from error
    *classes, node = definition(tree, mutant.target)[0]
    node.decorator_list = []
    # a method is compiled inside its class, for `super()` needs to know it; of the class, nothing else
    for outer in reversed(classes):
        outer.body, outer.bases, outer.decorator_list = [node], [], []
        node = outer
    made = dict(function.__globals__)
    exec(compile(ast.Module([node], []), path, "exec", dont_inherit=True), made)
    path_in_module = mutant.target.split(":")[1].split(".")
    found = made[path_in_module[0]]
    for name in path_in_module[1:]:
        found = vars(found)[name]
    return Mutated(found.__code__, found.__defaults__, found.__kwdefaults__)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The engine with the bug in it, for the length of the `with` block.

    The function object stays and gets other code, so everyone who holds it runs the mutant: Ops,
    names imported elsewhere, bound methods.
    """
    function = target_function(mutant.target)
    right = Mutated(function.__code__, function.__defaults__, function.__kwdefaults__)
    wrong = mutated_code(mutant)
    wrong.put_into(function)
    PLANTED.append((function, right, wrong))
    try:
        yield
    finally:
        PLANTED.pop()
        right.put_into(function)


PLANTED: list[tuple[FunctionType, Mutated, Mutated]] = []  # (function, its right code, its wrong code), now


@contextmanager
def all_right() -> Iterator[None]:
    """The engine without any bug, whatever is planted around the `with` block."""
    planted_now = list(PLANTED)
    for function, right, _ in reversed(planted_now):
        right.put_into(function)
    try:
        yield
    finally:
        for function, _, wrong in planted_now:
            wrong.put_into(function)


def mutated_op(mutant: Mutant) -> Op:
    """The operation with the bug in its forward or backward; the engine's own stays right.

    Raises ValueError for a bug that is not in one of the two functions themselves.
    """
    right = OPS.get(mutant.op)
    function = target_function(mutant.target)
    half = next((h for h in ("forward", "backward") if right and getattr(right, h) is function), None)
    if half is None:
        raise ValueError(
            f"mutant {mutant.name!r} is in {mutant.target}, which is neither forward nor backward of "
            "an operation: plant it instead"
        )
    code, defaults, keyword_defaults = mutated_code(mutant)
    wrong = FunctionType(code, function.__globals__, function.__name__, defaults, function.__closure__)
    wrong.__kwdefaults__ = keyword_defaults
    wrong.__doc__ = function.__doc__
    return right._replace(**{half: wrong})
