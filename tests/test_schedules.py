"""Learning-rate and teacher-forcing schedules, at points computed by hand."""

import json
import math
from itertools import pairwise

import pytest

from minis2s.schedules import (
    Constant,
    ConstantRatio,
    CosineDecay,
    ExponentialRatio,
    InverseSigmoidRatio,
    InverseSquareRoot,
    LinearDecay,
    LinearRatio,
    Plateau,
    WarmUp,
)

LEARNING_RATES = [
    (Constant(0.3), {1: 0.3, 10**9: 0.3}),
    (WarmUp(4, Constant(0.8)), {1: 0.2, 2: 0.4, 3: 0.6, 4: 0.8, 5: 0.8, 10**6: 0.8}),
    (WarmUp(1, Constant(0.8)), {1: 0.8, 2: 0.8}),
    (WarmUp(2, LinearDecay(1.0, total=4)), {1: 0.5, 2: 0.75, 3: 0.5, 4: 0.25, 5: 0.0}),
    (InverseSquareRoot(0.6, warmup=9), {1: 0.6 / 9, 3: 0.2, 9: 0.6, 36: 0.3, 81: 0.2, 900: 0.06}),
    (InverseSquareRoot(1.0, warmup=1), {1: 1.0, 4: 0.5, 10**8: 1e-4}),
    (LinearDecay(0.8, total=4), {1: 0.8, 2: 0.6, 3: 0.4, 4: 0.2, 5: 0.0, 6: 0.0, 999: 0.0}),
    (LinearDecay(0.9, total=4, floor=0.1), {1: 0.9, 2: 0.7, 3: 0.5, 4: 0.3, 5: 0.1, 999: 0.1}),
    (CosineDecay(0.8, total=2), {1: 0.8, 2: 0.4, 3: 0.0, 4: 0.0, 999: 0.0}),
    (CosineDecay(1.0, total=3, floor=0.2), {1: 1.0, 2: 0.8, 3: 0.4, 4: 0.2, 999: 0.2}),
]

RATIOS = [
    (ConstantRatio(), {1: 1.0, 10**9: 1.0}),
    (ConstantRatio(0.25), {1: 0.25, 10**9: 0.25}),
    (LinearRatio(0.125), {1: 0.875, 4: 0.5, 8: 0.0, 9: 0.0, 10**9: 0.0}),
    (LinearRatio(0.25, start=0.75, floor=0.125), {1: 0.5, 2: 0.25, 3: 0.125, 10**9: 0.125}),
    (ExponentialRatio(0.5), {1: 0.5, 2: 0.25, 10: 1 / 1024, 10**9: 0.0}),
    (InverseSigmoidRatio(1), {1: 1 / (1 + math.e), 2: 1 / (1 + math.e**2), 10**9: 0.0}),
    (InverseSigmoidRatio(50), {50: 50 / (50 + math.e), 100: 50 / (50 + math.e**2), 10**9: 0.0}),
]


@pytest.mark.parametrize(
    "schedule, points", LEARNING_RATES, ids=lambda x: repr(x) if hasattr(x, "lr") else ""
)
def test_the_learning_rate_at_points_computed_by_hand(schedule, points):
    for step, lr in points.items():
        assert abs(schedule.lr(step) - lr) <= 1e-12


@pytest.mark.parametrize("schedule, points", RATIOS, ids=lambda x: repr(x) if hasattr(x, "ratio") else "")
def test_the_ratio_at_points_computed_by_hand(schedule, points):
    for step, ratio in points.items():
        assert abs(schedule.ratio(step) - ratio) <= 1e-12


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in RATIOS], ids=repr)
def test_a_ratio_is_a_probability_and_never_rises(schedule):
    ratios = [schedule.ratio(step) for step in range(1, 3000)]
    assert all(0 <= ratio <= 1 for ratio in ratios)
    assert all(later <= sooner for sooner, later in pairwise(ratios))


@pytest.mark.parametrize("schedule", [LinearDecay(0.5, 300, 0.01), CosineDecay(0.5, 300, 0.01)], ids=repr)
def test_a_decay_falls_at_every_step_until_its_floor(schedule):
    rates = [schedule.lr(step) for step in range(1, 400)]
    assert all(later < sooner for sooner, later in pairwise(rates[:301]))
    assert all(abs(rate - 0.01) <= 1e-12 for rate in rates[300:])


def test_inverse_square_root_is_the_equation_of_vaswani_et_al():
    d_model, warmup = 512, 4000
    schedule = InverseSquareRoot((d_model * warmup) ** -0.5, warmup)
    for step in (1, 7, 3999, 4000, 4001, 100_000):
        published = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert abs(schedule.lr(step) / published - 1) <= 1e-12
    assert max(schedule.lr(step) for step in range(1, 9000)) == schedule.lr(warmup)


