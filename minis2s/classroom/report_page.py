"""The class report as one static HTML page: no script, no network, no other file.

Every text from a result goes through `plain`, which escapes it; the page forbids scripts on top of that. Tables
have captions and scroll in a frame of their own, by keyboard too, where a page is narrow.
"""

import base64
import hashlib

from minis2s.classroom import report_sections as part
from minis2s.classroom.report_alike import alike
from minis2s.classroom.report_figures import Figures
from minis2s.classroom.report_words import Say
from minis2s.gradcheck.heatmap import plain
from minis2s.gradcheck.html_style import DARK, LIGHT, LINE, variables

STYLE = f"""
:root{{color-scheme:light dark;{variables(LIGHT, LINE["light"])}}}
@media screen and (prefers-color-scheme:dark){{:root{{{variables(DARK, LINE["dark"])}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;max-width:1400px;padding:16px;background:var(--page);color:var(--page-t);
 font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}}
h1{{font-size:1.6em;line-height:1.3;margin:.3em 0}}
h2{{font-size:1.25em;margin:1.6em 0 .4em;line-height:1.3}}
p{{margin:.4em 0;max-width:75em}}
a{{color:inherit}}
nav ul{{display:flex;flex-wrap:wrap;gap:.3em 1.2em;list-style:none;margin:.6em 0;padding:0}}
.skip{{position:absolute;left:-100vw}}
.skip:focus{{position:static}}
:focus-visible{{outline:3px solid currentColor;outline-offset:2px}}
.scroll{{overflow-x:auto;max-width:100%;margin:.5em 0 1em}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
caption{{text-align:left;color:var(--soft-t);padding:.2em 0;font-size:.93em;max-width:calc(100vw - 40px)}}
th,td{{border:1px solid var(--line);padding:.25em .6em;text-align:left;vertical-align:top;overflow-wrap:normal}}
thead th{{background:var(--soft);color:var(--page-t);font-size:.9em;word-break:keep-all}}
.long{{min-width:14em;overflow-wrap:anywhere}}
.number{{text-align:right}}
td.number{{white-space:nowrap}}
.good{{background:var(--good);color:var(--good-t)}}
.bad{{background:var(--bad);color:var(--bad-t)}}
.note{{background:var(--unsure);color:var(--unsure-t);padding:.5em .8em;border-radius:6px}}
.quiet{{color:var(--soft-t);font-size:.93em}}
.side{{display:flex;flex-wrap:wrap;gap:0 2.5em;align-items:flex-start}}
.side>.scroll{{flex:0 1 auto}}
details{{border:1px solid var(--line);border-radius:6px;margin:.5em 0;padding:0 .8em}}
summary{{cursor:pointer;font-weight:600;padding:.5em 0}}
pre{{margin:0;font:.85em/1.45 ui-monospace,Consolas,monospace;white-space:pre}}
svg{{display:block;width:100%;max-width:520px;height:auto}}
svg rect{{fill:var(--n3)}}
svg text{{fill:var(--page-t);font:16px system-ui,sans-serif;text-anchor:middle}}
svg line{{stroke:var(--line)}}
@media print{{details::details-content{{content-visibility:visible;display:block;height:auto}}
 tr{{break-inside:avoid}}}}
"""


def page_of(figures: Figures, lang: str = "en", title: str = "") -> str:
    """The whole page. lang: "en" or "zh"; title: of the assignment, by default its name. Raises UserError."""
    say = Say(lang)
    heading = plain(say("title", title or figures.assignment))
    sections = [
        ("scores", part.scores(figures, say)),
        ("checks", part.checks(figures, say)),
        ("wrong", part.what_went_wrong(figures, say)),
        ("hints", part.hints(figures, say)),
        ("alike", alike(figures, say)),
        ("time", part.times(figures, say)),
        ("refused", part.refused(figures, say)),
        ("students", part.students(figures, say)),
    ]
    links = "".join(f'<li><a href="#{name}">{say(name)}</a></li>' for name, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{say(name)}</h2>{content}</section>\n'
        for name, content in sections
    )
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f'<!doctype html>\n<html lang="{say.lang}"><head><meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{heading}</title><style>{STYLE}</style></head>\n"
        f'<body><a class="skip" href="#main">{say("skip")}</a><header><h1>{heading}</h1>{part.summary(figures, say)}'
        f'<nav aria-label="{say("contents")}"><ul>{links}</ul></nav></header>\n'
        f'<main id="main" tabindex="-1">\n{body}</main></body></html>\n'
    )
