"""Reading the signs: what the pattern of a disagreement says about its cause, without knowing the function.

Each rule looks at a gradient and at the right one and makes the numbers agree by one change: a factor,
a transpose, a permutation, a shift. A rule that succeeds to nine digits on random numbers is strong
evidence for what it names, but a pattern can have more than one origin: these causes are "likely".
"""

import itertools

import numpy as np

from minis2s.gradcheck.trial import Cause

CLOSE = 1e-8
NOISE = 1e-11  # of the largest entry: what the measurement of a right gradient may be off by


def read_signs(
    pairs: dict[str, tuple[np.ndarray, np.ndarray]],
    axes: dict[str, str],
    sizes: dict[str, int],
    values: dict | None = None,
) -> list[Cause]:
    """Causes that the wrong blocks point to, best first.

    pairs: (got, expected) of every block that can be compared, right ones too. axes: letters of the axes
    of a block, where known. sizes: numbers by which a gradient may be off, by name ("the batch size B").
    values: the blocks themselves, where known: a decay adds a multiple of them to their gradient.
    """
    wrong = {name: pair for name, pair in pairs.items() if not agree(*pair)}
    if not wrong:
        return []
    causes = []
    ratios = {name: constant_ratio(*pair) for name, pair in wrong.items()}
    same = {round(r, 9) for r in ratios.values() if r is not None}
    if all(r is not None for r in ratios.values()) and len(same) == 1:
        names = ", ".join(wrong)
        everywhere = "every gradient" if len(wrong) == len(pairs) else f"the gradient of {names}"
        causes.append(of_a_ratio(next(iter(ratios.values())), everywhere, sizes, len(wrong) == len(pairs)))
        return causes
    for (a, (got_a, right_a)), (b, (got_b, right_b)) in itertools.combinations(wrong.items(), 2):
        if agree(got_a, right_b) and agree(got_b, right_a):
            causes.append(Cause("wrong variable", f"the gradients of {a} and {b} are exchanged", "certain"))
    for name, (got, expected) in wrong.items():
        causes += of_one_block(name, got, expected, axes.get(name, ""), sizes)
        value = (values or {}).get(name)
        if isinstance(value, np.ndarray) and value.shape == got.shape and np.isfinite(got).all():
            share = share_of(value, got, expected)
            if share is not None:
                says = f"{share:.4g} times {name} itself is added to its gradient (weight decay does not belong there)"
                causes.append(Cause("extra term", says, "likely"))
    return causes


def agree(got: np.ndarray, expected: np.ndarray, close: float = CLOSE) -> bool:
    if got.shape != expected.shape:
        return False
    scale = max(float(np.abs(got).max(initial=0)), float(np.abs(expected).max(initial=0)))
    return bool(np.abs(got - expected).max(initial=0) <= close * scale)


