"""Numeric derivatives are what they should be, and their own estimates of their error hold."""

import math

import numpy as np
import pytest

from minis2s.gradcheck.differences import EPS, MORE, SHORTER, STEP, extrapolated, ladder, unit_direction
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem

KNOWN = {  # a function, and its derivative
    "cubic": (lambda x: x**3 - 2 * x, lambda x: 3 * x**2 - 2),
    "degree seven": (lambda x: x**7 - x**4 + 1, lambda x: 7 * x**6 - 4 * x**3),
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "log": (lambda x: np.log(2 + x**2), lambda x: 2 * x / (2 + x**2)),
    "root": (lambda x: np.sqrt(1 + x**2), lambda x: x / np.sqrt(1 + x**2)),
    "reciprocal": (lambda x: 1 / (3 + x), lambda x: -1 / (3 + x) ** 2),
}
SCALES = [1e-6, 1e-3, 1.0, 1e3, 1e6]
POINTS = np.array([-1.7, -0.3, 0.4, 1.1, 2.3])
METHODS = ["complex step", "Richardson"]


def oracle(f, *blocks, method: str = "", dout=1.0) -> Oracle:
    """The oracle of sum(dout * f(a, b ...)); the blocks are called a, b, ..."""
    named = {name: np.asarray(x, dtype=np.float64) for name, x in zip("abc", blocks)}
    out = np.asarray(f(*named.values()))
    problem = Problem("f", named, lambda given: ([np.asarray(f(*given.values()))], None), None)
    return Oracle(problem, [np.broadcast_to(dout, out.shape)], Guard(60), np.random.default_rng(0), method)


def sides(f):
    return lambda s: f(s) - f(-s)


def richardson(difference, step=STEP):
    """`extrapolated` for difference(s) = f(s) - f(-s), at the displacement `step` and the next shorter ones."""
    return extrapolated([difference(h) / (2 * h) for h in (step / SHORTER**k for k in range(MORE + 1))])


# -- Richardson on a plain function of one number ------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_richardson_of_known_functions(name):
    f, derivative = KNOWN[name]
    for x in POINTS:
        slope, _ = richardson(sides(lambda s, x=x: f(x + s)))
        size = max(abs(derivative(x)), abs(f(x)), 1)
        assert abs(slope - derivative(x)) <= 1e-11 * size


def test_richardson_is_exact_for_polynomials_up_to_degree_six():
    """The orders h^2 and h^4 drop out; the order h^6 of x^7 is the first that stays."""
    for degree in range(7):
        slope, _ = richardson(sides(lambda s, degree=degree: (0.5 + s) ** degree), step=1.0)
        assert abs(slope - degree * 0.5 ** max(degree - 1, 0)) <= 1e-12 * 7
    slope, _ = richardson(sides(lambda s: (0.5 + s) ** 7), step=1.0)
    assert abs(slope - 7 * 0.5**6) > 1e-3


def test_richardson_is_much_better_than_a_central_difference():
    slope, error = richardson(sides(np.exp))
    central = (np.exp(STEP) - np.exp(-STEP)) / (2 * STEP)
    assert abs(central - 1) > 1e-6 > 1e-11 > abs(slope - 1)
    assert error < 1e-10


def test_richardson_says_when_its_step_is_too_large():
    """sin(4 x) with h = 1: the estimate of the error is large, and the error itself no larger than it."""
    slope, error = richardson(sides(lambda s: np.sin(4 * s)), step=1.0)
    assert 4 >= error >= abs(slope - 4) > 1e-3


def both_changes(f, x=0.0, scale=1.0):
    """What `ladder` is given, of f(x / scale)."""

    def changes(s):
        right, left = f(x + s / scale), f(x - s / scale)
        return right - left, right + left - 2 * f(x)

    return changes


@pytest.mark.parametrize("scale", 10.0 ** np.arange(-9, 3))
def test_the_ladder_finds_the_step_that_fits_the_function_and_bounds_its_error(scale):
    """From one first step for all, and the bound holds in the worst of many cases: rounding, chance
    agreement, and peaks that the first steps reach beyond."""
    functions = {**KNOWN, "peak": (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2)}
    points = np.random.default_rng(0).uniform(-2, 2, 100)
    with np.errstate(all="ignore"):
        for name in ("sin", "tanh", "exp", "peak"):
            f, derivative = functions[name]
            for x in points:
                slope = ladder(both_changes(f, x, scale), STEP, EPS * abs(f(x)))
                assert abs(slope.value - derivative(x) / scale) <= 50 * slope.noise, (name, x)
                assert slope.noise <= 1e-9 / scale * max(1, abs(f(x)))


