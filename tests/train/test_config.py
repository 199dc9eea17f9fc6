"""What the options of a run make of each step: its learning rate and its teacher-forcing ratio."""

import math

import numpy as np
import pytest

from minis2s.schedules import Plateau
from minis2s.train.config import TrainConfig, learning_rate, teacher_forcing


def rates_of(config, total):
    """The learning rate of every step of a run, in units of its peak."""
    plateau = Plateau(config.lr)
    return np.array([learning_rate(config, step + 1, total, plateau) for step in range(total)]) / config.lr


def ratios_of(config, total):
    """The teacher-forcing ratio of every step of a run."""
    return np.array([teacher_forcing(config, step, total) for step in range(total)])


@pytest.mark.parametrize(
    "schedule, middle, end",
    [
        ("constant", 1.0, 1.0),
        ("linear", 0.5, 0.0),
        ("cosine", 0.5, 0.0),
        ("inverse-sqrt", math.sqrt(100 / 500), math.sqrt(100 / 1000)),
        ("plateau", 1.0, 1.0),
    ],
)
def test_learning_rate_curves(schedule, middle, end):
    rates = rates_of(TrainConfig(schedule=schedule, lr=0.4, warmup=100), 1000)
    assert rates[0] == pytest.approx(0.01, rel=0.01)  # warming up
    assert rates[49] == pytest.approx(0.5, abs=0.03) and rates[99] == pytest.approx(1, abs=0.1)
    assert rates[499] == pytest.approx(middle, abs=0.01)
    assert rates[-1] == pytest.approx(end, abs=0.01)
    assert (np.diff(rates[:100]) > 0).mean() > 0.9 and (np.diff(rates[100:]) <= 0).all()


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "inverse-sqrt", "plateau"])
def test_no_warm_up(schedule):
    assert rates_of(TrainConfig(schedule=schedule, lr=0.4, warmup=0), 1000)[0] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    "decay, middle",
    [("linear", 0.625), ("exponential", 0.5), ("inverse-sigmoid", 0.5)],
)
def test_teacher_forcing_curves(decay, middle):
    """From 1 at the start to the ratio asked for at the end."""
    ratios = ratios_of(TrainConfig(teacher_forcing=0.25, forcing_decay=decay), 1000)
    assert ratios[0] == pytest.approx(1, abs=0.02)
    assert ratios[500] == pytest.approx(middle, abs=0.01)
    assert ratios[-1] == pytest.approx(0.25, abs=0.01)
    assert (np.diff(ratios) <= 1e-12).all() and ratios.min() >= 0.25 - 1e-12


@pytest.mark.parametrize("decay", ["constant", "linear", "exponential", "inverse-sigmoid"])
@pytest.mark.parametrize("end", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("total", [1, 2, 10, 10**9])
def test_teacher_forcing_of_any_run_is_a_probability(decay, end, total):
    config = TrainConfig(teacher_forcing=end, forcing_decay=decay)
    for step in (0, 1, 5, total - 1):
        assert end <= teacher_forcing(config, step, total) <= 1
    if decay == "constant" or end == 1:
        assert teacher_forcing(config, 0, total) == end


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "inverse-sqrt", "plateau"])
def test_a_short_run_does_not_spend_itself_warming_up(schedule):
    rates = rates_of(TrainConfig(schedule=schedule, warmup=200), 50)
    assert rates.argmax() <= 5 and rates.max() > 0.85
    assert rates_of(TrainConfig(schedule=schedule, warmup=200), 1)[0] > 0.9
