"""Where the attention looked."""

from collections.abc import Sequence

import numpy as np

from minis2s.plots.style import (
    MOST_NAMED,
    SHARES,
    Figure,
    font_note,
    quiet_matplotlib,
    shown,
    usable_fonts,
    without_font,
    write_tokens,
)


def plot_attention(weights: np.ndarray, target: Sequence[str], source: Sequence[str]) -> tuple[Figure, str]:
    """A heat map: each row is one step of writing, and shows where in the source the model looked.

    weights (T, S), target: T tokens, source: S tokens, as `Translator.attention` returns them.

    Raises ValueError when the sizes differ.
    """
    T, S = weights.shape
    if (len(target), len(source)) != (T, S):
        raise ValueError(
            f"weights {weights.shape} need {T} target and {S} source tokens, got {len(target)} and {len(source)}"
        )
    with quiet_matplotlib():
        from matplotlib import figure as mpl

        fonts = usable_fonts([*target, *source])
        lacking = without_font([*target, *source], fonts)
        # a square of a quarter inch for each weight, within what a screen can show
        width, height = (float(np.clip(0.25 * n + 1.5, 3, 20)) for n in (S, T))
        figure = mpl.Figure(figsize=(width + 0.8, height), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(weights, cmap=SHARES, vmin=0, vmax=1, aspect="equal")
        figure.colorbar(image, ax=axes, label="weight")
        write_tokens(axes.xaxis, source, fonts)
        write_tokens(axes.yaxis, target, fonts)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("source")
        axes.set_ylabel("output")
    looks = [
        f"{shown(target[t])} at {shown(source[s])} ({weights[t, s]:.2f})"
        for t, s in enumerate(weights.argmax(axis=1))
    ]
    more = ", ..." if T > MOST_NAMED else ""
    sentence = f"Writing each output token, the model looked most at: {', '.join(looks[:MOST_NAMED])}{more}."
    return figure, sentence + font_note(lacking)
