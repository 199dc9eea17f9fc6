"""Hygiene before the verdict: is there anything to compare, and does the code behave as a function?

The right number of gradients, shapes, dtypes, no nan, the same result when called again, nothing changed
that was handed in, no memory shared. What can still be judged after a fault is judged.
"""

from collections.abc import Sequence

import numpy as np

from minis2s.gradcheck.causes import Finding, Note, fault, remark
from minis2s.gradcheck.differences import EPS
from minis2s.gradcheck.problem import Blocks, Guard, Misbehaved, Problem, arrays_inside, copied
from minis2s.gradcheck.repeats import called_again, changing, from_call_to_call, memory_shared, one_buffer
from minis2s.gradcheck.returned import NO_RETURN
from minis2s.gradcheck.run import (
    Run,
    as_float,
    call_backward,
    call_forward,
    check_out,
    comparable,
    floor_of,
    keep,
    same,
)

FAR = 1e-4  # of the largest entry: what one rounding error moves so far could not be judged by its rounding


def given_gradients(problem: Problem, guard: Guard) -> Run:
    """The Run of a problem whose gradients are known beforehand: only what must be so is looked at."""
    findings: list[Finding] = []
    values = []
    for _ in range(2):
        outs, _ = call_forward(problem, guard, {name: x.copy() for name, x in problem.blocks.items()})
        values.append(check_out(problem, 0, outs[0]))
    if not same(*values):
        raise Misbehaved("two calls of the loss gave two values", ": fix every random choice in it first")
    raw, _ = problem.backward([np.ones(())], None)
    gradients, missing = all_comparable(problem, raw, findings)
    rounding = {name: 16 * EPS * float(np.abs(g).max(initial=0)) for name, g in gradients.items()}
    rounding = {name: r if np.isfinite(r) else 0.0 for name, r in rounding.items()}
    return Run(values[:1], [np.ones(())], gradients, missing, {}, findings, rounding, np.dtype(np.float64))


def run_with_hygiene(
    problem: Problem, guard: Guard, rng: np.random.Generator, *, without: Sequence[int] = (), dtype=np.float64
) -> Run:
    """Call forward and backward several times and look at everything but the values of the gradients.

    Every out gets a random upstream gradient but those numbered in `without`. Raises Misbehaved where
    there is nothing that could be judged.
    """
    findings: list[Finding] = []
    blocks = {name: x.astype(dtype) for name, x in problem.blocks.items()}
    outs, cache, given = forward_twice(problem, guard, blocks, findings)
    upstream = [rng.standard_normal(out.shape) for out in outs]
    douts = [
        None if n in without else np.asarray(d, dtype=out.dtype)
        for n, (d, out) in enumerate(zip(upstream, outs, strict=True))
    ]
    returned, raw, shared = backward_once(problem, guard, douts, cache, given, findings)
    gradients, missing = all_comparable(problem, raw, findings)
    if shared is not None and not faulty(findings):
        findings.append(shared)
    again = called_again(problem, guard, blocks, douts, cache, gradients, returned, rng)
    findings += again

    coarsest = coarsest_of(outs, gradients, dtype)
    if dtype == np.float64 and coarsest.itemsize < 8:
        findings.append(
            remark(
                f"float64 came in, {coarsest} comes out",
                more=f": it is judged by the limits of {coarsest}; "
                "allocate with the dtype of the input (np.zeros_like(x), or dtype=x.dtype)",
            )
        )
    # a mistake of calculus in float16 is no smaller than in float32; only the rounding is larger
    precision = np.dtype(np.float32 if coarsest.itemsize < 8 else np.float64)
    eps = max(EPS, float(np.finfo(coarsest).eps))
    rounding, jumps = rounding_of(problem, guard, blocks, douts, gradients, rng, eps)
    unsteady = []
    if jumps or faulty(again):  # is it the same where neither inputs nor cache were touched?
        unsteady = from_call_to_call(problem, guard, blocks, douts, gradients)
        if unsteady and not faulty(findings):
            findings.append(changing(unsteady))
    if not faulty(findings):
        # several calls were made since: a buffer that only some of them use shows now, too
        overwritten = written_over(returned, gradients)
        findings += [one_buffer(overwritten)] if overwritten else []
    floor = {name: floor_of(gradients[name], eps) for name in unsteady}
    jumps = {name: there for name, there in jumps.items() if name not in unsteady}
    return Run(
        outs,
        douts,
        gradients,
        missing,
        misshapen_in(raw, missing),
        findings,
        rounding | floor,
        precision,
        frozenset(unsteady),
        jumps,
    )


def forward_twice(
    problem: Problem, guard: Guard, blocks: Blocks, findings: list[Finding]
) -> tuple[list[np.ndarray], object, Blocks]:
    """(outs, cache, the inputs that forward was given), once forward has proved to be a function of its inputs."""
    given = {name: x.copy() for name, x in blocks.items()}
    outs, cache = call_forward(problem, guard, given)
    changed = [name for name in blocks if not same(blocks[name], given[name])]
    if changed:
        seen = f"forward changes its input {', '.join(changed)} in place"
        findings.append(fault(seen, "aliased", more=": work on a copy"))
        given = {name: x.copy() for name, x in blocks.items()}
        outs, cache = call_forward(problem, guard, given)
    outs = [check_out(problem, n, out) for n, out in enumerate(outs)]
    again, _ = call_forward(problem, guard, {name: x.copy() for name, x in blocks.items()})
    if not all(same(a, np.asarray(b)) for a, b in zip(outs, again, strict=False)):
        raise Misbehaved(
            "two calls of forward with the same inputs give two results",
            ": fix every random choice (hand the dropout mask in, or seed its generator anew at each call), "
            "and keep nothing between calls",
        )
    return [out.copy() for out in outs], cache, given  # a later call may write into the same memory


