"""A report as HTML: `to_html` for a notebook's cell, `save_html` for a page of its own.

One static piece: no script, no network, no other file. Of the hints only those are in it that the report
may show, each in its own <details>, so that a learner opens them one after the other. What a student
wrote (names, messages, lines of code) goes through `plain`, which escapes it.
"""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from minis2s.files import write_text
from minis2s.gradcheck.causes import CAUSES
from minis2s.gradcheck.heatmap import Marks, heat_map, plain
from minis2s.gradcheck.html_layout import Layout, layouts_of
from minis2s.gradcheck.html_style import PAGE_STYLE, STYLE
from minis2s.gradcheck.report import DIFFERS, Report
from minis2s.gradcheck.verdict import MISSING, RIGHT, WRONG, Block

CELLS = 1000  # drawn in all pictures of a report together: about 100 KB
MOST_PICTURES = 24
MOST_STEPS = 12  # in the table of steps
SIGNS = {RIGHT: ("good", "\N{CHECK MARK}"), WRONG: ("bad", "\N{BALLOT X}"), MISSING: ("bad", "\N{BALLOT X}")}
UNSURE = ("unsure", "?")


def to_html(report: Report, gates: str = "") -> str:
    """The report as one piece of HTML, to stand inside a page.

    gates: the order in which the gates lie in the checked function; by default that of its kind.
    """
    return f"<style>{STYLE}</style>{fragment(report, gates)}"


def save_html(report: Report | Sequence[Report], path: str | os.PathLike, gates: str = "") -> None:
    """Write a page with one report or several. Raises UserError when the file cannot be written."""
    reports = [report] if isinstance(report, Report) else list(report)
    names = plain(", ".join(r.name for r in reports))
    body = "\n".join(fragment(r, gates) for r in reports)
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>Gradient check: {names}</title>'
        f"<style>{STYLE}\n{PAGE_STYLE}</style></head>\n<body>{body}</body></html>\n",
    )


def fragment(report: Report, gates: str = "") -> str:
    report = report.shown()  # what the hint level holds back is left out there, and nowhere else
    layouts = layouts_of(report, gates)
    parts = [
        headline(report),
        hint_parts(report, layouts),
        finding_part(report),
        table_of_blocks(report.blocks),
        pictures(report, layouts),
        foot(report),
    ]
    return f'<div class="gradcheck" lang="en">{"".join(parts)}</div>'


# -- verdict and hints ---------------------------------------------------------------------------------------


def headline(report: Report) -> str:
    kind = f" ({plain(report.kind)})" if report.kind and report.kind != report.name else ""
    colour, sign = SIGNS.get(report.verdict, UNSURE)
    words = plain(report.summary()).removeprefix(report.verdict).lstrip(": ")
    forward = (
        '<span class="badge bad">\N{BALLOT X} forward differs</span> ' if report.forward == DIFFERS else ""
    )
    return (
        f"<h2>Gradient check: {plain(report.name)}{kind}</h2>"
        f'<p>{forward}<span class="badge {colour}">{sign} {plain(report.verdict)}</span> {words}</p>'
    )


def hint_parts(report: Report, layouts: dict[str, Layout]) -> str:
    """One <details> for each hint that the report may show; the first is open."""
    parts = []
    if report.where():
        parts.append(("Where is it?", f"<p>{sentence(report.where())}</p>{steps_table(report, layouts)}"))
    if report.why():
        known = report.cause is not None and report.cause.cause in CAUSES
        general = f"<p>{sentence(CAUSES[report.cause.cause])}</p>" if known else ""
        parts.append(("What kind of mistake is it?", f"{general}<p>{sentence(report.why())}</p>"))
    if report.formula():
        parts.append(("Which line is it?", formula_part(report)))
    if not parts:
        return ""
    opened = [
        f"<details{' open' if n == 0 else ''}><summary>Hint {n + 1}: {title}</summary>{content}</details>"
        for n, (title, content) in enumerate(parts)
    ]
    return f"<h3>Hints</h3>{''.join(opened)}"


