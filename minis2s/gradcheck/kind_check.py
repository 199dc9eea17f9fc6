"""A pair of a known kind: checked in every setting of its kind, beside the textbook of that kind."""

from typing import TYPE_CHECKING

from minis2s.errors import UserError
from minis2s.gradcheck.causes import Finding, Note, Place, fault, remark, with_others
from minis2s.gradcheck.diagnose import place_in_a_step
from minis2s.gradcheck.glossary import a_kind
from minis2s.gradcheck.hints import ROWS_REMEDY
from minis2s.gradcheck.kind_causes import explain_kind
from minis2s.gradcheck.kind_trials import trial_of
from minis2s.gradcheck.problem import Misbehaved, TooSlow
from minis2s.gradcheck.properties import ALL_KINDS, properties
from minis2s.gradcheck.report import DIFFERS, Report
from minis2s.gradcheck.trial import Form, Pair, Trial, causes_in, find_form, how_it_differs
from minis2s.gradcheck.verdict import KINK, MISSING, RIGHT, UNCLEAR, VACUOUS, WRONG, Block

if TYPE_CHECKING:
    from minis2s.gradcheck.checker import Checker  # (which imports this file)

# of several verdicts on a block, the first one counts
ORDER = (WRONG, MISSING, UNCLEAR, KINK, RIGHT, VACUOUS)
KEPT = ("not cleared", "stale cache")  # faults of code that keeps something between calls


def check_kind(checker: "Checker", pair: Pair, given: dict | None = None, stated: bool = False) -> Report:
    """The report on a pair of a known kind, in all settings of the kind or with the inputs given.

    stated: whether the order of the gates or the form of a GRU was asked for, or is only what is usual.
    """
    kind = pair.kind
    report = Report(pair.name, kind.name, gates=pair.form.gates)
    trials: list[Trial] = []
    failed: dict[str, Misbehaved] = {}
    for setting in kind.settings if given is None else ("given",):
        try:
            trial = trial_of(checker, pair, setting, given)
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
        raise UserError(f"{pair.name}: no setting of kind {kind.name} fits its arguments")
    shape = ROWS_REMEDY if kind.name == "linear" else ""
    report.findings += [
        fault(f"with the setting {setting!r}: {error.seen}", more=error.more + shape)
        for setting, error in failed.items()
    ]
    report.blocks = merged(trials)
    report.findings += findings_of(trials)
    report.oracle = trials[0].oracle.method
    form = ask_forward(report, pair, stated, trials)
    if any(t.wrong for t in trials):
        try:
            explain_kind(checker, report, pair._replace(form=form), trials)
        except Misbehaved as error:  # its time was over while the mistake was looked for
            report.findings.append(remark(error.seen, more=error.more))
            report.searched = False
    else:
        report.causes = causes_in(report.findings, wrong=False)
    if report.place is None:
        report.place = next((Place(f.place) for f in report.findings if f.ok is False and f.place), None)
    if report.place is not None:
        wrong = [b.name for b in report.blocks if b.verdict in (WRONG, MISSING)]
        report.place = with_others(report.place, wrong)
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
            if f.check == "linear" and any(g.check == "linear" for g in found):
                continue  # the same mistake, as another setting shows it
            follows = kept and f.ok is False and f.cause in (*KEPT, "aliased")
            if f not in found and not follows:
                found.append(f)
    return found


def ask_forward(report: Report, pair: Pair, stated: bool, trials: list[Trial]) -> Form | None:
    """The form in which forward computes its kind, None where it does not; fills in the verdict on forward."""
    kind, declared = pair.kind, pair.form
    form = find_form(kind, trials[0], declared)
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
        asked = properties((pair.forward, pair.backward), kind.name) if kind.name in ALL_KINDS else []
        report.findings += [f._replace(ok=None, level=2) for f in asked if f.ok is False]
        return None
    report.gates = form.gates
    others = [t.setting for t in trials[1:] if find_form(kind, t, form) != form]
    report.forward = DIFFERS if others or (stated and form != declared) else RIGHT
    differs = how_it_differs(form, declared)
    if differs:
        report.findings.append(remark(differs, level=2))
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
            says = f"with the setting {trial.setting!r}, right with: {right}"
            block.notes += (Note(says, level=2),)  # that it is right without a mask tells the cause
        chosen.append(block)
    return chosen
