"""How a training went: its losses and its gradients."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from minis2s.plots.style import BLUE, VERMILION, Figure, quiet_matplotlib, tidy


def plot_history(history: Sequence[dict]) -> tuple[Figure, str]:
    """The losses and the dev error rate of a run over its epochs, from `Trainer.history`.

    Raises ValueError when the history is empty.
    """
    if not history:
        raise ValueError("there is no history to draw: nothing has been evaluated yet")
    epochs, train, dev, errors = (
        [row[name] for row in history] for name in ("epoch", "train_loss", "dev_loss", "dev_error_rate")
    )
    best = int(np.argmin(errors))
    with quiet_matplotlib():
        from matplotlib import figure as mpl

        figure = mpl.Figure(figsize=(7, 5), layout="constrained")
        loss, error = figure.subplots(2, 1, sharex=True)
        loss.plot(epochs, train, "o-", color=BLUE, markersize=4, label="training")
        loss.plot(epochs, dev, "s--", color=VERMILION, markersize=4, label="dev")
        loss.set_ylabel("loss (nats per token)")
        loss.legend(frameon=False)
        error.plot(epochs, [100 * e for e in errors], "s--", color=VERMILION, markersize=4)
        error.plot(
            epochs[best],
            100 * errors[best],
            "o",
            markersize=12,
            fillstyle="none",
            color="black",
            label="lowest",
        )
        error.legend(frameon=False)
        error.set_ylabel("dev error rate (%)")
        error.set_xlabel("epochs")
        for axes, top in ((loss, largest([*train, *dev])), (error, 100 * largest(errors))):
            axes.set_ylim(0, 1.1 * top or 1)
            tidy(axes)
    sentence = (
        f"In {epochs[-1]:.1f} epochs the training loss went from {train[0]:.2f} to {train[-1]:.2f} and the dev loss "
        f"from {dev[0]:.2f} to {dev[-1]:.2f}; the lowest dev error rate, {100 * errors[best]:.1f} %, came after "
        f"{epochs[best]:.1f} epochs."
    )
    return figure, sentence


def largest(values: Sequence[float]) -> float:
    """The largest of those that can be drawn: a training that diverged has losses of nan."""
    return max((value for value in values if math.isfinite(value)), default=0.0)


def plot_gradient_norm(
    norms: Sequence[float] | Sequence[Mapping], *, clip: float | None = None
) -> tuple[Figure, str]:
    """The length of the gradient, step by step, on a logarithmic axis.

    norms: one number for each step, as `clip_global_norm` returns them, or the rows of
    `Trainer.history`, each with the norm at the step of an evaluation.  clip: the `max_norm` of the
    clipping, drawn as a line. What a logarithm cannot show, zeros, nan and infinite norms, is named
    in the sentence.

    Raises ValueError when there is nothing to draw, a norm is negative, or a row has no norm.
    """
    if not len(norms):
        raise ValueError("there are no gradient norms to draw: no step has been made yet")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be above 0, got {clip}")
    if isinstance(norms[0], Mapping):
        lacking = sorted({name for row in norms for name in ("step", "gradient_norm") if name not in row})
        if lacking:
            raise ValueError(f"each row of a history needs 'step' and 'gradient_norm', some lack {lacking}")
        steps = np.array([row["step"] for row in norms])
        norms = [row["gradient_norm"] for row in norms]
    else:
        steps = np.arange(1, len(norms) + 1)
    values = np.array([float(norm) for norm in norms])
    if (values < 0).any():
        raise ValueError(f"a norm is a length and not below 0, got {values.min():g}")
    drawable = np.isfinite(values) & (values > 0)
    with quiet_matplotlib():
        from matplotlib import figure as mpl
        from matplotlib.ticker import LogFormatter

        figure = mpl.Figure(figsize=(7, 3.5), layout="constrained")
        axes = figure.subplots()
        marker = "o-" if len(values) <= 50 else "-"
        axes.plot(steps[drawable], values[drawable], marker, color=BLUE, markersize=4, linewidth=1)
        if clip is not None:
            axes.axhline(clip, linestyle="--", color=VERMILION, label="clipped above")
            axes.legend(frameon=False)
        axes.set_yscale("log")
        for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatted(LogFormatter(minor_thresholds=(2, 0.5)))  # 0.6, and not 6 x 10^-1
        axes.set_xlabel("training step")
        axes.set_ylabel("gradient norm")
        tidy(axes)
    return figure, sentence_about(steps, values, drawable, clip)


def sentence_about(steps: np.ndarray, values: np.ndarray, drawable: np.ndarray, clip: float | None) -> str:
    """What is to be seen of the gradient norms `values` (n,) at `steps` (n,)."""
    parts = []
    if drawable.any():
        shown, at = values[drawable], steps[drawable]
        tenth = max(1, math.ceil(len(shown) / 10))
        first, last = np.median(shown[:tenth]), np.median(shown[-tenth:])
        parts.append(
            f"the gradient norm went from {first:.3g} to {last:.3g} (medians of the first and the last tenth), "
            f"the largest being {shown.max():.3g} at step {at[shown.argmax()]}"
        )
    if clip is not None:
        # a nan is not above it: nothing can be said of its length
        parts.append(
            f"{100 * np.mean(values > clip):.0f} % of the norms were above {clip:g}, where they are clipped"
        )
    for what, which in (("zero", values == 0), ("not finite", ~np.isfinite(values))):
        if which.any():
            count = int(which.sum())
            be = "was" if count == 1 else "were"
            parts.append(f"{count} {be} {what}, first at step {steps[which][0]}, and cannot be drawn")
    return f"From step {steps[0]} to {steps[-1]}, {'; '.join(parts)}."
