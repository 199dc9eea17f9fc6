"""Every verdict, the margin between rounding and mistake, and what the hygiene notices."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.errors import UserError
from minis2s.gradcheck import Report, assert_gradients, check_loss, gradcheck

X = np.random.default_rng(0).standard_normal((3, 4))  # no entry within 0.01 of zero
assert np.abs(X).min() > 0.01
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
        pytest.param(
            lambda x: (x - x.mean(axis=-1, keepdims=True)).sum(axis=-1),
            marks=pytest.mark.xfail(
                strict=True, reason="rounding of 1e-17 beside an exact 0 is called wrong"
            ),
        ),
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


STEEP = pytest.mark.xfail(
    strict=True, reason="the differences of real functions steeper than the step are not settled yet"
)


@pytest.mark.parametrize("steepness", [10, 100, *(pytest.param(s, marks=STEEP) for s in (1e3, 1e4, 1e6))])
def test_a_right_gradient_of_a_steep_real_function_is_not_called_wrong(steepness):
    report = elementwise(
        lambda x: np.tanh(steepness * x.real),
        lambda x: steepness * (1 - np.tanh(steepness * x) ** 2),
        X / steepness,
    )
    assert report.oracle == "Richardson" and report.verdict != "wrong"


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
    assert right.ok and "float32 somewhere inside" in said(right, None)
    assert elementwise(single, lambda x: 1.01 * (1 - np.tanh(x) ** 2)).verdict == "wrong"


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
    assert not report.ok or report.findings


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
