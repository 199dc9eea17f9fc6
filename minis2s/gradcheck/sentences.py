"""Sentences of a report: what the verdicts alone say about the place, and what to do where no mistake is known.

`in_a_line` is the line of one block in the text form.
"""

from typing import TYPE_CHECKING

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.verdict import MISSING, RIGHT, VACUOUS, WRONG, Block

if TYPE_CHECKING:
    from minis2s.gradcheck.report import Report  # (which imports this file)


def in_a_line(block: Block) -> str:
    """A block in one line of text; both values with the same number of digits."""
    if block.verdict in (MISSING, VACUOUS):
        return str(block)
    place = block.name if not block.index else f"{block.name}[{', '.join(map(str, block.index))}]"
    text = f"{place}: {block.verdict}: relative error {block.error:.1e}"
    text += f", backward says {block.analytic:#.10g}, differences say {block.numeric:#.10g}"
    return f"{text} ({block.note})" if block.note else text


def gradients_of(names: list[str]) -> str:
    """The subject of a sentence, with its verb."""
    s, verb = ("", "is") if len(names) == 1 else ("s", "are")
    return f"the gradient{s} of {', '.join(names)} {verb}"


def where_by_blocks(report: "Report", guess: Place) -> str:
    """What the verdicts of the blocks alone say about the place."""
    wrong = [b.name for b in report.blocks if b.verdict in (WRONG, MISSING)]
    right = [b.name for b in report.blocks if b.verdict == RIGHT]
    bad = "wrong" if any(b.verdict == WRONG for b in report.blocks) else "missing"
    text = f"{gradients_of(wrong)} {bad}"
    if right:
        text += f", {gradients_of(right)} right".replace("the gradient", "that", 1).replace("thats", "those")
    if guess.node != f"d{wrong[0]}" or len(wrong) > 1:
        text += f"; {guess} is a guess from this"
    text += "; nothing inside backward was looked at"
    return text if report.kind else f'{text} (a kind, as kind="lstm", lets it be looked at)'


def why_not(report: "Report") -> str:
    """What to do where numbers are wrong and no known mistake gives them."""
    worst = report.worst
    if worst is None or not report.searched or worst.verdict == MISSING:
        return ""
    if any(f.ok is False for f in report.findings):
        return ""  # a fault of behaviour is said already
    tried = "no known single mistake gives these numbers"
    if not report.kind:
        tried = "no known pattern of a single mistake is in these numbers"
    wrong = [b.name for b in report.blocks if b.verdict in (WRONG, MISSING)]
    right = [b.name for b in report.blocks if b.verdict == RIGHT]
    if len(wrong) == 1 and right:
        look = f"Only the gradient of {worst.name} is wrong: look at the lines that it alone needs"
    else:
        look = f"Look first at the gradient of {worst.name}, which is farthest off (relative error {worst.error:.2g})"
        if right:
            look += f"; what it shares with {', '.join(right[:3])}, which {'is' if len(right) == 1 else 'are'} right, is no suspect"
    return f"{tried}. {look}. Two mistakes at once look like this too: mend what you find and check again"
