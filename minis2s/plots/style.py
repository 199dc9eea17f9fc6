"""What all pictures share: colours, sizes, fonts for any script, the way of a token onto an axis, files.

Matplotlib is imported only when something is drawn, and without its global state: no window, no display.
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
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
# maps that are read in grey as well: one for shares from 0 to 1, one for values around zero
SHARES, SIGNED = "cividis", "PuOr"
MOST_NAMED = 12  # of the things that a sentence spells out
MOST_LABELS = 80  # on the longest axis
# fonts for scripts that the default one lacks, as they are called on Linux, macOS and Windows
FALLBACK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic",
    "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Devanagari", "Nirmala UI", "Droid Sans Fallback", "Unifont",
)  # fmt: skip


def tidy(axes: Any) -> None:
    """The look of every picture with lines: a faint grid, no box."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def size_for(n: int, each: float, low: float, high: float) -> float:
    """Inches for n rows or columns of a heat map, `each` for one, within what a screen can show."""
    return float(np.clip(each * n + 1, low, high))


def write_tokens(
    axis: Any, tokens: Sequence[str], fonts: dict[str, frozenset[int]], most: int = MOST_LABELS
) -> None:
    """Tokens beside the rows, or below the columns, of a heat map; of very many some are left out."""
    every = max(1, -(-len(tokens) // most))
    places = range(0, len(tokens), every)
    axis.set_ticks(places, [shown(tokens[n], fonts) for n in places])
    for label in axis.get_ticklabels():
        as_token(label, fonts)
        if axis.axis_name == "x":
            label.set_rotation(90 if len(label.get_text()) > 2 else 0)


def as_token(text: Any, fonts: dict[str, frozenset[int]]) -> None:
    """Have matplotlib write a token as it is, in fonts that have its characters."""
    text.set_parse_math(False)  # a "$" is a dollar
    text.set_fontfamily(list(fonts))


def font_note(lacking: Sequence[str]) -> str:
    """What a sentence adds where characters have no font; nothing where all have."""
    if not lacking:
        return ""
    some = " ".join(lacking[:MOST_NAMED]) + (" ..." if len(lacking) > MOST_NAMED else "")
    return f" No font was found for {some}: the picture shows their code points in brackets."


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