def test_a_fast_wave_does_not_pass_for_a_slow_one():
    """100 is nearly 32 pi, 50 is 16 pi and 25 is 8 pi: halves of one step would all see the same slow wave."""
    slope = ladder(both_changes(np.sin, 0.7, 1e-4), 1e-2, EPS)
    assert abs(slope.value - np.cos(0.7) * 1e4) <= 20 * slope.noise <= 1e-4


def test_a_smooth_function_costs_six_values_and_a_steep_one_no_more_once_it_is_known():
    x = np.linspace(-1, 1, 30)
    smooth = oracle(np.tanh, x, method="Richardson")
    before = smooth.calls
    smooth.gradient("a")
    assert smooth.calls - before == 6 * 30
    steep = oracle(lambda a: np.tanh(1e5 * a), x / 1e5, method="Richardson")
    before = steep.calls
    steep.gradient("a")
    assert steep.calls - before <= 20 * 30


def test_one_entry_that_needs_a_small_step_does_not_make_the_others_noisy():
    """Beside a kink the step must be small; in a large loss that leaves much rounding."""
    x = np.array([3e-6, 0.5, 0.6])
    o = oracle(lambda a: 1e3 + np.abs(a), x, method="Richardson")
    gradient, noise = o.gradient("a")
    assert (np.abs(gradient - 1) <= 20 * noise).all() and (noise[1:] <= 1e-9).all()


@pytest.mark.parametrize("scale", [1.0, 1e-8])
def test_tiny_inputs_of_wide_and_of_narrow_functions(scale):
    x = 1e-8 * np.array([0.3, -1.1, 2.0])
    f, derivative = KNOWN["tanh"]
    gradient, noise = oracle(lambda a: f(a / scale), x, method="Richardson").gradient("a")
    error = np.abs(gradient - derivative(x / scale) / scale)
    assert (error <= 20 * noise).all() and noise.max() <= 1e-9 / scale


def test_large_inputs_are_moved_far():
    x = np.array([1e6, -3e6])
    gradient, noise = oracle(lambda a: (a / 1e6) ** 2, x, method="Richardson").gradient("a")
    assert (np.abs(gradient - 2e-12 * x) <= 20 * noise).all() and noise.max() <= 1e-16


# -- a domain with a border, and what forward does there ----------------------------------------------


def complaining_root(x):
    if (np.real(x) <= 0).any():
        raise ValueError("x must be positive")
    return np.sqrt(np.real(x))


@pytest.mark.parametrize(
    "f, derivative",
    [
        (lambda x: -np.log(x.real), lambda x: -1 / x),
        (complaining_root, lambda x: 0.5 / np.sqrt(x)),
        (lambda x: np.array([math.log(v) for v in x]), lambda x: 1 / x),
    ],
    ids=["log", "root that raises", "math.log"],
)
def test_the_step_shrinks_until_the_function_is_defined(f, derivative):
    x = np.array([1e-9, 3e-5, 0.01, 0.4])
    o = oracle(f, x)
    gradient, noise = o.gradient("a")
    assert o.method == "Richardson" and not o.noisy
    assert (np.abs(gradient - derivative(x)) <= 20 * noise).all()
    assert noise.max() <= 1e-9 * np.abs(derivative(x)).max()


def test_on_the_border_nothing_is_measured_and_nothing_warns():
    o = oracle(lambda x: x.real**1.5, [0.0, 1.0])
    assert o.along("a", (0,)) == pytest.approx((np.nan, np.inf), nan_ok=True)
    assert o.along("a", (1,))[0] == pytest.approx(1.5, rel=1e-9)


def test_the_end_of_the_program_is_no_border():
    def leaves(x):
        if x[0] != 0.5:
            raise SystemExit
        return x

    with pytest.raises(Misbehaved, match="SystemExit"):
        oracle(leaves, [0.5], method="Richardson")


