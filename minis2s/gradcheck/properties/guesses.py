"""What the checks of single operations share: the student's function with inputs, and naming by guesses."""

import numpy as np

from minis2s.gradcheck.properties.finding import Finding, differ, failed, forward_of, passed

T, B, S, Q, M, V = 4, 3, 5, 3, 3, 6  # Q = M: general scores can then be mistaken for dot scores

Guesses = list[tuple[str, str, str, object]]  # (words, cause, place, the value that it would give)


def named(words: str, found, guesses: Guesses) -> Finding:
    """A failure, with the guess that gives the very numbers found, if there is one."""
    for guess, cause, place, value in guesses:
        if not differ(found, value):
            return failed(f"{words}: {guess}", cause, place)
    return failed(words, "forward", "")


class Subject:
    """The student's function and random inputs for it."""

    def __init__(self, subject, seed: int):
        self.function = forward_of(subject)
        self.rng = np.random.default_rng(seed)

    def __call__(self, *args, **options):
        result = self.function(*args, **options)
        return np.array(result[0] if isinstance(result, tuple) and len(result) == 2 else result)

    def draw(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape)


def hygiene(f: Subject, *args) -> Finding:
    """Inputs left alone, two calls alike, float32 kept."""
    args = [a.astype(np.float32) if a.dtype == np.float64 else a for a in args]
    before = [a.copy() for a in args]
    one, two = f(*args), f(*args)
    for n, (old, new) in enumerate(zip(before, args, strict=True)):
        if not np.array_equal(old, new):
            return failed(
                f"forward must leave its inputs alone, argument {n} was changed", "aliased", f"argument {n}"
            )
    if not np.array_equal(one, two):
        return failed("two calls must agree, they do not", "stale cache", "forward")
    if one.dtype != np.float32:
        return failed(f"float32 must stay float32, got {one.dtype}", "forward", "dtype")
    return passed("inputs are left alone, two calls agree, float32 stays float32")


def exp_over(x: np.ndarray, axis) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
