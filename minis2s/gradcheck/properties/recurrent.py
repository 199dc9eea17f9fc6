"""Properties of a recurrent pair: its formula, its way through time, padding, rows, extreme numbers.

The pair has the engine's signature: ``forward(x, h0, [c0], Wx, Wh, b, mask)``, for the GRU with the
two biases bx, bh; x is (T, B, D) for a whole sequence and (B, D) for a single step.
"""

import numpy as np

from minis2s.gradcheck.properties import cells
from minis2s.gradcheck.properties.finding import (
    Finding,
    Inquiry,
    differ,
    failed,
    gap,
    number,
    passed,
    unjudged,
    worst,
)
from minis2s.gradcheck.properties.pair import B, Pair, T, equal
from minis2s.gradcheck.properties.through_time import masked, sequence


def formula(pair: Pair) -> Finding:
    """One step against the stated equations; if they differ, against all that they could be instead."""
    x = pair.x[0]
    # of a sequence the outputs alone are compared: its last state is a question of its own
    found = pair.call(x, pair.state)[1] if pair.single else (pair.call(pair.x[:1], pair.state)[0][0],)
    expected = pair.stated(x, pair.state, pair.weights)[: len(found)]
    what = f"gates {', '.join(pair.gates)}" if pair.gates else "h = tanh(x Wx + h_prev Wh + b)"
    if pair.kind == "gru":
        what += f", reset {'after' if pair.reset_after else 'before'} the product"
    if equal(found, expected):
        return passed(f"one step computes the stated equations ({what})")
    pair.really = None
    for variant in cells.variants(pair.kind, pair.gates, pair.reset_after):
        if equal(found, variant.step(x, pair.state, pair.weights)[: len(found)]):
            pair.really = variant.step
            return failed(
                f"one step differs from the stated equations ({what}) by "
                f"{number(gap(found[0], expected[0]))} in h: "
                f"your pair {variant.says}",
                variant.cause,
                variant.place,
            )
    b, j = worst(found[0], expected[0])
    parts = [name for name, f, e in zip("hc", found, expected, strict=False) if differ(f, e)]
    return failed(
        f"one step must compute the stated equations ({what}), but {' and '.join(parts)} differ; "
        f"h[{b}, {j}] should be {number(expected[0][b, j])}, got {number(found[0][b, j])}",
        "forward",
        parts[0],
    )


def rows_are_independent(pair: Pair) -> Finding:
    hs, _ = pair.run(pair.x, pair.state)
    for own in range(B):
        others = np.arange(B)[:, None] != own
        x = np.where(others, pair.x + 1, pair.x)
        state = tuple(np.where(others, s - 1, s) for s in pair.state)
        moved = gap(pair.run(x, state)[0][:, own], hs[:, own])
        if moved > 1e-9:
            return failed(
                f"row {own} of the batch must not notice the other rows, changing them moves it by "
                f"{number(moved)}: "
                "a sum or a mean over the batch, or rows mixed by a reshape",
                "axis",
                "rows of the batch",
            )
    return passed("the rows of a batch do not notice each other")


def order_of_rows(pair: Pair) -> Finding:
    order = np.roll(np.arange(B), 1)
    hs, _ = pair.run(pair.x, pair.state)
    permuted, _ = pair.run(pair.x[:, order], tuple(s[order] for s in pair.state))
    if differ(permuted, hs[:, order]):
        return failed(
            "another order of the rows must only reorder the outputs, they move by "
            f"{number(gap(permuted, hs[:, order]))}",
            "axis",
            "rows of the batch",
        )
    return passed("another order of the rows only reorders the outputs")


def past_and_future(pair: Pair) -> Finding:
    """A change of x at step t moves hs from t on and none before."""
    if pair.single:
        return unjudged("a single step has no future")
    hs, _ = pair.run(pair.x, pair.state)
    moved = np.empty((T, T))  # (t, T): by the change at t, each step's largest move
    for t in range(T):
        x = pair.x.copy()
        x[t] += 1
        moved[t] = np.abs(pair.run(x, pair.state)[0] - hs).reshape(T, -1).max(axis=1)
    for t in range(T):
        early = np.flatnonzero(moved[t, :t] > 1e-9)
        if early.size:
            return failed(
                f"a change of x at step {t} must not move earlier outputs, it moves that of step "
                f"{int(early[0])}",
                "time shift",
                f"from step {t} to step {int(early[0])}",
            )
    for t in range(T):
        if moved[t, t] < 1e-12:
            return failed(
                f"a change of x at step {t} must move the output of step {t}, it stays", "time shift", "x"
            )
        if t + 1 < T and moved[t, t + 1] < 1e-12:
            return failed(
                f"a change of x at step {t} must be remembered, the output of step {t + 1} stays: "
                "the state is "
                "not handed on",
                "hand-over",
                "state between steps",
            )
    return passed("a change of x moves the outputs from its step on and none before")


