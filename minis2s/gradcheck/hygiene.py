"""Hygiene before the verdict: is there anything to compare, and does the code behave as a function?

The right number of gradients, shapes, dtypes, no nan, the same result when called again, nothing changed
that was handed in, no memory shared. What can still be judged after a fault is judged.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minis2s.gradcheck.causes import Finding, fault, remark
from minis2s.gradcheck.numeric import EPS
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem, TooSlow, arrays_inside


@dataclass
class Run:
    """One forward and backward pass of a problem, as the hygiene saw it."""

    outs: list[np.ndarray]
    douts: list
    gradients: dict[str, np.ndarray]  # those that can be compared
    missing: dict[str, str]  # block name -> why it cannot be compared
    misshapen: dict[str, np.ndarray]  # of these, the arrays that came in another shape
    findings: list[Finding]
    rounding: dict[str, float]  # per block, how far one rounding error of the inputs moves its gradient
    dtype: np.dtype  # the precision in which the code computed


def given_gradients(problem: Problem, guard: Guard) -> Run:
    """The Run of a problem whose gradients are known beforehand: only what must be so is looked at."""
    findings: list[Finding] = []
    values = []
    for _ in range(2):
        outs, _ = call_forward(problem, guard, {name: x.copy() for name, x in problem.blocks.items()})
        values.append(check_out(problem, 0, outs[0]))
    if not same(*values):
        raise Misbehaved("two calls of the loss gave two values: fix every random choice in it first")
    raw, _ = problem.backward([np.ones(())], None)
    gradients, missing = {}, {}
    for name, x in problem.blocks.items():
        gradients[name], missing[name] = comparable(name, x, raw, findings)
    gradients = {name: g for name, g in gradients.items() if g is not None}
    rounding = {name: 16 * EPS * float(np.abs(g).max(initial=0)) for name, g in gradients.items()}
    rounding = {name: r if np.isfinite(r) else 0.0 for name, r in rounding.items()}
    missing = {name: why for name, why in missing.items() if why}
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
    given = {name: x.copy() for name, x in blocks.items()}
    outs, cache = call_forward(problem, guard, given)
    changed = [name for name in blocks if not same(blocks[name], given[name])]
    if changed:
        findings.append(
            fault(f"forward changes its input {', '.join(changed)} in place: work on a copy", "aliased")
        )
        given = {name: x.copy() for name, x in blocks.items()}
        outs, cache = call_forward(problem, guard, given)
    outs = [check_out(problem, n, out) for n, out in enumerate(outs)]
    again, _ = call_forward(problem, guard, {name: x.copy() for name, x in blocks.items()})
    if not all(same(a, np.asarray(b)) for a, b in zip(outs, again, strict=False)):
        raise Misbehaved(
            "two calls of forward with the same inputs give two results: fix every random choice (hand the dropout "
            "mask in, or seed its generator anew at each call), and keep nothing between calls"
        )
    outs = [out.copy() for out in outs]  # a later call may write into the same memory

    upstream = [rng.standard_normal(out.shape) for out in outs]
    douts = [
        None if n in without else np.asarray(d, dtype=out.dtype)
        for n, (d, out) in enumerate(zip(upstream, outs, strict=True))
    ]
    handed = [None if d is None else d.copy() for d in douts]
    before = [a.copy() for a in arrays_inside(cache)]
    raw, note = call_backward(problem, guard, handed, cache)
    if note:
        findings.append(fault(note))
    changed = [
        n for n, (d, h) in enumerate(zip(douts, handed, strict=True)) if d is not None and not same(d, h)
    ]
    if changed:
        name = (
            (problem.out_names[changed[0]] if changed[0] < len(problem.out_names) else "")
            .removesuffix("s")
            .removesuffix("_last")
        )
        says = "backward changes the gradient dout that it is given (an in-place +=): work on a copy"
        findings.append(fault(says, "aliased", f"d{name}" if name else ""))
    shared = memory_shared(raw, handed, cache, given)
    returned, raw = raw, {name: keep(value) for name, value in raw.items()}
    after = arrays_inside(cache)
    if len(before) == len(after) and not all(map(same, before, after)):
        findings.append(
            fault(
                "backward changes its cache: a second call, or a look at the cache afterwards, is wrong",
                "aliased",
            )
        )
    gradients, missing = {}, {}
    for name, x in problem.blocks.items():
        gradients[name], missing[name] = comparable(name, x, raw, findings)
    gradients = {name: g for name, g in gradients.items() if g is not None}
    missing = {name: why for name, why in missing.items() if why}
    if shared is not None and not any(f.ok is False for f in findings):
        findings.append(shared)

    findings += called_again(problem, guard, blocks, douts, cache, gradients, returned, rng)
    computed = {g.dtype for g in gradients.values()} | {o.dtype for o in outs if o.dtype.kind == "f"}
    coarsest = max(computed | {np.dtype(dtype)}, key=lambda d: np.finfo(d).eps)
    if dtype == np.float64 and coarsest.itemsize < 8:
        findings.append(
            remark(
                f"float64 came in, {coarsest} comes out: it is judged by the limits of {coarsest}; "
                "allocate with the dtype of the input (np.zeros_like(x), or dtype=x.dtype)"
            )
        )
    # a mistake of calculus in float16 is no smaller than in float32; only the rounding is larger
    precision = np.dtype(np.float32 if coarsest.itemsize < 8 else np.float64)
    eps = max(EPS, float(np.finfo(coarsest).eps))
    rounding = rounding_of(problem, guard, blocks, douts, gradients, rng, eps)
    if not any(f.ok is False for f in findings):
        # several calls were made since: a buffer that only some of them use shows now, too
        overwritten = [
            name
            for name, g in gradients.items()
            if isinstance(returned[name], np.ndarray) and not same(g, as_float(returned[name], g))
        ]
        findings += [one_buffer(overwritten)] if overwritten else []
    if guard.printed > 0:
        findings.append(
            remark(f"it prints ({guard.printed:,} characters so far, not shown here): remove the print calls")
        )
    misshapen = {
        name: raw[name]
        for name in missing
        if isinstance(raw.get(name), np.ndarray) and raw[name].dtype.kind == "f"
    }
    return Run(outs, douts, gradients, missing, misshapen, findings, rounding, precision)


def call_forward(problem: Problem, guard: Guard, blocks: dict) -> tuple[list, object]:
    with guard.watching("forward"):
        return problem.forward(blocks)


def call_backward(problem: Problem, guard: Guard, douts: list, cache) -> tuple[dict, str]:
    with guard.watching("backward"):
        return problem.backward(douts, cache)


def check_out(problem: Problem, n: int, out) -> np.ndarray:
    name = problem.out_names[n] if n < len(problem.out_names) else f"output {n}"
    if not isinstance(out, np.ndarray | np.generic | float | int):
        raise Misbehaved(f"forward returned a {type(out).__name__} as {name}: expected a NumPy array")
    out = np.asarray(out)
    if out.dtype.kind not in "fc":
        raise Misbehaved(
            f"forward returned {name} of dtype {out.dtype}: expected floating-point numbers; "
            "look for rounding, a comparison, or an array made with dtype=int"
        )
    if not np.isfinite(out).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(out))[0]))
        raise Misbehaved(
            f"forward returned {out[where]} in {name} at {list(where)}: there is no gradient to check"
        )
    return out


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit, nan included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "fc" and a.dtype.itemsize not in (2, 4, 8) and a.dtype != np.complex128:
        return np.array_equal(a, b, equal_nan=True)  # a longdouble has bytes that mean nothing
    return a.tobytes() == b.tobytes()


def keep(value):
    return value.copy() if isinstance(value, np.ndarray) else value


def comparable(name: str, x: np.ndarray, raw: dict, findings: list[Finding]) -> tuple[np.ndarray | None, str]:
    """(the gradient as an array of x's shape, "") or (None, why not); adds findings on the way."""
    if name not in raw:
        return None, f"backward returned no gradient of {name}"
    value = raw[name]
    if value is None:
        return None, f"the gradient of {name} is None: backward must return an array of shape {x.shape}"
    if isinstance(value, np.ma.MaskedArray):
        findings.append(fault(f"the gradient of {name} is a masked array: return a plain array"))
        value = value.filled(np.nan)
    if not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            return (
                None,
                f"the gradient of {name} is a {type(raw[name]).__name__}, not an array of shape {x.shape}",
            )
        if x.ndim:
            findings.append(
                remark(f"the gradient of {name} is a {type(raw[name]).__name__}, taken as an array")
            )
    if value.dtype.kind in "iub":
        findings.append(
            fault(f"the gradient of {name} has dtype {value.dtype}: expected floating-point numbers")
        )
        value = value.astype(np.float64)
    if value.dtype.kind != "f":
        return None, f"the gradient of {name} has dtype {value.dtype}: expected floating-point numbers"
    if value.shape != x.shape:
        why = f"the gradient of {name} has shape {value.shape}, expected {x.shape}, the shape of {name}"
        if value.ndim == 2 and value.T.shape == x.shape:
            why += ": it is transposed"
        elif value.ndim > x.ndim and value.shape[value.ndim - x.ndim :] == x.shape:
            why += ": the sum over the other axes is missing"
        elif value.size == x.size:
            why += ": the same number of entries in another arrangement"
        return None, why
    if not np.isfinite(value).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(value))[0]))
        findings.append(fault(f"the gradient of {name} is {value[where]} at {list(where)}"))
    return np.array(value), ""


