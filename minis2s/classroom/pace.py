"""Does a backward pass call forward once for each weight? Its time on a large input tells, however exact its numbers.

A derivative by complex steps is right to the last digit, so no tolerance finds it; with tens of thousands of
weights it takes many times as long as calculus by the slowest loops. Squire and Trapp 1998 describe it.
"""

import io
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stdout
from functools import lru_cache, wraps

import numpy as np

from minis2s.classroom.checks import QUICK, TOO_SLOW, Outcome, TooSlow, quick
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.problem import Misbehaved
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import Form, Pair

EPS, TOLERANCE = 1e-6, 1e-5  # of the difference along a direction, which is only to tell gradients from none
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
def suits(program: str, pair: tuple[str, str], kind_name: str) -> bool:
    """Whether the large input of the kind suits the pair that a program defines: the teacher's own solution, executed
    here. One that takes other arguments (two axes, where the kind has three) is no measure of anybody."""
    module: dict = {"__name__": "solution"}
    try:
        with redirect_stdout(io.StringIO()):
            exec(program, module)
        return fault([module[name] for name in pair], kind_name) is None
    except (Exception, Misbehaved):  # noqa: BLE001 -- whatever it is, it does not suit
        return False


def fault(
    pair: Sequence, kind_name: str, wrong: Collection[str] = (), seconds: float = QUICK
) -> tuple[str, Outcome] | None:
    """(function, what came of it on large inputs) where one of a pair of a kind fails there; None where none does.

    It takes too long, or its gradients, asked for after those at another point, are not those of its own forward
    pass along a random direction. wrong: the arguments of which the gradients are known to be wrong, which are not
    asked for again. Raises Misbehaved, or what a box raises, where there is no answer.
    """
    kind, rng = KINDS[kind_name], np.random.default_rng()
    forward, backward = (timed(function, seconds) for function in pair)
    problem = pair_problem(Pair(kind_name, forward, backward, kind, Form(kind.gates, {})), values_of(kind, rng))
    if problem is None:
        return None
    blocks = problem.blocks
    try:
        outs, kept = problem.forward(blocks)
        _, others = problem.forward({name: x[::-1] for name, x in blocks.items()})
        douts = [100 * rng.standard_normal(np.shape(out)) for out in outs]
        problem.backward([-dout for dout in douts], others)  # of which nothing may stay
        gradients, _ = problem.backward(douts, kept)
    except TooSlow as error:
        return error.function, Outcome(TOO_SLOW, str(error))
    direction = {n: rng.standard_normal(x.shape) if n not in wrong else np.zeros(x.shape) for n, x in blocks.items()}

    def loss(step: float) -> float:
        outs, _ = problem.forward({name: x + step * direction[name] for name, x in blocks.items()})
        return sum(np.vdot(dout, out) for dout, out in zip(douts, outs, strict=True))

    numeric = (loss(EPS) - loss(-EPS)) / (2 * EPS)
    given = {name: np.asarray(gradients.get(name)) for name in blocks if name not in wrong}
    if all(g.shape == blocks[name].shape and g.dtype.kind == "f" for name, g in given.items()):
        analytic = sum(np.vdot(g, direction[name]) for name, g in given.items())
        if abs(analytic - numeric) <= TOLERANCE * np.sqrt(sum(np.vdot(g, g) for g in given.values())):
            return None
    name = backward.__name__
    return name, Outcome("wrong", f"{name} gives wrong gradients for a large input, asked for after those of another one")


def timed(function: Callable, seconds: float) -> Callable:
    @wraps(function)  # with its signature
    def call(*arguments, **named):
        return quick(function, *arguments, seconds=seconds, **named)

    return call
