"""Heat maps of |backward - numeric|, as HTML tables: a number and a colour in each cell.

A block of one or two axes is one table; of more, one small table for each step (or whatever its first
axes are). Columns that are gates are grouped under their letters. Large blocks are sampled, always with
the worst entry among what is shown, and the caption says so.
"""

import html
import unicodedata
from typing import NamedTuple

import numpy as np

from minis2s.gradcheck.verdict import Block

AXES = {
    "T": "step", "S": "source step", "B": "row of the batch", "D": "input", "H": "hidden unit", "G": "gate",
    "Q": "query", "A": "attention unit", "M": "memory", "E": "embedding", "K": "output", "V": "word",
}  # fmt: skip
MOST = {"columns": 16, "rows": 12, "panels": 12}
EQUAL = 1e-6  # of the largest value: what is smaller is shown as equal
LEVELS = (0.03, 0.1, 0.3)  # between the four colours of each side
PLUS, MINUS, DOT, DOWN = "+", "\N{MINUS SIGN}", "\N{MIDDLE DOT}", "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
MARKED = ' class="mark"'
OVERRIDES = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # they reverse what follows


def plain(text: object) -> str:
    """Any text, safe inside HTML: escaped, without control characters and half surrogate pairs."""
    kept = (
        "\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c
        for c in str(text)
        if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in OVERRIDES)
    )
    return html.escape("".join(kept))


class Marks(NamedTuple):
    """What the place of the mistake names: to be marked at the edge of each map."""

    gates: str = ""
    step: int | None = None
    rows: tuple[int, ...] = ()  # of the batch

    def on(self, axis: str, n: int) -> bool:
        return (axis == "T" and n == self.step) or (axis == "B" and n in self.rows)


class Scaled(NamedTuple):
    """A block as three axes (panels, rows, columns), with the letters of the last two."""

    got: np.ndarray  # (P, R, C)
    expected: np.ndarray  # (P, R, C)
    relative: np.ndarray  # (P, R, C)  (got - expected) / the largest value of the block
    worst: tuple[int, int, int] | None
    axes: str  # letters of all axes of the block, "" where they are unknown


def heat_map(
    block: Block, axes: str = "", gates: str = "", marks: Marks | None = None, cells: int = 400
) -> str:
    """The picture of one block as HTML; "" where there are no two gradients to compare.

    axes: the letters of the block's axes. gates: letters of the gates on its last axis, "" if it has none.
    cells: how many may be drawn at most.
    """
    shown = scaled(block, axes)
    if shown is None:
        return ""
    marks = marks or Marks()
    chosen, sampled = sample(shown, cells)
    panels = "".join(
        panel(block.name, shown, p, chosen[1], chosen[2], panel_label(block, shown, p), gates, marks)
        for p in chosen[0]
    )
    notes = [axes_in_words(shown.axes, np.ndim(block.got)), *sampled]
    said = "; ".join(note for note in notes if note)
    return f'<p class="quiet">{plain(said)}</p><div class="panels">{panels}</div>'


def scaled(block: Block, axes: str) -> Scaled | None:
    """The block in three axes; None where there is nothing to compare."""
    if block.got is None or block.expected is None:
        return None
    got, expected = np.asarray(block.got, dtype=np.float64), np.asarray(block.expected, dtype=np.float64)
    if got.shape != expected.shape or got.size == 0:
        return None
    finite = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in (got, expected)]
    largest = max(*finite, 1e-300)
    with np.errstate(all="ignore"):
        relative = (got - expected) / largest
    worst = None
    if block.index is not None and len(block.index) == got.ndim:
        lead = got.shape[:-2]
        panel_of = int(np.ravel_multi_index(block.index[:-2], lead)) if lead else 0
        inner = (0, 0, *block.index[-2:])[-2:] if got.ndim else (0, 0)
        worst = (panel_of, *inner)
    shape = (-1, *(1, 1, *got.shape)[-2:])
    axes = axes if len(axes) == got.ndim else ""
    return Scaled(got.reshape(shape), expected.reshape(shape), relative.reshape(shape), worst, axes)


# -- what is shown -----------------------------------------------------------------------------------------


