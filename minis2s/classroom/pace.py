"""Does a backward pass call forward once for each weight? A large input tells, however exact its numbers.

A derivative by complex steps is right to the last digit, so no tolerance finds it; with tens of thousands of
weights it takes ten times as long as calculus by the slowest loops. Whoever asks here limits the processor's time.
Source: Squire and Trapp 1998.
What is asked of a student there are the gradients that were right in most of the checks: whoever would rather have
them taken for wrong has few points for them, and whoever has them right in one special case is not asked.
"""

import inspect
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.problem import Misbehaved, Problem
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import Form, Pair

TOLERANCE = 1e-8  # relative: it is only to tell gradients from none
# Half a million products forward and more, 30,000 numbers to differentiate by and more: by the letters of the axes.
LARGE = {"T": 80, "S": 84, "B": 4, "D": 70, "H": 64, "Q": 66, "M": 68, "A": 64, "K": 60, "E": 60, "V": 1024}
SEQUENCE, STEP, ROWS = {"T": 8, "B": 2}, {"B": 16}, {"T": 16}
SIZES = {
    "rnn": SEQUENCE | {"D": 170, "H": 160},
    "rnn_step": STEP | {"D": 170, "H": 160},
    "lstm": SEQUENCE,
    "lstm_step": STEP,
    "gru": SEQUENCE | {"D": 90, "H": 80},
    "gru_step": STEP | {"D": 90, "H": 80},
    "masked_softmax": ROWS | {"S": 1024},
    "cross_entropy": ROWS,
    "linear": SEQUENCE | {"D": 260, "K": 250},
    "embedding": SEQUENCE | {"V": 24000},
    "tanh": ROWS | {"D": 1024},
    "dropout": ROWS | {"D": 4096},
}


class Answer(NamedTuple):
    """What a student's pair made of the inputs of a check. given: the arguments of forward."""

    given: tuple
    dout: object
    gradients: object


class Question(NamedTuple):
    """Inputs of a kind, the gradients of the outs, and the gradients that are right, by the names of the inputs."""

    values: dict
    douts: list[np.ndarray]
    expected: Mapping[str, np.ndarray]


def values_of(kind: Kind, rng: np.random.Generator) -> dict:
    """Large inputs of a kind, by the names of its arguments; no mask."""
    setting = "no mask" if "no mask" in kind.settings else kind.settings[0]
    values = kind.make(rng, setting)
    sizes = LARGE | SIZES.get(kind.name, {})
    sizes |= {"G": max(len(kind.gates), 1) * sizes["H"]}
    for name, axes in kind.arguments.items():
        if values.get(name) is not None:
            values[name] = rng.standard_normal([sizes[axis] for axis in axes]) / 8
    if "ids" in values:
        values["ids"] = rng.integers(sizes["V"], size=(sizes["T"], sizes["B"]))
    if "targets" in values:
        values["targets"] = rng.integers(sizes["V"], size=(sizes["T"], sizes["B"]))
    if "keep_mask" in values:
        values["keep_mask"] = rng.random(values["x"].shape) < 0.5
    return values


@lru_cache(maxsize=64)
def teachers(program: str, pair: tuple[str, str], kind_name: str) -> tuple[Callable, Callable] | None:
    """The teacher's own pair in a program, which is executed here; None where the inputs of the kind do not suit it:
    one that takes other arguments (two axes, where the kind has three) is no measure of anybody."""
    module: dict = {"__name__": "solution"}
    try:
        with redirect_stdout(io.StringIO()):
            exec(program, module)
        forward, backward = (module[name] for name in pair)
        question((forward, backward), KINDS[kind_name])
    except (Exception, Misbehaved):  # noqa: BLE001 -- whatever it is, it does not suit
        return None
    return forward, backward


def question(teacher: Sequence[Callable], kind: Kind) -> Question:
    """Large random inputs, and what the teacher's pair makes of them. Raises UserError where they do not suit it."""
    rng = np.random.default_rng()
    values = values_of(kind, rng)
    problem = problem_of(teacher, kind, values)
    outs, cache = problem.forward(problem.blocks)
    douts = [100 * rng.standard_normal(np.shape(out)) for out in outs]
    return Question(values, douts, problem.backward(douts, cache)[0])