def sentence(text: str) -> str:
    """A sentence of the report, escaped; with a capital letter unless it begins with a gradient's name."""
    first = text.split(" ")[0]
    if first.isascii() and first.isalpha() and first.islower() and not first.startswith("d"):
        text = text[0].upper() + text[1:]
    return plain(text) + ("" if text.endswith((".", "?", "!")) else ".")


def formula_part(report: Report) -> str:
    cause = report.cause
    rows = [
        ("forward computes", cause.equation),
        ("backward needs", cause.line),
        ("your numbers are those of", cause.wrong),
    ]
    said = "".join(f"<dt>{name}</dt><dd><code>{plain(code)}</code></dd>" for name, code in rows if code)
    names = f'<p class="quiet">{sentence(report.names())}</p>' if report.names() else ""
    return f"<dl>{said}</dl>" + ("" if cause.wrong else "<p>Your numbers lack this.</p>") + names


def steps_table(report: Report, layouts: dict[str, Layout]) -> str:
    """Gates down, time steps across: where the first wrong gradient is, and what is right beside it."""
    place = report.place
    if place is None or (place.step is None and not place.gate):
        return ""
    steps = shown_steps(report, layouts, place.step)
    inside = f"{place.layer}." if place.layer else ""
    orders = [layout.gates for name, layout in layouts.items() if name.startswith(inside)]
    letters = next((g for g in orders if g and set(place.gate) <= set(g)), "") if place.gate else ""
    letters = letters or place.gate
    body = []
    for row in letters or [""]:
        here = not place.gate or row in place.gate
        cells = "".join(step_cell(t, place.step, here) for t in steps)
        label = f"gate {row}" if row else place.node
        body.append(
            f'<tr><th scope="row"{" class=mark" if row and here else ""}>{plain(label)}</th>{cells}</tr>'
        )
    head = ""
    if place.step is not None:
        head = "".join(f'<th scope="col"{" class=mark" if t == place.step else ""}>t={t}</th>' for t in steps)
        head = f"<thead><tr><td></td>{head}</tr></thead>"
    words = f"{place.node} in {place.layer}" if place.layer else place.node
    if head:
        words += ": backward runs from right to left, from the last step to the first"
        words += "; \N{LEFTWARDS ARROW}: what arrives there is wrong already" if steps[0] < place.step else ""
    table = f'<table class="steps" aria-label="the first wrong gradient">{head}<tbody>{"".join(body)}</tbody>'
    return f'<p class="quiet">{plain(words)}</p><div class="scroll">{table}</table></div>'


