"""The sections of the class report, each as a piece of HTML.

Every text from a result goes through `plain`, which escapes it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import mean, median

from minis2s.classroom.feedback import REVIEW
from minis2s.classroom.report_figures import (
    CheckCount,
    Count,
    Figures,
    cause_of,
    diagnosed,
    place_in_words,
)
from minis2s.classroom.report_words import MEANINGS_ZH, Say
from minis2s.classroom.results import RIGHT, outcomes_of
from minis2s.gradcheck.causes import CAUSES
from minis2s.gradcheck.heatmap import plain

SLOWEST = 5
BINS = 10


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kinds: str) -> str:
    """A table. caption, head: text. rows: HTML already. kinds: a letter for each column: t text, n number, l long."""
    classes = {"t": "", "n": ' class="number"', "l": ' class="long"'}
    columns = "".join(
        f'<th scope="col"{classes["n"] if k == "n" else ""}>{plain(h)}</th>' for h, k in zip(head, kinds)
    )
    body = []
    for first, *rest in rows:
        cells = "".join(f"<td{classes[k]}>{cell}</td>" for cell, k in zip(rest, kinds[1:], strict=True))
        body.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{plain(caption)}"><table>'
        f"<caption>{plain(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{''.join(body)}</tbody>"
        "</table></div>"
    )


def paragraph(text: str, kind: str = "") -> str:
    return f"<p{f' class={kind}' if kind else ''}>{plain(text)}</p>"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def summary(figures: Figures, say: Say) -> str:
    graded, lost = figures.graded, len(figures.refused)
    if not graded:
        return paragraph(say("summary none", refused=lost))
    got = [result.get("score") or 0 for result in graded]
    points = max(result.get("points") or 0 for result in graded)
    parts = [
        say(
            "summary",
            graded=len(graded),
            refused=lost,
            points=number(points),
            mean=number(mean(got)),
            median=number(median(got)),
        )
    ]
    waiting = sum(bool(question.get("answer")) for result in graded for question in result.get("written") or [])
    if waiting:
        parts.append(say("written", n=waiting))
    layers = sorted({", ".join(map(str, result.get("layers") or ["?"])) for result in graded})
    parts.append(say("layers", "; ".join(layers)))
    text = paragraph(" ".join(parts))
    open_ = sum(not any(map(guards_files, result.get("layers") or [])) for result in graded)
    if open_:
        text += paragraph(say("not official", n=open_), "note")
    versions = {result.get("assignment_sha256") for result in graded}
    return text + (paragraph(say("versions", n=len(versions)), "note") if len(versions) > 1 else "")


def guards_files(layer: object) -> bool:
    return str(layer).startswith(("landlock", "bubblewrap"))


def scores(figures: Figures, say: Say) -> str:
    shares = [
        (result.get("score") or 0) / result["points"] for result in figures.graded if result.get("points")
    ]
    if not shares:
        return paragraph(say("summary none", refused=len(figures.refused)))
    counts = [0] * (BINS + 1)  # the last one is for all points
    for share in shares:
        counts[BINS if share >= 1 else max(0, int(share * BINS))] += 1
    says = say("histogram", full=counts[BINS], low=sum(counts[: BINS // 2]))
    return f"{histogram(counts, says)}{paragraph(says)}"


def histogram(counts: Sequence[int], says: str) -> str:
    """Bars with their numbers above and the lower end of each in percent below."""
    wide, high = 46, 130
    bars = []
    for n, count in enumerate(counts):
        tall = round(high * count / max(max(counts), 1))
        x = 8 + n * wide
        label = "100" if n == len(counts) - 1 else f"{n * 100 // (len(counts) - 1)}–"
        bars.append(f'<rect x="{x}" y="{20 + high - tall}" width="{wide - 8}" height="{tall}"/>')
        if count:
            bars.append(f'<text x="{x + wide // 2 - 4}" y="{15 + high - tall}">{count}</text>')
        bars.append(f'<text x="{x + wide // 2 - 4}" y="{high + 38}">{label}</text>')
    width, bottom = 16 + wide * len(counts), high + 20
    return (
        f'<svg viewBox="0 0 {width} {high + 46}" role="img" aria-label="{plain(says)}">{"".join(bars)}'
        f'<line x1="4" y1="{bottom}" x2="{width - 4}" y2="{bottom}"/></svg>'
    )


def checks(figures: Figures, say: Say) -> str:
    if not figures.checks:
        return paragraph(say("no checks"))
    order = {check.task: n for n, check in reversed(list(enumerate(figures.checks)))}
    rows = []
    for check in sorted(figures.checks, key=lambda c: (order[c.task], c.right / c.students)):
        wrong = check.students - check.right
        rows.append(
            [
                plain(check.task),
                plain(check.check),
                f'<span class="bad">{wrong}</span>' if wrong else "0",
                str(check.right),
                plain(instead(check, say)),
                number(check.points),
                say("public" if check.public else "hidden"),
            ]
        )
    head = [say(k) for k in ("task", "check", "not right", "right", "how", "points", "seen")]
    return table(say("checks caption", n=len(figures.graded)), head, rows, "tlnnlnt")


def instead(check: CheckCount, say: Say) -> str:
    wrong = [(o, n) for o, n in check.outcomes.most_common() if o != RIGHT]
    return ", ".join(f"{say.outcome(o)} {n}" for o, n in wrong)


def what_went_wrong(figures: Figures, say: Say) -> str:
    parts = []
    for what, counts in (
        ("gradient", figures.gradients), ("node", figures.nodes), ("gate", figures.gates), ("step", figures.steps),
    ):  # fmt: skip
        if counts:
            rows = [[plain(c.task), plain(c.what), share_of(c, say)] for c in counts]
            parts.append(
                table(say(f"{what}s caption"), [say("task"), say(what), say("diagnosed")], rows, "ttn")
            )
    tables = f'<div class="side">{"".join(parts)}</div>' if parts else ""
    if figures.causes:
        rows = [
            [plain(c.task), plain(c.what), meaning(c.what, say), share_of(c, say)] for c in figures.causes
        ]
        head = [say(k) for k in ("task", "cause", "meaning", "diagnosed")]
        tables += table(say("causes caption"), head, rows, "ttln")
    return paragraph(say("wrong intro")) + tables if tables else paragraph(say("no diagnosis"))


def share_of(count: Count, say: Say) -> str:
    return say("of", count.wrong, count.all)


def meaning(cause: str, say: Say) -> str:
    return plain((MEANINGS_ZH if say.lang == "zh" else CAUSES).get(cause, ""))


def hints(figures: Figures, say: Say) -> str:
    if not figures.hints:
        return paragraph(say("no hints"))
    rows = []
    for hint in figures.hints:
        name = say(f"hint {hint.hint}") if 0 <= hint.hint <= 3 else str(hint.hint)
        share = f" ({percent(hint.mended / hint.open)})" if hint.open else ""
        rows.append(
            [
                name,
                str(hint.gradings),
                str(hint.students),
                str(hint.open),
                f"{hint.mended}{share}",
                str(hint.broken),
            ]
        )
    head = [say(k) for k in ("hint", "handed in again", "student", "open", "mended", "broken")]
    return table(say("hints caption"), head, rows, "tnnnnn") + paragraph(say("hints warning"), "note")


def times(figures: Figures, say: Say) -> str:
    took = {
        result["student"]: result["seconds"] for result in figures.graded if result.get("seconds") is not None
    }
    if not took:
        return paragraph(say("no time"))
    text = say(
        "time text",
        total=duration(sum(took.values())),
        median=duration(median(took.values())),
        longest=duration(max(took.values())),
    )
    slowest = sorted(took, key=lambda student: (-took[student], student))[:SLOWEST]
    rows = [[plain(student), f"{took[student]:.1f}"] for student in slowest]
    return paragraph(text) + table(say("time caption"), [say("student"), say("seconds")], rows, "tn")


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def refused(figures: Figures, say: Say) -> str:
    if not figures.refused:
        return paragraph(say("no refused"))
    rows = [
        [plain(r["student"]), plain(r.get("file") or ""), plain(r.get("reason") or r["status"])]
        for r in figures.refused
    ]
    return table(say("refused caption"), [say("student"), say("file"), say("reason")], rows, "tll")


def students(figures: Figures, say: Say) -> str:
    if not figures.graded:
        return paragraph(say("summary none", refused=len(figures.refused)))
    rows = []
    for result in figures.graded:
        open_ = [name for name, outcome in outcomes_of(result).items() if outcome != RIGHT]
        diagnoses = [d for _, d in diagnosed([result])]
        places = "; ".join(filter(None, map(place_in_words, diagnoses)))
        causes = "; ".join(filter(None, map(cause_of, diagnoses)))
        notes = "; ".join(str(note).removeprefix(REVIEW) for note in result.get("notes") or [])
        score = f"{number(result.get('score'))} / {number(result.get('points'))}"
        kind = "bad" if open_ else "good"
        rows.append(
            [plain(result["student"]), f'<span class="{kind}">{score}</span>']
            + [plain(text) for text in (", ".join(in_short(result, say)), places, causes, notes)]
        )
    head = [say(k) for k in ("student", "score", "not right", "place", "cause", "notes")]
    return table(say("students caption"), head, rows, "tnltll")


def in_short(result: Mapping, say: Say) -> Iterator[str]:
    """The checks that are not right; a task of which none is, in one word."""
    for task in result.get("tasks") or []:
        checks = task.get("checks") or []
        open_ = [check["check"] for check in checks if check["outcome"] != RIGHT]
        if len(open_) == len(checks) > 1:
            yield f"{task['task']}/{say('all')}"
        else:
            yield from (f"{task['task']}/{check}" for check in open_)