def problem_of(pair: Sequence[Callable], kind: Kind, values: dict) -> Problem:
    problem = pair_problem(Pair(kind.name, *pair, kind, Form(kind.gates, {})), values)
    if problem is None:
        raise UserError(f"the pair has no place for an argument of the kind {kind.name!r}")
    return problem


def right_gradients(answers: Iterable[Answer], teacher: Sequence[Callable], kind_name: str) -> set[str]:
    """The arguments whose gradients are right in at least half of the answers. Answers with a mask do not count: the
    large input has none."""
    kind, votes = KINDS[kind_name], Counter()
    ever_right: set[str] = set()
    for answer in answers:
        if "mask" in kind.extras and any(np.asarray(x).dtype == bool for x in answer.given if x is not None):
            continue
        forward, backward = teacher
        try:
            theirs = backward(answer.dout, forward(*answer.given)[1])
        except Exception:  # noqa: BLE001 -- a check may hand in what the student's forward made
            continue
        mine, theirs = ((x if isinstance(x, tuple | list) else (x,)) for x in (answer.gradients, theirs))
        right = set()
        if len(mine) == len(theirs):
            right = agreeing(dict(zip(kind.arguments, mine)), dict(zip(kind.arguments, theirs)))
        votes.update({name: 1 if name in right else -1 for name in kind.arguments})
        ever_right |= right
    return {name for name in ever_right if votes[name] >= 0}


def fault(pair: Sequence[Callable], teacher: Sequence[Callable], kind_name: str, held: Collection[str]) -> str:
    """What is wrong with a pair of a kind on a large input, in one sentence; "" where nothing is.

    Its gradients, asked for after those at another point, have to be right. held: the arguments whose gradients are.
    pair: all calls in one process. Raises Misbehaved, or what a box raises, where there is no answer.
    """
    kind = KINDS[kind_name]
    asked = question(teacher, kind)
    problem = problem_of(called_as(pair, teacher), kind, asked.values)
    outs, kept = problem.forward(problem.blocks)
    refuse_other_shapes(outs, asked)
    _, others = problem.forward({name: x[::-1] for name, x in problem.blocks.items()})
    problem.backward([-dout for dout in asked.douts], others)  # of which nothing may stay
    gradients, _ = problem.backward(asked.douts, kept)
    if set(held) <= agreeing(gradients, asked.expected):
        return ""
    name = pair[1].__name__
    return f"right with this check's numbers, but {name} gives wrong gradients for a large input, asked for after another one"


def agreeing(gradients: Mapping, expected: Mapping[str, np.ndarray]) -> set[str]:
    """The names of the gradients that are the expected ones."""
    found = set()
    for name, theirs in expected.items():
        mine = gradients.get(name)
        if theirs is None:
            continue
        if isinstance(mine, np.ndarray) and mine.shape == np.shape(theirs) and mine.dtype.kind == "f":
            if np.abs(mine - theirs).max(initial=0.0) <= TOLERANCE * np.abs(theirs).max(initial=1e-300):
                found.add(name)
    return found


def refuse_other_shapes(outs: list, asked: Question) -> None:
    if [np.shape(out) for out in outs] != [dout.shape for dout in asked.douts]:
        raise Misbehaved("forward gives outputs of other shapes")


def called_as(pair: Sequence[Callable], teacher: Sequence[Callable]) -> list[Callable]:
    """A student's pair, called as checks call the teacher's: by position, and without what may be left out.

    What a student's function says of its own arguments may be made up, and how it is called must not tell why.
    """
    return [by_position(function, inspect.signature(own)) for function, own in zip(pair, teacher, strict=True)]


def by_position(function: Callable, signature: inspect.Signature) -> Callable:
    defaults = [parameter.default for parameter in signature.parameters.values()]

    def call(*arguments, **named):
        bound = signature.bind(*arguments, **named)
        bound.apply_defaults()
        given = list(bound.args)
        while given and given[-1] is defaults[len(given) - 1]:
            given.pop()
        return function(*(float(x) if isinstance(x, np.float64) else x for x in given))

    call.__signature__ = signature
    call.__name__ = function.__name__
    return call
