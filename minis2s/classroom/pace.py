"""Does a backward pass call forward once for each weight? Its time on a large input tells, however exact its numbers.

A derivative by complex steps is right to the last digit, so no tolerance finds it; with tens of thousands of
weights it takes many times as long as calculus by the slowest loops. Squire and Trapp 1998 describe it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from minis2s.classroom.checks import QUICK, TooSlow, quick
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.problem import Misbehaved
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import Form, Pair

EPS, TOLERANCE = 1e-6, 1e-5  # of the difference along a direction, which is only to tell gradients from none
# About half a million products forward, and at least 30,000 numbers to differentiate by: as the letters of the axes.
STEP = {"B": 16}
LARGE = {"T": 64, "S": 64, "B": 2, "D": 64, "H": 64, "Q": 64, "M": 64, "A": 64, "K": 64, "E": 64, "V": 512}
SIZES = {
    "rnn": LARGE | {"T": 12, "B": 1, "D": 128, "H": 128},
    "rnn_step": LARGE | STEP | {"D": 128, "H": 128},
    "lstm": LARGE | {"T": 12, "B": 1},
    "lstm_step": LARGE | STEP,
    "gru": LARGE | {"T": 12, "B": 1, "D": 80, "H": 80},
    "gru_step": LARGE | STEP | {"D": 80, "H": 80},
    "masked_softmax": LARGE | {"T": 16, "S": 1024},
    "cross_entropy": LARGE | {"T": 32, "V": 1024},
    "linear": LARGE | {"T": 12, "B": 1, "D": 256, "K": 256},
    "embedding": LARGE | {"T": 12, "V": 16000},
    "tanh": LARGE | {"T": 16, "D": 2048},
    "dropout": LARGE | {"T": 16, "D": 8192},
}


def values_of(kind: Kind, rng: np.random.Generator) -> dict:
    """Large inputs of a kind, by the names of its arguments; no mask."""
    setting = "no mask" if "no mask" in kind.settings else kind.settings[0]
    values = kind.make(rng, setting)
    sizes = SIZES.get(kind.name, LARGE)
    sizes = sizes | {"G": max(len(kind.gates), 1) * sizes["H"]}
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
        exec(program, module)
        return fault([module[name] for name in pair], kind_name) is None
    except (Exception, Misbehaved):  # noqa: BLE001 -- whatever it is, it does not suit
        return False


def fault(pair: Sequence, kind_name: str, seconds: float = QUICK) -> tuple[str, str] | None:
    """(function, what is wrong with it on a large input) of a pair of a kind; None where nothing is.

    It takes too long, or its gradients are not those of its own forward pass along a random direction. Raises
    Misbehaved, or what a box raises, where there is no answer.
    """
    kind, rng = KINDS[kind_name], np.random.default_rng()
    forward, backward = (timed(function, seconds) for function in pair)
    problem = pair_problem(
        Pair(kind_name, forward, backward, kind, Form(kind.gates, {})), values_of(kind, rng)
    )
    if problem is None:
        return None
    try:
        outs, kept = problem.forward(problem.blocks)
        douts = [rng.standard_normal(np.shape(out)) for out in outs]
        gradients, _ = problem.backward(douts, kept)
    except TooSlow as error:
        return error.function, str(error)
    direction = {name: rng.standard_normal(x.shape) for name, x in problem.blocks.items()}
    ahead, back = (
        sum(
            np.vdot(dout, out)
            for dout, out in zip(
                douts, problem.forward(moved(problem.blocks, direction, sign * EPS))[0], strict=True
            )
        )
        for sign in (1, -1)
    )
    numeric = (ahead - back) / (2 * EPS)
    given = [np.asarray(gradients.get(name)) for name in direction]
    if all(
        g.shape == d.shape and g.dtype.kind == "f" for g, d in zip(given, direction.values(), strict=True)
    ):
        analytic = sum(np.vdot(g, d) for g, d in zip(given, direction.values(), strict=True))
        if abs(analytic - numeric) <= TOLERANCE * np.sqrt(sum(np.vdot(g, g) for g in given)):
            return None
    return backward.__name__, f"{backward.__name__} gives wrong gradients on a large input"


def timed(function: Callable, seconds: float) -> Callable:
    def call(*arguments, **named):
        return quick(function, *arguments, seconds=seconds, **named)

    call.__name__ = function.__name__
    if hasattr(function, "__signature__"):
        call.__signature__ = function.__signature__
    return call


def moved(blocks: dict, direction: dict, step: float) -> dict:
    return {name: x + step * direction[name] for name, x in blocks.items()}
