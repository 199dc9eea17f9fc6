"""A pair of a known kind: checked in every setting of its kind, beside the textbook of that kind."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.causes import Finding, Place, fault, remark
from minis2s.gradcheck.diagnose import causes_of, place_in_a_step, search
from minis2s.gradcheck.glossary import a_kind, counted
from minis2s.gradcheck.hypotheses import Hypothesis, explains, hypotheses, run_hypothesis, suspects
from minis2s.gradcheck.kinds import Kind
from minis2s.gradcheck.places import observe_gates, place_from_blocks
from minis2s.gradcheck.problem import Misbehaved, TooSlow
from minis2s.gradcheck.properties import ALL_KINDS, properties
from minis2s.gradcheck.report import DIFFERS, Report
from minis2s.gradcheck.signs import read_signs
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import Cause, Form, Trial, causes_in, find_form, standard
from minis2s.gradcheck.verdict import KINK, MISSING, RIGHT, UNCLEAR, VACUOUS, WRONG, Block

if TYPE_CHECKING:
    from minis2s.gradcheck.checker import Checker  # (which imports this file)

# of several verdicts on a block, the first one counts
ORDER = (WRONG, MISSING, UNCLEAR, KINK, RIGHT, VACUOUS)
KEPT = ("not cleared", "stale cache")  # faults of code that keeps something between calls


def check_kind(
    checker: "Checker",
    name: str,
    forward: Callable,
    backward: Callable,
    kind: Kind,
    declared: Form,
    given: dict | None,
    stated: bool = False,
) -> Report:
    """The report on a pair of a known kind, in all settings of the kind or with the inputs given.

    stated: whether the order of the gates or the form of a GRU was asked for, or is only what is usual.
    """
    report = Report(name, kind.name, gates=declared.gates)
    trials: list[Trial] = []
    failed: dict[str, Misbehaved] = {}
    for setting in kind.settings if given is None else ("given",):
        try:
            trial = trial_of(checker, name, forward, backward, kind, declared, setting, given)
        except TooSlow as error:
            if not trials:
                return report.misbehaved(error)
            failed[setting] = error
            continue
        except Misbehaved as error:
            failed[setting] = error
            continue
        if trial is not None:
            report.settings.append(setting)
            trials.append(trial)
    if failed and not trials:
        return report.misbehaved(next(iter(failed.values())))
    if not trials:
        raise UserError(f"{name}: no setting of kind {kind.name} fits its arguments")
    shape = "; x may have more than two axes: reshape it to rows first" if kind.name == "linear" else ""
    report.findings += [
        fault(f"with the setting {setting!r}: {error}{shape}") for setting, error in failed.items()
    ]
    report.blocks = merged(trials)
    report.findings += findings_of(trials)
    report.oracle = trials[0].oracle.method
    form = ask_forward(report, forward, backward, kind, declared, stated, trials)
    if any(t.wrong for t in trials):
        try:
            explain_kind(checker, report, forward, backward, kind, form, trials)
        except Misbehaved as error:  # its time was over while the mistake was looked for
            report.findings.append(remark(str(error)))
            report.searched = False
    else:
        report.causes = causes_in(report.findings, wrong=False)
    if report.place is None:
        report.place = next((Place(f.place) for f in report.findings if f.ok is False and f.place), None)
    if kind.steps:
        report.place = place_in_a_step(report.place)
    return report


def findings_of(trials: list[Trial]) -> list[Finding]:
    """What the hygiene noticed in all settings, each thing once.

    What code kept from one setting disturbs it in the next ones: only the first such fault is told.
    """
    found: list[Finding] = []
    for trial in trials:
        kept = any(f.ok is False and f.cause in KEPT for f in found)
        for f in trial.run.findings:
            follows = kept and f.ok is False and f.cause in (*KEPT, "aliased")
            if f not in found and not follows:
                found.append(f)
    return found


def ask_forward(
    report: Report,
    forward: Callable,
    backward: Callable,
    kind: Kind,
    declared: Form,
    stated: bool,
    trials: list[Trial],
) -> Form | None:
    """The form in which forward computes its kind, None where it does not; fills in the verdict on forward."""
    form, says = find_form(kind, trials[0], declared)
    if form is None:
        report.forward = DIFFERS
        report.findings.append(
            remark(
                f"forward does not compute what {a_kind(kind.name)} computes, so the place can only be told "
                "roughly; check the forward pass first (the gradient is judged against your own forward)",
                "forward",
            )
        )
        # what differs is a question for the properties; it is no fault of backward
        asked = properties((forward, backward), kind.name) if kind.name in ALL_KINDS else []
        report.findings += [f._replace(ok=None, level=2) for f in asked if f.ok is False]
        return None
    report.gates = form.gates
    others = [t.setting for t in trials[1:] if find_form(kind, t, form)[0] != form]
    report.forward = DIFFERS if others or (stated and form != declared) else RIGHT
    if says:
        report.findings.append(remark(says, level=2))
    if others:
        report.findings.append(
            remark(
                f"forward computes {a_kind(kind.name)} with the setting {trials[0].setting!r}, "
                f"but not with {', '.join(map(repr, others))}",
                "forward",
                level=2,
            )
        )
    return form


def trial_of(
    checker: "Checker",
    name: str,
    forward: Callable,
    backward: Callable,
    kind: Kind,
    declared: Form,
    setting: str,
    given: dict | None = None,
) -> Trial | None:
    """The pair in one setting; None where it takes no such inputs. Raises Misbehaved."""
    values = {**(kind.make(checker.rng(0), setting) if given is None else given), **declared.options}
    if "reset_after" not in kind.extras:
        values.pop("reset_after", None)
    problem = pair_problem(name, forward, backward, kind, values)
    if problem is None:
        return None
    for missing in kind.arguments.keys() - problem.blocks.keys():
        # a pair without a bias computes what one with zeros does
        values[missing] = np.zeros(next(values[n] for n in ("Wx", "W") if n in values).shape[-1])
    return Trial(setting, values, problem, *checker.run(problem))


def explain_kind(
    checker: "Checker",
    report: Report,
    forward: Callable,
    backward: Callable,
    kind: Kind,
    form: Form | None,
    trials: list[Trial],
) -> None:
    """Fill in place and causes of a wrong pair."""
    # without a mask no row is left out: the place is plainer there, where the mistake shows there
    trial = min((t for t in trials if t.wrong), key=lambda t: t.setting != "no mask")
    for t in trials:
        checker.compared(t.run, t.oracle, t.blocks)  # in fast mode the expected entries are not there yet
    if form is not None:
        reference = kind.reference(standard(kind, form, trial.values))
        seen = (
            observe_gates(forward, backward, kind, form, trial, checker.guard)
            if "Wx" in trial.values
            else None
        )
        report.causes = causes_of(search(kind, form, trials, seen), kind, form, trial, reference)
        report.place = next((c.place for c in report.causes if c.place is not None), seen)
    report.causes = report.causes or causes_without_a_match(checker, kind, form, trials)
    report.causes += causes_in(report.findings, wrong=True)
    if report.place is None:
        report.place = replace(place_from_blocks(kind, trial.wrong), guessed=True)


def causes_without_a_match(
    checker: "Checker", kind: Kind, form: Form | None, trials: list[Trial]
) -> list[Cause]:
    """Where no single mistake gives all the numbers: what explains a part of them, or what their pattern says."""
    trial = min((t for t in trials if t.wrong), key=lambda t: t.setting != "no mask")
    if form is not None:
        causes = partial(kind, form, trial, kind.reference(standard(kind, form, trial.values)))
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
    return [Cause("transpose", b.note, "likely") for b in trial.blocks.values() if "transposed" in b.note]


def partial(kind: Kind, form: Form, trial: Trial, reference) -> list[Cause]:
    """Where no single mistake gives all the numbers: one that gives most of the wrong blocks, and all right ones."""
    wrong = [n for n in trial.run.gradients if n in trial.wrong]
    right = [n for n in trial.run.gradients if n not in trial.wrong]
    best: dict[int, list[Hypothesis]] = {}
    for h in hypotheses(reference.backward, kind, suspects(reference.backward, kind, set(trial.wrong), None)):
        results = run_hypothesis(h, kind, form, trial, reference)
        if results is not None and explains(results, trial, right):
            best.setdefault(sum(explains(results, trial, [n]) for n in wrong), []).append(h)
    most = max(best, default=0)
    if most * 2 <= len(wrong):
        return []
    rest = (
        f" (this explains {most} of {counted(len(wrong), 'wrong gradient')}; there may be a second mistake)"
        if most < len(wrong)
        else f" (this gives the numbers with the setting {trial.setting!r}, but not with every one; "
        "there may be a second mistake)"
    )
    causes = causes_of(best[most], kind, form, trial, reference)
    return [c._replace(confidence="likely", says=c.says + rest) for c in causes]


def as_trials(
    checker: "Checker", name: str, forward: Callable, backward: Callable, kind: Kind, declared: Form
) -> list[Trial]:
    """The pair in every setting of its kind in which it can be run."""
    trials = []
    for setting in kind.settings:
        try:
            trial = trial_of(checker, name, forward, backward, kind, declared, setting)
        except Misbehaved:
            continue
        if trial is not None:
            checker.compared(trial.run, trial.oracle, trial.blocks)
            trials.append(trial)
    return trials


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


def sizes_of(trial: Trial) -> dict[str, int]:
    x = next(iter(trial.problem.blocks.values()))
    sizes = {"the batch size B": x.shape[-2]} if x.ndim >= 2 else {}
    if x.ndim == 3:
        sizes["the number of steps T"] = x.shape[0]
    mask = trial.values.get("mask")
    if mask is not None:
        sizes["the number of real tokens N"] = int(np.asarray(mask).sum())
    return sizes


def merged(trials: list[Trial]) -> list[Block]:
    """One verdict for each block over all settings: the worst that was seen."""
    names = dict.fromkeys(name for t in trials for name in t.blocks)
    chosen = []
    for name in names:
        found = [
            (ORDER.index(t.blocks[name].verdict), -t.blocks[name].error, n)
            for n, t in enumerate(trials)
            if name in t.blocks
        ]
        trial = trials[min(found)[2]]
        block = trial.blocks[name]
        if block.verdict in (WRONG, MISSING) and any(
            t.blocks[name].verdict == RIGHT for t in trials if name in t.blocks
        ):
            right = ", ".join(t.setting for t in trials if t.blocks[name].verdict == RIGHT)
            block.note = "; ".join(
                filter(None, [block.note, f"with the setting {trial.setting!r}, right with: {right}"])
            )
        chosen.append(block)
    return chosen
