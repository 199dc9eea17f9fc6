"""Drawing dropout masks: how many are dropped, from which generator, and what dropout makes of it."""

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.functional.dropout import draw_dropout_mask

SHAPE = (40, 50, 60)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_of_p_is_dropped_and_the_mean_stays(p):
    mask = draw_dropout_mask(SHAPE, p, np.random.default_rng(0))
    assert mask.shape == SHAPE and mask.dtype == bool
    deviation = (p * (1 - p) / mask.size) ** 0.5
    assert abs(1 - mask.mean() - p) <= 5 * deviation
    out, _ = F.dropout.forward(np.ones(SHAPE), mask, p)
    assert set(np.unique(out)) == {0.0, 1 / (1 - p)}
    assert abs(out.mean() - 1) <= 5 * deviation / (1 - p)


def test_p_zero_keeps_everything():
    mask = draw_dropout_mask(SHAPE, 0.0, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal(SHAPE)
    assert mask.all() and np.array_equal(F.dropout.forward(x, mask, 0.0)[0], x)


def test_the_generator_decides():
    rng = np.random.default_rng(7)
    first, second = (draw_dropout_mask(SHAPE, 0.3, rng) for _ in range(2))
    again = draw_dropout_mask(SHAPE, 0.3, np.random.default_rng(7))
    assert np.array_equal(first, again) and not np.array_equal(first, second)


def test_the_mask_is_the_same_on_another_array_module(strict_xp):
    host = draw_dropout_mask((4, 5), 0.3, np.random.default_rng(7))
    device = draw_dropout_mask((4, 5), 0.3, np.random.default_rng(7), strict_xp)
    assert isinstance(device, strict_xp.ndarray)
    assert np.array_equal(host, strict_xp.asnumpy(device))


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_an_impossible_probability_is_refused(p):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\), got"):
        draw_dropout_mask(SHAPE, p, np.random.default_rng(0))