def memory_shared(raw: dict, douts: list, cache, blocks: dict) -> Finding | None:
    """Where a gradient is a view of something else: adding to it in place would change that too."""
    arrays = {name: value for name, value in raw.items() if isinstance(value, np.ndarray) and value.size}
    for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
        if np.may_share_memory(a, b) and np.shares_memory(a, b):
            return fault(
                f"the gradients of {one} and {other} share their memory: adding to one in place changes the other; return a copy",
                "aliased",
                f"d{other}",
            )
    groups = [("the gradient dout", [d for d in douts if d is not None]), ("the cache", arrays_inside(cache))]
    groups.append(("the inputs", list(blocks.values())))
    for name, value in arrays.items():
        for what, others in groups:
            if any(np.may_share_memory(value, a) and np.shares_memory(value, a) for a in others):
                says = f"the gradient of {name} shares its memory with {what}: return an array of its own (x.copy())"
                return remark(says, "aliased")
    return None


def called_again(problem, guard, blocks, douts, cache, gradients, returned, rng) -> list[Finding]:
    """Backward twice on one cache, and after another forward call: both must give what the first call gave.

    returned: what the first call returned, the arrays themselves: no later call may write into them.
    """

    def differing(raw: dict) -> list[str]:
        return [
            name
            for name, g in gradients.items()
            if not (
                isinstance(raw.get(name), np.ndarray | np.generic | list) and same(g, as_float(raw[name], g))
            )
        ]

    found = []
    copies = [None if d is None else d.copy() for d in douts]
    second, _ = call_backward(problem, guard, copies, cache)
    names = differing(second)
    arrays = {
        n: x
        for n, x in returned.items()
        if isinstance(x, np.ndarray) and isinstance(second.get(n), np.ndarray)
    }
    reused = [n for n, x in arrays.items() if x.size and np.shares_memory(x, second[n])]
    if reused and not names:
        found.append(one_buffer(reused))
    if names:
        doubled = all(np.allclose(as_float(second[n], gradients[n]), 2 * gradients[n], atol=0) for n in names)
        how = ": it is doubled, so the gradients of the first call are still there" if doubled else ""
        found.append(
            fault(
                f"calling backward twice gives another gradient of {', '.join(names)} the second time{how}",
                "not cleared" if doubled else "aliased",
                f"d{names[0].rpartition('.')[2]}",
            )
        )
    _, cache = call_forward(problem, guard, {name: x.copy() for name, x in blocks.items()})
    try:
        call_forward(problem, guard, {name: elsewhere(x, rng) for name, x in blocks.items()})
    except Misbehaved as error:
        if isinstance(error, TooSlow) or isinstance(error.__cause__, SystemExit):
            raise
        found.append(
            remark(
                f"at inputs up to a third smaller {error}; whether backward survives another forward call is not known"
            )
        )
    problem.put(blocks)  # a layer's weights are no state: backward may read them
    names = differing(
        call_backward(problem, guard, [None if d is None else d.copy() for d in douts], cache)[0]
    )
    if names and not any(f.ok is False for f in found):
        found.append(
            fault(
                f"after another forward call the gradient of {', '.join(names)} is that of the other call: backward must use "
                "its cache only, nothing that is kept between calls",
                "stale cache",
                f"d{names[0].rpartition('.')[2]}",
            )
        )
    return found


