"""The fused kernels are the lines of functional/: the same numbers, each sign of them needed, nobody waits.

They run on the strict stand-in for CuPy, which evaluates their lines with NumPy, and once more on CuPy
where there is a GPU.
"""

import re

import numpy as np
import pytest

from minis2s import kernels
from minis2s.functional import OPS
from minis2s.kernels import Kernel, RowSum, cross_entropy, gru, lstm

T, B, D, H, V = 5, 7, 4, 6, 11  # T, B and H with room for columns to be mixed up
TOLERANCE = {np.float64: 1e-13, np.float32: 2e-6}
ALL = {
    f"{module.__name__.rpartition('.')[2]}.{name}": (module, name)
    for module in (lstm, gru, cross_entropy)
    for name, value in vars(module).items()
    if isinstance(value, Kernel | RowSum)
}


@pytest.fixture(params=["stand-in", pytest.param("CuPy", marks=pytest.mark.gpu)])
def device_xp(request):
    return request.getfixturevalue("strict_xp" if request.param == "stand-in" else "gpu")


def make_cases() -> dict[str, tuple[str, tuple]]:
    """name: (operation, arguments of forward), in float64."""
    rng = np.random.default_rng(0)
    ragged = np.arange(T)[:, None] < np.array([5, 1, 3, 0, 5, 2, 4])
    x, ids = rng.normal(size=(T, B, D)), rng.integers(0, D, (T, B))
    found = {}
    for name, states, gates, biases, forms in (
        ("lstm", 2, 4, 1, {"": ()}),
        ("gru", 1, 3, 2, {" after": (True,), " before": (False,)}),
    ):
        state = [rng.normal(size=(B, H)) for _ in range(states)]
        W = [rng.normal(size=(n, gates * H)) for n in (D, H)]
        b = [rng.normal(size=gates * H) for _ in range(biases)]
        for form, options in forms.items():
            for said, mask in (("", None), (", ragged", ragged), (", padding first", ragged[::-1])):
                found[f"{name}{form}{said}"] = (name, (x, *state, *W, *b, mask, *options))
                mask = None if mask is None else mask[2]
                found[f"{name}_step{form}{said}"] = (f"{name}_step", (x[2], *state, *W, *b, mask, *options))
            found[f"{name}{form}, ids"] = (name, (ids, *state, *W, *b, ragged, *options))
    logits, targets = 3 * rng.normal(size=(T, B, V)), rng.integers(0, V, (T, B))
    for smoothing in (0.0, 0.2):
        for reduction in ("mean", "sum"):
            arguments = (logits, targets, ragged, smoothing, reduction)
            found[f"cross_entropy, {smoothing}, {reduction}"] = ("cross_entropy", arguments)
    found["cross_entropy, no mask"] = ("cross_entropy", (logits, targets))
    return found


CASES = make_cases()


def cast(x, dtype):
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x


def moved(x, xp):
    """Every NumPy array in a nest of tuples, on the device."""
    if isinstance(x, tuple):
        return tuple(moved(part, xp) for part in x)
    return xp.asarray(x) if isinstance(x, np.ndarray) else x


def leaves(x) -> list:
    """The arrays in a nest of tuples, on the host; numbers and None are left out."""
    if isinstance(x, tuple):
        return [leaf for part in x for leaf in leaves(part)]
    if isinstance(x, np.ndarray | np.generic):
        return [np.asarray(x)]
    return [x.get()] if hasattr(x, "get") else []


def upstream(out, rng: np.random.Generator):
    if isinstance(out, tuple):
        return tuple(upstream(part, rng) for part in out)
    return rng.normal(size=np.shape(out)).astype(np.asarray(out).dtype)


