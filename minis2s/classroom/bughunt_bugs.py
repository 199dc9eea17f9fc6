"""Bugs that can be hunted: those of the catalogue that fit the code, and how difficult each is, measured.

A hunt takes its bugs from one band: `BANDS` bounds the change in the text, which gradients it spoils and by how
much; `measured` measures them, and what the checker says. Text that another line would betray is refused.
"""

import ast
import difflib
import functools
import importlib
import inspect
import io
import tokenize
from typing import NamedTuple

from minis2s.classroom.bughunt_sentences import SENTENCES
from minis2s.gradcheck import gradcheck
from minis2s.gradcheck.mutants import MUTANTS, Mutant

TASKS = tuple(SENTENCES)  # each is a kind of the checker as well
# the catalogue is written for the engine's source, which chooses between NumPy and CuPy
AS_PRINTED = (("xp.", "np."), ("transposed(Wh)", "Wh.T"), ("np.ascontiguousarray(Wh)", "Wh"))


class Band(NamedTuple):
    """Between which bounds the bugs of a hunt lie."""

    tokens: tuple[int, int]  # how many tokens of the code differ
    lines: tuple[int, int]  # how many lines differ
    wrong: tuple[int, int]  # how many gradients are wrong
    error: tuple[float, float]  # the largest relative error of a gradient


BANDS = {
    "rnn": Band((1, 9), (1, 1), (5, 5), (0.3, 2.0)),
    "lstm": Band((1, 6), (1, 2), (6, 6), (0.3, 2.0)),
    "gru": Band((1, 9), (1, 2), (6, 6), (0.3, 2.0)),
    "attention": Band((1, 8), (1, 1), (2, 3), (0.3, 2.0)),
    "cross_entropy": Band((1, 12), (1, 1), (1, 1), (0.3, 2.0)),
}


class Measured(NamedTuple):
    """A bug, with what makes it difficult or easy."""

    tokens: int
    lines: tuple[int, ...]  # that differ, from 1
    wrong: tuple[str, ...]  # the arguments whose gradients are wrong
    error: float
    cause: str  # what the checker names, at its highest level of hints
    place: str  # likewise
    forward: str  # "right" when forward computes its kind
    faults: tuple[str, ...]  # of behaviour: none is wanted, they would be told at the lowest level
    unused: tuple[str, ...]  # names that are bound and never read: a trace of what was there

    def fits(self, band: Band) -> bool:
        measures = (self.tokens, len(self.lines), len(self.wrong), self.error)
        inside = all(low <= value <= high for value, (low, high) in zip(measures, band, strict=True))
        return inside and not self.faults and not self.unused


def code(task: str) -> str:
    """The right code of a task, under its first names."""
    return inspect.getsource(importlib.import_module(f"minis2s.classroom.bughunt_code.{task}"))


def bugs(task: str) -> list[Mutant]:
    """The bugs of a task, in a fixed order."""
    return [MUTANTS[name] for name in SENTENCES[task]]


def planted_code(task: str, bug: Mutant) -> str:
    """The code of a task with a bug of the catalogue in it.

    Raises ValueError where the bug does not fit: its fragment has to occur once in the function that it is for.
    """
    source = code(task)
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    own = bug.target.split(":")[1]
    names = (own, own.replace("_backward", "_grad"), f"{task}_backward")
    node = next(functions[name] for name in names if name in functions)
    lines = source.split("\n")
    text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
    old, new = bug.old, bug.new
    for engine, printed in AS_PRINTED:
        old, new = old.replace(engine, printed), new.replace(engine, printed)
    if text.count(old) != 1:
        raise ValueError(f"bug {bug.name!r}: {old!r} should occur once in {node.name}, it occurs {text.count(old)} times")
    lines[node.lineno - 1 : node.end_lineno] = text.replace(old, new).split("\n")
    return "\n".join(lines)


def changed_lines(right: str, wrong: str) -> tuple[int, ...]:
    """The numbers, from 1, of the lines that differ; both texts have as many lines. Raises ValueError."""
    pairs = zip(right.split("\n"), wrong.split("\n"), strict=True)
    return tuple(n for n, (a, b) in enumerate(pairs, 1) if a != b)


def changed_tokens(right: str, wrong: str) -> int:
    """How many tokens have to be put in, taken out or replaced."""
    a, b = ([t.string for t in tokenize.generate_tokens(io.StringIO(s).readline)] for s in (right, wrong))
    changes = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for what, i1, i2, j1, j2 in changes if what != "equal")


def unused_names(source: str) -> set[str]:
    """Names bound in a function, as function/name, and never read there."""
    found = set()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef):
            names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
            bound = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {a.arg for a in function.args.args}
            found |= {f"{function.name}/{name}" for name in bound - {n.id for n in names if isinstance(n.ctx, ast.Load)}}
    return found


def pair(source: str, prefix: str) -> tuple:
    """(forward, backward) of a source text that is ours."""
    namespace: dict = {}
    exec(compile(source, "<bug hunt>", "exec", dont_inherit=True), namespace)
    return namespace[f"{prefix}_forward"], namespace[f"{prefix}_backward"]


@functools.cache
def measured(task: str, name: str) -> Measured:
    """How difficult a bug is. Runs the checker; about half a second."""
    right = code(task)
    wrong = planted_code(task, MUTANTS[name])
    report = gradcheck(pair(wrong, task), kind=task)
    blocks = [block for block in report.blocks if block.verdict != "right"]
    return Measured(
        changed_tokens(right, wrong),
        changed_lines(right, wrong),
        tuple(block.name for block in blocks),
        max((block.error for block in blocks), default=0.0),
        report.cause.cause if report.cause else "",
        str(report.place or ""),
        report.forward,
        tuple(f.says for f in report.findings if f.ok is False),
        tuple(sorted(unused_names(wrong) - unused_names(right))),
    )