def one_buffer(names: list[str]) -> Finding:
    says = (
        f"later calls write the gradient of {', '.join(names)} into the same buffer: the one that an earlier call "
        "returned changes with it; make new arrays in each call"
    )
    return fault(says, "aliased", f"d{names[0].rpartition('.')[2]}")


def elsewhere(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other values for a block: shrunk, so that what must be positive or below 1 stays so."""
    moved = x * (1 - 0.3 * rng.random(x.shape)) if x.any() else 0.3 * rng.standard_normal(x.shape)
    return np.asarray(moved, dtype=x.dtype)


def as_float(value, like: np.ndarray) -> np.ndarray:
    try:
        if isinstance(value, np.ma.MaskedArray):
            value = value.filled(np.nan)
        return np.array(value, dtype=like.dtype)
    except (TypeError, ValueError):
        return np.zeros(0)


def rounding_of(problem, guard, blocks, douts, gradients, rng, eps: float) -> dict[str, float]:
    """How far the gradients move when every input is moved by about one rounding error, eps."""
    moved = dict.fromkeys(gradients, 0.0)
    for _ in range(2):
        jittered = {
            name: (x * (1 + eps * rng.choice([-1, 1], x.shape))).astype(x.dtype) for name, x in blocks.items()
        }
        try:
            _, cache = call_forward(problem, guard, jittered)
            raw, _ = call_backward(problem, guard, [None if d is None else d.copy() for d in douts], cache)
        except Misbehaved as error:
            if isinstance(error, TooSlow) or isinstance(error.__cause__, SystemExit):
                raise
            continue  # an input on the border of the domain, as a probability of 1: the floor must do
        for name, g in gradients.items():
            other = as_float(raw.get(name), g)
            if other.shape == g.shape and np.isfinite(other).all() and g.size:
                moved[name] = max(moved[name], float(np.abs(other - g).max()))
    floor = {name: 4 * eps * float(np.abs(g).max(initial=0)) for name, g in gradients.items()}
    return {name: max(moved[name], floor[name] if np.isfinite(floor[name]) else 0.0) for name in gradients}


def judge_as_single(problem: Problem, guard: Guard, run: Run, rng: np.random.Generator) -> None:
    """Forward turned out to have the noise of float32, though float64 comes out: judge by that."""
    run.dtype = np.dtype(np.float32)
    run.findings.append(
        remark(
            "forward computes in float32 somewhere inside (its values have that noise): it is judged by the "
            "limits of float32; allocate with the dtype of the input"
        )
    )
    run.rounding = rounding_of(
        problem, guard, problem.blocks, run.douts, run.gradients, rng, float(np.finfo(np.float32).eps)
    )
