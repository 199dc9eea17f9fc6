"""Which symbol was written for which: outputs aligned with their right answers, and counted."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from minis2s.plots.style import (
    MOST_NAMED,
    SHARES,
    Figure,
    as_token,
    font_note,
    quiet_matplotlib,
    shown,
    size_for,
    usable_fonts,
    without_font,
    write_tokens,
)

MISSING, ADDED = "(missing)", "(added)"  # the column and the row of what has no counterpart


def align(reference: Sequence[str], output: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """The symbols of two sequences side by side, with as few differences as possible.

    A pair (r, o) says that o was written for r; (r, None) that r was left out; (None, o) that o was
    added. The number of pairs that differ is `edit_distance(reference, output)`. Where several
    alignments have as few, two symbols side by side are preferred to a gap, from the end on.

    Source: Wagner and Fischer 1974.
    """
    n, m = len(reference), len(output)
    # distance[i][j] between the first i symbols of the reference and the first j of the output
    distance = [list(range(m + 1))] + [[i] + [0] * m for i in range(1, n + 1)]
    for i, r in enumerate(reference, 1):
        above, here = distance[i - 1], distance[i]
        for j, o in enumerate(output, 1):
            here[j] = min(above[j - 1] + (r != o), above[j] + 1, here[j - 1] + 1)
    pairs, i, j = [], n, m
    while i or j:
        if i and j and distance[i][j] == distance[i - 1][j - 1] + (reference[i - 1] != output[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((reference[i], output[j]))
        elif i and distance[i][j] == distance[i - 1][j] + 1:
            i -= 1
            pairs.append((reference[i], None))
        else:
            j -= 1
            pairs.append((None, output[j]))
    return pairs[::-1]


def plot_confusion(
    references: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]], *, most: int = 30
) -> tuple[Figure, str]:
    """A heat map of what was written (columns) for each right symbol (rows).

    references, outputs: texts, or lists of tokens, in the same order; each output is aligned with its
    reference by `align`. A row shows the shares of what was written for its symbol; the row "(added)"
    those of the additions. Where there are more than `most` symbols, those with most mistakes are shown.

    Raises ValueError when the two differ in number, hold nothing, or `most` is below 1.
    """
    if len(references) != len(outputs):
        raise ValueError(f"expected an output for each reference, got {len(outputs)} for {len(references)}")
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for reference, output in zip(references, outputs, strict=True):
        counts.update(align(reference, output))
    if not counts:
        raise ValueError("there is nothing to compare: no reference and no output has a symbol")
    symbols, every = chosen_symbols(counts, most)
    rows = [*symbols, None] if any(r is None for r, _ in counts) else symbols
    columns = [*symbols, None] if any(o is None for _, o in counts) else symbols
    totals = Counter()
    for (r, _), count in counts.items():
        totals[r] += count
    shares = np.array([[counts[r, o] / max(totals[r], 1) for o in columns] for r in rows])
    with quiet_matplotlib():
        from matplotlib import figure as mpl

        fonts = usable_fonts(symbols)
        lacking = without_font(symbols, fonts)
        width, height = (size_for(len(side), 0.28, 3.5, 14) for side in (columns, rows))
        figure = mpl.Figure(figsize=(width + 1, height), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(shares, cmap=SHARES, vmin=0, vmax=1, aspect="equal")
        figure.colorbar(image, ax=axes, label="share of the row")
        write_tokens(axes.xaxis, [MISSING if o is None else o for o in columns], fonts, most=most + 1)
        write_tokens(axes.yaxis, [ADDED if r is None else r for r in rows], fonts, most=most + 1)
        axes.set_xlabel("output")
        axes.set_ylabel("reference")
        if len(rows) <= most + 1:
            write_counts(axes, rows, columns, counts, shares, fonts)
    return figure, sentence_about(counts, len(symbols), every) + font_note(lacking)


def chosen_symbols(counts: Counter, most: int) -> tuple[list[str], int]:
    """The `most` symbols with most mistakes, in the order of their code points, and how many there are."""
    mistakes: Counter[str] = Counter()
    for (r, o), count in counts.items():
        for symbol in {r, o} - {None}:
            mistakes[symbol] += count if r != o else 0
    ranked = sorted(mistakes, key=lambda symbol: (-mistakes[symbol], symbol))
    return sorted(ranked[:most]), len(ranked)


def write_counts(axes, rows: list, columns: list, counts: Counter, shares: np.ndarray, fonts: dict) -> None:
    """The number of each mistake in its cell; the diagonal, which is the rule, speaks by its colour."""
    for y, r in enumerate(rows):
        for x, o in enumerate(columns):
            if r != o and counts[r, o]:
                colour = "white" if shares[y, x] < 0.5 else "black"
                text = axes.text(x, y, str(counts[r, o]), ha="center", va="center", color=colour, size=7)
                as_token(text, fonts)


def sentence_about(counts: Counter, drawn: int, every: int) -> str:
    """How much was right, and the most frequent mistakes, equally frequent ones in order of their symbols."""
    right = sum(count for (r, o), count in counts.items() if r == o)
    symbols = sum(count for (r, _), count in counts.items() if r is not None)
    wrong = sorted(
        ((pair, count) for pair, count in counts.items() if pair[0] != pair[1]),
        key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""),
    )
    of = "The references have no symbol"
    if symbols:
        of = f"Of {symbols:,} reference symbols {100 * right / symbols:.1f} % were written right"
    if not wrong:
        return f"{of}, and nothing was added."
    says = []
    for (r, o), count in wrong[: MOST_NAMED // 2]:
        if o is None:
            what = f"{shown(r)} left out"
        else:
            what = f"{shown(o)} added" if r is None else f"{shown(o)} for {shown(r)}"
        says.append(f"{what} ({count})")
    some = f", and the {drawn} symbols with most mistakes of {every} are shown" if drawn < every else ""
    return f"{of}; the most frequent mistakes are {', '.join(says)}{some}."
