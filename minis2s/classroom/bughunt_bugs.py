"""Bugs that can be hunted: those of the catalogue that fit the code, and how difficult each is, measured.

A hunt takes its bugs from one band: `BANDS` bounds the change in the text, which gradients it spoils and by how
much; `measured` measures it. A bug that leaves a name unused is refused: the name would betray it.
"""

import ast
import difflib
import functools
import inspect
import io
import tokenize
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minis2s.classroom.bughunt_checks import INPUTS, SIZES, sizes
from minis2s.classroom.bughunt_code import attention, cross_entropy, gru, lstm, rnn
from minis2s.classroom.bughunt_sentences import SENTENCES
from minis2s.gradcheck.mutants import MUTANTS, Mutant

CODE = {"rnn": rnn, "lstm": lstm, "gru": gru, "attention": attention, "cross_entropy": cross_entropy}
TASKS = tuple(CODE)  # each is a kind of the checker as well
VISIBLE = 1e-6  # relative error from which a gradient is called wrong
# the catalogue is written for the engine's source, which chooses between NumPy and CuPy
AS_PRINTED = (("xp.", "np."), ("for_loop(transposed(Wh), B)", "Wh.T"), ("np.ascontiguousarray(Wh)", "Wh"))


class Band(NamedTuple):
    """Between which bounds the bugs of a hunt lie."""

    tokens: tuple[int, int]  # how many tokens of the code differ
    lines: tuple[int, int]  # how many lines differ
    wrong: tuple[int, int]  # how many gradients are wrong
    error: tuple[float, float]  # the largest relative error of a gradient

    def holds(self, errors: Sequence[float]) -> bool:
        """Whether the errors of the gradients are as they should be."""
        return between(sum(error > 0 for error in errors), self.wrong) and between(max(errors), self.error)


def between(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


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
    errors: tuple[float, ...]  # the largest relative error of each gradient, 0 where it is right
    unused: tuple[str, ...]  # names that are bound and never read: a trace of what was there

    def fits(self, band: Band) -> bool:
        text = between(self.tokens, band.tokens) and between(len(self.lines), band.lines)
        return text and band.holds(self.errors) and not self.unused


def code(task: str) -> str:
    """The right code of a task, under its first names."""
    return inspect.getsource(CODE[task])


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
        raise ValueError(
            f"bug {bug.name!r}: {old!r} should occur once in {node.name}, it occurs {text.count(old)} times"
        )
    lines[node.lineno - 1 : node.end_lineno] = text.replace(old, new).split("\n")
    return "\n".join(lines)


def changed_lines(right: str, wrong: str) -> tuple[int, ...]:
    """The numbers, from 1, of the lines that differ; both texts have as many lines. Raises ValueError."""
    pairs = zip(right.split("\n"), wrong.split("\n"), strict=True)
    return tuple(n for n, (a, b) in enumerate(pairs, 1) if a != b)


@functools.cache
def lines_of(task: str) -> dict[str, tuple[int, ...]]:
    """The lines of each bug of a task, by its name, in the code under its first names."""
    return {bug.name: changed_lines(code(task), planted_code(task, bug)) for bug in bugs(task)}


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
            bound = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {
                a.arg for a in function.args.args
            }
            found |= {
                f"{function.name}/{name}"
                for name in bound - {n.id for n in names if isinstance(n.ctx, ast.Load)}
            }
    return found


def pair(source: str, prefix: str) -> tuple:
    """(forward, backward) of a source text that is ours."""
    namespace: dict = {}
    exec(compile(source, "<bug hunt>", "exec", dont_inherit=True), namespace)
    return namespace[f"{prefix}_forward"], namespace[f"{prefix}_backward"]


def errors(task: str, right: tuple, wrong: tuple, numbers: Sequence[int], seed: int) -> tuple[float, ...]:
    """The largest relative error of each gradient of the wrong pair, for inputs of these sizes; 0 where it is right."""
    space = {"np": np, "rng": np.random.default_rng(seed)}
    exec(sizes(task, numbers) + INPUTS[task], space)
    results = []
    for forward, backward in (right, wrong):
        gradients = backward(space["dout"], forward(*space["given"])[1])
        results.append(gradients if isinstance(gradients, tuple) else (gradients,))
    found = []
    for good, bad in zip(*results, strict=True):
        error = float(np.abs(good - bad).max() / max(np.abs(good).max(), np.abs(bad).max()))
        found.append(error if error > VISIBLE else 0.0)
    return tuple(found)


@functools.cache
def measured(task: str, name: str, draws: int = 5) -> Measured:
    """How difficult a bug of the catalogue is. Its errors are the medians over some draws of inputs."""
    right, wrong = code(task), planted_code(task, MUTANTS[name])
    pairs = pair(right, task), pair(wrong, task)
    numbers = (5, 4, 6, 3, 7)[: len(SIZES[task])]
    found = [errors(task, *pairs, numbers, seed) for seed in range(draws)]
    return Measured(
        changed_tokens(right, wrong),
        changed_lines(right, wrong),
        tuple(map(float, np.median(found, axis=0))),
        tuple(sorted(unused_names(wrong) - unused_names(right))),
    )
