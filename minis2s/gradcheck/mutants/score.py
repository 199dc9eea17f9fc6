"""What a check noticed of the planted bugs, and of what it did not: the blind spot that let it live."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from minis2s.forked import Ended
from minis2s.gradcheck.mutants.mutant import Mutant
from minis2s.gradcheck.mutants.situations import WEAKNESSES, hidden_by, shows, situations


class Result(NamedTuple):
    """What became of one mutant."""

    mutant: Mutant
    killed: bool
    how: str  # who noticed it, or why it counts as noticed
    seconds: float


def judged(mutant: Mutant, ended: Ended) -> Result:
    """A job without an answer counts as noticed: a hanging or dying check does not pass."""
    if ended.answer is None:
        return Result(mutant, True, ended.trouble, ended.seconds)
    return Result(mutant, ended.answer["killed"], ended.answer["how"], ended.seconds)


Progress = Callable[[int, int, Result], None]  # (how many are done, of how many, the latest)


@dataclass
class Score:
    """What a check noticed of the bugs that were planted.

    met: the weaknesses that the check was seen not to have (observed.py); None where nobody looked.
    """

    results: list[Result]
    seconds: float = 0.0
    met: set[str] | None = None

    @property
    def kills(self) -> list[Mutant]:
        return [result.mutant for result in self.results if result.killed]

    @property
    def survivors(self) -> list[Mutant]:
        return [result.mutant for result in self.results if not result.killed]

    @cached_property
    def blind_spots(self) -> dict[str, str]:
        """Of each survivor, by name, what let it live; measured when first asked for."""
        return {mutant.name: blind_spot(mutant, self.met) for mutant in self.survivors}

    def __str__(self) -> str:
        total, kills = len(self.results), len(self.kills)
        lines = [f"{kills} of {total} planted bugs noticed ({percent(kills, total)}) in {self.seconds:.0f} s"]
        for mutant in self.survivors:
            lines += [f"  lives: {mutant.name}", f"    {mutant.says}", f"    {self.blind_spots[mutant.name]}"]
        return "\n".join(lines)

    def as_json(self) -> dict:
        return {
            "planted": len(self.results),
            "noticed": len(self.kills),
            "seconds": self.seconds,
            "mutants": [
                {
                    "name": r.mutant.name,
                    "target": r.mutant.target,
                    "says": r.mutant.says,
                    "cause": r.mutant.cause,
                    "killed": r.killed,
                    "how": r.how,
                    "seconds": r.seconds,
                    "blind_spot": None if r.killed else self.blind_spots[r.mutant.name],
                }
                for r in self.results
            ],
        }


def percent(part: int, whole: int) -> str:
    """Rounded down: 99.9 % is not all of it."""
    return f"{int(1000 * part / whole) / 10 if whole else 0:.1f} %"


def blind_spot(mutant: Mutant, met: set[str] | None = None) -> str:
    """One sentence: what a check lacks that does not notice this mutant.

    met: the weaknesses that it does not have, where that is known.
    """
    if mutant.about != "backward":
        if mutant.hidden_when:
            return f"it does not show where {mutant.hidden_when}: is that so in the check?"
        return "nothing is known that hides it: the check does not look at what it changes"
    seen = shows(mutant)
    needs = hidden_by(mutant)
    where = ""
    if not mutant.op and len(seen) < len(situations(mutant, None)):
        where = f"it shows in these models: {'; '.join(seen)}; "
    blocks = sorted({block.removesuffix(" in a second call") for wrong in seen.values() for block in wrong})
    shown = ", ".join(blocks[:6]) + (", ..." if len(blocks) > 6 else "")
    overlooked = f"{shown} wrong: the check does not look there, or tolerates too much"
    if not needs:
        return f"{where}it needs nothing special to show ({overlooked})"
    all_needs = " and with ".join(WEAKNESSES[weakness] for weakness in needs)
    if met is None:
        return f"{where}it shows only with {all_needs}: the check lacks one of these, or does not look there"
    lacking = [WEAKNESSES[weakness] for weakness in needs if weakness not in met]
    if lacking:
        return f"{where}it shows only with {all_needs}: the check never has {' or '.join(lacking)}"
    return f"{where}it shows with {all_needs}, which the check has ({overlooked})"
