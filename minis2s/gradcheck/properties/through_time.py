"""Properties of a recurrent pair over several steps: the state is handed on, also over padding."""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.properties.finding import Finding, differ, failed, gap, number, passed, unjudged, worst
from minis2s.gradcheck.properties.pair import Pair, equal, reference


def sequence(pair: Pair) -> Finding:
    """Several steps against the step repeated (whatever step it is that the pair computes)."""
    if pair.single:
        return unjudged("a single step is no sequence")
    step = pair.really
    if step is None:
        return unjudged("what one step computes is not known, so several cannot be judged")
    x, state, weights = pair.x, pair.state, pair.weights
    hs, last = pair.call(x, state)
    expected, expected_last = reference(step, x, state, weights)
    if not differ(hs, expected) and equal(last, expected_last):
        return passed("a sequence is the step, again and again; the last state is that after the last step")
    if differ(hs, expected):
        t = int(np.flatnonzero([differ(a, b) for a, b in zip(hs, expected, strict=True)])[0])
        words = (
            f"a sequence must be the step, again and again, but hs is wrong from step {t} on, by "
            f"{number(gap(hs[t], expected[t]))}"
        )
        for guess, cause, place, other in wrong_ways(step, x, state, weights, expected):
            if not differ(hs, other):
                return failed(f"{words}: {guess}", cause, place)
        return failed(words, "time shift", "state between steps")
    for name, a, b in zip(("h_last", "c_last"), last, expected_last, strict=False):
        if differ(a, b):
            guess = "it is the first one" if not differ(a, hs[0]) else f"it is off by {number(gap(a, b))}"
            return failed(f"{name} must be the state after the last step: {guess}", "wrong variable", name)
    return failed("the last state is wrong", "forward", "last state")


def wrong_ways(step: Callable, x, state, weights, expected):
    """Ways to go wrong through time: (words, cause, place, the hs that it gives)."""
    zero = tuple(np.zeros_like(s) for s in state)
    alone = np.stack([step(x_t, state, weights)[0] for x_t in x])
    yield "every step starts from the initial state", "hand-over", "h", alone
    yield "the initial state is not used", "hand-over", "h0", reference(step, x, zero, weights)[0]
    yield (
        "the sequence is read from right to left",
        "time shift",
        "time",
        reference(step, x[::-1], state, weights)[0],
    )
    yield (
        "the sequence is read from right to left, and turned round",
        "time shift",
        "time",
        reference(step, x[::-1], state, weights)[0][::-1],
    )
    yield (
        "hs[t] is the state before step t",
        "time shift",
        "hs",
        np.concatenate([state[0][None], expected[:-1]]),
    )
    yield (
        "every hs[t] is the last state (one array, overwritten)",
        "aliased",
        "hs",
        np.stack([expected[-1]] * len(x)),
    )
    late = np.concatenate([x[:1], x[:-1]])
    yield (
        "a step reads the input of the step before",
        "time shift",
        "x",
        reference(step, late, state, weights)[0],
    )
    if len(state) > 1:
        for name, keep in (("c", 1), ("h", 0)):
            s, hs = state, []
            for x_t in x:
                after = step(x_t, s, weights)
                hs.append(after[0])
                s = (after[0], state[1]) if keep else (state[0], after[1])
            yield f"{name} is not handed on from step to step", "hand-over", name, np.stack(hs)
    mixed = x.transpose(1, 0, 2).reshape(x.shape)
    yield (
        "rows and steps are mixed: reshape where transpose belongs",
        "axis",
        "x",
        reference(step, mixed, state, weights)[0],
    )


def masked(pair: Pair) -> Finding:
    """Padded steps hand the state on, and what stands in them does not matter."""
    if not pair.knows_masks:
        return unjudged("the pair takes no mask")
    step = pair.really
    x, state, weights, mask = pair.x, pair.state, pair.weights, pair.mask
    hs, last = pair.run(x, state, mask=mask)
    rubbish = np.where(mask[..., None], x, 1e3)
    again, last_again = pair.run(rubbish, state, mask=mask)
    if differ(again, hs) or not equal(last_again, last):
        plain, _ = pair.run(x, state)
        why = "the mask is not used" if not differ(hs, plain) else "padded steps change the state"
        return failed(
            f"what stands in padded steps must not matter, it moves hs by {number(gap(again, hs))}: {why}",
            "mask ignored",
            "mask",
        )
    if step is None:
        return passed("what stands in padded steps does not matter")
    expected, expected_last = reference(step, x, state, weights, mask)
    if not differ(hs, expected) and equal(last, expected_last):
        return passed("padded steps hand the state on, and what stands in them does not matter")
    guesses = []
    s, zeroed, reset = state, [], []
    for t in range(len(x)):
        real = mask[t][:, None]
        s = tuple(np.where(real, a, 0) for a in step(x[t], s, weights))
        zeroed.append(s[0])
        reset.append(np.where(real, expected[t], 0))
    guesses.append(("the state is set to zero there, not handed on", np.stack(zeroed)))
    guesses.append(("hs is set to zero there; it must repeat the state", np.stack(reset)))
    guesses.append(("the mask is used the wrong way round", reference(step, x, state, weights, ~mask)[0]))
    if len(state) > 1:
        for name, part in (("c", 1), ("h", 0)):
            s, rows = state, []
            for t in range(len(x)):
                after = step(x[t], s, weights)
                real = mask[t][:, None]
                s = tuple(
                    a if n == part else np.where(real, a, b)
                    for n, (a, b) in enumerate(zip(after, s, strict=True))
                )
                rows.append(s[0])
            guesses.append((f"{name} goes on there, only the other part is handed on", np.stack(rows)))
    words = "padded steps must hand the state on unchanged"
    for guess, other in guesses:
        if not differ(hs, other):
            return failed(f"{words}: {guess}", "mask ignored", "mask")
    if differ(hs, expected):
        t, b, _ = worst(hs, expected)
        return failed(
            f"{words}: hs is off by {number(gap(hs, expected))} at step {t} of row {b}",
            "mask ignored",
            "mask",
        )
    return failed(f"{words}: hs is right, the last state is not", "mask ignored", "last state")