def large_inputs(pair: Pair) -> Finding:
    for sign in (1.0, -1.0):
        big = [sign * 1e4 * pair.x, pair.state]
        hs, last = pair.run(*big)
        if not all(np.isfinite(a).all() for a in (hs, *last)):
            return failed(
                "with inputs of 10,000 the outputs must be finite, got nan or inf: exp overflows; "
                "write sigmoid(z) as tanh(z/2)/2 + 1/2",
                "forward",
                "activations",
            )
    return passed("inputs of 10,000 give finite outputs")


def dtype_and_inputs(pair: Pair) -> Finding:
    x, *rest = (a.astype(np.float32) for a in (pair.x, *pair.state, *pair.weights))
    state, weights = tuple(rest[: len(pair.state)]), rest[len(pair.state) :]
    before = [a.copy() for a in (x, *rest)]
    hs, last = pair.run(x, state, weights)
    for name, a in (("hs", hs), ("the last state", last[0])):
        if a.dtype != np.float32:
            return failed(f"float32 must stay float32, {name} is {a.dtype}", "forward", "dtype")
    again, _ = pair.run(x, state, weights)
    names = ["x", "h0", "c0"][: 1 + len(state)] + ["Wx", "Wh", "bx" if pair.kind == "gru" else "b", "bh"]
    for name, old, new in zip(names, before, (x, *rest), strict=False):
        if not np.array_equal(old, new):
            return failed(f"forward must leave its inputs alone, {name} was changed", "aliased", name)
    if not np.array_equal(again, hs):
        return failed(
            f"two calls must agree, they differ by {number(gap(again, hs))}", "stale cache", "forward"
        )
    return passed("float32 stays float32, inputs are left alone, two calls agree")


def step_is_sequence(pair: Pair, step: "Pair") -> Finding:
    hs, last = pair.run(pair.x, pair.state)
    singles, last_single = step.run(pair.x, pair.state, pair.weights)
    apart = [t for t in range(T) if differ(singles[t], hs[t])]
    if apart:
        return failed(
            f"step and sequence must agree, they differ from step {apart[0]} on by "
            f"{number(gap(singles[apart[0]], hs[apart[0]]))}",
            "forward",
            "step" if apart[0] == 0 else "state between steps",
        )
    if not equal(last_single, last):
        return failed("step and sequence must agree, their last states do not", "forward", "last state")
    return passed("step and sequence agree")


CHECKS = {
    "formula": formula,
    "sequence": sequence,
    "padding": masked,
    "rows are independent": rows_are_independent,
    "order of rows": order_of_rows,
    "past and future": past_and_future,
    "large inputs": large_inputs,
    "dtype and inputs": dtype_and_inputs,
}


def recurrent_properties(
    subject,
    kind: str,
    *,
    seed: int = 0,
    gates: str = "",
    reset_after: bool = True,
    step=None,
    seconds: float = 60.0,
) -> list[Finding]:
    """All properties of a recurrent pair.

    subject: Op, (forward, backward), or the forward function.  kind: "rnn", "lstm", "gru", or one of
    these with "_step".  gates: the stated order where it is not i, f, o, g or r, u, n.  step: the
    student's single step, which must agree with the sequence.
    """
    inquiry = Inquiry(f"your {kind}", seconds=seconds)
    pair = Pair(subject, kind, gates, reset_after, seed)
    for name, check in CHECKS.items():
        inquiry.ask(name, lambda check=check: check(pair))
    if step is not None:
        single = Pair(step, f"{pair.kind}_step", gates, reset_after, seed)
        inquiry.ask("step is sequence", lambda: step_is_sequence(pair, single))
    return inquiry.findings
