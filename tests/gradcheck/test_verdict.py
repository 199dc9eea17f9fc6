"""Every verdict, the margin between rounding and mistake, and what the hygiene notices."""

import itertools
import math
import time
import warnings

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.errors import UserError
from minis2s.functional import OPS
from minis2s.gradcheck import Report, assert_gradients, check_loss, gradcheck, judge
from minis2s.gradcheck.signs import read_signs

X = np.random.default_rng(0).standard_normal((3, 4))  # no entry within 0.01 of zero
assert np.abs(X).min() > 0.01
TIED = np.array([[1.0, 1.0, 0.0], [2.0, 3.0, 1.0]])
W, BIAS = np.random.default_rng(1).standard_normal((4, 2)), np.array([0.3, -0.8])


def linear(x, W, b):
    return x @ W + b, (x, W)


def linear_back(dout, cache):
    x, W = cache
    return dout @ W.T, x.T @ dout, dout.sum(axis=0)


def checked(change=None, forward=linear, backward=linear_back, **options) -> Report:
    """The report on linear with its gradients (dx, dW, db) sent through `change`."""

    def changed(dout, cache):
        return backward(dout, cache) if change is None else change(*backward(dout, cache))

    return gradcheck((forward, changed), X, W, BIAS, **options)


def elementwise(f, derivative, x=X, **options) -> Report:
    return gradcheck(lambda x: (f(x), lambda dy: dy * derivative(x)), x, **options)


def verdicts(report: Report) -> dict[str, str]:
    return {block.name: block.verdict for block in report.blocks}


def said(report: Report, ok=False) -> str:
    """All that the report found that counts against the code; with ok=None the mere remarks."""
    return "; ".join(f.says for f in report.findings if f.ok is ok)


def block(report: Report, name: str):
    return next(b for b in report.blocks if b.name == name)


# -- right and wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
def test_a_right_gradient_is_right(fast):
    report = checked(fast=fast)
    assert report.ok and report.verdict == "right" and set(verdicts(report).values()) == {"right"}
    assert report.findings == [] and report.place is None and report.causes == []
    assert all(b.error <= 1e-12 for b in report.blocks)
    assert assert_gradients((linear, linear_back), X, W, BIAS).ok


def one_entry(a, value=0.0):
    a = a.copy()
    a[-1, 1] = value
    return a


WRONG = {
    "sign": (lambda dx, dW, db: (-dx, dW, db), "x"),
    "a millionth": (lambda dx, dW, db: (dx * (1 + 1e-6), dW, db), "x"),
    "one entry": (lambda dx, dW, db: (dx, one_entry(dW), db), "W"),
    "one entry by a little": (lambda dx, dW, db: (dx, dW + 1e-5 * one_entry(0 * dW, 1), db), "W"),
    "mean over the rows": (lambda dx, dW, db: (dx, dW, db / 3), "b"),
    "zero": (lambda dx, dW, db: (dx, dW, np.zeros_like(db)), "b"),
    "nan": (lambda dx, dW, db: (dx, one_entry(dW, np.nan), db), "W"),
    "inf": (lambda dx, dW, db: (dx, one_entry(dW, -np.inf), db), "W"),
    "all nan": (lambda dx, dW, db: (dx, dW, np.full_like(db, np.nan)), "b"),
}


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_wrong_in_its_block_and_only_there(name, fast):
    change, culprit = WRONG[name]
    report = checked(change, fast=fast)
    assert not report.ok and report.verdict == "wrong"
    assert verdicts(report) == {n: "wrong" if n == culprit else "right" for n in ("x", "W", "b")}
    assert report.worst.name == culprit and report.place.node == f"d{culprit}"


def test_the_worst_entry_is_named_with_both_values():
    def add_five(dx, dW, db):
        dW[3, 1] += 5
        return dx, dW, db

    worst = checked(add_five).worst
    assert worst.index == (3, 1) and abs(worst.analytic - worst.numeric - 5) <= 1e-9
    assert str(worst).startswith("W[3, 1]: wrong: relative error")
    with pytest.raises(AssertionError, match=r"W\[3, 1\]: wrong: .* backward says .*, differences say"):
        assert_gradients((linear, lambda dout, cache: add_five(*linear_back(dout, cache))), X, W, BIAS)


def test_the_taylor_slope_is_a_witness():
    """2 for a right gradient, 1 for a wrong one; a linear function with a right one leaves no remainder."""
    right, wrong = elementwise(np.sin, np.cos), elementwise(np.sin, lambda x: 2 * np.cos(x))
    assert abs(block(right, "x").slope - 2) < 0.05 and abs(block(wrong, "x").slope - 1) < 0.05
    assert all(b.slope is None for b in checked().blocks)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda dx, dW, db: (dx, None, db), "gradient of W is None"),
        (
            lambda dx, dW, db: (dx, dW.T, db),
            r"shape (2, 4), expected (4, 2), the shape of W: it is transposed",
        ),
        (lambda dx, dW, db: (dx, dW[None], db), "shape (1, 4, 2), expected (4, 2)"),
        (lambda dx, dW, db: (dx, dW.reshape(-1), db), "the same number of entries in another arrangement"),
        (lambda dx, dW, db: (dx, "dW", db), "gradient of W is a str, not an array"),
        (lambda dx, dW, db: (dx, object(), db), "gradient of W is a object, not an array"),
        (lambda dx, dW, db: (dx, dW + 0j, db), "gradient of W has dtype complex128"),
        (lambda dx, dW, db: (dx, dW.astype(object), db), "gradient of W has dtype object"),
    ],
    ids=["None", "transposed", "an axis more", "flat", "a string", "an object", "complex", "objects"],
)
@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
def test_what_cannot_be_compared_is_missing_and_the_rest_is_judged(change, says, fast):
    report = checked(change, fast=fast)
    assert report.verdict == "wrong" and verdicts(report) == {"x": "right", "W": "missing", "b": "right"}
    assert says in block(report, "W").note and says in str(report)


