"""One forward and backward pass of a problem, and whether what came out can be compared at all.

`call_forward` and `call_backward` are the only ways in which the code under test is called; `check_out`
and `comparable` look at what it returned: types, shapes, dtypes, nan.
"""

from dataclasses import dataclass, field

import numpy as np

from minis2s.gradcheck.causes import Finding, Note, fault, remark
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem

TRANSPOSED = "it is transposed"  # of a gradient that came in another shape


@dataclass
class Run:
    """One forward and backward pass of a problem, as the hygiene saw it."""

    outs: list[np.ndarray]
    douts: list
    gradients: dict[str, np.ndarray]  # those that can be compared
    missing: dict[str, Note]  # block name -> why it cannot be compared
    misshapen: dict[str, np.ndarray]  # of these, the arrays that came in another shape
    findings: list[Finding]
    rounding: dict[str, float]  # per block, how far one rounding error of the inputs moves its gradient
    dtype: np.dtype  # the precision in which the code computed
    changing: frozenset[str] = frozenset()  # blocks whose gradients are others from call to call
    jumps: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # where one rounding error moves a gradient far
    noisy: bool = False  # float64 comes out, with more noise in it than float64 has


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
            f"forward returned {name} of dtype {out.dtype}: expected floating-point numbers",
            "; look for rounding, a comparison, or an array made with dtype=int",
        )
    if not np.isfinite(out).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(out))[0]))
        raise Misbehaved(
            f"forward returned {out[where]} in {name} at {list(where)}", ": there is no gradient to check"
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


def comparable(
    name: str, x: np.ndarray, raw: dict, findings: list[Finding]
) -> tuple[np.ndarray | None, Note | None]:
    """(the gradient as an array of x's shape, None) or (None, why not); adds findings on the way."""
    if name not in raw:
        return None, Note(f"backward returned no gradient of {name}")
    value = raw[name]
    if value is None:
        return None, Note(f"the gradient of {name} is None: backward must return an array of shape {x.shape}")
    if isinstance(value, np.ma.MaskedArray):
        findings.append(fault(f"the gradient of {name} is a masked array", more=": return a plain array"))
        value = value.filled(np.nan)
    if not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            return None, Note(
                f"the gradient of {name} is a {type(raw[name]).__name__}, not an array of shape {x.shape}"
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
        return None, Note(f"the gradient of {name} has dtype {value.dtype}: expected floating-point numbers")
    if value.shape != x.shape:
        why = f"the gradient of {name} has shape {value.shape}, expected {x.shape}, the shape of {name}"
        tells = ""
        if value.ndim == 2 and value.T.shape == x.shape:
            tells = TRANSPOSED
        elif value.ndim > x.ndim and value.shape[value.ndim - x.ndim :] == x.shape:
            tells = "the sum over the other axes is missing"
        elif value.size == x.size:
            tells = "the same number of entries in another arrangement"
        return None, Note(why, tells=tells)
    if not np.isfinite(value).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(value))[0]))
        findings.append(fault(f"the gradient of {name} is {value[where]} at {list(where)}"))
    return np.array(value), None


def as_float(value, like: np.ndarray) -> np.ndarray:
    try:
        if isinstance(value, np.ma.MaskedArray):
            value = value.filled(np.nan)
        return np.array(value, dtype=like.dtype)
    except (TypeError, ValueError):
        return np.zeros(0)


def floor_of(gradient: np.ndarray, eps: float) -> float:
    """The least rounding that a gradient may have."""
    floor = 4 * eps * float(np.abs(gradient).max(initial=0))
    return floor if np.isfinite(floor) else 0.0
