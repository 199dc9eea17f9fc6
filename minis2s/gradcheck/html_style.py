"""The looks of the HTML report: colours for light and dark, and one style sheet, scoped by a class.

Differences run from blue (too small) over the page's own colour to orange (too large), which
colour-blind readers can tell apart; every cell carries its number as well. A test computes the contrast
of all pairs of text and background.
"""

# name -> (background, text); "n4" is far too small, "z" no difference, "p4" far too large
LIGHT: dict[str, tuple[str, str]] = {
    "page": ("#ffffff", "#1b1f24"),
    "soft": ("#f3f5f7", "#4a525b"),
    "n4": ("#0b4f8a", "#ffffff"),
    "n3": ("#63a7da", "#0d1117"),
    "n2": ("#acd0ee", "#0d1117"),
    "n1": ("#e0eefa", "#0d1117"),
    "z": ("#ffffff", "#66707a"),
    "p1": ("#fdebda", "#0d1117"),
    "p2": ("#fbcb9c", "#0d1117"),
    "p3": ("#ef8f46", "#0d1117"),
    "p4": ("#9c3403", "#ffffff"),
    "odd": ("#3a3f45", "#ffffff"),  # nan and infinity
    "good": ("#e3f1f7", "#0b4a66"),
    "bad": ("#fbe6dc", "#8a2d03"),
    "unsure": ("#f3f0dc", "#5a4b00"),
}
DARK: dict[str, tuple[str, str]] = {
    "page": ("#15181c", "#e6e9ec"),
    "soft": ("#20252b", "#b3bcc5"),
    "n4": ("#a5d4f8", "#0d1117"),
    "n3": ("#4a93d0", "#0d1117"),
    "n2": ("#1d4f7c", "#ffffff"),
    "n1": ("#1a2f42", "#ffffff"),
    "z": ("#15181c", "#8f99a3"),
    "p1": ("#3e2a18", "#ffffff"),
    "p2": ("#79430f", "#ffffff"),
    "p3": ("#e07f33", "#0d1117"),
    "p4": ("#ffcb9a", "#0d1117"),
    "odd": ("#d5dae0", "#0d1117"),
    "good": ("#12303f", "#a9dcf2"),
    "bad": ("#46210f", "#ffc3a1"),
    "unsure": ("#37310f", "#efe0a0"),
}
LINE = {"light": "#c5ccd3", "dark": "#48515b"}


def variables(palette: dict[str, tuple[str, str]], line: str) -> str:
    pairs = [f"--{name}:{back};--{name}-t:{text};" for name, (back, text) in palette.items()]
    return "".join(pairs) + f"--line:{line};"


def cell_rules() -> str:
    names = [name for name in LIGHT if name not in ("page", "soft")]
    return "\n".join(f".gradcheck .{n}{{background:var(--{n});color:var(--{n}-t)}}" for n in names)