def test_the_sum_over_the_rows_is_asked_for():
    report = checked(backward=lambda dout, cache: (*linear_back(dout, cache)[:2], dout.copy()))
    assert "the sum over the other axes is missing" in block(report, "b").note


def test_too_few_and_too_many_gradients():
    few = checked(lambda dx, dW, db: (dx, dW))
    assert verdicts(few) == {"x": "right", "W": "right", "b": "missing"} and few.verdict == "wrong"
    assert "returned 2 gradients, expected 3, in this order: x, W, b" in said(few)
    many = checked(lambda dx, dW, db: (dx, dW, db, db))
    assert many.verdict == "wrong" and "returned 4 gradients, expected 3" in said(many)
    assert set(verdicts(many).values()) == {"right"}


# -- nothing proven, nothing to be told ------------------------------------------------------------


def softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def test_a_gradient_that_must_be_zero_proves_nothing():
    """The sum of a softmax is 1 whatever goes in: nothing but rounding is left of its gradient."""

    def summed_softmax(x):
        weights = softmax(x)

        def backward(dy):
            dweights = np.broadcast_to(dy[:, None], x.shape)
            return weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))

        return weights.sum(axis=-1), backward

    report = gradcheck(summed_softmax, X)
    assert verdicts(report) == {"x": "vacuous"} and report.verdict == "cannot tell" and not report.ok
    with pytest.raises(AssertionError, match="nothing is proven"):
        assert_gradients(summed_softmax, X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: softmax(x).sum(axis=-1),
        lambda x: (x - x.mean(axis=-1, keepdims=True)).sum(axis=-1),
        lambda x: softmax(x.real).sum(axis=-1),
        lambda x: 0 * x + 1,
    ],
    ids=["softmax", "layer norm", "softmax of real numbers", "constant"],
)
def test_an_exact_zero_where_the_gradient_is_zero_proves_nothing_either(f):
    report = gradcheck(lambda x: (f(x), lambda dy: np.zeros_like(x)), X)
    assert verdicts(report) == {"x": "vacuous"} and report.verdict == "cannot tell"


def test_a_zero_weight_hides_the_gradient_of_what_it_multiplies():
    report = gradcheck((linear, linear_back), X, np.zeros_like(W), BIAS)
    assert verdicts(report) == {"x": "vacuous", "W": "right", "b": "right"}
    assert report.verdict == "cannot tell"


def softmax_layer(x, W, b):
    p = softmax(x @ W + b)
    return p, (x, W, p)


def softmax_layer_back(dp, cache):
    x, W, p = cache
    dz = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    return dz @ W.T, x.T @ dz, np.array(dz.sum())


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
@pytest.mark.parametrize("exact", [False, True], ids=["rounding", "exact zero"])
def test_zero_is_proven_right_where_the_loss_does_not_depend_on_a_block(fast, exact):
    """One number added to all scores of a softmax: whatever it is, nothing changes."""

    def backward(dp, cache):
        dx, dW, db = softmax_layer_back(dp, cache)
        return dx, dW, 0 * db if exact else db

    report = gradcheck((softmax_layer, backward), X, W, np.array(0.3), fast=fast)
    assert verdicts(report) == {"x": "right", "W": "right", "b": "vacuous"}
    assert [b.name for b in report.blocks if b.proven] == ["b"]
    assert report.ok and report.verdict == "right"
    assert block(report, "b").note == "the loss does not depend on b at all here: zero is right"


def test_more_than_rounding_beside_a_proven_zero_is_wrong():
    report = gradcheck(
        (softmax_layer, lambda dp, cache: (*softmax_layer_back(dp, cache)[:2], np.array(1e-6))),
        *(X, W, np.array(0.3)),
    )
    assert verdicts(report) == {"x": "right", "W": "right", "b": "wrong"}
    report = gradcheck(
        (
            softmax_layer,
            lambda dp, cache: (1.1 * softmax_layer_back(dp, cache)[0], *linear_back(dp, (X, W))[1:]),
        ),
        *(X, W, np.array(0.3)),
    )
    assert verdicts(report)["x"] == "wrong"


@pytest.mark.parametrize(
    "f",
    [lambda x, b: np.maximum(x - b, 0) + 0 * x, lambda x, b: np.tanh(x + b), lambda x, b: x * (b - 100)],
    ids=["dead", "saturated", "times zero"],
)
def test_a_zero_that_something_hides_is_not_proven(f):
    report = gradcheck(lambda x, b: (f(x, b), lambda dy: (0 * dy, None)), X, np.full(4, 100.0))
    assert block(report, "x").verdict == "vacuous" and not block(report, "x").proven


def test_nothing_but_proven_zeros_is_not_right():
    report = gradcheck(lambda x: (0 * x + 1, lambda dy: 0 * dy), X)
    assert report.blocks[0].proven and not report.ok


def test_an_empty_block_is_vacuous():
    report = gradcheck((linear, linear_back), np.zeros((0, 4)), W, BIAS)
    assert block(report, "x").verdict == "vacuous" and "no entries" in block(report, "x").note


def test_a_nonzero_gradient_of_a_constant_is_wrong():
    report = gradcheck(lambda x: (np.ones_like(x), lambda dy: dy * x), X)
    assert verdicts(report) == {"x": "wrong"}


def noise(x):
    return 1e-3 * np.sin(1e9 * x)


def test_a_function_with_noise_cannot_be_judged():
    report = elementwise(lambda x: x.real**2 + noise(x.real), lambda x: 2 * x)
    assert verdicts(report) == {"x": "cannot tell"} and report.verdict == "cannot tell" and not report.ok
    assert "below the noise" in block(report, "x").note


def test_a_gradient_below_the_noise_cannot_be_judged_even_if_it_is_wrong():
    for factor in (1, 3):
        report = elementwise(lambda x: 1e8 + 1e-9 * x.real**2, lambda x, factor=factor: factor * 2e-9 * x)
        assert verdicts(report) == {"x": "cannot tell"}


