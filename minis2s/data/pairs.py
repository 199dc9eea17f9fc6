"""Parallel text: pairs of a source and its right answers, read from files.

A file is either a table (source, tab, target) or one of two whose lines belong together.
What is wrong with a file is said in one sentence with the file and the line.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from minis2s.errors import UserError
from minis2s.files import read_lines, write_text


class Pair(NamedTuple):
    source: str
    targets: tuple[str, ...]  # every right answer; the first is the main one


def read_pairs(path: str | os.PathLike, *, alternatives: bool = False) -> list[Pair]:
    """Read a UTF-8 table, one pair a line: the source, a tab, the target.

    With ``alternatives`` the columns after the second, where there are any, are further right
    answers (empty ones and repeated ones are passed over). A column may be empty; a line without
    a tab and without text is skipped.

    Raises UserError for a file that cannot be read, another number of columns, or no pair at all.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        source, *targets = line.split("\t")
        if not targets and not source.strip():
            continue
        if not targets or (len(targets) > 1 and not alternatives):
            wanted = "at least 2" if alternatives else "2"
            found = f"{1 + len(targets)} column{'s' if targets else ''}"
            raise UserError(
                f"{path}, line {number}: {found} where {wanted} are needed in {_quoted(line)}: "
                + _advice(line, len(targets))
            )
        first, *others = targets
        pairs.append(Pair(source, tuple(dict.fromkeys([first, *filter(None, others)]))))
    if not pairs:
        raise UserError(
            f"{path} holds no pair: write the source, one tab character and the target on each line"
        )
    return pairs


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:39] + "…")


def _advice(line: str, tabs: int) -> str:
    """What to do about a line with so many tabs."""
    if tabs > 1:
        return (
            "write the source, one tab character and the target on each line, "
            "or give --alternatives if further columns are further right answers"
        )
    advice = "write the source, one tab character and the target on each line"
    if "," in line or ";" in line:
        return f"it looks like CSV, with {'commas' if ',' in line else 'semicolons'} for tabs; {advice}"
    return f"it looks as if spaces took the place of a tab; {advice}" if "  " in line.strip() else advice


def read_aligned(source_path: str | os.PathLike, target_path: str | os.PathLike) -> list[Pair]:
    """Read two UTF-8 files whose lines belong together. An empty line is an empty text.

    Raises UserError for a file that cannot be read, an empty file, or different numbers of lines.
    """
    sources, targets = read_lines(source_path), read_lines(target_path)
    if len(sources) != len(targets):
        raise UserError(
            f"{source_path} has {len(sources)} lines but {target_path} has {len(targets)}: "
            "line n of the one must be the answer to line n of the other"
        )
    return [Pair(source, (target,)) for source, target in zip(sources, targets, strict=True)]


def merge_sources(pairs: Iterable[Pair]) -> list[Pair]:
    """One Pair for each source, with all its right answers, in the order of first appearance."""
    answers: dict[str, dict[str, None]] = {}  # a dict without values is a set that keeps its order
    for source, targets in pairs:
        answers.setdefault(source, {}).update(dict.fromkeys(targets))
    return [Pair(source, tuple(targets)) for source, targets in answers.items()]


def write_pairs(path: str | os.PathLike, pairs: Sequence[Pair]) -> None:
    """Write the table that ``read_pairs`` reads, further right answers as further columns.

    Raises ValueError when a text holds a tab or a line end, which a table cannot show, and
    UserError when the file cannot be written.
    """
    lines = []
    for n, (source, targets) in enumerate(pairs):
        for text in (source, *targets):
            if not {"\t", "\n", "\r"}.isdisjoint(text):
                raise ValueError(f"pairs[{n}] holds a tab or a line end, which a table cannot show: {text!r}")
        lines.append("\t".join((source, *targets)) + "\n")
    write_text(path, "".join(lines))
