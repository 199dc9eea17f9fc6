"""Inside a model: which operation, or which connection between two, makes the gradient wrong first.

The operations that a forward pass called are visited in the order of backward. For each output of each
call a zero probe gives the true gradient; what arrived there must be it, or the connection is at fault.
Then the operation itself, fed with what arrived, must return the right gradients of its inputs.
"""

from dataclasses import replace

import numpy as np

from minis2s.gradcheck.causes import Place, remark
from minis2s.gradcheck.connections import SKIPPED, causes_of_a_connection, node_of
from minis2s.gradcheck.diagnose import causes_of, search
from minis2s.gradcheck.hygiene import Run
from minis2s.gradcheck.kind_check import as_trials, causes_without_a_match
from minis2s.gradcheck.kinds import KINDS, Kind
from minis2s.gradcheck.numeric import COMPLEX_STEP, Oracle, richardson, unit_direction
from minis2s.gradcheck.places import observe_gates, rows_of
from minis2s.gradcheck.problem import Misbehaved, Problem
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.signs import agree, read_signs
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import (
    Cause,
    Form,
    Trial,
    arguments_of,
    causes_in,
    find_form,
    gradients_of,
    standard,
)
from minis2s.gradcheck.verdict import MISSING, RIGHT, WRONG, Block
from minis2s.gradcheck.watch import Call, Watch

WRONG_BY = 1e-6  # relative; rounding stays far below, and a mistake of calculus is not that small


def explain(
    checker, report: Report, layer, problem: Problem, run: Run, oracle: Oracle, blocks: dict[str, Block]
) -> None:
    """Fill in the place and the causes of a wrong layer or model."""
    watch = Watch(layer)
    with watch.watching():
        # the problem's own forward and backward, with every call recorded
        watch.start(recording=True)
        try:
            with checker.guard.watching("the model"):
                outs, cache = problem.forward({name: x.copy() for name, x in oracle.blocks.items()})
                problem.backward([None if d is None else d.copy() for d in run.douts], cache)
            visitor = Visitor(checker, report, problem, run, oracle, watch)
            with checker.guard.watching("the model"):
                if not visitor.first_fault():
                    visitor.explain_parameters(blocks)
        except Misbehaved as error:  # its time was over, or it bears no probe: then the verdict must do
            report.findings.append(remark(f"the place could not be looked for: {error}"))
    report.causes += causes_in(run.findings, wrong=True)