def test_a_small_gradient_of_a_small_function_can_be_judged():
    for scale in (1e-12, 1e-6, 1e6, 1e12):
        right = elementwise(lambda x, s=scale: s * np.sin(x), lambda x, s=scale: s * np.cos(x))
        wrong = elementwise(lambda x, s=scale: s * np.sin(x), lambda x, s=scale: s * np.cos(x) * 1.00001)
        assert right.ok and wrong.verdict == "wrong"


# -- the margin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("relative", [1e-12, 1e-9, 5e-8])
def test_a_difference_between_rounding_and_mistake_is_right_with_a_note(relative):
    report = elementwise(np.sin, lambda x: np.cos(x) * (1 + relative))
    assert report.ok and "more than rounding explains" in block(report, "x").note
    assert "more than rounding explains" in str(report)


@pytest.mark.parametrize("relative", [2e-7, 1e-6, 1e-4, 1e-3])
def test_a_mistake_of_a_millionth_is_one(relative):
    assert elementwise(np.sin, lambda x: np.cos(x) * (1 + relative)).verdict == "wrong"


@pytest.mark.parametrize("relative", [2e-7, 1e-6, 1e-4, 9e-4])
def test_a_mistake_of_a_millionth_is_one_for_a_real_function_too(relative):
    assert elementwise(lambda x: np.sin(x.real), lambda x: np.cos(x) * (1 + relative)).verdict == "wrong"


@pytest.mark.parametrize("method", ["complex step", "Richardson"])
@pytest.mark.parametrize("relative", [1e-5, 1e-4, 1e-3])
def test_one_direction_finds_a_mistake_ten_times_as_large(relative, method):
    """By chance it may be nearly level, so that a millionth of the gradient is less than that along it."""
    f = np.sin if method == "complex step" else lambda x: np.sin(x.real)
    report = elementwise(f, lambda x: np.cos(x) * (1 + relative), fast=True)
    assert report.verdict == "wrong" and report.oracle == method


def test_a_right_gradient_has_no_note():
    for f in (np.sin, lambda x: np.sin(x.real)):
        report = elementwise(f, np.cos)
        assert report.ok and block(report, "x").note == "" and block(report, "x").error <= 1e-11


# -- kinks -----------------------------------------------------------------------------------------

AT = X.copy()
AT[0, 0] = AT[2, 1] = 0.0
NEAR = X.copy()
NEAR[0, 0], NEAR[1, 2] = 1e-3, -2e-4  # nearer than the step of the differences, 0.01


def relu(x):
    return np.maximum(x, 0)


def step(x):
    return (x > 0).astype(float)


def test_on_a_kink_any_slope_between_is_accepted_and_said():
    for there in (0.0, 0.3, 1.0):
        report = elementwise(relu, lambda x, there=there: np.where(x == 0, there, step(x)), AT)
        assert verdicts(report) == {"x": "kink"} and report.verdict == "cannot tell"
        assert "2 entries sit on a kink" in block(report, "x").note
    for there in (-0.5, 1.5, 5.0):
        report = elementwise(relu, lambda x, there=there: np.where(x == 0, there, step(x)), AT)
        assert verdicts(report) == {"x": "wrong"}


def test_abs_on_its_kink():
    assert verdicts(elementwise(np.abs, lambda x: np.where(x == 0, 1, np.sign(x)), AT)) == {"x": "kink"}
    # sign(0) = 0 is what central differences say, too
    assert elementwise(np.abs, np.sign, AT).verdict in ("right", "cannot tell")
    assert elementwise(np.abs, lambda x: np.where(x == 0, 2, np.sign(x)), AT).verdict == "wrong"


@pytest.mark.parametrize("f, derivative", [(relu, step), (np.abs, np.sign)], ids=["relu", "abs"])
def test_near_a_kink_a_right_gradient_is_right_and_a_wrong_one_wrong(f, derivative):
    assert elementwise(f, derivative, NEAR).ok
    assert elementwise(f, lambda x: 1.01 * derivative(x), NEAR).verdict == "wrong"
    assert elementwise(f, lambda x: derivative(-x), NEAR).verdict == "wrong"
    flipped = elementwise(f, lambda x: np.where(np.abs(x) < 0.01, derivative(-x), derivative(x)), NEAR)
    assert flipped.verdict == "wrong"


def test_very_near_a_kink_a_right_gradient_is_not_wrong():
    x = X.copy()
    x[2, 2] = 3e-6
    assert elementwise(np.abs, np.sign, x).verdict != "wrong"


@pytest.mark.parametrize("x", [AT, NEAR], ids=["at", "near"])
def test_one_direction_over_a_kink_is_not_called_wrong(x):
    assert elementwise(relu, step, x, fast=True).verdict != "wrong"


@pytest.mark.parametrize("steepness", [10, 100, 1e3, 1e4, 1e6])
def test_a_steep_real_function_is_judged_as_any_other(steepness):
    def check(factor: float) -> Report:
        return elementwise(
            lambda x: np.tanh(steepness * x.real),
            lambda x: factor * steepness * (1 - np.tanh(steepness * x) ** 2),
            X / steepness,
        )

    report = check(1.0)
    assert report.oracle == "Richardson" and report.ok
    assert check(1 + 1e-6).verdict == "wrong"


HALF_ZERO = np.random.default_rng(20).standard_normal((30, 12))
HALF_ZERO[::2] = 0  # 180 numbers


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
@pytest.mark.parametrize(
    "f, derivative",
    [
        (relu, step),
        (lambda x: np.where(x < 0, 0.1 * x, x), lambda x: np.where(x < 0, 0.1, 1)),
        (lambda x: np.abs(x), lambda x: np.where(x < 0, -1, 1)),
        (lambda x: x.max(-1), lambda x: np.arange(x.shape[1]) == x.argmax(-1)[:, None]),
    ],
    ids=["relu", "leaky relu", "abs", "max"],
)
def test_hundreds_of_entries_on_a_kink(f, derivative, wrong):
    def function(x):
        y = f(x)
        factor = np.where(x > 0, 1 + 1e-4 * wrong, 1)  # wrong only away from the kinks
        return y, lambda dy: dy.reshape(len(x), -1) * derivative(x) * factor

    report = gradcheck(function, HALF_ZERO)
    assert verdicts(report) == {"x": "wrong" if wrong else "kink"} and not report.ok
    assert "entries sit on a kink" in block(report, "x").note
    if wrong:
        assert HALF_ZERO[report.worst.index] > 0  # the mistake is shown, not the kinks beside it