def sample(shown: Scaled, cells: int) -> tuple[list[np.ndarray], list[str]]:
    """(the panels, rows and columns to draw, a sentence for each axis of which some are left out)."""
    limits = dict(MOST)
    sizes = dict(zip(("panels", "rows", "columns"), shown.got.shape, strict=True))
    while np.prod([min(limits[name], sizes[name]) for name in sizes]) > cells:
        largest = max(limits, key=lambda name: min(limits[name], sizes[name]))
        if min(limits[largest], sizes[largest]) <= 2:
            break
        limits[largest] = min(limits[largest], sizes[largest]) - 1
    chosen, said = [], []
    for n, (name, size) in enumerate(sizes.items()):
        every = -(-size // limits[name])
        first = shown.worst[n] % every if shown.worst else 0
        chosen.append(np.arange(first, size, every))
        if every > 1:
            thing = {"panels": "step" if shown.axes[:1] in ("T", "S") else "part"}.get(name, name[:-1])
            said.append(f"every {ordinal(every)} {thing} shown, {len(chosen[-1])} of {size}")
    return chosen, said


def ordinal(n: int) -> str:
    end = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{end}"


def axes_in_words(axes: str, ndim: int) -> str:
    if not axes:
        return ""
    names = [f"{letter} ({AXES[letter]})" if letter in AXES else letter for letter in axes]
    words = f"columns: {names[-1]}"
    if ndim >= 2:
        words = f"rows: {names[-2]}, {words}"
    return words


def panel_label(block: Block, shown: Scaled, p: int) -> str:
    lead = np.shape(block.got)[:-2]
    if not lead:
        return ""
    index = np.unravel_index(p, lead)
    if shown.axes and len(lead) == 1:
        return f"{shown.axes[0].lower()}={p}"
    return f"[{', '.join(str(int(n)) for n in index)}]"


# -- one table ---------------------------------------------------------------------------------------------


def panel(
    name: str,
    shown: Scaled,
    p: int,
    rows: np.ndarray,
    columns: np.ndarray,
    label: str,
    gates: str,
    marks: Marks,
) -> str:
    """One table: the columns over it, the rows beside it, a signed percentage in each cell."""
    R, C = shown.got.shape[1:]
    width = C // len(gates) if gates and C % len(gates) == 0 else 0  # columns of each gate
    edges = {
        int(k) for n, k in enumerate(columns) if width and (n == 0 or k // width != columns[n - 1] // width)
    }
    row_axis = shown.axes[-2] if len(shown.axes) >= 2 else ""
    column_axis = shown.axes[-1:]
    body = []
    for r in rows:
        cells = "".join(
            cell(shown, (p, int(r), int(c)), name, label, edge_class(c, columns, edges)) for c in columns
        )
        body.append(f"<tr>{row_header(row_axis, int(r), R, marks)}{cells}</tr>")
    head = column_headers(columns, width, gates, edges, column_axis, marks) if C > 1 else ""
    differs = not np.all(np.abs(shown.relative[p]) < EQUAL)
    marked = bool(label) and marks.on(shown.axes[:1], p) and differs
    caption = ""
    if label:
        text = f"{label}: first wrong here" if marked else label
        caption = f"<caption{MARKED if marked else ''}>{plain(text)}</caption>"
    says = f"{name} {label}".strip() + ": difference in percent of the largest value"
    return (
        f'<div class="panel scroll"><table class="map" aria-label="{plain(says)}" title="{plain(says)}">'
        f"{caption}{head}<tbody>{''.join(body)}</tbody></table></div>"
    )


def edge_class(c: int, columns: np.ndarray, edges: set[int]) -> str:
    """Thick borders between the gates."""
    return ("edge" if c in edges else "") + (" end" if edges and c == columns[-1] else "")


def row_header(axis: str, r: int, count: int, marks: Marks) -> str:
    if count == 1 and not axis:
        return "<td></td>"
    text = f"{axis.lower()}={r}" if axis else str(r)
    return f'<th scope="row"{MARKED if marks.on(axis, r) else ""}>{text}</th>'


def column_headers(
    columns: np.ndarray, width: int, gates: str, edges: set[int], axis: str, marks: Marks
) -> str:
    """One row of numbers; where the columns are gates, their letters above, and the wrong ones marked."""
    if not width:
        numbers = "".join(
            f'<th scope="col"{MARKED if marks.on(axis, int(c)) else ""}>{c}</th>' for c in columns
        )
        return f"<thead><tr><td></td>{numbers}</tr></thead>"
    letters = []
    for n, letter in enumerate(gates):
        span = int(np.count_nonzero(columns // width == n))
        wrong = letter in marks.gates
        classes = "letter edge" + (" end" if n == len(gates) - 1 else "") + (" mark" if wrong else "")
        if span:
            text = f"{letter} {DOWN}" if wrong else letter
            said = f' title="gate {letter}: wrong"' if wrong else f' title="gate {letter}"'
            letters.append(f'<th scope="colgroup" colspan="{span}" class="{classes}"{said}>{text}</th>')
    numbers = "".join(
        f'<th scope="col" class="{edge_class(c, columns, edges).strip()}">{c % width}</th>' for c in columns
    )
    return f'<thead><tr><td rowspan="2"></td>{"".join(letters)}</tr><tr>{numbers}</tr></thead>'


def cell(shown: Scaled, at: tuple[int, int, int], name: str, label: str, border: str) -> str:
    got, expected, relative = shown.got[at], shown.expected[at], shown.relative[at]
    colour, text = in_colour(got, expected, relative)
    worst = at == shown.worst and colour != "z"
    classes = " ".join(filter(None, [colour, border.strip(), "worst" if worst else ""]))
    said = ""
    if colour != "z":
        numeric = "not measured" if np.isnan(expected) else f"numeric {expected:#.4g}"
        said = f"backward {got:#.4g}, {numeric}" + (", the worst entry" if worst else "")
        said = f' title="{said}"'
    return f'<td class="{classes}"{said}>{text}</td>'


def in_colour(got: float, expected: float, relative: float) -> tuple[str, str]:
    """(class, text) of a cell: the sign and the number say all that the colour says."""
    if not np.isfinite(got):
        return "odd", "nan" if np.isnan(got) else f"{PLUS if got > 0 else MINUS}inf"
    if not np.isfinite(expected):
        return "z", "?"
    if abs(relative) < EQUAL:
        return "z", DOT
    level = 1 + sum(abs(relative) >= limit for limit in LEVELS)
    percent = abs(relative) * 100
    text = f"{percent:.0f}" if percent >= 0.95 else f"{percent:.1f}".lstrip("0")
    return (f"p{level}", PLUS + text) if relative > 0 else (f"n{level}", MINUS + text)