def test_a_forward_that_changes_its_inputs_is_measured_at_the_given_ones():
    def doubles(x):
        x *= 2
        return np.sin(x)

    for method in METHODS:
        o = oracle(doubles, [0.3, 0.4], method=method)
        x = o.problem.blocks["a"].copy()
        np.testing.assert_allclose(o.gradient("a")[0], 2 * np.cos(2 * x), rtol=1e-9)
        assert (o.blocks["a"] == x).all()


# -- both methods, with their noise ----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", KNOWN)
def test_the_noise_bounds_the_error_at_every_scale(name, method):
    """An estimate, not a proof: the verdicts leave a margin of 100, here 20 must do."""
    f, derivative = KNOWN[name]
    for scale in SCALES:
        for x in POINTS:
            o = oracle(lambda a, scale=scale: scale * f(a), [x], method=method)
            slope, noise = o.along("a", np.ones(1))
            assert abs(slope - scale * derivative(x)) <= 20 * noise
            largest = scale * max(abs(derivative(x)), abs(f(x)), 1e-2)
            assert noise <= (1e-14 if method == "complex step" else 1e-7) * largest


@pytest.mark.parametrize("scale", [1e-1, 1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("name", ["sin", "tanh", "exp"])
def test_richardson_bounds_its_error_for_wide_functions(name, scale):
    f, derivative = KNOWN[name]
    slope, noise = oracle(lambda a: f(a / scale), [0.7 * scale], method="Richardson").along("a", np.ones(1))
    assert abs(slope - derivative(0.7) / scale) <= 20 * noise


@pytest.mark.parametrize("scale", [1e-3, 1e-4, 1e-6])
@pytest.mark.parametrize("name", ["sin", "tanh"])
def test_richardson_bounds_its_error_for_narrow_functions(name, scale):
    f, derivative = KNOWN[name]
    slope, noise = oracle(lambda a: f(a / scale), [0.7 * scale], method="Richardson").along("a", np.ones(1))
    assert abs(slope - derivative(0.7) / scale) <= 20 * noise <= 1e-7 / scale


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["sin", "tanh", "exp"])
def test_the_complex_step_does_not_mind_narrow_or_wide_functions(name, scale):
    f, derivative = KNOWN[name]
    slope, noise = oracle(lambda a: f(a / scale), [0.7 * scale], method="complex step").along("a", np.ones(1))
    assert abs(slope - derivative(0.7) / scale) <= 20 * noise <= 1e-13 / scale


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_block_and_only_some_of_its_entries(method):
    rng = np.random.default_rng(1)
    x, W, dout = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
    o = oracle(lambda a, b: np.tanh(a @ b), x, W, method=method, dout=dout)
    expected = x.T @ (dout * (1 - np.tanh(x @ W) ** 2))
    gradient, noise = o.gradient("b")
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-10 if method == "Richardson" else 1e-14)
    assert (np.abs(gradient - expected) <= 20 * noise).all()
    some, _ = o.gradient("b", [(2, 1), (0, 0)])
    assert {tuple(index) for index in np.argwhere(np.isfinite(some)).tolist()} == {(2, 1), (0, 0)}
    assert some[2, 1] == gradient[2, 1] and some[0, 0] == gradient[0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_along_a_direction_is_the_product_with_the_gradient(method):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 4))
    direction = unit_direction(x, rng)
    assert abs((direction**2).sum() - 1) <= 1e-14
    slope, _ = oracle(np.sin, x, method=method).along("a", direction)
    assert abs(slope - (np.cos(x) * direction).sum()) <= 1e-11


def test_measuring_leaves_the_blocks_alone():
    x = np.random.default_rng(3).standard_normal((2, 3))
    before = x.tobytes()
    for method in METHODS:
        o = oracle(np.tanh, x, method=method)
        o.gradient("a")
        o.taylor_slope("a", np.ones((2, 3)), 1.0)
        assert o.blocks["a"].tobytes() == x.tobytes() == before


def test_an_out_without_a_gradient_from_upstream_does_not_count():
    x = np.array([0.3, 0.8])
    problem = Problem("f", {"a": x}, lambda given: ([np.sin(given["a"]), given["a"] ** 2], None), None)
    o = Oracle(problem, [None, np.ones(2)], Guard(60), np.random.default_rng(0))
    np.testing.assert_allclose(o.gradient("a")[0], 2 * x, rtol=1e-12)