def relu_layer(x, W):
    z = x @ W
    return relu(z), (x, W, z)


def relu_layer_back(dy, cache):
    x, W, z = cache
    dz = dy * step(z)
    return dz @ W.T, x.T @ dz


def relu_net(x, W, V):
    h, cache = relu_layer(x, W)
    return h @ V, (h, V, cache)


def relu_net_back(dy, cache):
    h, V, below = cache
    return *relu_layer_back(dy @ V.T, below), h.T @ dy


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
def test_rows_of_zeros_before_a_layer_with_relu(fast):
    """All units sit on their kinks at once: a slope of 0 in each is right, though it does not lie between
    the two slopes of the loss."""
    rng = np.random.default_rng(21)
    W, V = rng.standard_normal((12, 9)), rng.standard_normal((9, 5))
    for x in (HALF_ZERO, HALF_ZERO[:9]):
        report = gradcheck((relu_layer, relu_layer_back), x, W, fast=fast)
        assert verdicts(report) == {"x": "kink", "W": "right"}
        report = gradcheck((relu_net, relu_net_back), x, W, V, fast=fast)
        assert verdicts(report) == {"x": "kink", "W": "right", "V": "right"}

        def wrong(dy, cache):
            dx, dW, dV = relu_net_back(dy, cache)
            return 1.01 * dx, dW, dV

        assert verdicts(gradcheck((relu_net, wrong), x, W, V, fast=fast))["x"] == "wrong"


# -- a domain with a border ------------------------------------------------------------------------


def complaining(x):
    if (np.real(x) <= 0).any():
        raise ValueError("probabilities must be positive")
    return -np.log(np.real(x))


PROBABILITIES = 10.0 ** np.random.default_rng(22).uniform(-9, 0, (3, 4))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: -np.log(x),
        lambda x: -np.log(x.real),
        lambda x: -np.reshape([math.log(v) for v in np.ravel(x)], np.shape(x)),
        complaining,
    ],
    ids=["log", "log of real numbers", "math.log", "with its own check"],
)
@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
def test_small_probabilities_are_judged_and_nothing_warns(f, fast):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right = elementwise(f, lambda x: -1 / x, PROBABILITIES, fast=fast)
        assert right.ok and right.findings == []
        assert elementwise(f, lambda x: -1.001 / x, PROBABILITIES, fast=fast).verdict == "wrong"
        assert elementwise(f, lambda x: 1 / x, PROBABILITIES, fast=fast).verdict == "wrong"


def test_on_the_border_of_its_domain_a_function_cannot_be_judged():
    x = np.array([0.0, 0.5, 2.0])

    def check(factor=1.0, at=x) -> Report:
        return elementwise(lambda x: x.real**1.5, lambda x: factor * 1.5 * np.sqrt(x), at)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fast in (False, True):
            report = elementwise(lambda x: x.real**1.5, lambda x: 1.5 * np.sqrt(x), x, fast=fast)
            assert verdicts(report) == {"x": "cannot tell"}
            assert "hand in inputs away from the border" in block(report, "x").note
        assert "1 of its 3 entries" in block(check(), "x").note
        assert check(at=np.zeros(3)).verdict == "cannot tell"
        assert check(1.001).verdict == "wrong"  # the others are judged


@pytest.mark.parametrize("size", [3, 500])
@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
def test_nan_on_the_border_is_wrong(size, fast):
    report = elementwise(lambda x: x.real**1.5, lambda x: np.nan * x, np.zeros(size), fast=fast)
    assert verdicts(report) == {"x": "wrong"} and "the gradient of x is nan" in said(report)


def test_a_border_that_the_second_call_of_forward_would_cross_is_remarked():
    def picky(x):
        if abs(np.real(x).sum() - 1) > 1e-3:
            raise ValueError("must sum to 1")
        return np.real(x) ** 2

    report = elementwise(picky, lambda x: 2 * x, np.array([0.2, 0.3, 0.5]))
    assert report.ok and "must sum to 1" in said(report, None)


# -- large blocks ----------------------------------------------------------------------------------


def tanh_layer(x, W):
    y = np.tanh(x @ W)
    return y, (x, W, y)


def tanh_layer_back(dy, cache):
    x, W, y = cache
    dz = dy * (1 - y * y)
    return dz @ W.T, x.T @ dz


def test_of_a_large_block_a_sample_and_one_direction_are_measured_and_that_is_said(monkeypatch):
    monkeypatch.setattr(judge, "ENTRIES_SECONDS", 0.2)
    rng = np.random.default_rng(23)
    x, W = rng.standard_normal((4, 100)), 0.1 * rng.standard_normal((100, 600))
    report = gradcheck((tanh_layer, tanh_layer_back), x, W, seconds=10)
    assert report.ok and report.seconds < 10
    assert "of 60,000 entries and one direction through all measured" in block(report, "W").note
    assert np.isfinite(block(report, "W").expected).sum() >= 20

    def wrong(dy, cache):
        dx, dW = tanh_layer_back(dy, cache)
        return dx, dW * np.where(np.arange(600) == 7, 1.01, 1)

    assert verdicts(gradcheck((tanh_layer, wrong), x, W, seconds=10))["W"] == "wrong"


def test_of_an_embedding_the_rows_that_are_used_are_measured(monkeypatch):
    monkeypatch.setattr(judge, "ENTRIES_SECONDS", 0.2)
    ids = np.random.default_rng(24).integers(0, 8000, 12)
    ids[5:] = ids[0]

    def overwrites(dy, shape):
        dE = np.zeros(shape)
        dE[ids] = dy
        return dE

    E = np.random.default_rng(25).standard_normal((8000, 16))
    report = gradcheck((lambda E: (E[ids], E.shape), overwrites), E, seconds=10)
    assert report.worst.index is not None and report.worst.index[0] == ids[0]


