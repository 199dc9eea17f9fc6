"""How alike the programs of a class are, beyond what all of them have from the same sheet.

A program is cut into its simple statements. Each becomes its syntax tree without what is easily changed:
names, numbers, texts, comments, type hints, the order of a sum. Three in a row make one window; the share of
windows that two programs have in common is compared with all other pairs of the class. Never a proof.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from statistics import median
from typing import NamedTuple

from minis2s.classroom.fingerprints import Windows, windows

FEWEST = 8  # windows of one's own; below, there is too little to compare
COMMON = 0.5  # of the others in the class: what more of them have as well says nothing about two
THRESHOLD = 0.6
MATCHED = 20  # pairs, the most alike, of which the lines are looked up


class Match(NamedTuple):
    """Lines of two programs that are alike, counted from 1, the last one included."""

    first: tuple[int, int]
    second: tuple[int, int]


class Pair(NamedTuple):
    """Two students whose programs are alike.

    share: of the windows that are the shorter program's own (neither handed out nor common), those that the
    other has too; 0 to 1. usual: the median of that share over all pairs of the class. as_alike: how many of
    the `pairs` compared are at least as alike as this one, itself included. own: windows of the shorter one.
    matches: where they are alike; empty beyond the first MATCHED pairs.
    """

    first: str
    second: str
    share: float
    usual: float
    as_alike: int
    pairs: int
    own: int
    matches: tuple[Match, ...]


class Similarity(NamedTuple):
    pairs: list[Pair]  # at or above the threshold, the most alike first
    compared: int  # programs with enough of their own
    too_short: list[str]  # students whose program has hardly anything of its own
    unreadable: list[str]  # students whose program is not Python, or too long
    nearest: dict[str, tuple[str, float]]  # of each student compared: who is most alike, and the share
    identical: list[list[str]]  # of the too short: those whose programs are the same throughout


def similarity(
    sources: Mapping[str, str],
    handed_out: Iterable[str] = (),
    *,
    threshold: float = THRESHOLD,
) -> Similarity:
    """Compare all programs with all others.

    sources: {student: program text}. handed_out: program texts that students were given: what is in them does not
    count. Program texts that cannot be parsed are named in the result, never raised.

    Fingerprints of overlapping windows are those of Schleimer, Wilkerson and Aiken 2003 (winnowing), all of
    them kept; of syntax trees, not of characters, as in Baxter et al. 1998.
    """
    given = {print_ for text in handed_out for print_ in windows(text) or ()}
    programs: dict[str, Windows] = {}
    unreadable = []
    for student, text in sources.items():
        found = windows(text)
        if found is None:
            unreadable.append(student)
        else:
            programs[student] = {print_: places for print_, places in found.items() if print_ not in given}
    counts = Counter(print_ for program in programs.values() for print_ in program)
    students = sorted(programs)
    common = {print_ for print_, count in counts.items() if is_common(count, len(students))}
    # what only one has counts for its length, what most have counts for nothing
    own = {student: set(programs[student]) - common for student in students}
    too_short = [student for student in students if len(own[student]) < FEWEST]
    kept = [student for student in students if len(own[student]) >= FEWEST]
    shares = {(a, b): len(own[a] & own[b]) / min(len(own[a]), len(own[b])) for a, b in combinations(kept, 2)}
    return Similarity(
        above(threshold, shares, own, programs), len(kept), too_short, sorted(unreadable), nearest_of(shares),
        identical_among(too_short, programs),
    )


def identical_among(students: Iterable[str], programs: Mapping[str, Windows]) -> list[list[str]]:
    """Groups of students with the same windows, handed-out ones aside, and enough of them: the largest first."""
    groups: dict[frozenset[str], list[str]] = {}
    for student in students:
        groups.setdefault(frozenset(programs[student]), []).append(student)
    same = [group for prints, group in groups.items() if len(group) > 1 and len(prints) >= FEWEST]
    return sorted(same, key=lambda group: (-len(group), group))


def is_common(count: int, size: int) -> bool:
    """Whether a window that `count` of `size` programs have is one that most have, two of them set aside."""
    return size > 2 and count - 2 > COMMON * (size - 2)


def above(
    threshold: float,
    shares: Mapping[tuple[str, str], float],
    own: Mapping[str, set[str]],
    programs: Mapping[str, Windows],
) -> list[Pair]:
    if not shares:
        return []
    ordered = sorted(shares.values())
    usual = median(ordered)
    pairs: list[Pair] = []
    for (a, b), share in sorted(shares.items(), key=lambda item: (-item[1], item[0])):
        if share < threshold:
            break
        shared = own[a] & own[b]
        as_alike = len(ordered) - bisect_left(ordered, share)
        matches = matched_lines(shared, programs[a], programs[b]) if len(pairs) < MATCHED else ()
        pairs.append(
            Pair(a, b, share, usual, as_alike, len(ordered), min(len(own[a]), len(own[b])), tuple(matches))
        )
    return pairs


def nearest_of(shares: Mapping[tuple[str, str], float]) -> dict[str, tuple[str, float]]:
    nearest: dict[str, tuple[str, float]] = {}
    for pair, share in shares.items():
        for me, other in (pair, pair[::-1]):
            if me not in nearest or share > nearest[me][1]:
                nearest[me] = (other, share)
    return nearest


def matched_lines(shared: Iterable[str], first: Windows, second: Windows) -> list[Match]:
    """Where the shared windows stand, in the order of the first program; what overlaps in both is one."""
    spots = sorted((place, min(second[print_])) for print_ in shared for place in first[print_])
    found: list[Match] = []
    for a, b in spots:
        if found and touches(found[-1].first, a) and touches(found[-1].second, b):
            found[-1] = Match(joined(found[-1].first, a), joined(found[-1].second, b))
        else:
            found.append(Match(a, b))
    return found


def touches(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] + 1 and b[0] <= a[1] + 1


def joined(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return min(a[0], b[0]), max(a[1], b[1])
