"""What two well-known gradient checks find of the same wrong pairs, in the settings that their users use.

torch      torch.autograd.gradcheck on the pair wrapped in a torch.autograd.Function, with its default eps,
           atol and rtol and torch.randn inputs in double, as in its documentation. It stops at the first
           mismatch and names the index of that input.
cs231n     the habit of the Stanford course's notebooks: eval_numerical_gradient_array for each input, with
           a random upstream gradient, and the largest relative error of any entry. The notebooks expect
           about 1e-8; here over 1e-6 counts as found. Written anew from its description.

Both say "wrong" and in which input's gradient; neither says where inside the operation or why. A place
counts as named when the bug is in the gradient of an input, not further inside, and only that one is named;
where there is but one input with a gradient that is no achievement.

    python benchmarks/gradcheck_rivals.py     prints the table, also of false alarms on right pairs
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import contextlib
import importlib.util
import io
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

MATERIAL = Path(__file__).parent.parent / "tests" / "gradcheck"

BLOCKS = {  # the gradients of each kind, in the order in which backward returns them
    "lstm": "dx dh0 dc0 dWx dWh db",
    "gru": "dx dh0 dWx dWh dbx dbh",
    "rnn": "dx dh0 dWx dWh db",
    "cross_entropy": "dlogits",
    "masked_softmax": "dscores",
    "dot_scores": "dquery dkeys",
    "scaled_dot_scores": "dquery dkeys",
    "general_scores": "dquery dkeys dW",
    "additive_scores": "dquery dkeys dWq dv",
    "weighted_sum": "dweights dvalues",
    "attention": "dquery dmemory dW",
    "dot_attention": "dquery dmemory",
    "additive_attention": "dquery dmemory dkeys dWq dv",
    "embedding": "dW",
    "linear": "dx dW db",
    "dropout": "dx",
    "tanh": "dz",
}


def load(name: str) -> ModuleType:
    """The data module NAME.py of the tests."""
    spec = importlib.util.spec_from_file_location(name, MATERIAL / f"{name}.py")
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


ways = load("ways")


def parts(x: Any) -> list:
    return list(x) if isinstance(x, tuple | list) else [x]


def inputs_named(reason: str) -> set[int]:
    """The indices of the inputs that a reason names."""
    return {int(n) for n in re.findall(r"input (\d+)", reason)}


# -- torch -------------------------------------------------------------------------------------------


def torch_gradcheck_finds(op: Any, inputs: tuple, n_differentiable: int) -> str:
    """What torch.autograd.gradcheck reports of a pair, or "" where it finds nothing."""

    class Pair(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            arrays = [t.detach().numpy() for t in tensors]
            out, ctx.numpy_cache = op.forward(*arrays, *inputs[n_differentiable:])
            ctx.structure = type(out) if isinstance(out, tuple | list) else None
            made = tuple(torch.tensor(np.asarray(part)) for part in parts(out))
            return made if ctx.structure else made[0]

        @staticmethod
        def backward(ctx, *douts):
            arrays = [d.numpy() for d in douts]
            dout = ctx.structure(arrays) if ctx.structure else arrays[0]
            grads = parts(op.backward(dout, ctx.numpy_cache))
            return tuple(torch.tensor(np.asarray(g)) for g in grads)

    tensors = tuple(torch.tensor(a, requires_grad=True) for a in inputs[:n_differentiable])
    try:
        torch.autograd.gradcheck(Pair.apply, tensors)
    except Exception as error:  # noqa: BLE001  a mismatch, or what the pair raised: both are seen
        return str(error) or type(error).__name__
    return ""


# -- CS231n ------------------------------------------------------------------------------------------


def rel_error(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y))))


def eval_numerical_gradient_array(f: Callable, x: np.ndarray, df: list, h: float = 1e-5) -> np.ndarray:
    """Central differences of sum(f(x) * df), entry by entry, x changed in place and put back."""
    grad = np.zeros_like(x)
    for where in np.ndindex(x.shape):
        old = x[where]
        x[where] = old + h
        above = [np.copy(part) for part in f()]
        x[where] = old - h
        below = [np.copy(part) for part in f()]
        x[where] = old
        grad[where] = sum(np.sum((a - b) * d) for a, b, d in zip(above, below, df)) / (2 * h)
    return grad


def cs231n_finds(op: Any, inputs: tuple, n_differentiable: int, threshold: float = 1e-6) -> str:
    """The inputs whose largest relative error is over the threshold, or "" where there is none."""
    inputs = tuple(np.copy(a) if n < n_differentiable else a for n, a in enumerate(inputs))
    rng = np.random.default_rng(231)
    try:
        out, cache = op.forward(*inputs)
        df = [rng.standard_normal(np.shape(part)) for part in parts(out)]
        numeric = [
            eval_numerical_gradient_array(lambda: parts(op.forward(*inputs)[0]), x, df)
            for x in inputs[:n_differentiable]
        ]
        got = parts(op.backward(type(out)(df) if isinstance(out, tuple | list) else df[0], cache))
        found = [rel_error(a, g) for a, g in zip(numeric, got, strict=True)]
    except Exception as error:  # noqa: BLE001  the notebook's cell would show it
        return str(error) or type(error).__name__
    return "; ".join(f"input {n}: {error:.1e}" for n, error in enumerate(found) if not error <= threshold)


# -- inputs as their users take them -----------------------------------------------------------------


def typical_inputs(case: Any, mask: bool, style: str) -> tuple[tuple, int]:
    """Inputs for a case: "randn" for everything, or "linspace" from -0.4 to 0.7; with the mask or without."""
    rng = np.random.default_rng(zlib.crc32(f"{case.kind} {case.name}".encode()))
    args, n = ways.draw_inputs(case.kind, case.forward, case.options, rng)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))

    def fresh(a: np.ndarray) -> np.ndarray:
        if style == "linspace":
            return np.linspace(-0.4, 0.7, num=a.size).reshape(a.shape)
        return torch.randn(a.shape, dtype=torch.double, generator=generator).numpy()

    def other(a: Any) -> Any:
        is_mask = isinstance(a, np.ndarray) and a.dtype == bool and case.kind != "dropout"
        return None if is_mask and not mask else a

    return (*(fresh(a) for a in args[:n]), *(other(a) for a in args[n:])), n


class Setting(NamedTuple):
    finds: Callable[[Any, tuple, int], str]
    mask: bool
    style: str


SETTINGS = {
    "torch gradcheck": Setting(torch_gradcheck_finds, False, "randn"),
    "torch gradcheck, with the mask": Setting(torch_gradcheck_finds, True, "randn"),
    "cs231n, randn": Setting(cs231n_finds, False, "randn"),
    "cs231n, linspace": Setting(cs231n_finds, False, "linspace"),
}


class Count(NamedTuple):
    found: int  # of the cases, how many are called wrong
    place: int  # of those found, how many where the one wrong input is named
    cases: int
    missed: list[str]


def place_is_named(case: Any, reason: str) -> bool:
    """Is exactly one input named, and is the bug in its gradient alone? Never of a case without a label."""
    blocks = BLOCKS[case.kind.removesuffix("_step")].split()
    named = {blocks[n] for n in inputs_named(reason) if n < len(blocks)}
    return len(named) == 1 and getattr(case, "node", "") in blocks and named <= set(case.nodes)


def rivals_table(cases: list) -> dict[str, Count]:
    """What each rival finds of the cases: with name, kind, forward, backward, options (node, nodes)."""
    table = {}
    for label, setting in SETTINGS.items():
        reasons = {}
        for case in cases:
            with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                inputs, n = typical_inputs(case, setting.mask, setting.style)
                reasons[f"{case.kind}: {case.name}"] = setting.finds(case, inputs, n)
        found = [case for case, reason in zip(cases, reasons.values()) if reason]
        place = sum(place_is_named(case, reasons[f"{case.kind}: {case.name}"]) for case in found)
        missed = [name for name, reason in reasons.items() if not reason]
        table[label] = Count(len(found), place, len(cases), missed)
    return table


def main() -> None:
    wrong, right = load("student_bugs").BUGS, ways.RIGHT
    of_wrong, of_right = rivals_table(wrong), rivals_table(right)
    print(
        f"| rival | found, of {len(wrong)} wrong | place named | cause named "
        f"| false alarms, of {len(right)} right |"
    )
    print("|---|---|---|---|---|")
    for label, count in of_wrong.items():
        print(f"| {label} | {count.found} | {count.place} | 0 | {of_right[label].found} |")
    for label, count in of_wrong.items():
        print(f"\n{label}, not found: {', '.join(count.missed)}")
        alarms = [f"{w.kind}: {w.name}" for w in right if f"{w.kind}: {w.name}" not in of_right[label].missed]
        print(f"{label}, false alarms: {', '.join(alarms)}")


if __name__ == "__main__":
    main()