def test_what_was_judged_before_the_time_was_over_stands():
    def slow(*blocks):
        time.sleep(0.02)
        return np.tanh(sum(blocks).real), sum(blocks)

    def backward(dy, x):
        return (dy * (1 - np.tanh(x) ** 2),) * 1 + tuple(dy * (1 - np.tanh(x) ** 2) for _ in range(5))

    blocks = np.random.default_rng(26).standard_normal((6, 100, 100))
    report = gradcheck((slow, backward), *blocks, seconds=1.6)
    found = [b.verdict for b in report.blocks]
    assert len(found) == 6 and found[0] == "right" and found[-1] == "cannot tell"
    assert report.verdict == "cannot tell" and "allow more seconds" in report.blocks[-1].note


# -- outputs of other dtypes -----------------------------------------------------------------------


def test_float16_outputs_are_judged_by_what_they_hold():
    def check(factor: float, cast=lambda x: np.tanh(x.real).astype(np.float16)) -> Report:
        return elementwise(cast, lambda x: factor * (1 - np.tanh(x) ** 2))

    right = check(1.0)
    assert right.verdict == "cannot tell" and "could hide an error of 1 percent" in block(right, "x").note
    assert "float64 came in, float16 comes out" in said(right, None) and said(right) == ""
    assert check(-1.0).verdict == "wrong"


def test_a_right_forward_in_float16_is_that_of_its_kind():
    op = OPS["linear"]

    def forward(x, W, b, times=1.0):
        out, cache = op.forward(x, W, b)
        return (times * out).astype(np.float16), cache

    report = gradcheck((forward, op.backward), kind="linear")
    assert report.forward == "right" and not any("compute" in f.says for f in report.findings)
    other = gradcheck((lambda x, W, b: forward(x, W, b, 1.1), op.backward), kind="linear")
    assert other.forward == "differs"


def test_longdouble_is_no_fault():
    for f in (
        lambda x: np.tanh(x.real).astype(np.longdouble),
        lambda x: np.tanh(x.real.astype(np.longdouble)),
    ):
        right = elementwise(f, lambda x: 1 - np.tanh(x) ** 2)
        assert right.ok and right.findings == []
        assert elementwise(f, lambda x: 1.001 * (1 - np.tanh(x) ** 2)).verdict == "wrong"
    assert elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2, X.astype(np.longdouble)).ok


@pytest.mark.parametrize("convert", [np.float64, float], ids=["0-d", "a Python number"])
def test_an_output_that_is_one_number(convert):
    report = gradcheck(lambda x: (convert(np.tanh(x.real).sum()), lambda dy: dy * (1 - np.tanh(x) ** 2)), X)
    assert report.ok and report.findings == []


def test_a_block_that_is_one_number():
    for f in (np.sin, lambda x: np.sin(x.real)):
        report = elementwise(f, np.cos, np.array(0.3))
        assert report.ok and str(block(report, "x")).startswith("x: right")
        assert elementwise(f, np.sin, np.array(0.3)).verdict == "wrong"


@pytest.mark.parametrize("f", [lambda x: np.rint(x).astype(int), lambda x: x > 0, lambda x: 3])
def test_whole_numbers_as_outputs_are_one_fault(f):
    report = gradcheck(lambda x: (f(x.real), lambda dy: x), X)
    assert report.verdict == "wrong" and len(report.findings) == 1
    assert "expected floating-point numbers; look for rounding" in said(report)


# -- float32 ---------------------------------------------------------------------------------------


def test_float32_is_judged_by_its_own_limits():
    options = {"dtype": np.float32}
    assert elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2, **options).ok
    assert elementwise(np.tanh, lambda x: 1.01 * (1 - np.tanh(x) ** 2), **options).verdict == "wrong"
    assert gradcheck(F.lstm_step, **options).ok
    assert checked(**options).ok and checked(lambda dx, dW, db: (dx, -dW, db), **options).verdict == "wrong"


def test_float32_goes_into_the_code_where_it_is_asked_for():
    seen = set()

    def f(x):
        seen.add(x.dtype)
        return np.tanh(x), lambda dy: dy * (1 - np.tanh(x) ** 2)

    assert gradcheck(f, X, dtype=np.float32).ok and np.dtype(np.float32) in seen
    seen.clear()
    assert gradcheck(f, X.astype(np.float32)).ok and np.dtype(np.float32) not in seen


def test_float32_inside_is_remarked_and_judged_by_the_limits_of_float32():
    def single(x):
        return np.tanh(x.astype(np.float32)).astype(np.float64)

    right = elementwise(single, lambda x: 1 - np.tanh(x) ** 2)
    assert right.ok and "more noise than float64 explains" in said(right, None)
    assert elementwise(single, lambda x: 1.01 * (1 - np.tanh(x) ** 2)).verdict == "wrong"


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_inputs_rounded_to_float32_are_no_mistake_in_any_setting(name, fast):
    op = OPS[name]

    def rounded(*inputs):  # complex numbers are not: the complex step would go past the rounding
        return op.forward(*(single(a) if getattr(a, "dtype", None) == np.float64 else a for a in inputs))

    def single(a):
        return a.astype(np.float32).astype(np.float64)

    for seed in range(3):
        report = gradcheck((rounded, op.backward), kind=name, seed=seed, fast=fast)
        assert report.ok and "more noise than float64" in said(report, ok=None), str(report)

    def wrong(dout, cache):
        first, *others = op.backward(dout, cache)
        return 1.01 * first, *others

    assert verdicts(gradcheck((rounded, wrong), kind=name, fast=fast))["x"] == "wrong"


