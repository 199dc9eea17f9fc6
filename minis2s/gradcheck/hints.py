"""Which words need which level of hints: what of a finding and of a block may be shown below them."""

from dataclasses import replace

from minis2s.gradcheck.causes import Finding, Note
from minis2s.gradcheck.verdict import Block

NONE_REMEDY = (
    "; an output that the loss does not use hands None to backward: put zeros in its place first "
    "(if d is None: d = np.zeros_like(out))"
)
ROWS_REMEDY = "; x may have more than two axes: reshape it to rows first"
CACHE_REMEDY = (
    "; backward must leave its cache as it is (no pop, no clear): whoever calls it again, with another upstream "
    "gradient or to compare, gets no gradient"
)


def shown_finding(finding: Finding, hint: int) -> Finding | None:
    """What of a finding may be shown at a hint level; a fault is never left out, for it makes the verdict."""
    if finding.level > hint:
        if finding.ok is not False:
            return None
        return Finding(finding.check, False, f"what is wrong needs hint level {finding.level}", level=hint)
    if hint < 2:
        finding = finding._replace(says=finding.seen or finding.says)
    return finding._replace(
        cause=finding.cause if hint >= 2 else "", place=finding.place if hint >= 1 else ""
    )


def shown_block(block: Block, hint: int) -> Block:
    """What of a block may be shown at a hint level: a picture of its entries tells where."""
    notes = tuple(shown_note(note, hint) for note in block.notes if note.level <= hint)
    return replace(block, notes=notes) if hint >= 1 else replace(block, notes=notes, got=None, expected=None)


def shown_note(note: Note, hint: int) -> Note:
    return note if hint >= 2 else note._replace(tells="")