def error(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest number of each array; inf for another shape or dtype."""
    assert len(found) == len(expected) > 0
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return np.inf
        if b.dtype.kind == "f":
            difference = np.abs(a - b).max(initial=0) / (1 + np.abs(b).max(initial=0))
            worst = max(worst, np.inf if np.isnan(difference) else float(difference))
    return worst


def on_both(name: str, xp, dtype=np.float64) -> float:
    """How far forward, its cache and backward on `xp` are from NumPy's."""
    op, inputs = OPS[CASES[name][0]], tuple(cast(x, dtype) for x in CASES[name][1])
    out, cache = op.forward(*inputs)
    dout = upstream(out, np.random.default_rng(1))
    device_out, device_cache = op.forward(*moved(inputs, xp))
    expected = leaves((out, tuple(cache), op.backward(dout, cache)))
    return error(
        leaves((device_out, tuple(device_cache), op.backward(moved(dout, xp), device_cache))), expected
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_kernels_give_the_numbers_of_the_readable_lines(device_xp, name, dtype):
    """Outputs, what the cache holds, gradients; with the dtypes."""
    slack = 1 if hasattr(device_xp, "transfers") else 10  # a GPU's products add up in another order
    assert on_both(name, device_xp, dtype) <= slack * TOLERANCE[dtype]


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("name", ["lstm, ragged", "gru after, ragged", "gru before, ragged"])
def test_gradients_that_are_none(device_xp, name, which):
    """A part of dout may be None, for zero."""
    op, inputs = OPS[CASES[name][0]], CASES[name][1]
    out, cache = op.forward(*inputs)
    dout = upstream(out, np.random.default_rng(1))
    dout = tuple(None if n == which % len(dout) else d for n, d in enumerate(dout))
    _, device_cache = op.forward(*moved(inputs, device_xp))
    found = op.backward(moved(dout, device_xp), device_cache)
    assert error(leaves(found), leaves(op.backward(dout, cache))) <= 1e-13


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_large_logits_neither_overflow_nor_lose_the_loss(device_xp, scale):
    """A row is shifted by its largest logit before anything is taken of it."""
    op = OPS["cross_entropy"]
    rng = np.random.default_rng(2)
    logits, targets = scale + rng.normal(size=(T, B, V)), rng.integers(0, V, (T, B))
    expected, cache = op.forward(logits - scale, targets, None, 0.1)
    found, device_cache = op.forward(*moved((logits, targets), device_xp), None, 0.1)
    assert abs(float(found) - expected) <= 1e-9
    assert error(leaves(op.backward(1.0, device_cache)), leaves(op.backward(1.0, cache))) <= 1e-9


# -- on the stand-in alone: what ran, what crossed, whether the tests above could fail ------------


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_one_kernel_and_nobody_waits(strict_xp, name):
    """Two for a GRU whose reset comes before its second product."""
    op, inputs = OPS[CASES[name][0]], moved(CASES[name][1], strict_xp)
    transfers = strict_xp.transfers
    transfers.reset()
    out, cache = op.forward(*inputs)
    forward = list(transfers.kernels)
    assert transfers.events == []
    dout = moved(
        upstream(OPS[CASES[name][0]].forward(*CASES[name][1])[0], np.random.default_rng(1)), strict_xp
    )
    transfers.reset()
    op.backward(dout, cache)
    assert transfers.events == []
    if op.name == "cross_entropy":
        smoothed = CASES[name][1][3:4] == (0.2,)
        assert len(forward) == 3 + smoothed and len(transfers.kernels) == 1
    else:
        steps, each = (1 if "step" in op.name else T), (2 if "before" in name else 1)
        assert len(forward) == len(transfers.kernels) == steps * each
        assert len(set(forward)) == len(set(transfers.kernels)) == each


def test_numpy_arrays_meet_no_kernel(strict_xp):
    for op_name, inputs in CASES.values():
        out, cache = OPS[op_name].forward(*inputs)
        OPS[op_name].backward(upstream(out, np.random.default_rng(1)), cache)
    assert strict_xp.transfers.kernels == []
    assert not kernels.fused(np) and kernels.fused(strict_xp)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_central_differences(strict_xp, name):
    """With nothing of NumPy's lines in it: the derivative of the kernels' own forward, along random directions."""
    op, inputs = OPS[CASES[name][0]], CASES[name][1]
    rng = np.random.default_rng(3)
    count = sum(isinstance(x, np.ndarray) and x.dtype == np.float64 for x in inputs)
    first = int(inputs[0].dtype.kind == "i")  # ids have no gradient
    out, cache = op.forward(*moved(inputs, strict_xp))
    dout = upstream(op.forward(*inputs)[0], rng)
    gradients = op.backward(moved(dout, strict_xp), cache)
    gradients = (gradients if isinstance(gradients, tuple) else (gradients,))[first:]
    assert len(gradients) == count

    def loss(arguments) -> float:
        out, _ = op.forward(*moved(tuple(arguments), strict_xp))
        return sum(float((a * d).sum()) for a, d in zip(leaves(out), leaves(dout), strict=True))

    for n, gradient in enumerate(gradients, start=first):
        direction, step = rng.normal(size=inputs[n].shape), 1e-5
        ahead, behind = list(inputs), list(inputs)
        ahead[n], behind[n] = inputs[n] + step * direction, inputs[n] - step * direction
        expected = (loss(ahead) - loss(behind)) / (2 * step)
        assert (gradient.get() * direction).sum() == pytest.approx(expected, rel=1e-7, abs=1e-7)


def changed(text: str) -> list[str]:
    """`text` with one slip each: another sign, another constant, a condition turned round, a name exchanged."""
    slips = [(r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "), (r"T\(0\.5\)", "T(0.25)"), (r" / ", " * ")]
    slips += [(r"T\(0\)", "T(1)"), (r"real \?", "!real ?"), (r"==", "!="), (r"tanh\(", "("), (r"exp\(", "(")]
    slips += [(r"\b(?:gate|zh|dz|dzx|dzh)_[a-z]+\b(?! =)", None)]
    found = []
    code = re.sub(r"//[^\n]*", lambda m: " " * len(m[0]), text)
    for pattern, new in slips:
        for match in re.finditer(pattern, code):
            put = new if new is not None else f"({match[0]} * T(1.5))"
            found.append(code[: match.start()] + put + code[match.end() :])
    return found


@pytest.mark.parametrize("kernel", ALL)
def test_every_slip_in_a_kernel_is_noticed(strict_xp, monkeypatch, kernel):
    """The tests above can fail: change any sign, constant, condition or gate in the lines, and a case differs."""
    module, name = ALL[kernel]
    right = getattr(module, name)
    field = "lines" if isinstance(right, Kernel) else "expression"
    wrong = changed(getattr(right, field))
    assert len(wrong) >= 1
    mine = module.__name__.rpartition(".")[2]
    names = [case for case, (op, _) in CASES.items() if op.removesuffix("_step") == mine]
    for lines in wrong:
        monkeypatch.setattr(module, name, right._replace(**{field: lines}))
        assert any(not on_both(case, strict_xp) <= 1e-6 for case in names), lines
    monkeypatch.undo()


def test_a_mask_must_be_boolean(strict_xp):
    """As CuPy says it: its kernels do not convert."""
    op, inputs = OPS["lstm_step"], moved(CASES["lstm_step, ragged"][1], strict_xp)
    with pytest.raises(TypeError, match="mismatched. real"):
        op.forward(*inputs[:-1], inputs[-1].astype(np.int64))