@pytest.mark.parametrize("factor, verdict", [(1.0, "right"), (1.0005, "wrong")])
@pytest.mark.parametrize(
    "f, slope, x",
    [
        (lambda x: (np.abs(x) + 1e8) - 1e8, np.sign, X),
        (lambda x: np.round(x, 9), np.ones_like, X),
        (lambda x: np.sin(1e5 * np.abs(x)), lambda x: 1e5 * np.sign(x) * np.cos(1e5 * np.abs(x)), X),
        (lambda x: np.tan(np.abs(x)), lambda x: 1 / np.cos(x) ** 2, np.array([1.5707, 1.0])),
    ],
    ids=["cancellation", "rounded", "steep", "near a pole"],
)
def test_noise_lowers_the_bar_by_no_more_than_its_size(f, slope, x, factor, verdict):
    report = elementwise(f, lambda x: factor * slope(x), x)
    assert report.verdict == verdict, str(report)


def test_a_steep_function_has_no_noise():
    f = lambda x: np.tan(np.abs(x))  # noqa: E731
    assert not elementwise(f, lambda x: 1 / np.cos(x) ** 2, np.array([1.5707, 1.0])).findings


def test_a_float32_gradient_of_float64_inputs_is_remarked():
    right = checked(lambda *g: tuple(d.astype(np.float32) for d in g))
    assert right.ok and "float64 came in, float32 comes out" in said(right, None)
    wrong = checked(lambda *g: tuple(1.01 * d.astype(np.float32) for d in g))
    assert wrong.verdict == "wrong"


# -- hygiene ---------------------------------------------------------------------------------------


def test_forward_that_changes_its_input():
    def forward(x, W, b):
        x *= 1.0 + 1e-9
        return linear(x, W, b)

    report = checked(forward=forward)
    assert report.verdict == "wrong" and "forward changes its input x in place" in said(report)
    assert report.cause.cause == "aliased"


def test_a_random_forward_ends_the_check_with_one_sentence():
    rng = np.random.default_rng()
    report = checked(forward=lambda x, W, b: (x @ W + b + rng.random(2), (x, W)))
    assert report.verdict == "wrong" and report.blocks == [] and len(report.findings) == 1
    assert "two calls of forward with the same inputs give two results" in said(report)


def test_backward_that_changes_dout():
    def backward(dout, cache):
        result = linear_back(dout.copy(), cache)
        dout *= 2
        return result

    report = checked(backward=backward)
    assert report.verdict == "wrong" and "changes the gradient dout" in said(report)
    assert report.cause.cause == "aliased" and set(verdicts(report).values()) == {"right"}


def test_backward_that_changes_its_cache():
    def backward(dout, cache):
        result = linear_back(dout, cache)
        cache[0][...] += 1.0
        return result

    report = checked(forward=lambda x, W, b: (x @ W + b, (x.copy(), W)), backward=backward)
    assert report.verdict == "wrong" and "backward changes its cache" in said(report)
    assert "calling backward twice gives another gradient of W" in said(report)


def test_gradients_that_are_kept_between_calls():
    kept = np.zeros_like(W)

    def backward(dout, cache):
        dx, dW, db = linear_back(dout, cache)
        kept[...] += dW
        return dx, kept.copy(), db

    def forward(x, W, b):
        kept[...] = 0
        return linear(x, W, b)

    report = checked(forward=forward, backward=backward)
    assert report.verdict == "wrong" and "not cleared" in {c.cause for c in report.causes}
    assert "the second time: it is doubled" in said(report)
    assert [f.place for f in report.findings if f.cause == "not cleared"] == ["dW"]


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 6])
def test_a_backward_that_is_wrong_in_its_first_calls_changes_from_call_to_call(calls):
    count = itertools.count()
    report = gradcheck((lambda x: (x**2, x), lambda d, x: 2 * x * d * (1.5 if next(count) < calls else 1)), X)
    assert report.verdict == "wrong" and not verdicts(report)["x"] == "right"
    assert "changes from call to call" in said(report) or "another gradient of x the second time" in said(
        report
    )


def test_gradients_that_pile_up_are_not_below_any_noise():
    pile = [0.0]

    def back(d, x):
        pile[0] = pile[0] + 2 * x * d
        return pile[0].copy()

    report = gradcheck((lambda x: (x**2, x), back), X)
    assert report.verdict == "wrong" and verdicts(report) == {"x": "cannot tell"}
    assert "other numbers from call to call" in block(report, "x").note


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
@pytest.mark.parametrize(
    "f, back, x",
    [
        (lambda x: x.max(1), lambda d, x: d[:, None] * (np.arange(3) == x.argmax(1)[:, None]), TIED),
        (lambda x: np.clip(x, -1, 1), lambda d, x: d * (np.abs(x) <= 1), np.array([0.5, 1.0, 2.0])),
    ],
    ids=["ties of a maximum", "the border of a clip"],
)
def test_a_jump_at_a_kink_is_no_noise(f, back, x, fast):
    report = gradcheck((lambda x: (f(x), x), back), x, fast=fast)
    assert verdicts(report) == {"x": "kink"} and "kink" in block(report, "x").note, str(report)
    assert gradcheck((lambda x: (f(x), x), lambda d, x: 3 * back(d, x)), x, fast=fast).verdict == "wrong"


# -- backward must be linear in what it is given -----------------------------------------------------


def cross_entropy_with(change):
    """cross_entropy whose gradient is `change(dlogits at dloss = 1, dloss)`."""
    op = OPS["cross_entropy"]
    return op.forward, lambda dloss, cache: change(op.backward(np.ones(()), cache), dloss)


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
@pytest.mark.parametrize(
    "pair, kind, cause, says",
    [
        (
            (OPS["lstm"].forward, lambda d, c: tuple(np.clip(g, -5, 5) for g in OPS["lstm"].backward(d, c))),
            "lstm",
            "clipping",
            "is clipped to 5",
        ),
        (
            (OPS["tanh"].forward, lambda d, c: OPS["tanh"].backward(np.clip(d, -9, 9), c)),
            "tanh",
            "clipping",
            "look for a clip",
        ),
        (cross_entropy_with(lambda g, dloss: g * abs(dloss)), "cross_entropy", "not linear", "an abs"),
    ],
)
def test_a_backward_that_is_not_linear_is_wrong(pair, kind, cause, says, fast):
    report = gradcheck(pair, kind=kind, fast=fast)
    assert report.verdict == "wrong" and report.cause.cause == cause, str(report)
    assert says in said(report) and len(report.findings) == 1
    assert set(verdicts(report).values()) == {"right"}  # at the usual size nothing shows