def backward_once(
    problem: Problem, guard: Guard, douts: list, cache, given: Blocks, findings: list[Finding]
) -> tuple[dict, dict, Finding | None]:
    """(what backward returned, copies of it, where it shares its memory); findings get what else was seen of the call.

    given: the inputs that forward had. Whether shared memory is worth a word depends on what else is found.
    """
    handed = copied(douts)
    before = [a.copy() for a in arrays_inside(cache)]
    returned, note = call_backward(problem, guard, handed, cache)
    if note:
        missing_return = ": is its return statement missing?" if note == NO_RETURN else ""
        findings.append(fault(note, more=missing_return))
    changed = [
        n for n, (d, h) in enumerate(zip(douts, handed, strict=True)) if d is not None and not same(d, h)
    ]
    if changed:
        name = problem.out_names[changed[0]] if changed[0] < len(problem.out_names) else ""
        name = name.removesuffix("s").removesuffix("_last")
        seen = "backward changes the gradient dout that it is given"
        more = " (an in-place +=): work on a copy"
        findings.append(fault(seen, "aliased", f"d{name}" if name else "", more=more))
    shared = memory_shared(returned, handed, cache, given)
    after = arrays_inside(cache)
    if len(before) == len(after) and not all(map(same, before, after)):
        more = ": a second call, or a look at the cache afterwards, is wrong"
        findings.append(fault("backward changes its cache", "aliased", more=more))
    return returned, {name: keep(value) for name, value in returned.items()}, shared


def all_comparable(
    problem: Problem, raw: dict, findings: list[Finding]
) -> tuple[dict[str, np.ndarray], dict[str, Note]]:
    """(gradients, why not) by the names of the blocks: each block is in one of the two."""
    gradients, missing = {}, {}
    for name, x in problem.blocks.items():
        gradient, why = comparable(name, x, raw, findings)
        if gradient is None:
            missing[name] = why
        else:
            gradients[name] = gradient
    return gradients, missing


def misshapen_in(raw: dict, missing: dict[str, Note]) -> dict[str, np.ndarray]:
    """The arrays of numbers among what cannot be compared: those that came in another shape."""
    return {
        name: raw[name]
        for name in missing
        if isinstance(raw.get(name), np.ndarray) and raw[name].dtype.kind == "f"
    }


def coarsest_of(outs: list[np.ndarray], gradients: dict[str, np.ndarray], dtype) -> np.dtype:
    """Of the dtypes that went in and came out, the one that holds the fewest digits."""
    computed = {g.dtype for g in gradients.values()} | {o.dtype for o in outs if o.dtype.kind == "f"}
    return max(computed | {np.dtype(dtype)}, key=lambda d: np.finfo(d).eps)


def written_over(returned: dict, gradients: dict[str, np.ndarray]) -> list[str]:
    """The gradients that are no longer in the arrays in which the first call returned them."""
    return [
        name
        for name, g in gradients.items()
        if isinstance(returned[name], np.ndarray) and not same(g, as_float(returned[name], g))
    ]


def faulty(findings: list[Finding]) -> bool:
    return any(f.ok is False for f in findings)


def rounding_of(
    problem, guard, blocks, douts, gradients, rng, eps: float
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """How far the gradients move when every input is moved by about one rounding error, eps.

    Second: of the gradients that move so far that nothing could be told, the entries that do: (bool arrays).
    """
    moved = {name: np.zeros(g.shape) for name, g in gradients.items()}
    for _ in range(2):
        jittered = {
            name: (x * (1 + eps * rng.choice([-1, 1], x.shape))).astype(x.dtype) for name, x in blocks.items()
        }
        try:
            _, cache = call_forward(problem, guard, jittered)
            raw, _ = call_backward(problem, guard, copied(douts), cache)
        except Misbehaved as error:
            if error.final:
                raise
            continue  # an input on the border of the domain, as a probability of 1: the floor must do
        for name, g in gradients.items():
            other = as_float(raw.get(name), g)
            if other.shape == g.shape and np.isfinite(other).all() and np.isfinite(g).all():
                moved[name] = np.maximum(moved[name], np.abs(other - g))
    far = {name: moved[name] > FAR * float(np.abs(g).max(initial=0)) for name, g in gradients.items()}
    rounding = {
        name: max(float(moved[name].max(initial=0)), floor_of(g, eps)) for name, g in gradients.items()
    }
    return rounding, {name: there for name, there in far.items() if there.any()}


def judge_by_noise(problem: Problem, guard: Guard, run: Run, noise: float, rng: np.random.Generator) -> None:
    """Forward turned out to have more noise than float64: judge by that. noise: of the loss."""
    single = float(np.finfo(np.float32).eps)
    run.noisy, run.dtype = True, np.dtype(np.float32)
    run.findings.append(
        remark(
            "the values of forward have more noise than float64 explains",
            more=": float32 inside (allocate with the dtype of the input), or cancellation; "
            "the gradients are judged by that noise",
        )
    )
    # rounding errors of the inputs that would make as much noise (where it is that of many numbers, it cancels
    # in part): a steep function makes much of little, and its gradient has no more than that little
    moves = [g * problem.blocks[name] for name, g in run.gradients.items() if np.isfinite(g).all()]
    reach = float(np.sqrt(sum((m.astype(np.float64) ** 2).sum() for m in moves)))
    eps = min(single, max(EPS, 8 * noise / reach)) if reach > 0 else single
    run.rounding, _ = rounding_of(problem, guard, problem.blocks, run.douts, run.gradients, rng, eps)
