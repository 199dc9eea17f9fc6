"""Properties of a masked softmax: one over the real positions, zero on padding, any size of scores."""

import numpy as np

from minis2s.functional import naive
from minis2s.gradcheck.properties.finding import (
    Finding,
    differ,
    failed,
    gap,
    number,
    passed,
    takes,
    unjudged,
    worst,
)
from minis2s.gradcheck.properties.guesses import B, S, Subject, T, exp_over, hygiene, named


def softmax_questions(f: Subject):
    """scores (T, B, S), mask (S, B) or None -> weights (T, B, S)."""
    scores = 2 * f.draw(T, B, S)
    mask = np.ones((S, B), dtype=bool)
    mask[3:, 1] = mask[2:, 2] = False
    real = np.broadcast_to(mask.T[None], scores.shape)
    masks = takes(f.function, 2)

    def plain() -> Finding:
        w, expected = f(scores), naive.masked_softmax_forward(scores)[0]
        if not differ(w, expected):
            return passed("without a mask the weights are exp(score) over its sum, for each query")
        guesses = [
            ("it runs over the steps T, not over the source positions", "axis", "axis", exp_over(scores, 0)),
            ("it runs over the batch, not over the source positions", "axis", "axis", exp_over(scores, 1)),
            ("it runs over all numbers at once", "axis", "axis", exp_over(scores, (0, 1, 2))),
            ("it runs over steps and positions at once", "axis", "axis", exp_over(scores, (0, 2))),
            ("it runs over batch and positions at once", "axis", "axis", exp_over(scores, (1, 2))),
            ("the division is missing", "normalization", "sum", np.exp(scores)),
            (
                "the division is missing",
                "normalization",
                "sum",
                np.exp(scores - scores.max(axis=-1, keepdims=True)),
            ),
            ("exp(-score): the sign is wrong", "sign", "exp", exp_over(-scores, -1)),
            (
                "no exp: scores divided by their sum",
                "forward",
                "exp",
                scores / scores.sum(axis=-1, keepdims=True),
            ),
            ("it is the logarithm", "forward", "log", np.log(expected)),
            ("the powers are of 2, not of e", "forward", "exp", exp_over(scores * np.log(2), -1)),
            ("each score by a sigmoid of its own", "forward", "exp", 1 / (1 + np.exp(-scores))),
        ]
        total = w.sum(axis=-1)
        t, b = worst(total, np.ones_like(total)) if total.shape == (T, B) else (0, 0)
        words = "the weights of a query must be a softmax over the source positions"
        if total.shape == (T, B) and differ(total, np.ones_like(total)):
            words += f"; those of step {t}, row {b} sum to {number(total[t, b])}"
        return named(words, w, guesses)

    def padding() -> Finding:
        if not masks:
            return unjudged("the function takes no mask")
        w, expected = f(scores, mask), naive.masked_softmax_forward(scores, mask)[0]
        unmasked = exp_over(scores, -1)
        leak = float(np.where(real, 0, w).sum(axis=-1).max())
        words = "the weights must be zero on padding and sum to one over the real positions"
        if leak > 1e-12:
            words += f", but padding gets up to {number(leak)}"
        guesses = [
            ("the mask is not used", "mask ignored", "mask", unmasked),
            (
                "padding is cut off after the softmax, without dividing anew",
                "normalization",
                "mask",
                unmasked * real,
            ),
            (
                "padded scores are set to 0, which is no small score",
                "mask ignored",
                "mask",
                exp_over(scores * real, -1),
            ),
            (
                "the mask is used the wrong way round",
                "mask ignored",
                "mask",
                naive.masked_softmax_forward(scores, ~mask)[0],
            ),
            (
                "1 and 0 of the mask are added to the scores",
                "mask ignored",
                "mask",
                exp_over(scores + real, -1),
            ),
        ]
        small = [exp_over(np.where(real, scores, value), -1) for value in (-1.0, -5.0, -10.0, -20.0)]
        guesses += [
            ("padded scores are set to a number that is not small enough", "mask ignored", "mask", w)
            for w in small
        ]
        if not differ(w, expected, 1e-12):
            return passed("padding gets no weight, the real positions share one")
        return named(words, w, guesses)

    def content() -> Finding:
        if not masks:
            return unjudged("the function takes no mask")
        w = f(scores, mask)
        for value in (-1e3, 1e4):
            other = f(np.where(real, scores, value), mask)
            if differ(other, w, 1e-12):
                return failed(
                    f"scores of {value:g} at padded positions must not matter, they move the weights by "
                    f"{number(gap(other, w))}: the largest REAL score is to be subtracted, and "
                    "padding masked",
                    "mask ignored",
                    "max",
                )
        return passed("the scores at padded positions do not matter")

    def nothing_real() -> Finding:
        if not masks:
            return unjudged("the function takes no mask")
        empty = mask.copy()
        empty[:, 0] = False
        w = f(scores, empty)
        if not np.isfinite(w).all():
            return failed(
                "a row without any real position must get zero weights, got nan: 0/0", "forward", "sum"
            )
        if differ(w[:, 0], np.zeros_like(w[:, 0])):
            return failed(
                f"a row without any real position must get zero weights, they sum to {number(w[0, 0].sum())}",
                "mask ignored",
                "mask",
            )
        return passed("a row without any real position gets zero weights")

    yield "sums to one", plain
    yield "padding gets nothing", padding
    yield "padding content", content
    yield "no real position", nothing_real
    yield "large scores", lambda: large_scores(f, scores)
    yield "hygiene", lambda: hygiene(f, scores, *([mask] if masks else []))


def large_scores(f: Subject, scores: np.ndarray) -> Finding:
    w = f(1000 + scores)
    if not np.isfinite(w).all():
        return failed(
            "scores of 1000 must give finite weights, got nan: exp overflows; subtract the largest "
            "score first",
            "forward",
            "max",
        )
    if differ(w, f(scores)):
        return failed(
            "adding 1000 to all scores must change nothing, it moves the weights by "
            f"{number(gap(w, f(scores)))}"
        )
    low = f(scores - 2000)
    if differ(low, f(scores)):
        return failed(
            "scores of -2000 must give the same weights as scores of 0, got nan or other numbers: "
            "all exp become 0; "
            "subtract the largest score first",
            "forward",
            "max",
        )
    return passed("adding 1000 or -2000 to all scores changes nothing")
