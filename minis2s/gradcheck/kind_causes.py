"""Place and causes of a wrong pair of a known kind: the mistake that gives its numbers, else the best guess.

First a single mistake that gives all numbers (diagnose.py), then one that gives most of them, then what
their pattern says (signs.py).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minis2s.gradcheck.diagnose import causes_of, search
from minis2s.gradcheck.glossary import counted
from minis2s.gradcheck.hypotheses import Hypothesis, explains, hypotheses, run_hypothesis, suspects
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kind_trials import sizes_of
from minis2s.gradcheck.places import gates_of, place_from_blocks, place_from_gates
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.signs import read_signs
from minis2s.gradcheck.trial import Cause, Form, Pair, Trial, causes_in, standard, transposed
from minis2s.gradcheck.two_mistakes import two_mistakes

if TYPE_CHECKING:
    from minis2s.gradcheck.checker import Checker  # (which imports this file)


def explain_kind(checker: "Checker", report: Report, pair: Pair, trials: list[Trial]) -> None:
    """Fill in place and causes of a wrong pair, of which the form that its forward pass has is known."""
    kind, form = pair.kind, pair.form
    # without a mask no row is left out: the place is plainer there, where the mistake shows there
    trial = min((t for t in trials if t.wrong), key=lambda t: t.setting != "no mask")
    part = None
    for t in trials:
        checker.compared(t.run, t.oracle, t.blocks)  # in fast mode the expected entries are not there yet
    if form is not None:
        reference = kind.reference(standard(kind, form, trial.values))
        gates = gates_of(pair, trial, checker.guard) if "Wx" in trial.values else None
        seen = place_from_gates(gates.got, gates.right, kind, trial) if gates is not None else None
        found, two = search(kind, form, trials, seen), False
        if not found:
            ordered = [trial, *(t for t in trials if t is not trial)]
            part = best_part(kind, form, trial, reference)
            found = two_mistakes(kind, form, ordered, gates, part[1])
            two = bool(found)
        report.causes = causes_of(found, kind, form, trial, reference)
        if two:  # of all pairs only few are tried
            report.causes = [c._replace(confidence="likely") for c in report.causes]
        report.place = next((c.place for c in report.causes if c.place is not None), seen)
    report.causes = report.causes or causes_without_a_match(checker, kind, form, trials, part)
    report.causes += causes_in(report.findings, wrong=True)
    if report.place is None:
        report.place = replace(place_from_blocks(kind, trial.wrong), guessed=True)


def causes_without_a_match(
    checker: "Checker",
    kind: Kind,
    form: Form | None,
    trials: list[Trial],
    part: tuple[int, list[Hypothesis]] | None = None,
) -> list[Cause]:
    """Where no single mistake gives all the numbers: what explains a part of them, or what their pattern says."""
    trial = min((t for t in trials if t.wrong), key=lambda t: t.setting != "no mask")
    if form is not None:
        reference = kind.reference(standard(kind, form, trial.values))
        causes = partial(kind, form, trial, reference, part or best_part(kind, form, trial, reference))
        if causes:
            return causes
    pairs = checker.compared(trial.run, trial.oracle, trial.blocks)
    causes = read_signs(pairs, kind.arguments, sizes_of(trial), trial.values)
    if causes:
        # without a form the mistake may as well be in forward
        return causes if form is not None else [c._replace(confidence="possible") for c in causes]
    wrong_in = {t.setting for t in trials if t.wrong}
    if "ragged" in wrong_in and "no mask" in {t.setting for t in trials} - wrong_in:
        return [Cause("mask ignored", "the gradient is right without a mask and wrong with one", "likely")]
    if kind.name == "embedding" and repeated_ids(trial):
        return repeated_ids(trial)
    return transposed(trial.blocks)


def best_part(kind: Kind, form: Form, trial: Trial, reference) -> tuple[int, list[Hypothesis]]:
    """The single mistakes that give most of the wrong blocks, and all right ones, and how many that is.

    None of them where it is no more than half.
    """
    wrong = [n for n in trial.run.gradients if n in trial.wrong]
    right = [n for n in trial.run.gradients if n not in trial.wrong]
    best: dict[int, list[Hypothesis]] = {}
    for h in hypotheses(reference.backward, kind, suspects(reference.backward, kind, set(trial.wrong), None)):
        results = run_hypothesis(h, kind, form, trial, reference)
        if results is not None and explains(results, trial, right):
            best.setdefault(sum(explains(results, trial, [n]) for n in wrong), []).append(h)
    most = max(best, default=0)
    return (most, best[most]) if most * 2 > len(wrong) else (0, [])


def partial(
    kind: Kind, form: Form, trial: Trial, reference, part: tuple[int, list[Hypothesis]]
) -> list[Cause]:
    """Where no mistake gives all the numbers: one that gives most of the wrong blocks, and all right ones."""
    wrong = [n for n in trial.run.gradients if n in trial.wrong]
    most, parts = part
    if not parts:
        return []
    rest = (
        f" (this explains {most} of {counted(len(wrong), 'wrong gradient')}; there may be a second mistake)"
        if most < len(wrong)
        else f" (this gives the numbers with the setting {trial.setting!r}, but not with every one; "
        "there may be a second mistake)"
    )
    causes = causes_of(parts, kind, form, trial, reference)
    # what does not hold in every setting is no more than a sign
    confidence = "likely" if most < len(wrong) else "possible"
    return [c._replace(confidence=confidence, says=c.says + rest) for c in causes]


def repeated_ids(trial: Trial) -> list[Cause]:
    """Are just those rows of an embedding wrong whose id comes several times?"""
    ids, counts = np.unique(np.asarray(trial.values["ids"]), return_counts=True)
    block = trial.blocks["W"]
    if block.got is None or block.expected is None:
        return []
    wrong = np.flatnonzero(
        (np.abs(block.got - block.expected) > 1e-7 * np.abs(block.expected).max()).any(axis=1)
    )
    if set(wrong) <= set(ids[counts > 1]):
        says = "only ids that come several times have a wrong gradient: of their contributions not all are added up"
        return [Cause("repeated ids", says, "likely")]
    return []