class Visitor:
    """Goes through the recorded calls in the order of backward, until something is wrong."""

    def __init__(self, checker, report: Report, problem: Problem, run: Run, oracle: Oracle, watch: Watch):
        self.checker, self.report = checker, report
        self.problem, self.run, self.oracle, self.watch = problem, run, oracle, watch
        self.rng = checker.rng(20)
        self.calls = list(watch.calls)

    def first_fault(self) -> bool:
        for number in reversed(range(len(self.calls))):
            call = self.calls[number]
            looked_up = self.same_embedding(call) if call.op.name == "embedding" else []
            if len(looked_up) > 1:
                # rows that are looked up step by step, and once more in one call for the sake of backward
                if call is not looked_up[0]:
                    continue
                if self.embedding_arrives_wrong(looked_up):
                    return True
                call = looked_up[-1]
            else:
                for part in range(len(call.outs)):
                    if self.arrives_wrong(call, number, part):
                        self.explain_connection(call, number, part)
                        return True
            if call.dins and self.operation_is_wrong(call):
                self.explain_operation(call)
                return True
        return False

    # -- what arrives at an output -----------------------------------------------------------------------

    def true_along(self, number: int, part: int, direction: np.ndarray) -> float:
        """The derivative of the loss along a probe at an output."""
        self.watch.start(recording=False)
        if self.oracle.method == "complex step":
            self.watch.probe = (number, part, 1j * COMPLEX_STEP * direction)
            blocks = {name: x.astype(np.complex128) for name, x in self.oracle.blocks.items()}
            terms = self.terms(blocks)
            self.watch.probe = None
            return float(terms.imag.sum() / COMPLEX_STEP)

        def difference(s: float) -> float:
            values = []
            for sign in (1, -1):
                self.watch.start(recording=False)
                self.watch.probe = (number, part, sign * s * direction)
                values.append(self.terms(self.oracle.blocks))
            self.watch.probe = None
            return float((values[0] - values[1]).sum())

        return richardson(difference)[0]

    def terms(self, blocks: dict) -> np.ndarray:
        try:
            return self.oracle.terms(blocks)
        except Misbehaved:
            self.watch.probe = None
            raise

    def true_gradient(self, number: int, part: int) -> np.ndarray:
        out = self.calls[number].outs[part]
        gradient, direction = np.zeros(out.shape), np.zeros(out.shape)
        for index in np.ndindex(out.shape):
            direction[index] = 1
            gradient[index] = self.true_along(number, part, direction)
            direction[index] = 0
        return gradient

    def arrived(self, call: Call, part: int) -> np.ndarray:
        dout = call.douts[part] if part < len(call.douts) else None
        return (
            np.zeros(call.outs[part].shape) if dout is None else np.broadcast_to(dout, call.outs[part].shape)
        )

    def arrives_wrong(self, call: Call, number: int, part: int) -> bool:
        got = self.arrived(call, part)
        if not np.isfinite(got).all():
            return True
        direction = unit_direction(got, self.rng)
        true, said = self.true_along(number, part, direction), float((got * direction).sum())
        return (
            abs(true - said) > WRONG_BY * max(abs(true), abs(said), float(np.abs(got).max(initial=0))) + 1e-13
        )

    def same_embedding(self, call: Call) -> list[Call]:
        return [c for c in self.calls if c.op.name == "embedding" and c.path == call.path]

    def embedding_arrives_wrong(self, calls: list[Call]) -> bool:
        call = calls[-1]
        got = self.arrived(call, 0)
        true = np.stack([self.true_gradient(self.calls.index(c), 0) for c in calls[:-1]])
        if true.shape == got.shape and not agree(got, true, WRONG_BY):
            self.report.place = self.place("dx", call, got, true, "TBE")
            if not self.report.causes:
                self.report.causes = causes_of_a_connection(self.calls, call, "dx", got, true, "TBE")
            return True
        return False

    # -- a connection ----------------------------------------------------------------------------------------

    def explain_connection(self, call: Call, number: int, part: int) -> None:
        got, true = self.arrived(call, part), self.true_gradient(number, part)
        name = call.name_of_out(part)
        letters = letters_of(call, name)
        if call.times_backward == 0 and call.op.name in SKIPPED:
            node, cause, says = SKIPPED[call.op.name]
            if any(c.times_backward > 1 for c in self.calls if c.op.name == call.op.name):
                cause, says = "stale cache", f"backward of {call.op.name} gets the cache of another call"
            self.report.place = self.place(node, call, got, true, letters)
            if not self.report.causes:
                self.report.causes = [
                    Cause(
                        cause,
                        f"{says}: its backward is never called for this call in {call.path or 'this layer'}",
                        "likely",
                    )
                ]
            return
        node = node_of(call, name, self.calls)
        self.report.place = self.place(node, call, got, true, letters)
        if self.report.causes:
            return
        twice = [c for c in self.calls if c.op.name == call.op.name and c.times_backward > 1]
        if call.times_backward == 0 and twice:
            says = (
                f"backward of {call.op.name} is never called with the cache that its forward made in {call.path}, "
                f"but twice with that of {twice[0].path}"
            )
            self.report.causes = [Cause("stale cache", says, "certain")]
        else:
            self.report.causes = causes_of_a_connection(self.calls, call, node, got, true, letters)

    def place(self, node: str, call: Call, got: np.ndarray, true: np.ndarray, letters: str) -> Place:
        scale = max(float(np.abs(true).max(initial=0)), float(np.abs(got).max(initial=0)))
        differs = ~(np.abs(got - true) <= WRONG_BY * scale)
        step = rows = None
        if "T" in letters or "S" in letters:
            axis = max(letters.find("T"), letters.find("S")) if letters[0] not in "TS" else 0
            times = np.flatnonzero(differs.any(axis=tuple(k for k in range(differs.ndim) if k != axis)))
            step = int(times[-1])
            differs = np.take(differs, [step], axis=axis)
        else:
            step = self.step_of(call)
        if "B" in letters and differs.ndim > letters.index("B"):
            nonzero = (got != 0) | (true != 0)
            if step is not None and nonzero.shape != differs.shape:
                nonzero = np.take(nonzero, [step], axis=axis)
            rows = rows_of(differs, nonzero, letters.index("B"))
        return Place(node, layer=call.path, step=step, rows=rows)

    def step_of(self, call: Call) -> int | None:
        """At which step of the decoder a call was made; None where it was not made step by step."""
        steps = max(
            (
                sum(c.path == s.path and c.op.name == s.op.name for c in self.calls)
                for s in self.calls
                if s.op.name.endswith("_step")
            ),
            default=1,
        )
        count = sum(c.path == call.path and c.op.name == call.op.name for c in self.calls)
        if steps < 2 or count % steps or not call.path.startswith(("decoder", "layers", "cells")):
            return None
        return call.occurrence // (count // steps)

    # -- an operation ------------------------------------------------------------------------------------------

    def operation_is_wrong(self, call: Call) -> bool:
        self.bad_inputs = self.wrong_inputs(call)
        return bool(self.bad_inputs)

    def wrong_inputs(self, call: Call) -> list[int]:
        """Which of the inputs of a call got a wrong gradient, given what arrived."""
        bad = []
        for n, position in enumerate(call.floats):
            if n >= len(call.dins):
                break
            x, din = call.inputs[position], call.dins[n]
            if din is None or np.shape(din) != x.shape or not np.isfinite(din).all():
                bad.append(position)
                continue
            direction = unit_direction(x, self.rng)
            true, said = self.op_along(call, position, direction), float((din * direction).sum())
            if (
                abs(true - said)
                > WRONG_BY * max(abs(true), abs(said), 1e-3 * float(np.abs(din).max(initial=0))) + 1e-13
            ):
                bad.append(position)
        return bad

    def op_along(self, call: Call, position: int, direction: np.ndarray) -> float:
        def value(inputs) -> np.ndarray:
            out, _ = call.op.forward(*inputs)
            parts = out if isinstance(out, tuple) else (out,)
            return sum(
                (np.asarray(p) * d).sum() for p, d in zip(parts, call.douts, strict=False) if d is not None
            )

        if self.oracle.method == "complex step":
            inputs = [x.astype(np.complex128) if n in call.floats else x for n, x in enumerate(call.inputs)]
            inputs[position] = inputs[position] + 1j * COMPLEX_STEP * direction
            return float(np.imag(value(inputs)) / COMPLEX_STEP)

        def difference(s: float) -> float:
            sides = []
            for sign in (1, -1):
                inputs = list(call.inputs)
                inputs[position] = inputs[position] + sign * s * direction
                sides.append(value(inputs))
            return float(sides[0] - sides[1])

        return richardson(difference)[0]

    def explain_operation(self, call: Call) -> None:
        kind = KINDS.get(call.op.name) or kind_by_layer(call)
        bad = [call.name_of_input(n) for n in self.bad_inputs]
        if kind is None:
            self.report.place = Place(f"d{bad[0]}", layer=call.path)
            return
        trial = self.trial_of(call, kind)
        report, place = self.diagnose(call, kind, trial)
        if place is None:
            place = place_of_inputs(kind, bad)
        step = place.step
        if step is None and not place.node.startswith(("dW", "db")):
            step = self.step_of(call)
            if step is not None and place.node in ("dh0", "dc0"):
                place, step = replace(place, node=place.node[:-1]), step - 1
        self.report.place = replace(place, layer=call.path, step=step)
        if not self.report.causes:
            self.report.causes = report

    def trial_of(self, call: Call, kind: Kind) -> Trial:
        names = [*kind.arguments, *kind.extras]
        values = dict(zip(names, call.inputs, strict=False))
        problem = pair_problem(kind.name, call.op.forward, call.op.backward, kind, values)
        shown = [name for name in kind.arguments if values.get(name) is not None]
        gradients, misshapen, missing = {}, {}, {}
        for name, din in zip(shown, call.dins, strict=False):
            if din is not None and din.shape == values[name].shape:
                gradients[name] = din
            else:
                missing[name] = "missing"
                if din is not None:
                    misshapen[name] = din
        douts = [np.asarray(d, dtype=float) if d is not None else None for d in call.douts]
        run = Run(list(call.outs), douts, gradients, missing, misshapen, [], {}, np.dtype(np.float64))
        bad = {call.name_of_input(n) for n in self.bad_inputs}
        blocks = {
            name: Block(name, MISSING if name in missing else WRONG if name in bad else RIGHT)
            for name in shown
        }
        return Trial("in the model", values, problem, run, self.oracle, blocks)

    def diagnose(self, call: Call, kind: Kind, trial: Trial) -> tuple[list[Cause], Place | None]:
        """Causes, from the operation checked on its own and in the model; the place is that in the model."""
        options = {"reset_after": trial.values["reset_after"]} if "reset_after" in trial.values else {}
        declared = Form(kind.gates, options)
        form, _ = find_form(kind, trial, declared)
        if form is None:
            return [], None
        reference = kind.reference(standard(kind, form, trial.values))
        own = as_trials(self.checker, call.op.name, call.op.forward, call.op.backward, kind, declared)
        wrong = [t for t in own if t.wrong]
        seen = (
            observe_gates(call.op.forward, call.op.backward, kind, form, trial, self.checker.guard)
            if "Wx" in trial.values
            else None
        )
        causes = causes_of(search(kind, form, [trial, *wrong], seen), kind, form, trial, reference)
        if causes:
            return causes, next((c.place for c in causes if c.place is not None), seen)
        results = gradients_of(
            reference.backward(**arguments_of(reference.backward, kind, reference, trial.run.douts)),
            kind,
            form,
            trial.values,
        )
        for name, block in trial.blocks.items():
            block.got, block.expected = trial.run.gradients.get(name), results[name]
        # on its own an operation shows more: its settings are made for that
        return causes_without_a_match(self.checker, kind, form, own if wrong else [trial]), seen

    # -- weights whose deltas are all right ------------------------------------------------------------------------

    def explain_parameters(self, blocks: dict[str, Block]) -> None:
        """Everything inside is right, and still a weight's gradient is wrong: it is added up wrongly."""
        wrong = [name for name, b in blocks.items() if b.verdict in (WRONG, MISSING)]
        path, _, weight = wrong[0].rpartition(".")
        self.report.place = Place(f"d{weight}", layer=path)
        if self.report.causes or wrong[0] not in self.run.gradients:
            return
        got = self.run.gradients[wrong[0]]
        if self.problem_weight(wrong[0]) is None:  # an input of the layer, not a weight
            pairs = self.checker.compared(self.run, self.oracle, blocks)
            self.report.causes = read_signs(pairs, self.problem.axes, {})
            return
        parts = [
            din
            for call in self.calls
            for n, din in enumerate(call.dins)
            if din is not None
            and n < len(call.floats)
            and call.inputs[call.floats[n]] is self.problem_weight(wrong[0])
        ] or [
            din
            for call in self.calls
            if call.path == path
            for din in call.dins
            if din is not None and din.shape == got.shape
        ]
        if parts and len(parts) > 1 and any(agree(got, p) for p in parts):
            self.report.causes = [
                Cause(
                    "overwritten",
                    f"the gradient of {wrong[0]} is that of one step only: = stands where += belongs",
                    "certain",
                )
            ]
        elif parts and agree(got, 2 * sum(parts)):
            self.report.causes = [
                Cause("doubled", f"the gradient of {wrong[0]} is added up twice", "certain")
            ]
        elif not got.any():
            self.report.causes = [
                Cause("missing term", f"nothing is added to the gradient of {wrong[0]}", "certain")
            ]
        elif parts:
            self.report.causes = read_signs({wrong[0]: (got, sum(parts))}, {}, {})

    def problem_weight(self, name: str):
        parameter = self.watch.root.parameters().get(name)
        return None if parameter is None else parameter.data


