"""The trials of a pair of a known kind: it is run in one setting of its kind after the other.

A setting that the pair does not take (a mask, a smoothing) is left out.
"""

from typing import TYPE_CHECKING

import numpy as np

from minis2s.gradcheck.problem import Misbehaved
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import Pair, Trial

if TYPE_CHECKING:
    from minis2s.gradcheck.checker import Checker  # (which imports this file)


def trial_of(checker: "Checker", pair: Pair, setting: str, given: dict | None = None) -> Trial | None:
    """The pair in one setting; None where it takes no such inputs. Raises Misbehaved."""
    kind = pair.kind
    values = {**(kind.make(checker.rng(0), setting) if given is None else given), **pair.form.options}
    if "reset_after" not in kind.extras:
        values.pop("reset_after", None)
    problem = pair_problem(pair, values)
    if problem is None:
        return None
    for missing in kind.arguments.keys() - problem.blocks.keys():
        # a pair without a bias computes what one with zeros does
        values[missing] = np.zeros(next(values[n] for n in ("Wx", "W") if n in values).shape[-1])
    return Trial(setting, values, problem, *checker.run(problem))


def as_trials(checker: "Checker", pair: Pair) -> list[Trial]:
    """The pair in every setting of its kind in which it can be run."""
    trials = []
    for setting in pair.kind.settings:
        try:
            trial = trial_of(checker, pair, setting)
        except Misbehaved as error:
            if error.final:
                raise
            continue  # what it does in this setting is a fault, told elsewhere; the others may show the cause
        if trial is not None:
            checker.compared(trial.run, trial.oracle, trial.blocks)
            trials.append(trial)
    return trials


def sizes_of(trial: Trial) -> dict[str, int]:
    x = next(iter(trial.problem.blocks.values()))
    sizes = {"the batch size B": x.shape[-2]} if x.ndim >= 2 else {}
    if x.ndim == 3:
        sizes["the number of steps T"] = x.shape[0]
    mask = trial.values.get("mask")
    if mask is not None:
        sizes["the number of real tokens N"] = int(np.asarray(mask).sum())
    return sizes
