"""Properties of attention scores, of the weighted sum, and of the whole of an attention."""

import numpy as np

from minis2s.functional import naive
from minis2s.gradcheck.properties.finding import Finding, differ, failed, gap, number, passed
from minis2s.gradcheck.properties.guesses import B, Guesses, M, Q, S, Subject, T, exp_over, hygiene, named


def scores_questions(f: Subject, kind: str):
    """query (T, B, Q), keys (S, B, A) and the weights of the score -> scores (T, B, S)."""
    query, keys = f.draw(T, B, Q), f.draw(S, B, M)
    weights = {"general_scores": (f.draw(Q, M),), "additive_scores": (f.draw(Q, M), f.draw(M))}.get(kind, ())
    args = (query, keys, *weights)
    dot = naive.dot_scores_forward(query, keys)[0]
    root = Q**0.5

    def value() -> Finding:
        expected = dot / root if kind == "scaled_dot_scores" else naive.OPS[kind].forward(*args)[0]
        found = f(*args)
        if not differ(found, expected):
            return passed("every query meets every key of its own sentence")
        rolled = np.roll(keys, 1, axis=1)
        guesses: Guesses = [
            ("divided by the root of the size", "scale", "scale", expected / root),
            ("not divided by the root of the size", "scale", "scale", expected * root),
            (
                "divided by the size, not by its root",
                "scale",
                "scale",
                expected / root if kind == "scaled_dot_scores" else expected / Q,
            ),
            ("the keys are read from right to left", "time shift", "keys", expected[:, :, ::-1]),
            (
                "the keys of another sentence are used",
                "axis",
                "keys",
                naive.OPS.get(kind, naive.OPS["dot_scores"]).forward(query, rolled, *weights)[0],
            ),
            ("the steps are read from right to left", "time shift", "query", expected[::-1]),
            ("it is their dot product", "missing factor", "W", dot),
            ("the sign is wrong", "sign", "scores", -expected),
        ]
        if kind == "general_scores":
            (W,) = weights
            guesses.append(
                ("W is transposed", "transpose", "W", naive.general_scores_forward(query, keys, W.T)[0])
            )
        if kind == "additive_scores":
            Wq, v = weights
            pre = (query @ Wq)[:, None] + keys[None]
            guesses += [
                ("tanh is missing", "forward", "tanh", (pre @ v).transpose(0, 2, 1)),
                (
                    "v is missing: the sum of tanh",
                    "missing factor",
                    "v",
                    np.tanh(pre).sum(-1).transpose(0, 2, 1),
                ),
                (
                    "sigmoid in place of tanh",
                    "forward",
                    "tanh",
                    ((0.5 + 0.5 * np.tanh(pre / 2)) @ v).transpose(0, 2, 1),
                ),
                ("tanh after v", "forward", "tanh", np.tanh(pre @ v).transpose(0, 2, 1)),
                (
                    "the query is left out",
                    "missing term",
                    "query",
                    np.broadcast_to((np.tanh(keys) @ v).T[None], dot.shape),
                ),
                (
                    "Wq is transposed",
                    "transpose",
                    "Wq",
                    naive.additive_scores_forward(query, keys, Wq.T, v)[0],
                ),
                (
                    "query and keys are multiplied, not added",
                    "forward",
                    "keys",
                    (np.tanh((query @ Wq)[:, None] * keys[None]) @ v).transpose(0, 2, 1),
                ),
            ]
        words = f"the scores must be those of {kind}, they are off by {number(gap(found, expected))}"
        if np.shape(found) != expected.shape:
            words = f"the scores must have shape (T, B, S) = {expected.shape}, got {np.shape(found)}"
        return named(words, found, guesses)

    yield "value", value
    yield "sentences are independent", lambda: sentences(f, args, (query, keys))
    yield "hygiene", lambda: hygiene(f, *args)


def sentences(f: Subject, args: tuple, batched: tuple) -> Finding:
    """A change of the other sentences leaves a sentence's output alone. `batched` arrays have B second."""
    rest = args[len(batched) :]
    before = f(*args)
    for own in range(B):
        others = (np.arange(B) != own)[:, None]
        changed = [np.where(others, a + 1, a) if a.ndim == 3 else a for a in batched]
        moved = gap(f(*changed, *rest)[:, own], before[:, own])
        if moved > 1e-9:
            return failed(
                f"sentence {own} must not notice the others, changing them moves it by {number(moved)}",
                "axis",
                "batch",
            )
    return passed("a sentence does not notice the others")


