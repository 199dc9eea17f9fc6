"""Inside a model: which operation, or which connection between two, makes the gradient wrong first.

The operations that a forward pass called are visited in the order of backward. For each output of each
call a zero probe gives the true gradient; what arrived there must be it, or the connection is at fault.
Then the operation itself, fed with what arrived, must return the right gradients of its inputs.
"""

from dataclasses import replace

import numpy as np

from minis2s.gradcheck.call_places import (
    WRONG_BY,
    kind_by_layer,
    letters_of,
    place_in,
    place_of_inputs,
    step_of,
)
from minis2s.gradcheck.causes import Place, remark, with_others
from minis2s.gradcheck.connections import SKIPPED, causes_of_a_connection, node_of
from minis2s.gradcheck.differences import unit_direction
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.linear import TIMES, enlarged, proportional
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.operation_causes import causes_inside, trial_in_the_model
from minis2s.gradcheck.probes import Probes
from minis2s.gradcheck.problem import Misbehaved, Problem, copied
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.run import Run
from minis2s.gradcheck.signs import agree, read_signs
from minis2s.gradcheck.trial import Cause, causes_in
from minis2s.gradcheck.verdict import MARGIN, MISSING, WRONG, Block
from minis2s.gradcheck.watch import Call, Watch


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
                problem.backward(copied(run.douts), cache)
            visitor = Visitor(checker, report, problem, run, oracle, watch)
            with checker.guard.watching("the model"):
                if not visitor.first_fault():
                    visitor.explain_parameters(blocks)
            if report.place is not None:
                report.place = with_others(
                    report.place, [n for n, b in blocks.items() if b.verdict in (WRONG, MISSING)]
                )
        except Misbehaved as error:  # its time was over, or it bears no probe: then the verdict must do
            report.findings.append(
                remark(f"the place could not be looked for: {error.seen}", more=error.more)
            )
    report.causes += causes_in(run.findings, wrong=True)


def where_not_linear(checker, layer, problem: Problem, douts: list) -> Place | None:
    """The first gradient inside that is not TIMES as large when the douts are; None where all are."""
    watch = Watch(layer)
    with watch.watching(), checker.guard.watching("the model"):
        watch.start(recording=True)
        _, cache = problem.forward({name: x.copy() for name, x in problem.blocks.items()})
        problem.backward(copied(douts), cache)
        once = [(list(call.douts), call.dins) for call in watch.calls]
        problem.backward(enlarged(douts), cache)

    def differs(a: np.ndarray | None, b: np.ndarray | None) -> bool:
        return a is not None and b is not None and not proportional(b, TIMES * a)

    for call, (arrived, returned) in reversed(list(zip(watch.calls, once, strict=True))):
        if call.op.name == "embedding":  # the last thing that backward comes to, wherever forward calls it
            continue
        step = step_of(watch.calls, call)
        for part, dout in enumerate(arrived):
            if differs(dout, call.douts[part]):
                return Place(node_of(call, call.name_of_out(part), watch.calls), layer=call.path, step=step)
        for n, din in enumerate(returned[: len(call.floats)]):
            if differs(din, call.dins[n]):
                return Place(f"d{call.name_of_input(call.floats[n])}", layer=call.path, step=step)
    return None