def shown_steps(report: Report, layouts: dict[str, Layout], step: int | None) -> list[int | None]:
    """The time steps of the operation, some of them where there are many; [None] where there is no time."""
    if step is None:
        return [None]
    count = step + 1
    for block in report.blocks:
        if block.got is not None and block.name in layouts and layouts[block.name].axes[:1] == "T":
            count = max(count, np.shape(block.got)[0])
    first = max(0, min(step - MOST_STEPS // 2, count - MOST_STEPS))
    return list(range(first, min(count, first + MOST_STEPS)))


def step_cell(t: int | None, wrong: int | None, here: bool) -> str:
    if t == wrong:
        return '<td class="bad mark">\N{BALLOT X} wrong</td>' if here else "<td>\N{EN DASH}</td>"
    if t > wrong:
        return '<td class="good">\N{CHECK MARK} right</td>'
    return '<td title="what arrives here is wrong already">\N{LEFTWARDS ARROW}</td>'


def finding_part(report: Report) -> str:
    if not report.findings:
        return ""
    items = []
    for f in report.findings:
        colour, word = ("bad", "fault") if f.ok is False else ("unsure", "note")
        items.append(f'<li><span class="badge {colour}">{word}</span> {plain(f.says)}</li>')
    return f"<h3>What else was noticed</h3><ul>{''.join(items)}</ul>"


# -- the blocks ----------------------------------------------------------------------------------------------

COLUMNS = (
    "gradient of", "verdict", "relative error", "worst entry", "backward says", "differences say",
    "Taylor slope",
)  # fmt: skip


def in_order(blocks: Iterable[Block]) -> list[Block]:
    return sorted(blocks, key=lambda b: b.verdict == RIGHT)


def table_of_blocks(blocks: list[Block]) -> str:
    if not blocks:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(block_row(block) for block in in_order(blocks))
    slope = ""
    if any(block.slope is not None for block in blocks):
        slope = (
            '<p class="quiet">Taylor slope: how fast the error of the linear approximation shrinks with '
            "the step; 2 for a right gradient, 1 for a wrong one.</p>"
        )
    table = f'<table class="blocks"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f"<h3>Gradients</h3>{table}{slope}"


def block_row(block: Block) -> str:
    colour, sign = SIGNS.get(block.verdict, UNSURE)
    measured = block.verdict != MISSING and np.isfinite(block.error)
    index = "" if block.index is None else f"[{', '.join(str(n) for n in block.index)}]"
    both = block.verdict not in (MISSING, "vacuous")
    cells = [
        f'<span class="badge {colour}">{sign} {plain(block.verdict)}</span>',
        relative(block.error) if measured and both else "",
        plain(index),
        f"{block.analytic:#.7g}" if both else "",
        f"{block.numeric:#.7g}" if both else "",
        "" if block.slope is None or not np.isfinite(block.slope) else f"{block.slope:.1f}",
    ]
    if block.note:
        cells[0] += f'<span class="note">{plain(block.note)}</span>'
    said = "".join(
        f'<td data-label="{name}">{cell}</td>' for name, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    return f'<tr><th scope="row"><code>{plain(block.name)}</code></th>{said}</tr>'


def relative(error: float) -> str:
    """In percent, as in the pictures, what is larger than a thousandth."""
    return f"{100 * error:.3g} %" if error >= 1e-3 else f"{error:.1e}"


def pictures(report: Report, layouts: dict[str, Layout]) -> str:
    """A heat map for each block that is not right; of one that is right it would be empty."""
    shown = [b for b in report.blocks if b.verdict != RIGHT and b.got is not None and b.expected is not None]
    if not shown:
        return ""
    left_out = len(shown) - MOST_PICTURES
    shown = (
        sorted(shown, key=lambda b: -b.error if np.isfinite(b.error) else -np.inf)[:MOST_PICTURES]
        if left_out > 0
        else shown
    )
    marks = marks_of(report)
    parts = []
    for block in shown:
        axes, letters = layouts.get(block.name, Layout("", ""))
        near = report.place is None or block.name.startswith(report.place.layer)  # marks are of that layer
        drawn = heat_map(block, axes, letters, marks if near else Marks(), CELLS // len(shown))
        if drawn:
            parts.append(f"<section><h4>Gradient of <code>{plain(block.name)}</code></h4>{drawn}</section>")
    if not parts:
        return ""
    more = f'<p class="quiet">{left_out} more wrong gradients are not drawn.</p>' if left_out > 0 else ""
    return f'<h3>Where they differ</h3>{legend()}<div class="pictures">{"".join(parts)}</div>{more}'


def marks_of(report: Report) -> Marks:
    if report.place is None:
        return Marks()
    return Marks(report.place.gate, report.place.step, report.place.rows or ())


def legend() -> str:
    names = [
        ("n4", "\N{MINUS SIGN}30 and beyond"), ("n3", "to \N{MINUS SIGN}30"), ("n2", "to \N{MINUS SIGN}10"),
        ("n1", "to \N{MINUS SIGN}3"), ("z", "\N{MIDDLE DOT} equal"), ("p1", "to +3"), ("p2", "to +10"),
        ("p3", "to +30"), ("p4", "+30 and beyond"),
    ]  # fmt: skip
    swatches = "".join(f'<span class="{name}">{text}</span>' for name, text in names)
    return (
        "<p>Backward minus numeric, in percent of the largest value of the gradient: "
        "+ where backward gives too much, \N{MINUS SIGN} where too little, framed the worst entry.</p>"
        f'<div class="legend" role="img" aria-label="colours from too small to too large">{swatches}</div>'
    )


def foot(report: Report) -> str:
    if not report.oracle:
        return ""
    how = "one random direction for each gradient" if report.fast else "entry by entry"
    settings = f"; settings: {plain(', '.join(report.settings))}" if report.settings else ""
    said = f"Measured with {plain(report.oracle)}, {how}, in {report.seconds:.2f} s{settings}"
    return f'<p class="quiet">{said}.</p>'