def test_inverse_sigmoid_passes_a_half_where_its_docstring_says():
    assert abs(InverseSigmoidRatio(500).ratio(500 * math.log(500)) - 0.5) <= 1e-12


def test_exponential_halves_where_its_docstring_says():
    assert abs(ExponentialRatio(0.99).ratio(math.log(2) / -math.log(0.99)) - 0.5) <= 1e-12


def test_plateau_shrinks_after_more_than_patience_evaluations_without_a_new_best():
    plateau = Plateau(0.8, factor=0.5, patience=1, floor=0.15)
    rates = []
    for metric in [5.0, 4.0, 4.0, 3.9, 4.5, 3.9, 7.0, 3.8, math.nan, math.nan, 9.0, 9.0, 9.0, 9.0]:
        plateau.observe(metric)
        rates.append(plateau.lr(len(rates) + 1))
    #          5    4    4    3.9  4.5  3.9  7    3.8  nan  nan  9    9     9     9
    assert rates == [0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15, 0.15]


def test_plateau_without_patience_shrinks_at_once_and_a_nan_is_never_the_best():
    plateau = Plateau(1.0, factor=0.1, patience=0)
    plateau.observe(math.nan)
    assert plateau.lr(1) == 0.1
    plateau.observe(1e9)
    assert plateau.lr(2) == 0.1 and plateau.best == 1e9


def test_plateau_under_a_warm_up():
    plateau = Plateau(0.8, patience=0)
    schedule = WarmUp(4, plateau)
    assert schedule.lr(2) == 0.4
    plateau.observe(1.0)
    plateau.observe(1.0)
    assert schedule.lr(2) == 0.2 and schedule.lr(4) == 0.4


@pytest.mark.parametrize("seen", [0, 1, 3, 5])
def test_plateau_goes_on_from_its_state(seen):
    metrics = [3.0, 3.1, 2.9, 2.95, 3.0, 3.0, 2.0, 2.5, 2.5, 2.5]

    def go_on(plateau, metrics):
        rates = []
        for metric in metrics:
            plateau.observe(metric)
            rates.append(plateau.lr(1))
        return rates

    whole = go_on(Plateau(0.3, 0.7, 1), metrics)
    assert len(set(whole)) == 3
    first = Plateau(0.3, 0.7, 1)
    assert go_on(first, metrics[:seen]) == whole[:seen]
    state = json.loads(json.dumps(first.state(), allow_nan=False))
    second = Plateau(0.3, 0.7, 1)
    second.load_state(state)
    assert second.lr(1) == first.lr(1)
    assert go_on(second, metrics[seen:]) == whole[seen:]


def test_plateau_refuses_a_state_that_is_none():
    with pytest.raises(ValueError, match="Plateau state should have"):
        Plateau(0.1).load_state({"best": 1.0})


def test_schedules_are_values():
    assert WarmUp(4, Constant(0.8)) == WarmUp(4, Constant(0.8)) != WarmUp(5, Constant(0.8))
    with pytest.raises(AttributeError):
        Constant(0.1).peak = 0.2


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Constant(-0.1), "Constant: peak must be a finite number >= 0, got -0.1"),
        (lambda: Constant(math.nan), "peak must be"),
        (lambda: WarmUp(0, Constant(0.1)), "WarmUp: steps must be a whole number >= 1, got 0"),
        (lambda: WarmUp(math.inf, Constant(0.1)), "steps must be"),
        (lambda: InverseSquareRoot(0.1, 2.5), "warmup must be"),
        (lambda: InverseSquareRoot(math.inf, 2), "peak must be"),
        (lambda: LinearDecay(0.1, 0), "total must be"),
        (lambda: LinearDecay(0.1, 10, floor=0.2), "LinearDecay: floor must be from 0 to 0.1, got 0.2"),
        (lambda: CosineDecay(0.1, -3), "total must be"),
        (lambda: CosineDecay(0.1, 10, floor=-0.1), "floor must be"),
        (lambda: Plateau(0.1, factor=1.0), "factor must be"),
        (lambda: Plateau(0.1, patience=-1), "patience must be"),
        (lambda: Plateau(0.1, floor=0.2), "floor"),
        (lambda: ConstantRatio(1.1), "start must be from 0 to 1"),
        (lambda: LinearRatio(-0.1), "slope must be"),
        (lambda: LinearRatio(0.1, start=0.5, floor=0.6), "floor must be from 0 to 0.5"),
        (lambda: ExponentialRatio(1.0), "k must be"),
        (lambda: InverseSigmoidRatio(0.5), "k must be"),
        (lambda: InverseSigmoidRatio(math.inf), "k must be"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
