"""Which words need which level of hints: what of a finding and of a block may be shown below them."""

import re
from dataclasses import replace

from minis2s.gradcheck.causes import Finding
from minis2s.gradcheck.verdict import Block

# Parts of a block's note that say more than its verdict, and the level that they need.
TELLING = (
    (re.compile(r": it is transposed$|: the sum over the other axes is missing$"), 2),
    (re.compile(r": the same number of entries in another arrangement$"), 2),
    (re.compile(r": an epsilon that backward leaves out\?$"), 2),
    (re.compile(r"^with the setting .*"), 2),  # that it is right without a mask tells the cause
    (re.compile(r"^running .*"), 1),
)


def shown_finding(finding: Finding, hint: int) -> Finding | None:
    """What of a finding may be shown at a hint level; a fault is never left out, for it makes the verdict."""
    if finding.level > hint:
        if finding.ok is not False:
            return None
        return Finding(finding.check, False, f"what is wrong needs hint level {finding.level}", level=hint)
    return finding._replace(
        cause=finding.cause if hint >= 2 else "", place=finding.place if hint >= 1 else ""
    )


def shown_block(block: Block, hint: int) -> Block:
    """What of a block may be shown at a hint level: a picture of its entries tells where."""
    parts = block.note.split("; ")
    for pattern, level in TELLING:
        if level > hint:
            parts = [pattern.sub("", part) for part in parts]
    note = "; ".join(filter(None, parts))
    return replace(block, note=note) if hint >= 1 else replace(block, note=note, got=None, expected=None)
