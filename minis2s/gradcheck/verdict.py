"""The verdict on each block: hygiene first, then the gradient beside the numeric one.

Hygiene asks whether there is anything to compare: the right number of gradients, shapes, dtypes, no
nan, the same result when called again, nothing changed that was handed in, no memory shared. What can
still be judged after a fault is judged.

The comparison needs no tolerance to be chosen. Both sides come with an estimate of their own noise:
the numeric one from its method, the other from moving all inputs by one rounding error and looking how
far the gradient moves. A difference far above both is a mistake; where the noise is as large as the
gradient, the verdict is "cannot tell".
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minis2s.gradcheck.causes import Finding, fault, remark
from minis2s.gradcheck.numeric import EPS, Oracle, unit_direction
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem, arrays_inside

RIGHT, WRONG, UNCLEAR, VACUOUS, KINK, MISSING = "right", "wrong", "cannot tell", "vacuous", "kink", "missing"

MARGIN = 100  # how far above the noise a difference must lie; noise is an estimate, rarely wrong by 10
# A mistake in the calculus is larger than this (relative). What lies between the noise and this is
# called right, and said: an epsilon in a logarithm that backward leaves out, or a sum in float32.
SMALLEST_MISTAKE = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-3}
MOST_ENTRIES = 4000  # of a block, for which every entry is measured


@dataclass
class Block:
    """The verdict on the gradient of one input or weight.

    error: max |got - expected| / max(|got|, |expected|), both maxima over the block.
    index: the entry where the two differ most; None where only a direction was tried.
    noise: what rounding and the method may explain of the error, relative too.
    slope: the Taylor exponent (numeric.py): 2 for a right gradient, 1 for a wrong one; None: exact.
    got, expected: the whole block, for the pictures; None where there is none.
    """

    name: str
    verdict: str
    error: float = 0.0
    index: tuple[int, ...] | None = None
    analytic: float = 0.0
    numeric: float = 0.0
    noise: float = 0.0
    slope: float | None = None
    note: str = ""
    got: np.ndarray | None = None
    expected: np.ndarray | None = None

    def __str__(self) -> str:
        place = self.name if self.index is None else f"{self.name}[{', '.join(map(str, self.index))}]"
        if self.verdict == MISSING:
            return f"{self.name}: missing: {self.note}"
        if self.verdict == VACUOUS:
            return f"{self.name}: vacuous: {self.note or 'both gradients are zero, so nothing is proven'}"
        text = f"{place}: {self.verdict}: relative error {self.error:.1e}"
        text += f", backward says {self.analytic:.10g}, differences say {self.numeric:.10g}"
        return f"{text} ({self.note})" if self.note else text


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


# -- hygiene -------------------------------------------------------------------------------------------


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
        findings.append(fault(f"forward changes its input {', '.join(changed)} in place: work on a copy", "aliased"))
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
    douts = [None if n in without else np.asarray(d, dtype=out.dtype) for n, (d, out) in enumerate(zip(upstream, outs, strict=True))]
    handed = [None if d is None else d.copy() for d in douts]
    before = [a.copy() for a in arrays_inside(cache)]
    raw, note = call_backward(problem, guard, handed, cache)
    if note:
        findings.append(fault(note))
    changed = [n for n, (d, h) in enumerate(zip(douts, handed, strict=True)) if d is not None and not same(d, h)]
    if changed:
        name = (problem.out_names[changed[0]] if changed[0] < len(problem.out_names) else "").removesuffix("s").removesuffix("_last")
        says = "backward changes the gradient dout that it is given (an in-place +=): work on a copy"
        findings.append(fault(says, "aliased", f"d{name}" if name else ""))
    shared = memory_shared(raw, handed, cache, given)
    raw = {name: keep(value) for name, value in raw.items()}
    after = arrays_inside(cache)
    if len(before) == len(after) and not all(map(same, before, after)):
        findings.append(
            fault("backward changes its cache: a second call, or a look at the cache afterwards, is wrong", "aliased")
        )
    gradients, missing = {}, {}
    for name, x in problem.blocks.items():
        gradients[name], missing[name] = comparable(name, x, raw, findings)
    gradients = {name: g for name, g in gradients.items() if g is not None}
    missing = {name: why for name, why in missing.items() if why}
    if shared is not None and not any(f.ok is False for f in findings):
        findings.append(shared)

    findings += called_again(problem, guard, blocks, douts, cache, gradients, rng)
    computed = {g.dtype for g in gradients.values()} | {o.dtype for o in outs if o.dtype.kind == "f"}
    single = dtype == np.float64 and np.dtype(np.float32) in computed
    if single:
        findings.append(
            remark("float64 came in, float32 comes out: it is judged by the limits of float32; "
                    "allocate with the dtype of the input (np.zeros_like(x), or dtype=x.dtype)")
        )
    precision = np.dtype(np.float32) if single or np.dtype(dtype) == np.float32 else np.dtype(np.float64)
    rounding = rounding_of(problem, guard, blocks, douts, gradients, rng, precision)
    if guard.printed > 0:
        findings.append(remark(f"it prints ({guard.printed:,} characters so far, not shown here): remove the print calls"))
    misshapen = {name: raw[name] for name in missing if isinstance(raw.get(name), np.ndarray) and raw[name].dtype.kind == "f"}
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
        raise Misbehaved(f"forward returned {name} of dtype {out.dtype}: expected floating-point numbers")
    if not np.isfinite(out).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(out))[0]))
        raise Misbehaved(f"forward returned {out[where]} in {name} at {list(where)}: there is no gradient to check")
    return out


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit, nan included."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


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
            return None, f"the gradient of {name} is a {type(raw[name]).__name__}, not an array of shape {x.shape}"
        if x.ndim:
            findings.append(remark(f"the gradient of {name} is a {type(raw[name]).__name__}, taken as an array"))
    if value.dtype.kind in "iub":
        findings.append(fault(f"the gradient of {name} has dtype {value.dtype}: expected floating-point numbers"))
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
            return fault(f"the gradients of {one} and {other} share their memory: adding to one in place changes the other; return a copy", "aliased", f"d{other}")
    groups = [("the gradient dout", [d for d in douts if d is not None]), ("the cache", arrays_inside(cache))]
    groups.append(("the inputs", list(blocks.values())))
    for name, value in arrays.items():
        for what, others in groups:
            if any(np.may_share_memory(value, a) and np.shares_memory(value, a) for a in others):
                says = f"the gradient of {name} shares its memory with {what}: return an array of its own (x.copy())"
                return remark(says, "aliased")
    return None


def called_again(problem, guard, blocks, douts, cache, gradients, rng) -> list[Finding]:
    """Backward twice on one cache, and after another forward call: both must give what the first call gave."""

    def differing(raw: dict) -> list[str]:
        return [
            name for name, g in gradients.items()
            if not (isinstance(raw.get(name), np.ndarray | np.generic | list) and same(g, as_float(raw[name], g)))
        ]

    found = []
    copies = [None if d is None else d.copy() for d in douts]
    second, _ = call_backward(problem, guard, copies, cache)
    names = differing(second)
    if names:
        doubled = all(np.allclose(as_float(second[n], gradients[n]), 2 * gradients[n], atol=0) for n in names)
        how = ": it is doubled, so the gradients of the first call are still there" if doubled else ""
        found.append(fault(f"calling backward twice gives another gradient of {', '.join(names)} the second time{how}",
            "not cleared" if doubled else "aliased", f"d{names[0].rpartition('.')[2]}",
        ))
    _, cache = call_forward(problem, guard, {name: x.copy() for name, x in blocks.items()})
    other = {name: (x + 0.3 * rng.standard_normal(x.shape)).astype(x.dtype) for name, x in blocks.items()}
    call_forward(problem, guard, other)
    names = differing(call_backward(problem, guard, [None if d is None else d.copy() for d in douts], cache)[0])
    if names and not found:
        found.append(fault(
            f"after another forward call the gradient of {', '.join(names)} is that of the other call: backward must use "
            "its cache only, nothing that is kept between calls", "stale cache", f"d{names[0].rpartition('.')[2]}",
        ))
    return found


def as_float(value, like: np.ndarray) -> np.ndarray:
    try:
        return np.array(value, dtype=like.dtype)
    except (TypeError, ValueError):
        return np.zeros(0)


def rounding_of(problem, guard, blocks, douts, gradients, rng, precision) -> dict[str, float]:
    """How far the gradients move when every input is moved by about one rounding error."""
    eps = float(np.finfo(precision).eps)
    moved = dict.fromkeys(gradients, 0.0)
    for _ in range(2):
        jittered = {name: (x * (1 + eps * rng.choice([-1, 1], x.shape))).astype(x.dtype) for name, x in blocks.items()}
        _, cache = call_forward(problem, guard, jittered)
        raw, _ = call_backward(problem, guard, [None if d is None else d.copy() for d in douts], cache)
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
        remark("forward computes in float32 somewhere inside (its values have that noise): it is judged by the "
                "limits of float32; allocate with the dtype of the input")
    )
    run.rounding = rounding_of(problem, guard, problem.blocks, run.douts, run.gradients, rng, run.dtype)


# -- the comparison --------------------------------------------------------------------------------------


def judge(run: Run, oracle: Oracle, rng: np.random.Generator, *, fast: bool, witness: bool) -> dict[str, Block]:
    """One Block for each block of the problem.

    fast: one random direction for each block instead of every entry. witness: measure the Taylor slope.
    """
    blocks = {}
    for name, x in oracle.blocks.items():
        if name in run.missing:
            blocks[name] = Block(name, MISSING, error=float("inf"), note=run.missing[name])
        elif x.size == 0:
            blocks[name] = Block(name, VACUOUS, note="it has no entries")
        elif fast:
            blocks[name] = judge_direction(name, run, oracle, rng)
        else:
            blocks[name] = judge_entries(name, run, oracle, rng)
        if witness and blocks[name].verdict in (RIGHT, WRONG) and np.isfinite(run.gradients[name]).all():
            direction = unit_direction(x, rng)
            blocks[name].slope = oracle.taylor_slope(name, direction, float((run.gradients[name] * direction).sum()))
    return blocks


def judge_direction(name: str, run: Run, oracle: Oracle, rng: np.random.Generator) -> Block:
    gradient = run.gradients[name]
    direction = unit_direction(gradient, rng)
    numeric, noise = oracle.along(name, direction)
    analytic = float((gradient.astype(np.float64) * direction).sum())
    # by chance a direction may be almost level: then the gradient's usual size is the measure
    usual = float(np.sqrt((gradient.astype(np.float64) ** 2).mean()))
    block = verdict(name, np.asarray(analytic), np.asarray(numeric), noise + run.rounding[name], run.dtype, usual)
    block.index = None
    return block


def judge_entries(name: str, run: Run, oracle: Oracle, rng: np.random.Generator) -> Block:
    got = run.gradients[name].astype(np.float64)
    indices = None
    if got.size > MOST_ENTRIES:
        chosen = rng.choice(got.size, MOST_ENTRIES, replace=False)
        indices = [tuple(map(int, np.unravel_index(n, got.shape))) for n in chosen]
    expected, noise = oracle.gradient(name, indices)
    measured = ~np.isnan(noise)
    block = verdict(name, np.where(measured, got, 0), np.where(measured, expected, 0), float(np.nanmax(noise)) + run.rounding[name], run.dtype)
    if block.verdict == WRONG and oracle.method == "Richardson":
        block = look_for_kinks(block, got, expected, oracle, run)
    block.got, block.expected = got, expected
    return block


def verdict(
    name: str, got: np.ndarray, expected: np.ndarray, noise: float, dtype: np.dtype, usual: float = 0.0
) -> Block:
    """The verdict on two gradients of one shape; `noise` is absolute, `usual` a size to measure errors by."""
    if not np.isfinite(expected).all():
        return Block(name, UNCLEAR, note="the numeric derivative is not finite")
    if not np.isfinite(got).all():
        worst = tuple(map(int, np.argwhere(~np.isfinite(got))[0]))
        return Block(name, WRONG, float("inf"), worst, float(got[worst]), float(expected[worst]))
    gap = np.abs(got - expected)
    scale = max(float(np.abs(got).max()), float(np.abs(expected).max()), usual if np.isfinite(usual) else 0.0)
    worst = tuple(map(int, np.unravel_index(int(gap.argmax()), gap.shape)))
    largest = float(gap.max())
    relative = largest / scale if scale > 0 else 0.0
    block = Block(name, RIGHT, relative, worst, float(got[worst]), float(expected[worst]), noise / scale if scale > 0 else 0.0)
    if scale <= MARGIN * noise or scale < 1e-200:
        block.verdict = VACUOUS if not got.any() or scale <= 1e3 * EPS else UNCLEAR
        block.note = "both gradients are zero up to rounding, so nothing is proven" if block.verdict == VACUOUS else (
            f"the gradient is below the noise of the measurement ({noise:.0e})"
        )
    elif largest > MARGIN * noise and relative > SMALLEST_MISTAKE[dtype]:
        block.verdict = WRONG
    elif MARGIN * noise > 1e-2 * scale:
        block.verdict, block.note = UNCLEAR, f"noise of {noise / scale:.0e} could hide an error of 1 percent"
    elif largest > MARGIN * noise:
        block.note = f"a difference of {relative:.0e} is more than rounding explains: an epsilon that backward leaves out?"
    return block


def look_for_kinks(block: Block, got: np.ndarray, expected: np.ndarray, oracle: Oracle, run: Run) -> Block:
    """Is the disagreement only that the differences step over a kink (of abs, max, relu)?

    Entries that disagree are measured again with a displacement a thousand times smaller, and from each
    side alone. `expected` is corrected in place where the smaller step settles it.
    """
    scale = max(float(np.abs(got).max()), float(np.abs(expected).max()))
    wrong = np.argwhere(np.abs(got - expected) > 1e-6 * scale)
    if len(wrong) > 64:
        return block
    at_kink = 0
    for index in map(tuple, wrong):
        direction = np.zeros(got.shape)
        direction[index] = 1
        near, noise = oracle.real_along(block.name, direction, 1e-5)
        left, right = oracle.one_sided(block.name, direction, 1e-7)
        slack = 1e-4 * scale
        if abs(left - right) > slack and min(left, right) - slack <= got[index] <= max(left, right) + slack:
            at_kink += 1
            expected[index] = got[index]
        else:
            expected[index] = near
    settled = verdict(block.name, got, expected, 1e-9 * scale + run.rounding[block.name], np.dtype(np.float32))
    if settled.verdict == WRONG:
        return block
    if at_kink:
        settled.verdict = KINK
        settled.note = f"{at_kink} entries sit on a kink, where the slopes to the left and right differ: any value between is right"
        return settled
    settled.note = "near a kink: the differences needed a step of 1e-5"
    return settled