def letters_of(call: Call, out: str) -> str:
    kind = KINDS.get(call.op.name)
    letters = kind.outs.get(out, "") if kind else ""
    index = [call.name_of_out(n) for n in range(len(call.outs))].index(out) if letters else 0
    shape = call.outs[index].shape
    return (
        letters
        if len(letters) == len(shape)
        else "TB"[2 - len(shape) + 1 :] + "X"
        if len(shape) in (2, 3)
        else ""
    )


def kind_by_layer(call: Call) -> Kind | None:
    """The kind of an op of another name, from the weights that it is called with: a student's own."""
    shapes = [x.shape for x in call.inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    n = len(call.inputs)
    for kind in KINDS.values():
        sizes = [len(letters) for letters in kind.arguments.values()]
        if (
            [len(s) for s in shapes] == sizes
            and len(call.outs) == len(kind.outs)
            and n <= len(sizes) + len(kind.extras)
        ):
            if kind.gates:
                H = shapes[1][-1]
                widths = {shapes[list(kind.arguments).index("Wx")][1]}
                if widths != {len(kind.gates) * H}:
                    continue
            return kind
    return None


def place_of_inputs(kind: Kind, bad: list[str]) -> Place:
    if "attention" in kind.name or len(bad) > 1:
        return Place({"cross_entropy": "dlogits", "masked_softmax": "dscores"}.get(kind.name, f"d{bad[0]}"))
    return Place(f"d{bad[0]}")