RULES = """
.gradcheck{background:var(--page);color:var(--page-t);font:15px/1.5 system-ui,sans-serif;padding:12px 16px;
 width:100%;max-width:1100px;box-sizing:border-box;container-type:inline-size;text-align:left;
 overflow-wrap:anywhere}
.gradcheck *{box-sizing:border-box}
.gradcheck h2,.gradcheck h3,.gradcheck h4{line-height:1.3;margin:1.2em 0 .4em;font-weight:600;color:inherit}
.gradcheck h2{font-size:1.35em;margin-top:0}
.gradcheck h3{font-size:1.1em}
.gradcheck h4{font-size:1em;margin-bottom:.2em}
.gradcheck p,.gradcheck ul{margin:.3em 0 .6em}
.gradcheck .quiet{background:none;color:var(--soft-t);font-size:.9em}
.gradcheck .badge{display:inline-block;white-space:nowrap;padding:0 .6em;border-radius:.7em;font-weight:600;
 border:1px solid}
.gradcheck code{font:.93em/1.5 ui-monospace,Consolas,monospace;background:var(--soft);color:var(--page-t);
 padding:.1em .35em;border-radius:3px;white-space:pre-wrap}
.gradcheck details{border:1px solid var(--line);border-radius:6px;margin:.4em 0;padding:0 .8em}
.gradcheck summary{cursor:pointer;font-weight:600;padding:.45em 0}
.gradcheck dl{margin:0 0 .7em}
.gradcheck dt{color:var(--soft-t);font-size:.9em}
.gradcheck dd{margin:0 0 .4em}
.gradcheck table{border-collapse:collapse;border:0;margin:.3em 0 .8em;font-size:inherit;color:inherit;
 width:auto;table-layout:auto}
.gradcheck thead{border:0}
.gradcheck tr,.gradcheck table tbody tr:hover,.gradcheck table tbody tr:nth-child(n){background:none}
.gradcheck th,.gradcheck td{padding:.25em .6em;border:1px solid var(--line);text-align:left;
 vertical-align:top;font-variant-numeric:tabular-nums;max-width:none}
.gradcheck th{font-weight:600}
.gradcheck thead th{background:var(--soft);color:var(--page-t);font-size:.88em}
.gradcheck .blocks{width:100%}
.gradcheck .blocks td{overflow-wrap:normal}
.gradcheck .note{display:block;color:var(--soft-t);font-size:.88em}
.gradcheck .pictures{display:flex;flex-wrap:wrap;gap:0 3em;align-items:flex-start}
.gradcheck section{max-width:100%;min-width:0}
.gradcheck .panels{display:flex;flex-wrap:wrap;gap:.4em 1.4em;align-items:flex-end}
.gradcheck .panel{background:none;border:0;margin:0;box-shadow:none}
.gradcheck .scroll{max-width:100%;overflow-x:auto}
.gradcheck .map caption,.gradcheck .steps caption{caption-side:top;text-align:left;padding:0 0 .2em;
 color:var(--soft-t);font-size:.88em}
.gradcheck .map th,.gradcheck .map td{border:1px solid var(--line);padding:0 .15em;min-width:2.55em;
 height:1.9em;text-align:center;vertical-align:middle;font-size:.8em;white-space:nowrap}
.gradcheck .map th{background:none;color:var(--soft-t);font-weight:400}
.gradcheck .map thead th{font-size:.8em}
.gradcheck .map .edge{border-left:3px solid var(--page-t)}
.gradcheck .map .end{border-right:3px solid var(--page-t)}
.gradcheck .map thead .letter{font-size:1em;font-weight:600;color:var(--page-t);border-bottom:0}
.gradcheck .map .mark,.gradcheck .map thead .mark,.gradcheck .mark{background:var(--bad);
 color:var(--bad-t);font-weight:700}
.gradcheck .map caption.mark{padding:0 .4em}
.gradcheck .map .worst{outline:3px solid var(--page-t);outline-offset:-3px;font-weight:700}
.gradcheck .steps td,.gradcheck .steps th{text-align:center;min-width:3.6em;white-space:nowrap}
.gradcheck .legend{display:flex;flex-wrap:wrap;gap:.15em;margin:.3em 0 .6em;font-size:.85em}
.gradcheck .legend span{padding:.15em .5em;border:1px solid var(--line)}
@container (max-width:640px){
.gradcheck .blocks,.gradcheck .blocks tbody,.gradcheck .blocks tr{display:block}
.gradcheck .blocks th,.gradcheck .blocks td{display:inline-block}
.gradcheck .blocks thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.gradcheck .blocks tr{border:1px solid var(--line);border-radius:6px;margin:.5em 0;padding:.2em 0}
.gradcheck .blocks th,.gradcheck .blocks td{border:0;padding:.1em .6em}
.gradcheck .blocks td:empty{display:none}
.gradcheck .blocks td::before{content:attr(data-label) ": ";color:var(--soft-t)}
.gradcheck .blocks td:first-of-type::before{content:""}
.gradcheck .steps td,.gradcheck .steps th{min-width:0;padding:.25em .35em}}
@media print{.gradcheck,.gradcheck *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.gradcheck .panel,.gradcheck tr,.gradcheck details{break-inside:avoid}
.gradcheck h3,.gradcheck h4{break-after:avoid}
.gradcheck details::details-content{content-visibility:visible;display:block;height:auto}}
"""

STYLE = "\n".join(
    [
        f".gradcheck{{{variables(LIGHT, LINE['light'])}}}",
        # paper is white, whatever the screen is
        f"@media screen and (prefers-color-scheme:dark){{.gradcheck{{{variables(DARK, LINE['dark'])}}}}}",
        RULES.strip(),
        cell_rules(),
    ]
)
PAGE_STYLE = (
    f"body{{margin:0;background:{LIGHT['page'][0]}}}.gradcheck{{margin:0 auto 24px}}"
    f"@media screen and (prefers-color-scheme:dark){{body{{background:{DARK['page'][0]}}}}}"
)