def weighted_sum_questions(f: Subject):
    """weights (T, B, S), values (S, B, M) -> context (T, B, M)."""
    weights, values = exp_over(f.draw(T, B, S), -1), f.draw(S, B, M)

    def value() -> Finding:
        expected, found = naive.weighted_sum_forward(weights, values)[0], f(weights, values)
        if not differ(found, expected):
            return passed("the context is the sum of the values, each times its weight")
        sums = naive.weighted_sum_forward
        guesses: Guesses = [
            ("the mean over the positions, not the sum", "normalization", "sum", expected / S),
            (
                "the values are read from right to left",
                "time shift",
                "values",
                sums(weights, values[::-1])[0],
            ),
            (
                "the values of another sentence are used",
                "axis",
                "values",
                sums(weights, np.roll(values, 1, axis=1))[0],
            ),
            (
                "the value with the largest weight alone",
                "forward",
                "sum",
                values[weights.argmax(-1), np.arange(B)],
            ),
            (
                "all values count alike",
                "missing factor",
                "weights",
                np.broadcast_to(values.mean(0), expected.shape),
            ),
            (
                "the weights do not matter: the sum of the values",
                "missing factor",
                "weights",
                np.broadcast_to(values.sum(0), expected.shape),
            ),
        ]
        return named(
            f"the context must be sum_s weight * value, it is off by {number(gap(found, expected))}",
            found,
            guesses,
        )

    yield "value", value
    yield "sentences are independent", lambda: sentences(f, (weights, values), (weights.copy(), values))
    yield "hygiene", lambda: hygiene(f, weights, values)


def attention_questions(f: Subject):
    """query (T, B, M), keys (S, B, M), values (S, B, M), mask (S, B) -> context, with dot scores."""
    query, keys, values = f.draw(T, B, M), f.draw(S, B, M), f.draw(S, B, M)
    mask = np.ones((S, B), dtype=bool)
    mask[3:, 1] = mask[2:, 2] = False

    def context(scores, mask=mask):
        return naive.weighted_sum_forward(naive.masked_softmax_forward(scores, mask)[0], values)[0]

    def value() -> Finding:
        scores = naive.dot_scores_forward(query, keys)[0]
        expected, found = context(scores), f(query, keys, values, mask)
        if not differ(found, expected):
            return passed("the context is the softmax-weighted sum of the values of real positions")
        unmasked = naive.masked_softmax_forward(scores)[0]
        leak = float(np.where(mask.T[None], 0, unmasked).sum(axis=-1).max())
        cut = naive.weighted_sum_forward(np.where(mask.T[None], unmasked, 0), values)[0]
        guesses: Guesses = [
            (
                f"it looks at padding, which gets up to {number(leak)} of the weight",
                "mask ignored",
                "attention weights",
                context(scores, None),
            ),
            (
                "padding is cut off after the softmax, without dividing anew",
                "normalization",
                "attention weights",
                cut,
            ),
            ("the scores are divided by the root of the size", "scale", "scores", context(scores / M**0.5)),
            (
                "the keys are summed up, not the values",
                "wrong variable",
                "values",
                naive.weighted_sum_forward(naive.masked_softmax_forward(scores, mask)[0], keys)[0],
            ),
            (
                "the values are asked, not the keys",
                "wrong variable",
                "keys",
                context(naive.dot_scores_forward(query, values)[0]),
            ),
            (
                "the softmax is missing",
                "forward",
                "softmax",
                naive.weighted_sum_forward(np.where(mask.T[None], scores, 0), values)[0],
            ),
        ]
        return named(f"the context is off by {number(gap(found, expected))}", found, guesses)

    def padding() -> Finding:
        before = f(query, keys, values, mask)
        real = mask[..., None]
        moved = gap(f(query, np.where(real, keys, 5.0), np.where(real, values, 7.0), mask), before)
        if moved > 1e-9:
            return failed(
                f"keys and values of padding must not matter, they move the context by {number(moved)}",
                "mask ignored",
                "attention weights",
            )
        return passed("keys and values of padding do not matter")

    yield "value", value
    yield "padding content", padding
    yield (
        "sentences are independent",
        lambda: sentences(f, (query, keys, values, mask), (query, keys, values)),
    )
    yield "hygiene", lambda: hygiene(f, query, keys, values, mask)
