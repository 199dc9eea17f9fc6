"""The numeric check finds wrong gradients, accepts right ones, and refuses to guess."""

import numpy as np
import pytest

from minis2s.functional import OPS
from minis2s.gradcheck import Block, check_loss, check_op, require
from minis2s.gradcheck.legacy import derivative
from minis2s.op import Op


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def linear_inputs() -> tuple[np.ndarray, ...]:
    r = rng()
    return r.standard_normal((4, 3, 5)), r.standard_normal((5, 2)), r.standard_normal(2)


def broken_linear(break_) -> Op:
    """linear, with its gradients (dx, dW, db) passed through `break_`."""
    good = OPS["linear"]
    return Op("linear", good.forward, lambda dout, cache: break_(*good.backward(dout, cache)))


def test_derivative_of_known_functions():
    for f, expected in ((np.exp, 1.0), (np.sin, 1.0), (lambda s: 3 * s**2 - 2 * s, -2.0)):
        assert abs(derivative(lambda s, f=f: f(s) - f(-s)) - expected) <= 1e-12


def test_a_right_gradient_passes():
    require(check_op(OPS["linear"], linear_inputs(), 3, rng=rng()), 1e-11)


def test_the_inputs_are_not_changed():
    inputs = linear_inputs()
    before = [x.tobytes() for x in inputs]
    check_op(OPS["linear"], inputs, 3, rng=rng())
    assert [x.tobytes() for x in inputs] == before


@pytest.mark.parametrize(
    ("break_", "block"),
    [
        (lambda dx, dW, db: (-dx, dW, db), "x"),
        (lambda dx, dW, db: (dx * (1 + 1e-6), dW, db), "x"),
        (lambda dx, dW, db: (dx, dW * (np.arange(dW.size) != 3).reshape(dW.shape), db), "W"),
        (lambda dx, dW, db: (dx, dW, db / 12), "b"),
        (lambda dx, dW, db: (dx, dW, np.zeros_like(db)), "b"),
        (lambda dx, dW, db: (dx, dW, np.full_like(db, np.nan)), "b"),
        (lambda dx, dW, db: (dx, dW, np.full_like(db, np.inf)), "b"),
    ],
    ids=["sign", "a millionth", "one entry", "mean over the rows", "zero", "nan", "inf"],
)
def test_a_wrong_gradient_is_found_in_its_block_and_only_there(break_, block):
    blocks = check_op(broken_linear(break_), linear_inputs(), 3, rng=rng())
    assert {name for name, b in blocks.items() if not b.error <= 1e-8} == {block}
    with pytest.raises(AssertionError, match=f"linear: {block}"):
        require(blocks, 1e-8)


def test_the_worst_entry_is_named():
    def break_(dx, dW, db):
        dW[3, 1] += 5
        return dx, dW, db

    worst = check_op(broken_linear(break_), linear_inputs(), 3, rng=rng())["W"]
    assert worst.index == (3, 1) and abs(worst.analytic - worst.numeric - 5) <= 1e-9
    assert str(worst).startswith("linear: W[3, 1]: relative error")


def test_wrong_shapes_counts_and_dtypes_are_refused():
    inputs = linear_inputs()
    with pytest.raises(ValueError, match="returned 2 gradients, expected 3"):
        check_op(broken_linear(lambda dx, dW, db: (dx, dW)), inputs, 3, rng=rng())
    with pytest.raises(ValueError, match=r"gradient of W must have shape \(5, 2\), got shape \(2, 5\)"):
        check_op(broken_linear(lambda dx, dW, db: (dx, dW.T, db)), inputs, 3, rng=rng())
    with pytest.raises(ValueError, match="gradient of b must have shape .* got None"):
        check_op(broken_linear(lambda dx, dW, db: (dx, dW, None)), inputs, 3, rng=rng())
    with pytest.raises(ValueError, match="x must be float64 to be checked, got float32"):
        check_op(OPS["linear"], [x.astype(np.float32) for x in inputs], 3, rng=rng())


def test_a_block_without_any_gradient_is_refused():
    x, W, b = linear_inputs()
    with pytest.raises(ValueError, match="linear: x: .* vacuous"):
        check_op(OPS["linear"], (x, np.zeros_like(W), b), 3, rng=rng())


def test_require_is_not_fooled_by_nan_or_by_nothing():
    with pytest.raises(AssertionError):
        require({"W": Block("W", float("nan"), None, 0.0, 0.0)}, 1.0)
    with pytest.raises(AssertionError, match="no block"):
        require({}, 1.0)


class TinyModel:
    """loss = sum((x W1 + b1)^2 * W2), with its gradients by hand."""

    def __init__(self):
        r = rng()
        self.x = r.standard_normal((3, 4))
        self.parameters = {
            "W1": r.standard_normal((4, 2)),
            "b1": r.standard_normal(2),
            "W2": r.standard_normal(2),
        }

    def loss(self) -> float:
        p = self.parameters
        return (((self.x @ p["W1"] + p["b1"]) ** 2) * p["W2"]).sum()

    def gradients(self) -> dict[str, np.ndarray]:
        p = self.parameters
        a = self.x @ p["W1"] + p["b1"]
        da = 2 * a * p["W2"]
        return {"W1": self.x.T @ da, "b1": da.sum(axis=0), "W2": (a**2).sum(axis=0)}


@pytest.mark.parametrize("direction", [False, True], ids=["every entry", "one direction"])
def test_check_loss_accepts_a_right_model_and_names_the_wrong_block(direction):
    model = TinyModel()
    before = {name: x.tobytes() for name, x in model.parameters.items()}
    gradients = model.gradients()

    def check():
        return check_loss(model.loss, model.parameters, gradients, rng=rng() if direction else None)

    require(check(), 1e-11)
    assert {name: x.tobytes() for name, x in model.parameters.items()} == before
    gradients["b1"] = gradients["b1"] / 3
    assert [name for name, b in check().items() if not b.error <= 1e-6] == ["b1"]


def test_check_loss_refuses_what_it_cannot_judge():
    model = TinyModel()
    r = rng()
    with pytest.raises(ValueError, match="two calls of the loss"):
        check_loss(lambda: model.loss() + r.random(), model.parameters, model.gradients())
    with pytest.raises(ValueError, match="the loss is nan"):
        check_loss(lambda: np.nan, model.parameters, model.gradients())
    with pytest.raises(ValueError, match="gradient of W2 must have shape"):
        check_loss(model.loss, model.parameters, {**model.gradients(), "W2": np.ones(1)})
    model.parameters["W2"][:] = 0
    with pytest.raises(ValueError, match="W1: .* vacuous"):
        check_loss(model.loss, model.parameters, model.gradients())
    model.parameters["W1"] = model.parameters["W1"].astype(np.float32)
    with pytest.raises(ValueError, match="W1 must be float64"):
        check_loss(model.loss, model.parameters, model.gradients())