@pytest.mark.parametrize("change, says", [
    (lambda g, dloss: g, "it is ignored"),
    (lambda g, dloss: g * dloss + 0.01, "something is added"),
    (lambda g, dloss: g * dloss**2, "as with a square"),
])  # fmt: skip
def test_what_is_not_linear_is_told_apart(change, says):
    assert says in said(gradcheck(cross_entropy_with(change), kind="cross_entropy"))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["lstm", "attention", "cross_entropy"])
def test_what_is_linear_is_so_in_every_precision(name, dtype):
    pair = OPS["general_scores"] if name == "attention" else OPS[name]
    report = gradcheck((pair.forward, pair.backward), kind=pair.name, dtype=dtype)
    assert "linear" not in said(report) + said(report, ok=None)


def test_a_backward_that_takes_no_large_gradient_is_remarked():
    def back(dy, x):
        if np.abs(dy).max() > 100:
            raise ValueError("too large")
        return 2 * x * dy

    report = gradcheck((lambda x: (x**2, x), back), X)
    assert report.ok and "too large; whether it is linear is not known" in said(report, ok=None)


def test_a_stale_cache():
    last = {}

    def forward(x, W, b):
        last["cache"] = (x, W)
        return x @ W + b, None

    report = checked(forward=forward, backward=lambda dout, cache: linear_back(dout, last["cache"]))
    assert report.verdict == "wrong" and report.cause.cause == "stale cache"
    assert "after another forward call the gradient of x, W" in said(report)


def test_gradients_that_share_their_memory():
    def forward(x, y):
        return x + y, None

    def copies(dout, cache):
        return dout.copy(), dout.copy()

    def same(dout, cache):
        both = dout.copy()
        return both, both

    def as_it_came(dout, cache):
        return dout, dout.copy()

    assert gradcheck((forward, copies), X, X + 1).findings == []
    report = gradcheck((forward, same), X, X + 1)
    assert report.verdict == "wrong" and "the gradients of x and y share their memory" in said(report)
    assert "whoever adds to one in place (dx += ...) changes the other" in said(report)
    assert report.cause.cause == "aliased"
    report = gradcheck((forward, as_it_came), X, X + 1)
    assert report.ok and "x shares its memory with the gradient dout" in said(report, None)


def test_a_gradient_that_is_the_cache_or_the_input_is_remarked():
    product = gradcheck((lambda x: (x.sum(), (x, np.ones_like(x))), lambda dout, cache: cache[1] * dout), X)
    assert product.ok and product.findings == []
    view = gradcheck((lambda x: (x * x / 2, x), lambda dout, x: np.multiply(x, dout, out=x)), X)
    assert view.verdict == "wrong"


def test_gradients_in_one_buffer_for_all_calls():
    buffers = np.zeros((3, 4)), np.zeros((4, 2)), np.zeros(2)

    def backward(dout, cache):
        for buffer, d in zip(buffers, linear_back(dout, cache)):
            buffer[...] = d
        return buffers

    report = checked(backward=backward)
    assert report.verdict == "wrong" and report.cause.cause == "aliased"
    assert "write the gradient of x, W, b into the same buffer" in said(report)


BY_TURNS = [np.zeros((4, 2)), np.zeros((4, 2))]  # out of sight: a cache or a closure is looked into


def test_gradients_in_two_buffers_by_turns():
    """Only the third call overwrites what the first one returned."""

    def backward(dout, cache):
        dx, dW, db = linear_back(dout, cache)
        BY_TURNS.reverse()
        BY_TURNS[0][...] = dW
        return dx, BY_TURNS[0], db

    report = checked(backward=backward)
    assert report.verdict == "wrong" and report.cause.cause == "aliased"
    assert "write the gradient of W into the same buffer" in said(report)


def test_prints_are_counted_and_hidden(capsys):
    def backward(dout, cache):
        print("dout is", dout)
        return linear_back(dout, cache)

    report = checked(backward=backward)
    assert capsys.readouterr().out == "" and report.ok
    assert "it prints (" in said(report, None) and "remove the print calls" in said(report, None)


@pytest.mark.parametrize(
    ("convert", "dtype"), [(np.rint, "int64"), (np.sign, "bool")], ids=["integers", "booleans"]
)
def test_gradients_of_whole_numbers(convert, dtype):
    report = checked(lambda dx, dW, db: (dx, convert(dW).astype(dtype), db))
    assert report.verdict == "wrong" and f"the gradient of W has dtype {dtype}" in said(report)
    assert verdicts(report) == {"x": "right", "W": "wrong", "b": "right"}


def test_whole_numbers_that_are_right_are_a_fault_all_the_same():
    report = gradcheck(lambda x: (x.sum(), lambda dy: np.ones(x.shape, dtype=int)), X, seed=0)
    assert report.verdict == "wrong" and "has dtype int64: expected floating-point" in said(report)


def test_a_masked_array_is_a_fault():
    report = checked(lambda dx, dW, db: (dx, np.ma.masked_less(dW, 0), db))
    assert report.verdict == "wrong" and "the gradient of W is a masked array" in said(report)
    report = checked(lambda dx, dW, db: (dx, np.ma.masked_array(dW), db))
    assert report.verdict == "wrong" and verdicts(report)["W"] == "right"


def test_a_masked_array_is_no_fault_of_the_second_call():
    assert "calling backward twice" not in said(
        checked(lambda dx, dW, db: (dx, np.ma.masked_less(dW, 0), db))
    )


