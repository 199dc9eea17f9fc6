"""What the checks of assignments import, and how a grader runs one.

A check draws its inputs from `fresh()`, calls the student's functions, and holds what they return against
its own reference with `same`. What it says about a wrong answer never holds hidden inputs or values: only
names, indices, shapes, dtypes and errors.
"""

import functools
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from minis2s.classroom.source import Check

TOLERANCE = 1e-12  # relative, float64: finite differences reach 4e-11
EXACT = 2**53  # whole numbers up to here are exact in float64
MOST_AXES, LONGEST_AXIS = 5, 5000  # of a shape that is repeated
QUICK = 3.0  # seconds: what takes a tenth of one, on a slow machine with much else to do
TOO_SLOW, TIMEOUT = "too slow", "timeout"  # the outcomes of such a check, and of what a box stops
KINDS = {"f": "floating-point numbers", "i": "integers", "u": "integers", "b": "True and False"}

_seed: ContextVar[int | None] = ContextVar("seed", default=None)


class Wrong(AssertionError):
    """What a student's function returned is wrong; the message may be shown to the student."""


class TooSlow(Wrong):
    """A student's function takes far longer than calculus does. function: its name."""

    def __init__(self, function: str, seconds: float):
        super().__init__(
            f"{function} takes more than {seconds:g} seconds on a large input, where a tenth of one is enough: a backward "
            "pass costs about as much as its forward pass, and does not call forward for each weight"
        )
        self.function = function


class Raised(Exception):
    """A student's function raised. outcome, reason: as in `Outcome`."""

    def __init__(self, outcome: str, reason: str):
        super().__init__(reason)
        self.outcome, self.reason = outcome, reason


class Outcome(NamedTuple):
    """What came of a check. outcome: "right", "wrong", "raised", "not written", "missing", or what the box says."""

    outcome: str
    reason: str = ""  # one sentence; "" when right

    @property
    def right(self) -> bool:
        return self.outcome == "right"


# -- what checks use -----------------------------------------------------------------------------------------


def fresh() -> np.random.Generator:
    """A source of random inputs: of the seed that `seeded` sets, else of a new one at each call."""
    seed = _seed.get()
    return np.random.default_rng(new_seed() if seed is None else seed)


def new_seed() -> int:
    """A seed that nobody can predict."""
    return secrets.randbits(63)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside the `with` block every `fresh()` of this thread starts from this seed."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


def parts(value: Any, names: str, of: str) -> tuple:
    """The parts of a tuple (or list), which must be as many as there are names: parts(grads, "dx dW db", "backward").

    Raises Wrong.
    """
    wanted = names.split()
    if not isinstance(value, tuple | list):  # a named tuple is one
        raise Wrong(f"{of} should return {len(wanted)} things ({', '.join(wanted)}), it returned {a(value)}")
    if len(value) != len(wanted):
        raise Wrong(
            f"{of} should return {len(wanted)} things ({', '.join(wanted)}), it returned {len(value)}"
        )
    return tuple(value)


def same(mine: Any, theirs: Any, what: str, tol: float = TOLERANCE) -> None:
    """Hold the student's array against the reference. Raises Wrong with the first of these that is not as it should be:

    a plain array (or a number, where the reference has no axes; then 0 is as good as 0.0); its shape; the kind of its
    dtype; all numbers finite; the largest difference <= tol times the largest number of the reference. Integers and
    truth values must be equal. None must be None.
    """
    if theirs is None:
        if mine is not None:
            raise Wrong(f"{what} should be None, it is {a(mine)}")
        return
    __tracebackhide__ = True  # pytest shows the line of the check
    theirs = np.asarray(theirs)
    mine = as_array(mine, theirs, what)
    if mine.shape != theirs.shape:
        raise Wrong(f"{what} has {shape_of(mine)}, it should be {theirs.shape}")
    if KINDS.get(mine.dtype.kind) != KINDS[theirs.dtype.kind]:
        raise Wrong(f"{what} has the dtype {mine.dtype}, it should hold {KINDS[theirs.dtype.kind]}")
    if not theirs.size:
        return
    if theirs.dtype.kind != "f":
        unequal = np.argwhere(mine != theirs)
        if len(unequal):
            raise Wrong(
                f"{entry(what, unequal[0])} is wrong, as are {len(unequal)} of {theirs.size} entries in all"
            )
        return
    if not np.isfinite(mine).all():
        raise Wrong(f"{entry(what, np.argwhere(~np.isfinite(mine))[0])} is not a finite number")
    with np.errstate(over="ignore"):
        differences = np.abs(mine.astype(np.float64) - theirs)
    scale = np.abs(theirs).max() or 1.0
    error = differences.max() / scale
    if error <= tol:
        return
    worst = np.unravel_index(differences.argmax(), differences.shape)
    more = ""
    if mine.dtype.itemsize < 8 and error < 1e-3:
        more = f": {mine.dtype} is not exact enough, compute in the dtype of the inputs"
    elif error < 1e-7:
        more = ": nearly right; finite differences or rounding are not exact enough"
    raise Wrong(f"{entry(what, worst)} is wrong: relative error {error:.1e}, allowed {tol:.0e}{more}")


