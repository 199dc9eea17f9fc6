"""One traced step as ONE static HTML file: `page_html` for a file, `notebook_html` for a notebook's cell.

viewer.html, viewer.css and viewer*.js are hand-written and go into the file, with the page's numbers as
JSON between them. Nothing is fetched: no font, no library, no server, no kernel.
"""

import base64
import html
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from minis2s.gradcheck.heatmap import plain
from minis2s.gradcheck.html_style import DARK, LIGHT, LINE, variables

HERE = Path(__file__).parent
HEIGHT = 860  # pixels, in a notebook
SMALLEST, LARGEST = 1e-37, 3e38  # what a float32 holds with all its digits
SCRIPTS = ("_data", "_words", "_elements", "_equations", "_model", "_moment", "_beam", "_views", "")

# Beside the colours of the gradient check's report: one hue for what has no sign (attention, probability),
# "accent" for what is chosen or flows now. (background, text), as there; a test computes the contrasts.
MORE_LIGHT: dict[str, tuple[str, str]] = {
    "s0": ("#ffffff", "#66707a"),
    "s1": ("#f0eafa", "#0d1117"),
    "s2": ("#d9caf0", "#0d1117"),
    "s3": ("#b79be0", "#0d1117"),
    "s4": ("#7c4dbd", "#ffffff"),
    "s5": ("#481b88", "#ffffff"),
    "accent": ("#0b6b63", "#ffffff"),
}
MORE_DARK: dict[str, tuple[str, str]] = {
    "s0": ("#15181c", "#8f99a3"),
    "s1": ("#2a2240", "#ffffff"),
    "s2": ("#45337a", "#ffffff"),
    "s3": ("#7656b8", "#ffffff"),
    "s4": ("#b79dea", "#0d1117"),
    "s5": ("#e6dbfc", "#0d1117"),
    "accent": ("#5fd3c4", "#0d1117"),
}


def page_html(page: dict[str, Any]) -> str:
    """The whole file for one page dict (see `minis2s.trace.page` for its shape). One row of the batch.

    Numbers may be Python's or NumPy's; nan and infinity are shown as such.
    """
    parts = {
        "TITLE": plain(page.get("title") or "minis2s trace"),
        "COLOURS": colours(),
        "STYLE": slim(read("viewer.css")),
        "DATA": as_json(shown(page)),
        "SCRIPT": slim(script()),
    }
    # all in one go: a token that reads like a placeholder is not one
    return re.sub("@@([A-Z]+)@@", lambda found: parts[found[1]], read("viewer.html"))


def shown(page: dict[str, Any]) -> dict[str, Any]:
    """The page without what the viewer does not show: LaTeX, and the weights of an overwritten attention row."""
    page = dict(page)
    if page.get("what_if"):
        page["what_if"] = [
            one | {"where": {k: v for k, v in one.get("where", {}).items() if k != "weights"}}
            for one in page["what_if"]
        ]
    if page.get("layers"):
        page["layers"] = [
            layer
            | {"equations": [{k: v for k, v in e.items() if k != "tex"} for e in layer.get("equations") or ()]}
            for layer in page["layers"]
        ]
    return page


def notebook_html(page: dict[str, Any], height: int = HEIGHT) -> str:
    """The same page in a frame of its own: several in one notebook have nothing in common."""
    return (
        f'<iframe srcdoc="{html.escape(page_html(page))}" title="{plain(page.get("title") or "minis2s trace")}" '
        f'sandbox="allow-scripts allow-modals" style="width:100%;height:{int(height)}px;border:0;'
        'resize:vertical;overflow:auto"></iframe>'
    )


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def script() -> str:
    """All of viewer*.js, in the order in which they build on each other, in one scope of their own."""
    code = "\n".join(read(f"viewer{part}.js") for part in SCRIPTS)
    return f'(function () {{\n"use strict";\n{code}\n}})();'


def slim(code: str) -> str:
    """Without indentation and without lines that are only comment: they would be a tenth of the file."""
    code = re.sub(r"(?ms)^\s*/\*.*?\*/\s*?$", "", code)
    lines = (line.strip() for line in code.split("\n"))
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def colours() -> str:
    light, dark = LIGHT | MORE_LIGHT, DARK | MORE_DARK
    # paper is white, whatever the screen is
    rules = [
        f":root{{color-scheme:light dark;{variables(light, LINE['light'])}}}",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(dark, LINE['dark'])}}}}}",
    ]
    for name in light:
        if name not in ("page", "soft"):
            rules.append(f".{name}{{background:var(--{name});color:var(--{name}-t);fill:var(--{name})}}")
    return "\n".join(rules)


def as_json(value: Any) -> str:
    """JSON that may stand inside <script>: no "<", ">" or "&", and only ASCII.

    JSON has no nan and no infinity: they become {"number": "NaN"} and the like. Many numbers in a row become
    {"f32": the base64 of their float32}: half as long, and six digits come back as they were. The viewer
    reads both back.
    """
    text = json.dumps(finite(value), separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def finite(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return packed(value) or [finite(v) for v in value]
    if value == 0:
        return 0  # shorter than 0.0
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value


def packed(values: list | tuple) -> dict[str, str] | None:
    """Finite floats as float32, or None where it is something else, or no shorter."""
    if not all(type(v) is float and (v == 0 or SMALLEST < abs(v) < LARGEST) for v in values):
        return None
    text = base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()
    as_they_are = sum(len(repr(v)) + 1 if v else 2 for v in values)
    return {"f32": text} if len(text) + len('{"f32":""}') < as_they_are else None
