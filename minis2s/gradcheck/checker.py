"""One check: its settings and its clock, and what is done with each sort of subject."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.causes import remark
from minis2s.gradcheck.glossary import counted
from minis2s.gradcheck.hygiene import judge_by_noise, run_with_hygiene
from minis2s.gradcheck.judge import judge
from minis2s.gradcheck.kind_check import check_kind
from minis2s.gradcheck.misuse import (
    as_pair,
    refuse_misuse,
    refuse_ops_without_a_mask,
    signature_or_none,
    with_remedies,
)
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.places import place_from_blocks
from minis2s.gradcheck.problem import Guard, Misbehaved, Problem
from minis2s.gradcheck.repeats import changing, from_call_to_call
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.signs import read_signs
from minis2s.gradcheck.subject import function_problem, kind_of, out_and_cache, values_of
from minis2s.gradcheck.trial import Form, Pair, causes_in, transposed
from minis2s.gradcheck.verdict import MISSING, RIGHT, WRONG, Block
from minis2s.op import Op

SECONDS = 60.0  # for all calls of the code under test together


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
        """The report on whatever was handed in."""
        report = self.report_on(subject, inputs, kind_name, gates, options)
        if self.guard.printed > 0:
            seen = f"it prints ({self.guard.printed:,} characters, not shown here)"
            report.findings.append(remark(seen, more=": remove the print calls"))
        return report

    def report_on(
        self, subject: Any, inputs: Sequence, kind_name: str | None, gates: str | None, options: dict
    ) -> Report:
        refuse_misuse(subject, inputs)
        pair = as_pair(subject)
        if pair is not None:
            report = self.check_pair(subject, pair, inputs, kind_name, gates, options)
            return with_remedies(report, none_comes=bool(self.without))
        if hasattr(subject, "parameters") or hasattr(subject, "backward"):
            from minis2s.gradcheck.model import check_layer  # loads the layers and models of the engine

            refuse_ops_without_a_mask(subject)
            return with_remedies(check_layer(self, subject, inputs), none_comes=True)
        if callable(subject):
            if not inputs:
                raise UserError("a plain function needs its inputs: gradcheck(f, x, W)")
            name = getattr(subject, "__name__", "function")
            report = self.check_problem(function_problem(name, subject, inputs))
            return with_remedies(report, none_comes=bool(self.without))
        raise UserError(
            f"expected a pair (forward, backward), an Op, a layer, a model or a function, got {type(subject).__name__}"
        )

    def check_pair(
        self,
        subject: Any,
        pair: tuple[str, Callable, Callable],
        inputs: Sequence,
        kind_name: str | None,
        gates: str | None,
        options: dict,
    ) -> Report:
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
        declared = Form(gates or kind.gates, options)
        stated = gates is not None or bool(options)
        return check_kind(self, Pair(name, forward, backward, kind, declared), given, stated)

    # -- one problem, of no known kind -------------------------------------------------------------------

    def run(self, problem: Problem, fast: bool | None = None):
        """(Run, Oracle, blocks by name). Raises Misbehaved."""
        run = run_with_hygiene(problem, self.guard, self.rng(1), without=self.without, dtype=self.dtype)
        beyond = [n for n in self.without if n >= len(run.outs)]
        if beyond:
            raise UserError(
                f"without names the output {beyond[0]}, but forward has {counted(len(run.outs), 'output')}, numbered from 0"
            )
        oracle = Oracle(problem, run.douts, self.guard, self.rng(2))
        if oracle.noisy and run.dtype == np.float64:
            judge_by_noise(problem, self.guard, run, oracle.value_noise, self.rng(4))
        blocks = judge(
            run, oracle, self.rng(3), fast=self.fast if fast is None else fast, witness=not self.fast
        )
        if any(b.verdict == WRONG for b in blocks.values()) and not any(f.ok is False for f in run.findings):
            given = {name: x.astype(self.dtype) for name, x in problem.blocks.items()}
            unsteady = from_call_to_call(problem, self.guard, given, run.douts, run.gradients)
            run.findings += [changing(unsteady)] if unsteady else []
        return run, oracle, blocks

    def check_problem(self, problem: Problem) -> Report:
        report = Report(problem.name)
        try:
            run, oracle, blocks = self.run(problem)
        except Misbehaved as error:
            return report.misbehaved(error)
        report.blocks, report.findings, report.oracle = list(blocks.values()), run.findings, oracle.method
        try:
            self.explain_without_a_kind(report, run, oracle, blocks, problem)
        except Misbehaved as error:  # its time was over while the mistake was looked for
            report.findings.append(remark(error.seen, more=error.more))
        return report

    def explain_without_a_kind(
        self, report: Report, run, oracle: Oracle, blocks: dict[str, Block], problem: Problem
    ) -> None:
        """Place and causes from the signs alone."""
        wrong = [name for name, b in blocks.items() if b.verdict in (WRONG, MISSING)]
        if not wrong:
            report.causes = causes_in(run.findings, wrong=False)
            return
        report.place = replace(place_from_blocks(None, wrong), guessed=True)
        pairs = self.compared(run, oracle, blocks)
        sizes = {f"the size {n}": n for x in problem.blocks.values() for n in x.shape}
        report.causes += read_signs(pairs, problem.axes, sizes, problem.blocks)
        report.causes += transposed(blocks)
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