# -- which method is chosen --------------------------------------------------------------------------------


def net(x, W, V):
    return np.tanh(np.tanh(x @ W) @ V)


def softmax(x):
    e = np.exp(x - x.real.max())
    return e / e.sum()


def with_a_real_buffer(x):
    buffer = np.zeros(x.shape)
    buffer[:] = x**2
    return buffer


REAL_ONLY = {
    "abs": (lambda x: np.abs(x) ** 3, lambda x: 3 * x * np.abs(x)),
    "x abs(x)": (lambda x: x * np.abs(x), lambda x: 2 * np.abs(x)),
    "comparisons of Python numbers": (
        lambda x: np.array([v * v if v > 0 else v**3 for v in x.tolist()]),
        lambda x: np.where(x > 0, 2 * x, 3 * x**2),
    ),
    "float()": (lambda x: np.array([float(v) ** 2 for v in x]), lambda x: 2 * x),
    "a real buffer": (with_a_real_buffer, lambda x: 2 * x),
    ".real": (lambda x: x.real**2, lambda x: 2 * x),
    "conj": (lambda x: (x * np.conj(x)).real, lambda x: 2 * x),
    "math.exp": (lambda x: np.array([math.exp(v) for v in x]), np.exp),
    "astype(float)": (lambda x: np.tanh(x.astype(np.float64)), lambda x: 1 - np.tanh(x) ** 2),
}


def test_the_complex_step_is_chosen_where_it_works():
    rng = np.random.default_rng(4)
    blocks = [rng.standard_normal(shape) for shape in ((3, 4), (4, 5), (5, 2))]
    assert oracle(net, *blocks).method == "complex step"
    assert oracle(softmax, blocks[0][0]).method == "complex step"


@pytest.mark.parametrize("name", REAL_ONLY)
def test_richardson_is_chosen_where_complex_numbers_do_not_work(name):
    f, derivative = REAL_ONLY[name]
    x = np.array([0.5, -1.2, 0.8])
    o = oracle(f, x)
    assert o.method == "Richardson"
    gradient, noise = o.gradient("a")
    assert (np.abs(gradient - derivative(x)) <= 20 * noise).all() and noise.max() < 1e-9


@pytest.mark.parametrize("f", [np.abs, lambda x: np.where(x > 0, x, 0), lambda x: np.maximum(x, 0)])
def test_whatever_is_chosen_is_right_away_from_a_kink(f):
    x = np.array([0.5, -1.2, 0.8])
    expected = np.array([1.0, -1.0 if f is np.abs else 0.0, 1.0])
    np.testing.assert_allclose(oracle(f, x).gradient("a")[0], expected, rtol=0, atol=1e-12)


def test_one_block_that_drops_its_imaginary_part_is_enough():
    """Along the first block alone the complex step would work, along the second it gives 0."""
    o = oracle(lambda a, b: np.tanh(a) * with_a_real_buffer(b), [0.3, 0.4], [0.5, 0.6])
    assert o.method == "Richardson"
    np.testing.assert_allclose(o.gradient("b")[0], np.tanh([0.3, 0.4]) * [1.0, 1.2], rtol=1e-10)


def test_a_function_that_turns_real_later_is_not_taken_for_a_constant():
    o = oracle(lambda a: a.real**2, [0.5], method="complex step")
    with pytest.raises(Misbehaved, match="complex numbers into real ones"):
        o.along("a", np.ones(1))


# -- noise of the values -----------------------------------------------------------------------------------


def test_the_measured_noise_finds_float32_inside():
    x = np.random.default_rng(5).standard_normal((4, 3))
    single = oracle(lambda a: np.tanh(a.astype(np.float32)).astype(np.float64), x)
    double = oracle(lambda a: np.tanh(a.astype(np.float64)), x)
    assert single.method == double.method == "Richardson"
    assert single.noisy and not double.noisy
    assert 1e-9 < single.value_noise / single.size < 1e-6
    assert double.value_noise / double.size < 1e-14
    assert single.step == 10 * STEP and double.step == STEP
    gradient, noise = single.gradient("a")
    error = np.abs(gradient - (1 - np.tanh(x) ** 2))
    assert (error <= 20 * noise).all() and noise.max() < 1e-4