def quick(function: Callable, *arguments: Any, seconds: float = QUICK, **named: Any) -> Any:
    """What function(*arguments) returns. Raises TooSlow when that takes longer than `seconds`, and a second time too.

    Called with an input of 30,000 weights or more, a derivative by one forward pass for each weight takes longer, be
    it as exact as a complex step. Ask it of forward as well, which could prepare that. A task with a kind is asked
    by the grader itself (pace.py).
    """
    for _ in range(2):
        start = time.monotonic()
        try:
            value = function(*arguments, **named)
        except Raised as error:
            if error.outcome == TIMEOUT:
                break
            raise
        took = time.monotonic() - start
        # of a function in a box, the time of the call alone
        if getattr(getattr(function, "__wrapped__", function), "seconds", took) <= seconds:
            return value
    raise TooSlow(function.__name__, seconds)


def together(forward: Callable, backward: Callable) -> tuple[Callable, Callable]:
    """The pair with all calls in one process, as a program that trains calls it.

    A grader's functions otherwise run in a process of their own for each forward call. This is for what shows between
    calls alone: sums that are kept, a cache that is not the call's own, arguments changed in place, which the
    caller's arrays then are. Local functions come back as they are.
    """
    in_a_box = getattr(getattr(forward, "__wrapped__", forward), "pair", None)
    if in_a_box is None:
        return forward, backward
    return tuple(watched(function.__name__, function) for function in in_a_box())


def as_array(mine: Any, theirs: np.ndarray, what: str) -> np.ndarray:
    if theirs.ndim == 0 and (type(mine) in (bool, int, float) or isinstance(mine, np.generic)):
        whole = type(mine) is int and abs(mine) <= EXACT
        return np.asarray(float(mine) if whole and theirs.dtype.kind == "f" else mine)
    if type(mine) is not np.ndarray:
        wanted = "a number" if theirs.ndim == 0 else "a plain NumPy array"
        raise Wrong(f"{what} should be {wanted}, it is {a(mine)}")
    return mine


def shape_of(array: np.ndarray) -> str:
    """In words. A shape that nobody returns by mistake is not repeated: its numbers could be made of hidden inputs."""
    odd = array.ndim > MOST_AXES or max(array.shape, default=0) > LONGEST_AXIS
    return "a shape of other sizes by far" if odd else f"the shape {array.shape}"


def entry(what: str, index: Any) -> str:
    """dW[1, 2]; of several words, "dW with a mask, at [1, 2],"."""
    place = at(index)
    return f"{what}, at {place}," if place and " " in what else f"{what}{place}"


def at(index: Any) -> str:
    """[1, 2], or nothing where there are no axes."""
    return f"[{', '.join(str(int(i)) for i in index)}]" if len(index) else ""


def a(value: Any) -> str:
    """What a value is, by its type alone."""
    if value is None:
        return "None"
    name = re.sub(r"\W", "", type(value).__name__, flags=re.ASCII)[:40] or "something else"
    return f"a{'n' if name[:1].lower() in 'aeiou' else ''} {name}"


# -- how a grader runs them ------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def compiled(check: Check):
    return compile(check.source, f"<check {check.task}/{check.name}>", "exec", dont_inherit=True)


def run_check(check: Check, functions: Mapping[str, Callable], seed: int) -> Outcome:
    """Run a check against functions, local ones or those of a box; never raises for what they do.

    A function of a box says what went wrong by raising an exception with the attributes outcome and reason.
    """
    namespace: dict[str, Any] = {"__name__": "check"}
    namespace |= {name: watched(name, function) for name, function in functions.items()}
    try:
        with seeded(seed), np.errstate(all="ignore"):
            exec(compiled(check), namespace)
    except Raised as error:
        return Outcome(error.outcome, error.reason)
    except TooSlow as error:
        return Outcome(TOO_SLOW, str(error))
    except Wrong as error:
        return Outcome("wrong", str(error))
    except AssertionError:
        return Outcome("wrong", f"the check {check.name!r} does not hold")
    except NameError as error:
        if error.name in namespace or not error.name:
            raise
        return Outcome("missing", f"there is no function {error.name}")
    except Exception as error:  # noqa: BLE001 -- it takes apart what the student's functions returned
        return Outcome(
            "wrong", f"what came back is not of the form that the task asks for ({type(error).__name__})"
        )
    return Outcome("right")


def watched(name: str, function: Callable) -> Callable:
    """The function; what it raises becomes Raised, whatever it is."""

    @functools.wraps(function)
    def call(*args, **options):
        try:
            return function(*args, **options)
        except (KeyboardInterrupt, Raised):
            raise
        except NotImplementedError:  # what a hole in the handed-out copy raises: not wrong, but not written
            raise Raised("not written", f"{name} is not written yet") from None
        except BaseException as error:  # noqa: BLE001 -- a student's function may raise anything
            outcome, reason = getattr(error, "outcome", ""), getattr(error, "reason", "")
            if isinstance(outcome, str) and isinstance(reason, str) and outcome not in ("", "right"):
                raise Raised(outcome, reason) from None
            raise Raised("raised", f"{name} raised {type(error).__name__}") from None

    return call
