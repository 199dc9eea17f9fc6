"""The gradient norm: every step is drawn, and what a logarithm cannot show is named."""

import numpy as np
import pytest

from minis2s import plot_gradient_norm
from minis2s.plots import png


def test_every_step_is_drawn_from_step_one():
    figure, sentence = plot_gradient_norm([4.0, 8.0, 2.0], clip=3)
    (axes,) = figure.axes
    norms, clip = axes.lines
    assert norms.get_xydata().tolist() == [[1, 4], [2, 8], [3, 2]]
    assert set(clip.get_ydata()) == {3} and axes.get_yscale() == "log"
    assert sentence == (
        "From step 1 to 3, the gradient norm went from 4 to 2 (medians of the first and the last tenth), the largest "
        "being 8 at step 2; 67 % of the norms were above 3, where they are clipped."
    )
    assert png(figure, sentence).startswith(b"\x89PNG")


def test_the_tenths_are_medians_so_that_one_spike_does_not_lead_them_astray():
    norms = [*[1.0] * 9, 500.0, *[1.0] * 10, *[2.0] * 79, 900.0]
    assert "went from 1 to 2 (medians" in plot_gradient_norm(norms)[1]


def test_a_history_has_its_own_steps():
    history = [{"step": 50, "gradient_norm": 1.5}, {"step": 100, "gradient_norm": 0.5}]
    figure, sentence = plot_gradient_norm(history)
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[50, 1.5], [100, 0.5]]
    assert sentence.startswith("From step 50 to 100, the gradient norm went from 1.5 to 0.5")


def test_zero_and_not_finite_norms_are_said_and_not_drawn():
    figure, sentence = plot_gradient_norm([1.0, 0.0, 2.0, np.nan, np.inf])
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1, 1], [3, 2]]
    assert "1 was zero, first at step 2, and cannot be drawn" in sentence
    assert "2 were not finite, first at step 4, and cannot be drawn" in sentence
    figure, sentence = plot_gradient_norm([0.0])
    assert sentence == "From step 1 to 1, 1 was zero, first at step 1, and cannot be drawn."
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("norms", "options", "says"),
    [
        ([], {}, "no step has been made"),
        ([1.0, -2.0], {}, "not below 0, got -2"),
        ([1.0], {"clip": 0}, "clip must be above 0, got 0"),
        ([{"step": 1}], {}, r"some lack \['gradient_norm'\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused(norms, options, says):
    with pytest.raises(ValueError, match=says):
        plot_gradient_norm(norms, **options)