def test_the_measured_noise_is_that_of_the_function():
    """A function with a known noise: a pattern of the last digits of its argument."""
    for size in (1e-8, 1e-5, 1e-3):
        o = oracle(lambda a, size=size: a.real + size * np.sin(1e9 * a.real), np.linspace(0.1, 0.9, 50))
        assert size < o.value_noise < 50 * size  # the sum of fifty such numbers
    assert oracle(lambda a: a.real**2, np.linspace(0.1, 0.9, 50)).value_noise < 100 * EPS * 50


def test_the_noise_of_float16_outputs_is_known_though_short_lines_do_not_show_it():
    x = np.random.default_rng(6).standard_normal(12)
    o = oracle(lambda a: np.tanh(a.real).astype(np.float16), x)
    gradient, noise = o.gradient("a")
    assert o.noisy and 1e-5 < o.value_noise / o.size < 1e-2
    assert (np.abs(gradient - (1 - np.tanh(x) ** 2)) <= 3 * noise).all() and noise.max() < 0.05


@pytest.mark.parametrize(
    "f, x",
    [
        (lambda a: np.log(a.real), 10.0 ** np.arange(-9, 1)),
        (lambda a: np.tanh(1e6 * a.real), np.linspace(-1e-6, 1e-6, 10)),
        (lambda a: (a.real - a.real.mean()).sum(keepdims=True), np.linspace(0.1, 0.9, 7)),
    ],
    ids=["numbers of many sizes", "steep", "a loss that is rounding alone"],
)
def test_no_noise_of_float32_is_seen_where_there_is_none(f, x):
    assert not oracle(f, x, method="Richardson").noisy


# -- whether the loss depends on a block ---------------------------------------------------------------


def softmax_of_sums(a, b):
    e = np.exp(a + b - (a + b).real.max())
    return e / e.sum()


@pytest.mark.parametrize("method", METHODS)
def test_a_bias_before_a_softmax_is_ignored(method):
    o = oracle(softmax_of_sums, [0.3, -0.5, 1.0], 0.7, method=method, dout=np.array([1.0, -0.3, 0.4]))
    assert o.ignores("b", np.random.default_rng(0)) and not o.ignores("a", np.random.default_rng(0))


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: a * b,
        lambda a, b: np.tanh(a + 300) + b,
        lambda a, b: np.maximum(a - 50, 0) + b,
        lambda a, b: 1 + 1e-12 * a + b,
        lambda a, b: np.log(1 + 1e-4 * a) + b,
    ],
    ids=["times zero", "saturated", "dead", "small", "with a border"],
)
def test_what_is_hidden_here_is_not_ignored(f):
    o = oracle(f, [0.3, -0.5, 1.0], [0.0, 0.0, 0.0], method="Richardson", dout=np.array([1.0, -0.3, 0.4]))
    assert not o.ignores("a", np.random.default_rng(0))


# -- the Taylor test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["complex step", "Richardson"])
@pytest.mark.parametrize("name", KNOWN)
def test_the_taylor_slope_tells_right_from_wrong(name, method):
    f, derivative = KNOWN[name]
    x, direction = np.array([0.4, 1.1]), np.array([0.6, 0.8])
    o = oracle(f, x, method=method)
    slope = float((derivative(x) * direction).sum())
    assert abs(o.taylor_slope("a", direction, slope) - 2) < 0.01
    assert abs(o.taylor_slope("a", direction, -slope) - 1) < 0.01
    assert abs(o.taylor_slope("a", direction, 1.1 * slope) - 1) < 0.1


def test_the_taylor_slope_of_a_linear_function():
    o = oracle(lambda a: 3 * a, [1.0, 2.0])
    direction = np.array([0.6, 0.8])
    assert o.taylor_slope("a", direction, 3 * 1.4) is None
    assert abs(o.taylor_slope("a", direction, 3 * 1.41) - 1) < 1e-6


def test_the_slopes_from_both_sides_differ_at_a_kink():
    o = oracle(np.abs, [0.0])
    assert o.one_sided("a", np.ones(1), 1e-7) == pytest.approx((-1, 1))
    left, right = oracle(np.sin, [0.0]).one_sided("a", np.ones(1), 1e-7)
    assert left == pytest.approx(right, abs=1e-12)
