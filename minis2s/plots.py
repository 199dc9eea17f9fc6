"""Pictures: how the loss fell, and where the attention looked.

Each function returns a matplotlib Figure, which a notebook shows and `png` turns into a file, and
one sentence that says what is to be seen in it. Matplotlib is imported only when something is drawn,
and without its global state: no window, no display.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from minis2s.data.tokenizers import JOINER, RAW_JOINER, SPACE

Figure = Any  # a matplotlib.figure.Figure

# from the palette of Okabe and Ito, which colour-blind readers can tell apart; the lines differ in style too
BLUE, VERMILION = "#0072B2", "#D55E00"
MOST_LOOKS = 12  # of the steps that the sentence about a heat map spells out
# fonts for scripts that the default one lacks, as they are called on Linux, macOS and Windows
FALLBACK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic",
    "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Devanagari", "Nirmala UI", "Droid Sans Fallback", "Unifont",
)  # fmt: skip


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
        for axes, top in ((loss, max(*train, *dev)), (error, 100 * max(errors))):
            axes.set_ylim(0, 1.1 * top or 1)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    sentence = (
        f"In {epochs[-1]:.1f} epochs the training loss went from {train[0]:.2f} to {train[-1]:.2f} and the dev loss "
        f"from {dev[0]:.2f} to {dev[-1]:.2f}; the lowest dev error rate, {100 * errors[best]:.1f} %, came after "
        f"{epochs[best]:.1f} epochs."
    )
    return figure, sentence


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
        labels = [[shown(token, fonts) for token in tokens] for tokens in (target, source)]
        # a square of a quarter inch for each weight, within what a screen can show
        width, height = (float(np.clip(0.25 * n + 1.5, 3, 20)) for n in (S, T))
        figure = mpl.Figure(figsize=(width + 0.8, height), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(weights, cmap="cividis", vmin=0, vmax=1, aspect="equal")
        figure.colorbar(image, ax=axes, label="weight")
        axes.set_xticks(range(S), labels[1])
        axes.set_yticks(range(T), labels[0])
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("source")
        axes.set_ylabel("output")
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_parse_math(False)  # a "$" is a dollar
            label.set_fontfamily(list(fonts))
        for label in axes.get_xticklabels():
            label.set_rotation(90 if len(label.get_text()) > 2 else 0)
    looks = [
        f"{shown(target[t])} at {shown(source[s])} ({weights[t, s]:.2f})"
        for t, s in enumerate(weights.argmax(axis=1))
    ]
    more = ", ..." if T > MOST_LOOKS else ""
    sentence = f"Writing each output token, the model looked most at: {', '.join(looks[:MOST_LOOKS])}{more}."
    if lacking:
        some = " ".join(lacking[:MOST_LOOKS]) + (" ..." if len(lacking) > MOST_LOOKS else "")
        sentence += f" No font was found for {some}: the picture shows their code points in brackets."
    return figure, sentence


def png(figure: Figure, description: str = "") -> bytes:
    """A figure as the contents of a PNG file, `description` within it for readers who cannot see it."""
    buffer = BytesIO()
    with quiet_matplotlib():
        figure.savefig(buffer, format="png", dpi=150, metadata={"Description": description, "Software": None})
    return buffer.getvalue()


@contextmanager
def quiet_matplotlib() -> Iterator[None]:
    """Without remarks on font caches and configuration folders, which the user did not ask about."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def usable_fonts(tokens: Sequence[str]) -> dict[str, frozenset[int]]:
    """The fonts that together show most characters of the tokens, each with the characters that it has."""
    from matplotlib import font_manager

    def characters(path: str) -> frozenset[int]:
        return frozenset(font_manager.get_font(path).get_charmap())

    fonts = {"DejaVu Sans": characters(font_manager.findfont("DejaVu Sans"))}  # comes with matplotlib
    installed = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    missing = {ord(c) for token in tokens for c in token} - fonts["DejaVu Sans"]
    for name in FALLBACK_FONTS:
        if missing and name in installed:
            has = characters(installed[name])
            if missing & has:
                fonts[name] = has
                missing -= has
    return fonts


def without_font(tokens: Sequence[str], fonts: dict[str, frozenset[int]]) -> list[str]:
    """The printable characters of the tokens that no font can show, each once."""
    found = dict.fromkeys(c for token in tokens for c in bare(token) if c.isprintable() and c != " ")
    return [c for c in found if not any(ord(c) in has for has in fonts.values())]


def shown(token: str, fonts: dict[str, frozenset[int]] | None = None) -> str:
    """How a token is written in a text, or, with `fonts`, on an axis.

    Spaces are visible, and there is a code for what cannot be printed or what no font can show.
    """
    text = "".join(
        "␣"
        if c == " "
        else c
        if c.isprintable() and (fonts is None or any(ord(c) in has for has in fonts.values()))
        else f"[{ord(c):X}]"
        for c in bare(token)
    )
    return text if len(text) <= 20 else text[:19] + "…"


def bare(token: str) -> str:
    """A token as it stands in the text, without the tokenizer's marks."""
    if token in (SPACE, RAW_JOINER):
        return " " if token == SPACE else JOINER
    return token.strip(JOINER) or token
