"""Which symbols the model takes for similar: the neighbours of their embeddings, and a map of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minis2s.backend import to_numpy
from minis2s.data.vocabulary import SPECIAL_TOKENS, Vocabulary
from minis2s.plots.style import (
    BLUE,
    MOST_NAMED,
    SHARES,
    SIGNED,
    Figure,
    as_token,
    font_note,
    quiet_matplotlib,
    shown,
    usable_fonts,
    without_font,
    write_tokens,
)

MOST_POINTS = 150  # on the map; a vocabulary of words would be a black spot


class Neighbour(NamedTuple):
    token: str
    cosine: float  # of the angle between the two embeddings: 1 the same direction, 0 none in common


def nearest_tokens(
    table: np.ndarray, tokens: Sequence[str] | Vocabulary, of: Sequence[str], count: int = 3
) -> dict[str, list[Neighbour]]:
    """For each token in `of` the `count` others with the most similar embeddings, the nearest first.

    table (V, E): the rows of an Embedding (`layer.W.data`), for V tokens. With a Vocabulary the four
    special tokens are left out: some of them are never trained. Of equally near ones the first in the
    table comes first. An embedding of length zero has the cosine 0 with all others.

    Raises ValueError when table and tokens differ in number, a token is not among them, or count < 1.
    """
    table, tokens = without_specials(table, tokens)
    if not 1 <= count < len(tokens):
        raise ValueError(
            f"count must be from 1 to {len(tokens) - 1}, as {len(tokens)} tokens have neighbours, got {count}"
        )
    index = {token: n for n, token in reversed(list(enumerate(tokens)))}
    unknown = [token for token in of if token not in index]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of the {len(tokens)} tokens")
    unit = directions(table)
    found = {}
    for token in of:
        cosines = unit @ unit[index[token]]
        cosines[index[token]] = -np.inf  # not its own neighbour
        best = np.argsort(-cosines, kind="stable")[:count]
        found[token] = [Neighbour(tokens[n], float(cosines[n])) for n in best]
    return found


def plot_embeddings(
    table: np.ndarray,
    tokens: Sequence[str] | Vocabulary,
    *,
    of: Sequence[str] | None = None,
    neighbours: int = 3,
) -> tuple[Figure, str]:
    """Left a map of the embeddings, right the nearest neighbours of some of them by cosine.

    table, tokens: see `nearest_tokens`.  of: the tokens whose neighbours are shown; left out, the
    twelve that are nearest to another one.  The map is the projection onto the two directions in
    which the embeddings differ most (principal components). It shows at most 150 tokens: those named,
    and then the first of the table. What is near on the map need not be near in the table: two
    directions are not all.

    Raises ValueError as `nearest_tokens`, and for an empty `of` or a table with values that are not
    finite.
    """
    table, tokens = without_specials(table, tokens)
    neighbours = min(neighbours, len(tokens) - 1)
    if of is None:
        first = tokens[:MOST_POINTS]
        nearest = nearest_tokens(table, tokens, first, neighbours)
        of = sorted(nearest, key=lambda token: -nearest[token][0].cosine)[:MOST_NAMED]
    if not len(of):
        raise ValueError("of must name at least one token whose neighbours are shown")
    of = list(dict.fromkeys(of))
    nearest = nearest_tokens(table, tokens, of, neighbours)
    named = dict.fromkeys([*of, *(n.token for found in nearest.values() for n in found), *tokens])
    drawn = list(named)[: max(MOST_POINTS, len(of) * (neighbours + 1))]
    index = {token: n for n, token in reversed(list(enumerate(tokens)))}
    points, share = projected(table)
    places = points[[index[token] for token in drawn]]
    with quiet_matplotlib():
        from matplotlib import figure as mpl

        fonts = usable_fonts(drawn)
        lacking = without_font(drawn, fonts)
        height = float(np.clip(0.35 * len(of) + 1, 4.5, 12))
        figure = mpl.Figure(figsize=(5.5 + 1.2 * neighbours + 1.2, height), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(5, 1.2 * neighbours + 1))
        draw_map(left, drawn, places, set(of), fonts)
        draw_neighbours(figure, right, nearest, fonts)
    says = [
        f"{shown(token)}: {' and '.join(f'{shown(n.token)} ({n.cosine:.2f})' for n in found[:2])}"
        for token, found in list(nearest.items())[:MOST_NAMED]
    ]
    more = "; ..." if len(nearest) > MOST_NAMED else ""
    sentence = (
        f"Nearest by cosine are, to {'; to '.join(says)}{more}; the map has {100 * share:.0f} % of the variance"
        f"{f' and shows {len(drawn)} of {len(tokens)} tokens' if len(drawn) < len(tokens) else ''}."
    )
    return figure, sentence + font_note(lacking)


def without_specials(
    table: np.ndarray, tokens: Sequence[str] | Vocabulary
) -> tuple[np.ndarray, Sequence[str]]:
    """The table (V, E), on the host, with its V tokens, the special ones of a Vocabulary left out."""
    table = np.asarray(to_numpy(table), dtype=np.float64)
    names = tokens.tokens if isinstance(tokens, Vocabulary) else tokens
    if table.ndim != 2 or len(table) != len(names):
        raise ValueError(
            f"expected a table (V, E) with a row for each of {len(names)} tokens, got shape {table.shape}"
        )
    if isinstance(tokens, Vocabulary):
        table, names = table[len(SPECIAL_TOKENS) :], names[len(SPECIAL_TOKENS) :]
    if len(names) < 2:
        raise ValueError(f"neighbours need at least two tokens, got {len(names)}")
    if not np.isfinite(table).all():
        raise ValueError("the table has values that are not finite")
    return table, names


def directions(table: np.ndarray) -> np.ndarray:
    """The rows of a table (V, E), each of length one; rows of zeros stay."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return table / np.where(lengths > 0, lengths, 1)


