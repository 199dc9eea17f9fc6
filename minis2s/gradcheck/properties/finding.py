"""What a property check says, and how the checks are run on somebody's code.

A question is a function without arguments that calls the code under test and returns a `Finding`.
`Inquiry` asks them one after the other: an error inside the code becomes a finding too.
"""

import inspect
from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.causes import Finding
from minis2s.gradcheck.problem import Guard, Misbehaved

TOLERANCE = 1e-9  # in float64; rounding is a million times smaller, a mistake a thousand times larger


def passed(says: str) -> Finding:
    return Finding("", True, says)


def failed(says: str, cause: str = "forward", place: str = "") -> Finding:
    return Finding("", False, says, cause, place)


def unjudged(says: str) -> Finding:
    return Finding("", None, says)


class Findings(list[Finding]):
    """A list of findings that shows itself with one line for each."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    __repr__ = __str__


class Inquiry:
    """Asks questions about one subject and collects the findings, in the order asked.

    subject: how the code under test is called in a sentence about its error ("your lstm").
    seconds: the time for all questions together.
    """

    def __init__(self, subject: str, cause: str = "forward", seconds: float = 60.0):
        self.subject = subject
        self.cause = cause  # of an error
        self.guard = Guard(seconds)
        self.findings = Findings()
        self.errors: dict[str, str] = {}  # sentence -> the check that met it first

    def ask(self, check: str, question: Callable[[], Finding]) -> Finding:
        """One finding. An error is a failure where it is met first; after that, only a hindrance."""
        try:
            with self.guard.watching(f"{self.subject} ({check})"):
                answer = question()._replace(check=check)
        except Misbehaved as error:
            sentence = str(error).replace(f" ({check})", "", 1)
            if sentence in self.errors:
                answer = Finding(check, None, f"the error met in {self.errors[sentence]!r} came again")
            else:
                self.errors[sentence] = check
                answer = Finding(check, False, sentence, self.cause)
        self.findings.append(answer)
        return answer


# -- comparing -----------------------------------------------------------------------------------


def gap(a, b) -> float:
    """The largest difference between two arrays; inf where shapes differ or one alone is not finite."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return float("inf")
    different = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not different.any():
        return 0.0
    largest = float(np.abs(a[different] - b[different]).max())
    return largest if np.isfinite(largest) else float("inf")


def differ(a, b, tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays differ by more than `tolerance`, relative to 1 and to the largest entry of b."""
    b = np.asarray(b)
    finite = np.abs(b[np.isfinite(b)])
    return not gap(a, b) <= tolerance * (1 + (float(finite.max()) if finite.size else 0.0))


def number(x) -> str:
    """Three digits are enough in a sentence."""
    return f"{float(x):.3g}"


def worst(a, b) -> tuple[int, ...]:
    """The index of the largest difference between arrays of one shape."""
    distance = np.abs(np.asarray(a) - np.asarray(b))
    distance = np.where(np.isnan(distance), np.inf, distance)
    return tuple(int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape))


# -- calling -------------------------------------------------------------------------------------


def accepts(function: Callable, name: str) -> bool:
    """Whether `function` can be given an argument called `name`; unknown signatures take everything."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def takes(function: Callable, count: int) -> bool:
    """Whether `function` can be given `count` arguments by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) >= count


def forward_of(subject) -> Callable:
    """The forward function of an Op, of a (forward, backward) pair, or the function itself."""
    if hasattr(subject, "forward"):
        return subject.forward
    return subject[0] if isinstance(subject, tuple | list) else subject
