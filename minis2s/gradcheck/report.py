"""What a check found: one sentence of place, one of cause, a line for each block, and hints in three levels.

`print(report)` shows it as text, a notebook shows `html.py`'s page, `to_json` gives it to a grader.
"""

import json
from dataclasses import dataclass, field

import numpy as np

from minis2s.gradcheck.causes import CAUSES, Finding, Place
from minis2s.gradcheck.trial import Cause
from minis2s.gradcheck.verdict import KINK, MISSING, RIGHT, UNCLEAR, VACUOUS, WRONG, Block

HINTS = 3  # levels: where, what kind, the formula


@dataclass
class Report:
    """The result of `gradcheck`.

    verdict: "right", "wrong", or "cannot tell" (no mistake was seen, but something could not be judged).
    place: where the gradient is wrong first, going backward from the loss; None where all is right.
    causes: mistakes that explain the numbers, best first, each with its confidence.
    blocks: the verdict on each input and weight. findings: what else was noticed.
    hint: the highest level shown: 0 nothing, 1 where, 2 what kind of mistake, 3 the formula.
    """

    name: str
    kind: str = ""
    blocks: list[Block] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    place: Place | None = None
    causes: list[Cause] = field(default_factory=list)
    oracle: str = ""
    settings: list[str] = field(default_factory=list)
    fast: bool = False
    seconds: float = 0.0
    hint: int = HINTS
    gates: str = ""  # the order in which the gates lie side by side

    @property
    def verdict(self) -> str:
        verdicts = {block.verdict for block in self.blocks}
        if verdicts & {WRONG, MISSING} or any(f.ok is False for f in self.findings):
            return WRONG
        return RIGHT if verdicts == {RIGHT} else UNCLEAR

    @property
    def ok(self) -> bool:
        """True only if every block was judged, and right."""
        return self.verdict == RIGHT

    @property
    def cause(self) -> Cause | None:
        return self.causes[0] if self.causes else None

    @property
    def worst(self) -> Block | None:
        """The block to look at first: a wrong one, with the largest error."""
        wrong = [b for b in self.blocks if b.verdict in (WRONG, MISSING)]
        return max(wrong, key=lambda b: (b.verdict == WRONG, b.error), default=None)

    # -- in words ------------------------------------------------------------------------------------

    def where(self) -> str:
        """One sentence: where the gradient goes wrong. "" where all is right."""
        if self.place is None:
            return ""
        node = self.place.node
        if node.startswith(("dW", "db", "dv")) and node != "dvalues":
            return (
                f"only the gradient of a weight, {self.place}, is wrong; everything that leads to it is right"
            )
        return f"going backward from the loss, {self.place} is the first gradient that is wrong; everything nearer to the loss is right"

    def why(self) -> str:
        """One sentence: what kind of mistake explains the numbers. "" where none is known."""
        if not self.causes:
            return ""
        best = self.causes[0]
        rivals = [c.says for c in self.causes[1:] if c.confidence == best.confidence and c.says != best.says][
            :2
        ]
        if best.confidence == "certain":
            alone = len({c.says for c in self.causes}) == 1
            only = "and no other known one does" if alone else "like some that come to the same"
            return f"{best.says}: this mistake gives exactly your numbers, {only}"
        opening = "likely" if best.confidence == "likely" else "perhaps"
        return "; or ".join([f"{opening} {best.says}", *rivals])

    def formula(self) -> str:
        """The equation in question and the right line of its backward pass. "" where none is known."""
        best = self.cause
        if best is None or not best.line:
            return ""
        line, wrong = best.line.rstrip(":"), best.wrong.rstrip(":")
        given = (
            f"forward computes {best.equation}; "
            if " = " in best.equation
            else f"{best.equation}; "
            if best.equation
            else ""
        )
        lacks = f", and your numbers are those of {wrong}" if wrong else ", which your numbers lack"
        return f"{given}backward needs {line}{lacks}"

    def hints(self, level: int | None = None) -> list[str]:
        """The hints up to a level (by default the report's own): where, what kind, the formula."""
        level = self.hint if level is None else min(level, self.hint)
        kind = ""
        if self.cause is not None:
            kind = f"{self.why()}. In general: {CAUSES[self.cause.cause]}"
        return [text for text in [self.where(), kind, self.formula()][:level] if text]

    def __str__(self) -> str:
        kind = f" ({self.kind})" if self.kind and self.kind != self.name else ""
        lines = [f"{self.name}{kind}: {self.summary()}"]
        if self.hint >= 1 and self.place is not None:
            lines.append(f"  where: {self.where()}")
        if self.hint >= 2 and self.causes:
            lines.append(f"  why:   {self.why()}")
        if self.hint >= 3 and self.formula():
            lines.append(f"  line:  {self.formula()}")
        for finding in self.findings:
            lines.append(f"  {'fault' if finding.ok is False else 'note'}:  {finding.says}")
        if self.blocks:
            lines.append("  gradients:")
            lines += [f"    {block}" for block in sorted(self.blocks, key=lambda b: b.verdict == RIGHT)]
            how = "one random direction for each" if self.fast else "entry by entry"
            lines.append(f"  measured with {self.oracle}, {how}, in {self.seconds:.2f} s")
        return "\n".join(lines)

    def summary(self) -> str:
        counts = {
            v: sum(b.verdict == v for b in self.blocks) for v in (WRONG, MISSING, UNCLEAR, VACUOUS, KINK)
        }
        if self.verdict == RIGHT:
            other = any(f.cause == "forward" for f in self.findings)
            but = f", but forward does not compute a {self.kind}" if other else ""
            return f"right: all {len(self.blocks)} gradients agree with the numeric ones{but}"
        said = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        return f"{self.verdict}" + (f": of {len(self.blocks)} gradients {said}" if said else "")

    def _repr_html_(self) -> str:
        from minis2s.gradcheck.html import to_html

        return to_html(self)

    # -- for programs --------------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Everything that the hint level allows, as plain numbers, texts and lists."""
        shown = self.hint
        place = None if self.place is None or shown < 1 else {**vars(self.place), "says": self.where()}
        return {
            "name": self.name,
            "kind": self.kind,
            "verdict": self.verdict,
            "ok": self.ok,
            "place": place,
            "causes": [cause_dict(c, shown) for c in self.causes] if shown >= 2 else [],
            "hints": self.hints(),
            "findings": [f._asdict() for f in self.findings],
            "blocks": [block_dict(b) for b in self.blocks],
            "oracle": self.oracle,
            "settings": self.settings,
            "fast": self.fast,
            "seconds": round(self.seconds, 3),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)


def cause_dict(cause: Cause, shown: int) -> dict:
    found = {"cause": cause.cause, "says": cause.says, "confidence": cause.confidence}
    return found | (
        {"line": cause.line, "wrong": cause.wrong, "equation": cause.equation} if shown >= 3 else {}
    )


def block_dict(block: Block) -> dict:
    def number(x: float | None):
        return None if x is None or not np.isfinite(x) else float(x)

    return {
        "name": block.name,
        "verdict": block.verdict,
        "error": number(block.error),
        "noise": number(block.noise),
        "index": None if block.index is None else list(block.index),
        "backward": number(block.analytic),
        "numeric": number(block.numeric),
        "taylor_slope": number(block.slope),
        "note": block.note,
    }
