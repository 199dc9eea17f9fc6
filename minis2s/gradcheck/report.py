"""What a check found: one sentence of place, one of cause, a line for each block, and hints in three levels.

`print(report)` shows it as text, a notebook shows `html.py`'s page, `to_json` gives it to a grader. What the
hint level holds back is left out in one place, `Report.shown`; all three show what that leaves.
"""

import json
from dataclasses import dataclass, field, replace

from minis2s.gradcheck.causes import CAUSES, Finding, Place, fault, remark
from minis2s.gradcheck.glossary import (
    ATTENTION,
    a_kind,
    counted,
    explained,
    explained_in_prose,
    is_batch_first,
)
from minis2s.gradcheck.hints import shown_block, shown_finding
from minis2s.gradcheck.plain import block_dict, cause_dict, finding_dict, storable, version
from minis2s.gradcheck.problem import Misbehaved, TooSlow
from minis2s.gradcheck.sentences import in_a_line, where_by_blocks, why_not
from minis2s.gradcheck.trial import Cause
from minis2s.gradcheck.verdict import KINK, MISSING, RIGHT, UNCLEAR, VACUOUS, WRONG, Block

HINTS = 3  # levels: where, what kind, the formula
DIFFERS, NOT_ASKED = "differs", "not asked"  # of forward; or RIGHT
NAMED = 4  # weights beside the first one, at most; of more the number


def where_in_weights(place: Place) -> str:
    """Where all is right but weights: one sentence on a place of them, and the others that are wrong as well."""
    if not place.others:
        return f"only the gradient of a weight, {place}, is wrong; everything that leads to it is right"
    more = len(place.others) - NAMED
    names = [str(place), *map(gradient_of, place.others[:NAMED]), *([f"{more} more"] if more > 0 else [])]
    # of a model only what leads to the first one was looked at
    them = f"the gradient of {place.layer}.{place.node[1:]}" if place.layer else "them"
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"the gradients of the weights {listed} are wrong; everything that leads to {them} is right"


def gradient_of(block: str) -> str:
    """ "dW of decoder.out" for the block "decoder.out.W"."""
    path, _, name = block.rpartition(".")
    return f"d{name} of {path}" if path else f"d{name}"