class Visitor:
    """Goes through the recorded calls in the order of backward, until something is wrong."""

    def __init__(self, checker, report: Report, problem: Problem, run: Run, oracle: Oracle, watch: Watch):
        self.checker, self.report = checker, report
        self.problem, self.run, self.oracle, self.watch = problem, run, oracle, watch
        self.rng = checker.rng(20)
        self.calls = list(watch.calls)
        self.probes = Probes(oracle, watch)

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
            bad = self.wrong_inputs(call)
            if bad:
                self.explain_operation(call, bad)
                return True
        return False

    # -- what arrives at an output -----------------------------------------------------------------------

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
        true, noise = self.probes.along(number, part, direction)
        return differ(true, noise, float((got * direction).sum()), float(np.abs(got).max(initial=0)))

    def same_embedding(self, call: Call) -> list[Call]:
        return [c for c in self.calls if c.op.name == "embedding" and c.path == call.path]

    def embedding_arrives_wrong(self, calls: list[Call]) -> bool:
        call = calls[-1]
        got = self.arrived(call, 0)
        true = np.stack([self.probes.gradient(self.calls.index(c), 0) for c in calls[:-1]])
        if true.shape == got.shape and not agree(got, true, WRONG_BY):
            self.report.place = place_in(self.calls, "dx", call, got, true, "TBE")
            if not self.report.causes:
                self.report.causes = causes_of_a_connection(self.calls, call, "dx", got, true, "TBE")
            return True
        return False

    # -- a connection ----------------------------------------------------------------------------------------

    def explain_connection(self, call: Call, number: int, part: int) -> None:
        got, true = self.arrived(call, part), self.probes.gradient(number, part)
        name = call.name_of_out(part)
        letters = letters_of(call, name)
        if call.times_backward == 0 and call.op.name in SKIPPED:
            node, cause, says = SKIPPED[call.op.name]
            if any(c.times_backward > 1 for c in self.calls if c.op.name == call.op.name):
                cause, says = "stale cache", f"backward of {call.op.name} gets the cache of another call"
            self.report.place = place_in(self.calls, node, call, got, true, letters)
            if call.op.name == "dropout":
                says = self.left_out_of_dropout(call, true)
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
        self.report.place = place_in(self.calls, node, call, got, true, letters)
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

    def left_out_of_dropout(self, call: Call, true: np.ndarray) -> str:
        """What a dropout lacks whose backward is never called, from what arrived at the call that made its input."""
        for maker in self.calls:
            for part, out in enumerate(maker.outs):
                if out.shape == true.shape and np.array_equal(out, call.inputs[0]):
                    arrived = self.arrived(maker, part)
                    if agree(arrived, np.where(call.outs[0] != 0, true, 0)):
                        return "the scale 1 / (1 - p) of the dropout is left out, though not its mask"
                    if agree(arrived, true):
                        return "the dropout mask and its scale are left out"
        return "the dropout mask, or its scale 1 / (1 - p), is left out"

    # -- an operation ------------------------------------------------------------------------------------------

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
            true, noise = self.probes.of_operation(call, position, direction)
            if differ(true, noise, float((din * direction).sum()), 1e-3 * float(np.abs(din).max(initial=0))):
                bad.append(position)
        return bad

    def explain_operation(self, call: Call, wrong_inputs: list[int]) -> None:
        kind = KINDS.get(call.op.name) or kind_by_layer(call)
        bad = [call.name_of_input(n) for n in wrong_inputs]
        if kind is None:
            self.report.place = Place(f"d{bad[0]}", layer=call.path)
            return
        trial = trial_in_the_model(call, kind, self.oracle, set(bad))
        causes, place = causes_inside(self.checker, call, kind, trial)
        if place is None:
            place = place_of_inputs(kind, bad)
        step = place.step
        made_at = step_of(self.calls, call)
        if made_at is not None and not place.node.startswith(("dW", "db")):
            step = made_at  # of the decoder; the call itself knows of one step alone
            if step and place.node in ("dh0", "dc0"):
                place, step = replace(place, node=place.node[:-1]), step - 1
            elif place.node in ("dh0", "dc0"):
                step = None
        self.report.place = replace(place, layer=call.path, step=step)
        if not self.report.causes:
            self.report.causes = causes

    # -- weights whose deltas are all right ------------------------------------------------------------------------

    def explain_parameters(self, blocks: dict[str, Block]) -> None:
        """Everything inside is right, and still a weight's gradient is wrong: it is added up wrongly."""
        wrong = [name for name, b in blocks.items() if b.verdict in (WRONG, MISSING)]
        wrong.sort(key=self.last_call, reverse=True)  # backward comes to the last call first
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
            # with other weights wrong as well, it may have been added to one of them
            says = f"nothing is added to the gradient of {wrong[0]}"
            self.report.causes = [Cause("missing term", says, "certain" if len(wrong) == 1 else "likely")]
        elif parts:
            self.report.causes = read_signs({wrong[0]: (got, sum(parts))}, {}, {})

    def last_call(self, weight: str) -> int:
        """The number of the last call that the layer of a weight made; -1 where it made none."""
        path = weight.rpartition(".")[0]
        numbers = [n for n, call in enumerate(self.calls) if call.path == path]
        # rows of an embedding are looked up once more in the end, for the sake of backward
        return max(numbers[: 1 if "embedding" in path else None], default=-1)

    def problem_weight(self, name: str):
        parameter = self.watch.root.parameters().get(name)
        return None if parameter is None else parameter.data


def differ(true: float, noise: float, said: float, size: float) -> bool:
    """Whether a derivative, measured with some noise, is not what backward says; size: of the gradient."""
    return abs(true - said) > WRONG_BY * max(abs(true), abs(said), size) + MARGIN * noise + 1e-13
