"""`gradcheck`: is this backward pass the derivative of its forward pass, and if not, where and why?"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.causes import Place, fault, remark
from minis2s.gradcheck.diagnose import causes_of, search
from minis2s.gradcheck.hygiene import given_gradients, judge_as_single, run_with_hygiene
from minis2s.gradcheck.hypotheses import Hypothesis, explains, hypotheses, run_hypothesis, suspects
from minis2s.gradcheck.kinds import Kind
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.places import observe_gates, place_from_blocks
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem, TooSlow
from minis2s.gradcheck.properties import ALL_KINDS, properties
from minis2s.gradcheck.report import HINTS, Report
from minis2s.gradcheck.signs import read_signs
from minis2s.gradcheck.subject import function_problem, kind_of, out_and_cache, pair_problem, values_of
from minis2s.gradcheck.trial import Cause, Form, Trial, causes_in, find_form, standard
from minis2s.gradcheck.verdict import KINK, MISSING, RIGHT, UNCLEAR, VACUOUS, WRONG, Block, judge
from minis2s.op import Op

SECONDS = 60.0  # for all calls of the code under test together
ORDER = (
    WRONG,
    MISSING,
    UNCLEAR,
    KINK,
    RIGHT,
    VACUOUS,
)  # of several verdicts on a block, the first one counts


def gradcheck(
    subject: Any,
    *inputs: Any,
    kind: str | None = None,
    fast: bool = False,
    hint: int = HINTS,
    seed: int = 0,
    gates: str | None = None,
    reset_after: bool | None = None,
    without: Sequence[int] = (),
    dtype: Any = np.float64,
    seconds: float = SECONDS,
) -> Report:
    """Check a hand-written backward pass against numeric derivatives; say where and why it is wrong.

    subject:
        a pair (forward, backward) or an `Op` of a known `kind` ("lstm", "gru_step", "attention",
            "cross_entropy" ...; an Op of the engine says its kind itself), with inputs made here;
        a pair with its own `inputs`, for any other operation;
        a plain function f(*inputs) -> (y, backward), where backward(dy) gives gradients of the inputs;
        a Layer, or a whole model (`Seq2Seq`), with inputs made here.
    fast: one random direction for each block, where otherwise every entry is measured.
    hint: the highest level of hints that the report shows: 0 none, 1 where, 2 what kind, 3 the formula.
    seed: of the inputs, the upstream gradients and the directions.
    gates: the order in which a pair's gates lie side by side, as "ifgo"; by default that of the engine.
    reset_after: which form a GRU has.
    without: numbers of the outputs that get no gradient from upstream: None is handed to backward there.
    dtype: float64, in which everything is checked whatever the function was written for; np.float32
        runs backward in float32 and judges it by what float32 can hold.
    seconds: how long the code under test may run in all.

    Returns a Report; it never raises for what the code under test does. Raises UserError for a subject
    that cannot be checked, an unknown kind, or a hint level that there is not.

    Sources: Squire and Trapp 1998 (complex step), Richardson 1911; the Taylor test as in Farrell et al.
    2013, section 6; the search for the cause is mutation analysis (DeMillo, Lipton and Sayward 1978).
    """
    if hint not in range(HINTS + 1):
        raise UserError(f"hint must be 0, 1, 2 or 3, got {hint!r}")
    start = time.perf_counter()
    options = {} if reset_after is None else {"reset_after": reset_after}
    checker = Checker(fast=fast, seed=seed, dtype=dtype, seconds=seconds, without=without)
    report = checker.check(subject, inputs, kind, gates, options)
    report.hint, report.fast, report.seconds = hint, fast, time.perf_counter() - start
    return report


def check_loss(
    loss: Callable[[], float],
    parameters: dict[str, np.ndarray],
    gradients: dict[str, np.ndarray],
    *,
    fast: bool = False,
    seed: int = 0,
    seconds: float = SECONDS,
) -> Report:
    """Compare gradients that are there already with numeric ones of a loss that can be computed anew.

    loss(): computes the loss from `parameters`, float64 arrays that are moved in place and put back bit
        for bit; every random choice in it must be fixed.
    gradients: what backward gave, by the same names.
    fast, seed, seconds: as in `gradcheck`.

    Returns a Report with a verdict for each parameter. Place and cause can be told for functions that
    are checked as a pair or a layer, not here. Raises UserError when a parameter is not float64.
    """
    start = time.perf_counter()
    checker = Checker(fast=fast, seed=seed, seconds=seconds)
    for name, x in parameters.items():
        if x.dtype != np.float64:
            raise UserError(f"{name} must be float64 to be checked, got {x.dtype}")
    before = {name: x.copy() for name, x in parameters.items()}

    def forward(blocks: dict):
        for name, x in parameters.items():
            x[...] = blocks[name]
        return [np.asarray(loss(), dtype=np.float64)], None

    report = Report("loss")
    problem = Problem("loss", before, forward, lambda douts, cache: (gradients, ""), ["loss"])
    try:
        run = given_gradients(problem, checker.guard)
        oracle = Oracle(problem, run.douts, checker.guard, checker.rng(2), method="Richardson")
        report.blocks = list(judge(run, oracle, checker.rng(3), fast=fast, witness=not fast).values())
        report.findings, report.oracle = run.findings, oracle.method
    except Misbehaved as error:
        misbehaved(report, error)
    finally:
        for name, x in parameters.items():
            x[...] = before[name]
    report.fast, report.seconds = fast, time.perf_counter() - start
    return report


def assert_gradients(subject: Any, *inputs: Any, **options: Any) -> Report:
    """`gradcheck` as an assertion, for pytest: raises AssertionError with the whole report as its message.

    Takes the arguments of `gradcheck`. The message names the worst block, its worst entry with both
    values, the place and the cause. Returns the report when every gradient is right.
    """
    report = gradcheck(subject, *inputs, **options)
    if not report.ok:
        raise AssertionError(str(report))
    return report


class Checker:
    """One check: its settings, and the clock that the code under test runs against."""

    def __init__(
        self,
        *,
        fast: bool = False,
        seed: int = 0,
        dtype=np.float64,
        seconds: float = SECONDS,
        without: Sequence[int] = (),
    ):
        self.fast = fast
        self.without = without
        self.seed = seed
        self.dtype = np.dtype(dtype)
        self.guard = Guard(seconds)

    def rng(self, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *more])

    # -- what was handed in ----------------------------------------------------------------------------

    def check(
        self, subject: Any, inputs: Sequence, kind_name: str | None, gates: str | None, options: dict
    ) -> Report:
        pair = as_pair(subject)
        if pair is not None:
            name, forward, backward = pair
            # two functions with their own inputs are what they are, whatever their names say
            named = not inputs or isinstance(subject, Op)
            kind = kind_of(name if named else "", kind_name)
            if inputs and kind is None:
                return self.check_pair_with_inputs(name, forward, backward, inputs)
            if kind is None:
                raise UserError(
                    f'what kind of operation is {name}? Say kind="lstm" (or another), or hand in the inputs: '
                    "gradcheck(pair, x, W, b)"
                )
            if gates is not None and sorted(gates) != sorted(kind.gates):
                raise UserError(f"gates must be an order of the letters {kind.gates!r}, got {gates!r}")
            given = values_of(kind, inputs) if inputs else None
            return self.check_kind(name, forward, backward, kind, Form(gates or kind.gates, options), given)
        if hasattr(subject, "parameters") or hasattr(subject, "backward"):
            from minis2s.gradcheck.model import check_layer

            return check_layer(self, subject, inputs)
        if callable(subject):
            if not inputs:
                raise UserError("a plain function needs its inputs: gradcheck(f, x, W)")
            name = getattr(subject, "__name__", "function")
            return self.check_problem(function_problem(name, subject, inputs))
        raise UserError(
            f"expected a pair (forward, backward), an Op, a layer, a model or a function, got {type(subject).__name__}"
        )

    # -- one problem, of no known kind -------------------------------------------------------------------

    def run(self, problem: Problem, fast: bool | None = None):
        """(Run, Oracle, blocks by name). Raises Misbehaved."""
        run = run_with_hygiene(problem, self.guard, self.rng(1), without=self.without, dtype=self.dtype)
        oracle = Oracle(problem, run.douts, self.guard, self.rng(2))
        if oracle.noisy and run.dtype == np.float64:
            judge_as_single(problem, self.guard, run, self.rng(4))
        blocks = judge(
            run, oracle, self.rng(3), fast=self.fast if fast is None else fast, witness=not self.fast
        )
        return run, oracle, blocks

    def check_problem(self, problem: Problem) -> Report:
        report = Report(problem.name)
        try:
            run, oracle, blocks = self.run(problem)
        except Misbehaved as error:
            return misbehaved(report, error)
        report.blocks, report.findings, report.oracle = list(blocks.values()), run.findings, oracle.method
        try:
            self.explain_without_a_kind(report, run, oracle, blocks, problem)
        except Misbehaved as error:  # its time was over while the mistake was looked for
            report.findings.append(remark(str(error)))
        return report

    def explain_without_a_kind(
        self, report: Report, run, oracle: Oracle, blocks: dict[str, Block], problem: Problem
    ) -> None:
        """Place and causes from the signs alone."""
        wrong = [name for name, b in blocks.items() if b.verdict in (WRONG, MISSING)]
        if not wrong:
            report.causes = causes_in(run.findings, wrong=False)
            return
        report.place = place_from_blocks(None, wrong)
        pairs = self.compared(run, oracle, blocks)
        sizes = {f"the size {n}": n for x in problem.blocks.values() for n in x.shape}
        report.causes += read_signs(pairs, problem.axes, sizes, problem.blocks)
        report.causes += [
            Cause("transpose", b.note, "likely") for b in blocks.values() if "transposed" in b.note
        ]
        report.causes += causes_in(run.findings, wrong=True)

    def compared(self, run, oracle: Oracle, blocks: dict[str, Block]) -> dict:
        """(got, expected) by block; in fast mode the entries of wrong blocks are measured now."""
        pairs = {}
        for name, got in run.gradients.items():
            expected = blocks[name].expected
            if expected is None and blocks[name].verdict in (WRONG, RIGHT):
                expected = (
                    oracle.gradient(name)[0] if blocks[name].verdict == WRONG and got.size <= 400 else got
                )
                blocks[name].got, blocks[name].expected = got, expected
            if expected is not None and not np.isnan(expected).any():
                pairs[name] = (got.astype(np.float64), expected)
        return pairs

    def check_pair_with_inputs(
        self, name: str, forward: Callable, backward: Callable, inputs: Sequence
    ) -> Report:
        def function(*x):
            out, cache = out_and_cache(forward(*x))
            return out, lambda dout: backward(dout, cache)

        function.__signature__ = signature_or_none(forward)
        function.__name__ = name
        return self.check_problem(function_problem(name, function, inputs))

    # -- a pair of a known kind ------------------------------------------------------------------------------

    def check_kind(
        self, name: str, forward: Callable, backward: Callable, kind: Kind, declared: Form, given: dict | None
    ) -> Report:
        """The report on a pair of a known kind, in all settings of the kind or with the inputs given."""
        report = Report(name, kind.name, gates=declared.gates)
        trials: list[Trial] = []
        for setting in kind.settings if given is None else ("given",):
            try:
                trial = self.trial(name, forward, backward, kind, declared, setting, given)
            except Misbehaved as error:
                if not trials:
                    return misbehaved(report, error)
                report.findings.append(fault(f"with the setting {setting!r}: {error}"))
                continue
            if trial is not None:
                report.settings.append(setting)
                trials.append(trial)
        if not trials:
            raise UserError(f"{name}: no setting of kind {kind.name} fits its arguments")
        report.blocks = merged(trials)
        report.findings += list(dict.fromkeys(f for t in trials for f in t.run.findings))
        report.oracle = trials[0].oracle.method
        form, says = find_form(kind, trials[0], declared)
        if form is not None:
            report.gates = form.gates
        if form is None:
            # what differs is a question for the properties; it is no fault of backward
            asked = properties((forward, backward), kind.name) if kind.name in ALL_KINDS else []
            report.findings += [f._replace(ok=None) for f in asked if f.ok is False]
        if says:
            report.findings.append(remark(says, "" if form is not None else "forward"))
        if any(t.wrong for t in trials):
            try:
                self.explain_kind(report, forward, backward, kind, form, trials)
            except Misbehaved as error:  # its time was over while the mistake was looked for
                report.findings.append(remark(str(error)))
        else:
            report.causes = causes_in(report.findings, wrong=False)
        if report.place is None:
            report.place = next((Place(f.place) for f in report.findings if f.ok is False and f.place), None)
        return report

    def trial(
        self,
        name: str,
        forward: Callable,
        backward: Callable,
        kind: Kind,
        declared: Form,
        setting: str,
        given: dict | None = None,
    ) -> Trial | None:
        """The pair in one setting; None where it takes no such inputs. Raises Misbehaved."""
        values = {**(kind.make(self.rng(0), setting) if given is None else given), **declared.options}
        if "reset_after" not in kind.extras:
            values.pop("reset_after", None)
        problem = pair_problem(name, forward, backward, kind, values)
        if problem is None:
            return None
        for missing in kind.arguments.keys() - problem.blocks.keys():
            values[missing] = None  # a pair without a bias
        return Trial(setting, values, problem, *self.run(problem))

    def explain_kind(
        self,
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
            self.compared(t.run, t.oracle, t.blocks)  # in fast mode the expected entries are not there yet
        reference = None
        if form is not None:
            reference = kind.reference(standard(kind, form, trial.values))
            seen = (
                observe_gates(forward, backward, kind, form, trial, self.guard)
                if "Wx" in trial.values
                else None
            )
            matches = causes_of(search(kind, form, trials, seen), kind, form, trial, reference)
            report.causes += matches or self.partial(kind, form, trial, reference)
            report.place = next((c.place for c in matches if c.place is not None), seen)
        pairs = self.compared(trial.run, trial.oracle, trial.blocks)
        if not report.causes:
            report.causes = read_signs(pairs, kind.arguments, sizes_of(trial), trial.values)
            if form is None:  # the mistake may as well be in forward
                report.causes = [c._replace(confidence="possible") for c in report.causes]
        wrong_in = {t.setting for t in trials if t.wrong}
        if not report.causes and "ragged" in wrong_in and "no mask" in set(report.settings) - wrong_in:
            report.causes = [
                Cause("mask ignored", "the gradient is right without a mask and wrong with one", "likely")
            ]
        if not report.causes and kind.name == "embedding":
            report.causes = repeated_ids(trial)
        if not report.causes:
            report.causes = [
                Cause("transpose", b.note, "likely") for b in trial.blocks.values() if "transposed" in b.note
            ]
        report.causes += causes_in(report.findings, wrong=True)
        if report.place is None:
            report.place = place_from_blocks(kind, trial.wrong)

    def partial(self, kind: Kind, form: Form, trial: Trial, reference) -> list[Cause]:
        """Where no single mistake gives all the numbers: one that gives most of the wrong blocks, and all right ones."""
        wrong = [n for n in trial.run.gradients if n in trial.wrong]
        right = [n for n in trial.run.gradients if n not in trial.wrong]
        best: dict[int, list[Hypothesis]] = {}
        for h in hypotheses(
            reference.backward, kind, suspects(reference.backward, kind, set(trial.wrong), None)
        ):
            results = run_hypothesis(h, kind, form, trial, reference)
            if results is not None and explains(results, trial, right):
                best.setdefault(sum(explains(results, trial, [n]) for n in wrong), []).append(h)
        most = max(best, default=0)
        if most * 2 <= len(wrong):
            return []
        rest = f" (this explains {most} of {len(wrong)} wrong gradients: there is a second mistake)"
        causes = causes_of(best[most], kind, form, trial, reference)
        return [c._replace(confidence="likely", says=c.says + rest) for c in causes]


def as_trials(
    checker: Checker, name: str, forward: Callable, backward: Callable, kind: Kind, declared: Form
) -> list[Trial]:
    """The pair in every setting of its kind in which it can be run."""
    trials = []
    for setting in kind.settings:
        try:
            trial = checker.trial(name, forward, backward, kind, declared, setting)
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
                filter(None, [block.note, f"with the setting {trial.setting!r}; right with {right}"])
            )
        chosen.append(block)
    return chosen


def as_pair(subject: Any) -> tuple[str, Callable, Callable] | None:
    """(name, forward, backward) of a pair, an Op or an object that is neither a layer nor a model."""
    if isinstance(subject, Op):
        return subject.name, subject.forward, subject.backward
    if isinstance(subject, tuple | list) and len(subject) == 2 and all(map(callable, subject)):
        name = (
            getattr(subject[0], "__name__", "pair").removesuffix("_forward").removesuffix("forward") or "pair"
        )
        return name, *subject
    if isinstance(subject, tuple | list) and len(subject) == 3 and isinstance(subject[0], str):
        return subject[0], subject[1], subject[2]
    return None


def signature_or_none(function: Callable):
    import inspect

    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def misbehaved(report: Report, error: Misbehaved) -> Report:
    """The report on code that ended its own check; that its time was over says nothing about its gradients."""
    report.findings.append(remark(str(error)) if isinstance(error, TooSlow) else fault(str(error)))
    return report