@dataclass
class Report:
    """The result of `gradcheck`.

    verdict: "right", "wrong", or "cannot tell" (no mistake was seen, but something could not be judged).
    forward: whether the forward pass computes what its kind says: "right", "differs", or "not asked" where
        no kind is known or nothing came out. `verdict` and `ok` are about backward, which is judged against
        the forward pass that there is.
    place: where the gradient is wrong first, going backward from the loss; None where all is right.
    causes: mistakes that explain the numbers, best first, each with its confidence.
    blocks: the verdict on each input and weight. findings: what else was noticed.
    hint: the highest level shown: 0 the numbers alone, 1 where, 2 what kind of mistake and what to do, 3 the formula.
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
    forward: str = NOT_ASKED
    seed: int = 0
    searched: bool = True  # whether the mistake behind wrong numbers was looked for

    @property
    def verdict(self) -> str:
        verdicts = {block.verdict for block in self.blocks}
        if verdicts & {WRONG, MISSING} or any(f.ok is False for f in self.findings):
            return WRONG
        return RIGHT if self.numbers_are_right else UNCLEAR

    @property
    def numbers_are_right(self) -> bool:
        """Was every block judged, and right? A gradient that is zero for every input is right, but nothing
        but zeros proves nothing."""
        open_ones = {b.verdict for b in self.blocks if not (b.verdict == VACUOUS and b.proven)}
        return open_ones == {RIGHT}

    @property
    def ok(self) -> bool:
        """True only if every block was judged, and right (zero, where zero is proven to be right). Of backward alone; see `forward`."""
        return self.verdict == RIGHT

    @property
    def cause(self) -> Cause | None:
        return self.causes[0] if self.causes else None

    @property
    def worst(self) -> Block | None:
        """The block to look at first: a wrong one, with the largest error."""
        wrong = [b for b in self.blocks if b.verdict in (WRONG, MISSING)]
        return max(wrong, key=lambda b: (b.verdict == WRONG, b.error), default=None)

    def misbehaved(self, error: Misbehaved) -> "Report":
        """With the error that ended the check; that the time was over says nothing about the gradients."""
        says = remark if isinstance(error, TooSlow) else fault
        self.findings.append(says(error.seen, more=error.more))
        return self

    # -- what may be shown ---------------------------------------------------------------------------

    def shown(self) -> "Report":
        """The report without what its hint level holds back. Text, JSON and HTML show this one and no other."""
        causes = self.causes if self.hint >= 2 else []
        if self.hint < 3:
            causes = [c._replace(line="", wrong="", equation="") for c in causes]
        return replace(
            self,
            place=self.place if self.hint >= 1 else None,
            causes=causes,
            findings=[f for f in (shown_finding(f, self.hint) for f in self.findings) if f is not None],
            blocks=[shown_block(b, self.hint) for b in self.blocks],
        )

    # -- in words ------------------------------------------------------------------------------------

    def where(self) -> str:
        """One sentence: where the gradient goes wrong. "" where all is right, or the hint level is 0."""
        if self.place is None or self.hint < 1:
            return ""
        node = self.place.node
        if self.worst is None:
            known = "the numbers are right; " if self.numbers_are_right else ""
            return f"{known}the fault lies where {self.place} is made"
        if self.place.guessed:
            return where_by_blocks(self, self.place)
        if node.startswith(("dW", "db", "dv")) and node != "dvalues":
            return where_in_weights(self.place)
        return f"going backward from the loss, {self.place} is the first gradient that is wrong; everything nearer to the loss is right"

    def why(self) -> str:
        """One sentence: what kind of mistake explains the numbers, or that no known one does.

        "" where no numbers are wrong and nothing else has a cause, or the hint level is below 2.
        """
        if self.hint < 2:
            return ""
        if not self.causes:
            return why_not(self)
        best = self.causes[0]
        says = dict.fromkeys(c.says for c in self.causes if c.confidence == best.confidence)
        rivals = [s for s in says if s != best.says][:2]
        if best.confidence == "certain" and self.worst is None:
            text = best.says  # a fault of behaviour, which was seen; there are no numbers to explain
        elif best.confidence == "certain":
            alone = len({c.says for c in self.causes}) == 1
            only = "and no other known one does" if alone else "like some that come to the same"
            text = f"{best.says}: this mistake gives exactly your numbers, {only}"
        else:
            opening = "likely" if best.confidence == "likely" else "perhaps"
            text = "; or ".join([f"{opening} {best.says}", *rivals])
        names = "; ".join(explained_in_prose(text))
        return f"{text} ({names})" if names else text

    def formula(self) -> str:
        """The equation in question and the right line of its backward pass. "" where none is known."""
        best = self.cause
        if best is None or not best.line or self.hint < 3:
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
        names = self.names()
        return f"{given}backward needs {line}{lacks}" + (f" ({names})" if names else "")

    def names(self) -> str:
        """What the names in the lines of the best cause mean, as far as `why` has not said it."""
        best = self.cause
        if best is None or not best.line:
            return ""
        said = [text for text in explained(best.line, best.wrong) if text not in self.why()]
        if is_batch_first(self.kind) and any(word in best.line for word in ("axis", ".T", ".mT")):
            said.append(ATTENTION)
        return "; ".join(said)

    def hints(self, level: int | None = None) -> list[str]:
        """The hints up to a level (by default the report's own): where, what kind, the formula."""
        level = self.hint if level is None else min(level, self.hint)
        kind = self.why()
        if kind and self.cause is not None:
            kind = f"{kind}. In general: {CAUSES[self.cause.cause]}"
        return [text for text in [self.where(), kind, self.formula()][:level] if text]

    def __str__(self) -> str:
        kind = f" ({self.kind})" if self.kind and self.kind != self.name else ""
        report = self.shown()
        lines = [f"{self.name}{kind}: {self.summary()}"]
        for label, text in (("where:", self.where()), ("why:", self.why()), ("line:", self.formula())):
            if text:
                lines.append(f"  {label:6} {text}")
        for finding in report.findings:
            lines.append(f"  {'fault' if finding.ok is False else 'note'}:  {finding.says}")
        if report.blocks:
            lines.append("  gradients:")
            lines += [f"    {in_a_line(b)}" for b in sorted(report.blocks, key=lambda b: b.verdict == RIGHT)]
            how = "one random direction for each" if self.fast else "entry by entry"
            lines.append(f"  measured with {self.oracle}, {how}, in {self.seconds:.2f} s")
        return storable("\n".join(lines))

    def summary(self) -> str:
        """The verdict with its count; it begins with forward where that is not what its kind says."""
        counts = {
            v: sum(b.verdict == v for b in self.blocks) for v in (WRONG, MISSING, UNCLEAR, VACUOUS, KINK)
        }
        count = counted(len(self.blocks), "gradient")
        leading = ""
        if self.forward == DIFFERS:
            leading = f"forward differs from {a_kind(self.kind)} as stated; backward, judged against your own forward, is "
        if self.verdict == RIGHT:
            agree = "the only gradient agrees" if len(self.blocks) == 1 else f"all {count} agree"
            numeric = "one" if len(self.blocks) == 1 else "ones"
            return f"{leading}right: {agree} with the numeric {numeric}"
        said = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        if self.verdict == WRONG and not said and self.blocks:
            numbers = "numbers of the only gradient" if len(self.blocks) == 1 else f"numbers of the {count}"
            return f"{leading}wrong: not by the {numbers}, but by a fault in how it behaves"
        return f"{leading}{self.verdict}" + (f": of {count} {said}" if said else "")

    def _repr_html_(self) -> str:
        from minis2s.gradcheck.html import to_html  # (html.py imports this file)

        return to_html(self)

    # -- for programs --------------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Everything that the hint level allows, as plain numbers, texts and lists."""
        report = self.shown()
        return {
            "name": self.name,
            "kind": self.kind,
            "verdict": self.verdict,
            "ok": self.ok,
            "forward": self.forward,
            "summary": self.summary(),
            "hint": self.hint,
            "place": None if report.place is None else {**vars(report.place), "says": self.where()},
            "causes": [cause_dict(c, self.hint) for c in report.causes],
            "hints": self.hints(),
            "findings": [finding_dict(f) for f in report.findings],
            "blocks": [block_dict(b) for b in report.blocks],
            "oracle": self.oracle,
            "settings": self.settings,
            "fast": self.fast,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "minis2s": version(),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text, which can be written as UTF-8 whatever characters a message has."""
        return storable(json.dumps(self.to_dict(), ensure_ascii=False, indent=1))
