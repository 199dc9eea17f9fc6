"""The section of the class report on programs that are alike, with their lines side by side, as HTML."""

import re
from collections.abc import Mapping, Sequence

from minis2s.classroom.report_figures import Figures
from minis2s.classroom.report_sections import paragraph, percent, table
from minis2s.classroom.report_words import Say
from minis2s.classroom.similarity import MATCHED, Match, Pair
from minis2s.gradcheck.heatmap import plain

MOST_MATCHES, MOST_LINES = 12, 40
FEW = 5  # programs; among fewer nothing is usual


def alike(figures: Figures, say: Say) -> str:
    found = figures.alike
    if not figures.sources:
        return paragraph(say("no sources"))
    text = say("alike how", n=found.compared) + " "
    text += say("alike given" if figures.handed_out else "alike not given")
    parts = [paragraph(say("alike warning"), "note"), paragraph(text)]
    share = percent(figures.threshold)
    if not found.pairs and found.compared > 1:
        parts.append(paragraph(say("no alike", share=share)))
    elif found.pairs:
        shown = found.pairs[:MATCHED]
        rows = [
            [names(pair), percent(pair.share), plain(how_unusual(pair, found.compared, say))]
            for pair in shown
        ]
        head = [say("pair"), say("share"), say("unusual")]
        parts.append(table(say("alike caption", share=share), head, rows, "tnl"))
        parts += [side_by_side(pair, figures.sources, say) for pair in shown]
        if len(found.pairs) > MATCHED:
            parts.append(paragraph(say("more pairs", n=len(found.pairs) - MATCHED)))
    for key, who in (("too short", found.too_short), ("unreadable", found.unreadable)):
        if who:
            parts.append(paragraph(say(key, ", ".join(who)), "quiet"))
        if key == "too short":
            said = (say("identical", n=len(group), who=", ".join(group)) for group in found.identical)
            parts += [paragraph(text, "note") for text in said]
    return "".join(parts)


def names(pair: Pair) -> str:
    return f"{plain(pair.first)}<br>{plain(pair.second)}"


def how_unusual(pair: Pair, compared: int, say: Say) -> str:
    if compared < FEW:
        return say("unusual few")
    return say("unusual text", n=pair.as_alike, pairs=pair.pairs, usual=percent(pair.usual))


def side_by_side(pair: Pair, sources: Mapping[str, str], say: Say) -> str:
    """The lines that are alike, in two columns; <details>, so that a page with many pairs stays short."""
    texts = [re.split("\r\n|\r|\n", sources[student]) for student in (pair.first, pair.second)]
    ordered = sorted(pair.matches, key=lambda m: m.first[0] - m.first[1])[:MOST_MATCHES]  # the longest
    rows = []
    for match in sorted(ordered):
        rows.append([excerpt(texts[0], match, 0, say), excerpt(texts[1], match, 1, say)])
    cells = "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows)
    caption = plain(say("side caption"))
    head = "".join(f'<th scope="col">{plain(student)}</th>' for student in (pair.first, pair.second))
    more = len(pair.matches) - len(ordered)
    label = plain(say("side by side", pair.first, pair.second))
    return (
        f'<details><summary>{label}</summary><div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>"
        f"{paragraph(say('more lines', n=more), 'quiet') if more > 0 else ''}</details>"
    )


def excerpt(lines: Sequence[str], match: Match, side: int, say: Say) -> str:
    first, last = match[side]
    shown = lines[first - 1 : min(last, first + MOST_LINES - 1)]
    cut = "\n…" if last - first >= MOST_LINES else ""
    text = "\n".join(line[:200] for line in shown) + cut
    return f'<span class="quiet">{say("lines", first, last)}</span><pre>{plain(text)}</pre>'