def constant_ratio(got: np.ndarray, expected: np.ndarray) -> float | None:
    """got / expected, where it is one number for the whole block."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return None
    length = float((expected**2).sum())
    if length == 0:
        return None
    ratio = float((got * expected).sum()) / length
    # of a factor near one, it is the little that is too much that must be explained
    limit = CLOSE * float(np.abs(got - expected).max()) + NOISE * float(np.abs(expected).max())
    return ratio if np.abs(got - ratio * expected).max() <= limit else None


def share_of(value: np.ndarray, got: np.ndarray, expected: np.ndarray) -> float | None:
    """How many times `value` is added to a gradient, where that and nothing else is wrong."""
    length, gap = float((value**2).sum()), got - expected
    size, noise = float(np.abs(gap).max(initial=0)), NOISE * float(np.abs(expected).max(initial=0))
    if length == 0 or size <= 1e5 * noise:  # of noise, everything is a share
        return None
    share = float((gap * value).sum()) / length
    return share if np.abs(gap - share * value).max() <= CLOSE * size + noise else None


def of_a_ratio(ratio: float, what: str, sizes: dict[str, int], everything: bool) -> Cause:
    close = lambda value: abs(ratio - value) <= 1e-7 * max(abs(value), 1e-3)  # noqa: E731
    if close(0):
        return Cause("missing term", f"{what} is zero: the path that leads to it is left out", "likely")
    if close(-1):
        return Cause("sign", f"{what} has the wrong sign", "certain" if everything else "likely")
    for letter, size in sizes.items():
        if size > 1 and close(1 / size):
            return Cause("normalization", f"{what} is divided by {letter} = {size} once too often", "likely")
        if size > 1 and size != 2 and close(size):
            return Cause(
                "normalization", f"{what} is not divided by {letter} = {size}, or multiplied by it", "likely"
            )
    if close(0.5):
        return Cause("scale", f"{what} is half of the right one", "likely")
    for (a, m), (b, n) in itertools.permutations(sizes.items(), 2):
        if close(m / n):
            return Cause(
                "normalization",
                f"{what} is {m}/{n} of the right one: divided by {b} = {n} where {a} = {m} belongs",
                "likely",
            )
    if close(2):
        says = f"{what} is twice the right one: added up two times, or left over from an earlier call"
        return Cause("doubled", says, "likely")
    for power, words in ((0.5, "the root of"), (-0.5, "one over the root of")):
        for letter, size in sizes.items():
            if size > 1 and close(size**power):
                return Cause("scale", f"{what} is off by {words} {letter} = {size}", "likely")
    near_one = abs(ratio - 1) < 1e-4
    factor = f"1 {'-' if ratio < 1 else '+'} {abs(ratio - 1):.3g}" if near_one else f"{ratio:.6g}"
    return Cause("scale", f"{what} is {factor} times the right one", "likely")


def of_one_block(
    name: str, got: np.ndarray, expected: np.ndarray, letters: str, sizes: dict[str, int]
) -> list[Cause]:
    found = []
    if not np.isfinite(got).all():
        return [Cause("wrong variable", f"the gradient of {name} is not finite", "possible")]
    ratio = constant_ratio(got, expected)
    if ratio is not None:
        return [of_a_ratio(ratio, f"the gradient of {name}", sizes, False)]
    limit = float(np.abs(got).max())
    clipped = int((np.abs(expected) > limit * 1.001).sum())
    if clipped and agree(got, np.clip(expected, -limit, limit)):
        says = f"the gradient of {name} is clipped to {limit:.6g}: clipping belongs into the training loop"
        return [Cause("clipping", says, "certain" if clipped > 2 else "likely")]
    if got.ndim == 2 and got.shape[0] == got.shape[1] and agree(got.T, expected):
        return [Cause("transpose", f"the gradient of {name} is transposed", "likely")]
    for axis, letter in enumerate(letters if len(letters) == got.ndim else ""):
        along = {"T": "time", "S": "source positions", "B": "the batch"}.get(letter)
        if along is None:
            continue
        if agree(np.flip(got, axis), expected):
            found.append(
                Cause(
                    "time shift",
                    f"the gradient of {name} runs through {along} in the wrong direction",
                    "likely",
                )
            )
        for by in (1, -1):
            kept = [slice(None)] * got.ndim
            other = [slice(None)] * got.ndim
            kept[axis], other[axis] = (
                (slice(by, None), slice(None, -by)) if by > 0 else (slice(None, by), slice(-by, None))
            )
            if got.shape[axis] > 2 and agree(got[tuple(kept)], expected[tuple(other)]):
                found.append(
                    Cause("time shift", f"the gradient of {name} is shifted by one along {along}", "likely")
                )
    if letters[:2] in ("TB", "SB") and got.ndim == 3:
        T, B, X = got.shape
        if agree(got.reshape(B, T, X).transpose(1, 0, 2), expected):
            says = f"the gradient of {name} has its rows mixed: it is reshaped where its axes should be transposed"
            found.append(Cause("axis", says, "likely"))
    columns = got.shape[-1] if got.ndim else 0
    for gates in (4, 3, 2):
        if columns and columns % gates == 0 and columns > gates:
            parts, right = np.split(got, gates, axis=-1), np.split(expected, gates, axis=-1)
            for order in itertools.permutations(range(gates)):
                if list(order) != sorted(order) and all(
                    agree(parts[k], right[j]) for k, j in enumerate(order)
                ):
                    found.append(
                        Cause(
                            "gate order",
                            f"the {gates} blocks of the gradient of {name} are exchanged",
                            "likely",
                        )
                    )
    zero = (got == 0) & (np.abs(expected) > 1e-9 * np.abs(expected).max())
    if zero.any() and agree(np.where(zero, expected, got), expected):
        found.append(
            Cause(
                "missing term",
                f"the gradient of {name} is right where it is not zero: some entries are never filled",
                "likely",
            )
        )
    return found