def projected(table: np.ndarray) -> tuple[np.ndarray, float]:
    """The rows of a table (V, E) along its two principal components (V, 2), and their share of the variance.

    A component has no sign of its own: its largest entry is made positive, so that a picture repeats.
    """
    centred = table - table.mean(axis=0)
    _, sizes, components = np.linalg.svd(centred, full_matrices=False)
    two = components[:2]
    two = two * np.sign(two[np.arange(len(two)), np.abs(two).argmax(axis=1)])[:, None]
    points = np.zeros((len(table), 2))
    points[:, : len(two)] = centred @ two.T
    total = (sizes**2).sum()
    return points, float((sizes[:2] ** 2).sum() / total) if total > 0 else 1.0


def draw_map(axes, tokens: Sequence[str], places: np.ndarray, named: set[str], fonts: dict) -> None:
    """Each token where its embedding lies; those of which the neighbours are shown stand out."""
    axes.scatter(*places.T, alpha=0)  # for the limits of the axes; the tokens are the points
    for token, (x, y) in zip(tokens, places, strict=True):
        bold = token in named
        text = axes.annotate(
            shown(token, fonts), (x, y), ha="center", va="center",
            color=BLUE if bold else "0.35", weight="bold" if bold else "normal",
        )  # fmt: skip
        as_token(text, fonts)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second")
    axes.margins(0.1)
    axes.spines[["top", "right"]].set_visible(False)


def draw_neighbours(figure: Figure, axes, nearest: dict[str, list[Neighbour]], fonts: dict) -> None:
    """A line for each token with its neighbours, coloured by their cosine."""
    cosines = np.array([[n.cosine for n in found] for found in nearest.values()])
    signed = cosines.min() < 0
    image = axes.imshow(
        cosines, cmap=SIGNED if signed else SHARES, vmin=-1 if signed else 0, vmax=1, aspect="auto"
    )
    for y, found in enumerate(nearest.values()):
        for x, neighbour in enumerate(found):
            # both maps: dark where the colour is dark
            dark = abs(neighbour.cosine) > 0.6 if signed else neighbour.cosine < 0.5
            text = axes.text(
                x,
                y,
                shown(neighbour.token, fonts),
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
            as_token(text, fonts)
    axes.set_xticks(range(cosines.shape[1]), [str(n + 1) for n in range(cosines.shape[1])])
    write_tokens(axes.yaxis, list(nearest), fonts)
    axes.set_xlabel("nearest neighbours")
    figure.colorbar(image, ax=axes, label="cosine")