def test_lists_are_taken_as_arrays_and_said():
    report = checked(lambda *g: [d.tolist() for d in g])
    assert report.ok and "the gradient of W is a list, taken as an array" in said(report, None)
    report = checked(lambda dx, dW, db: [(-dx).tolist(), dW.tolist(), db.tolist()])
    assert verdicts(report) == {"x": "wrong", "W": "right", "b": "right"}


def test_forward_must_return_finite_numbers_and_a_cache():
    for forward, words in (
        (lambda x, W, b: (x @ W + np.nan, (x, W)), "forward returned nan in"),
        (lambda x, W, b: (np.log(0 * (x @ W)), (x, W)), "forward returned -inf in"),
        (lambda x, W, b: ((x @ W).astype(int), (x, W)), "of dtype int64"),
        (lambda x, W, b: ("y", (x, W)), "forward returned a str"),
    ):
        report = gradcheck((forward, linear_back), X, W, BIAS)
        assert report.verdict == "wrong" and words in said(report)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "linear",
    ],
)
def test_forward_must_return_two_things(kind):
    for result, words in ((X, "an array of shape (3, 4)"), (None, "None")):
        report = gradcheck((lambda x, W, b, result=result: result, linear_back), X, W, BIAS, kind=kind)
        assert report.verdict == "wrong"
        assert f"must return two things, (out, cache); it returned {words}" in said(report)


# -- a loss with gradients that are there already --------------------------------------------------


class TinyModel:
    """loss = sum((x W1 + b1)^2 * W2), with its gradients by hand."""

    def __init__(self):
        rng = np.random.default_rng(11)
        self.x = rng.standard_normal((3, 4))
        self.parameters = {
            "W1": rng.standard_normal((4, 2)),
            "b1": rng.standard_normal(2),
            "W2": rng.standard_normal(2),
        }

    def loss(self) -> float:
        p = self.parameters
        return (((self.x @ p["W1"] + p["b1"]) ** 2) * p["W2"]).sum()

    def gradients(self) -> dict[str, np.ndarray]:
        p = self.parameters
        a = self.x @ p["W1"] + p["b1"]
        da = 2 * a * p["W2"]
        return {"W1": self.x.T @ da, "b1": da.sum(axis=0), "W2": (a**2).sum(axis=0)}


@pytest.mark.parametrize("fast", [False, True], ids=["every entry", "one direction"])
def test_check_loss_accepts_a_right_model_and_names_the_wrong_block(fast):
    model = TinyModel()
    before = {name: x.tobytes() for name, x in model.parameters.items()}
    gradients = model.gradients()
    assert check_loss(model.loss, model.parameters, gradients, fast=fast).ok
    for name in gradients:
        wrong = {**gradients, name: gradients[name] / 3}
        report = check_loss(model.loss, model.parameters, wrong, fast=fast)
        assert report.verdict == "wrong" and report.worst.name == name
        assert [n for n, v in verdicts(report).items() if v == "wrong"] == [name]
    assert {name: x.tobytes() for name, x in model.parameters.items()} == before


def test_check_loss_finds_one_wrong_entry():
    model = TinyModel()
    gradients = model.gradients()
    gradients["W1"][2, 1] *= 1 + 1e-4
    assert check_loss(model.loss, model.parameters, gradients).verdict == "wrong"


def test_check_loss_does_not_guess():
    model = TinyModel()
    rng = np.random.default_rng(12)
    before = {name: x.tobytes() for name, x in model.parameters.items()}

    def check(loss=model.loss, gradients=None) -> Report:
        return check_loss(loss, model.parameters, model.gradients() if gradients is None else gradients)

    assert "two calls of the loss gave two values" in said(check(lambda: model.loss() + rng.random()))
    assert "returned nan" in said(check(lambda: np.nan))
    assert not check(lambda: np.nan).ok
    missing = check(gradients={**model.gradients(), "W2": np.ones(1)})
    assert verdicts(missing)["W2"] == "missing" and missing.verdict == "wrong"
    gone = model.gradients()
    del gone["b1"]
    assert verdicts(check(gradients=gone))["b1"] == "missing"

    def raising():
        raise KeyError("h_prev")

    assert "raised KeyError" in said(check(raising))
    assert {name: x.tobytes() for name, x in model.parameters.items()} == before
    model.parameters["W2"][:] = 0
    assert verdicts(check()) == {"W1": "vacuous", "b1": "vacuous", "W2": "right"} and not check().ok
    model.parameters["W1"] = model.parameters["W1"].astype(np.float32)
    with pytest.raises(UserError, match="W1 must be float64"):
        check()


def test_nothing_at_all_is_not_right():
    assert not check_loss(lambda: 1.0, {}, {}).ok
    assert not Report("empty").ok


# -- what the pattern of the numbers says ------------------------------------------------------------


def test_a_share_explains_the_difference_and_is_no_rounding():
    rng = np.random.default_rng(4)
    right, value = rng.standard_normal((3, 4)), 20 * rng.standard_normal((3, 4))
    rounded = right + 1e-7 * rng.standard_normal((3, 4))  # the error of float32 is no share of anything
    assert read_signs({"x": (rounded, right)}, {}, {}, {"x": value}) == []
    assert len(read_signs({"x": (right + 1e-5 * value, right)}, {}, {}, {"x": value})) == 1
    decayed = checked(lambda dx, dW, db: (dx, dW + 1e-4 * W, db))
    assert decayed.cause.says.startswith("0.0001 times W itself"), str(decayed)


@pytest.mark.parametrize(
    "factor, says", [(1 + 1e-6, "1 + 1e-06 times"), (0.5, "is half of the right one"), (0.7, "0.7 times")]
)
def test_the_simplest_factor_is_named(factor, says):
    def f(x):  # of four rows: a half is one over the root of their number, too
        return np.sin(x), lambda d: factor * d * np.cos(x)

    assert says in gradcheck(f, np.random.default_rng(3).standard_normal((4, 5))).cause.says
    op = OPS["gru"]

    def back(dout, cache):
        dx, dh0, *rest = op.backward(dout, cache)
        return dx, factor * dh0, *rest

    assert says in gradcheck((op.forward, back), kind="gru").cause.says
