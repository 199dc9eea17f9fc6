"""Checking layers and whole models: every weight by numeric derivatives, and the first wrong place inside.

A model is checked on a copy, in float64, with weights of about 0.7 N(0, 1), on a batch of three ragged
sentences with repeated ids and with dropout masks that stay the same. Where a weight's gradient is wrong,
the operations that the model called are looked at in the order in which backward visits them: did the
right gradient arrive (a zero probe tells), and did the operation make the right gradients of it?
"""

import copy
import dataclasses
import inspect
import time
from collections.abc import Sequence

import numpy as np

from minis2s.data import Example, make_batch
from minis2s.errors import UserError
from minis2s.gradcheck import insitu
from minis2s.gradcheck.causes import Finding, Note, Place, fault, remark
from minis2s.gradcheck.judge import judge_entries
from minis2s.gradcheck.layer_inputs import WholeAttention, inputs_for
from minis2s.gradcheck.operations import check_operations
from minis2s.gradcheck.problem import Misbehaved, Problem, TooSlow, copied, leaves, like
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.subject import as_number
from minis2s.gradcheck.trial import causes_in
from minis2s.gradcheck.verdict import MISSING, RIGHT, VACUOUS, WRONG
from minis2s.gradcheck.watch import walk
from minis2s.models import Seq2Seq
from minis2s.nn import Attention, Layer
from minis2s.op import Op

DROPOUT_SEED = 20140901
ENTRIES_SECONDS = 0.6  # for measuring every entry; the verdict rests on the directions
LARGEST_MODEL = 5000  # weights; of a larger model a small copy is checked, where it can be made
LARGEST_BLOCK = 400  # entries that are all measured; of a larger block, one direction


def check_layer(checker, subject, inputs: Sequence) -> Report:
    """The report on a layer (with inputs made here, or given) or a whole model."""
    name = type(subject).__name__
    layer = prepared(subject, checker.rng(10))
    if hasattr(layer, "loss") and not inputs:
        settings = [("all steps at once", {})]
        if getattr(getattr(layer, "decoder", None), "parallel", False):
            settings.append(("step by step", {"stepwise": True}))
        if "coins" in inspect.signature(layer.loss).parameters:
            settings.append(("its own tokens fed", {"coins": "drawn"}))
        problems = [(s, model_problem(name, layer, options)) for s, options in settings]
    else:
        given = list(inputs) if inputs else inputs_for(layer, checker.rng(11))
        if isinstance(layer, Attention) and not inputs:
            layer = WholeAttention(layer)
        problems = [("", layer_problem(name, layer, given))]
    report = Report(name)
    if shrunk(subject) is not subject:
        says = f"it has {subject.count():,} weights and is checked in small (embed 3, hidden 4), with the same configuration and operations"
        report.findings.append(remark(says))
    for setting, problem in problems:
        try:
            run, oracle, blocks = checker.run(problem, fast=True)
            if not checker.fast and not report.blocks:
                measure_entries(run, oracle, blocks, checker)
        except Misbehaved as error:
            report.blocks = [] if isinstance(error, TooSlow) else report.blocks
            return report.misbehaved(error)
        report.oracle = oracle.method
        report.settings += [setting] if setting else []
        try:
            with checker.guard.watching("backward"):
                run.findings += accumulates(problem, layer, run)
        except Misbehaved as error:
            seen = f"called a second time without zero_grad: {error.seen}"
            run.findings.append(fault(seen, more=error.more))
        report.findings += [f for f in run.findings if f not in report.findings]
        merge(report, blocks, setting)
        if any(b.verdict in (WRONG, MISSING) for b in blocks.values()):
            insitu.explain(checker, report, layer, problem, run, oracle, blocks)
            break
        if report.verdict == WRONG:
            report.causes = causes_in(report.findings, wrong=False)
            report.place = next((Place(f.place) for f in report.findings if f.ok is False and f.place), None)
            if any(f.check == "linear" for f in report.findings):
                report.place = insitu.where_not_linear(checker, layer, problem, run.douts) or report.place
            break
    if not inputs and report.verdict != WRONG:
        check_operations(checker, report, layer, problems[0][1])
    return report


def merge(report: Report, blocks: dict, setting: str) -> None:
    """Keep, of each block, the worse verdict."""
    known = {b.name: n for n, b in enumerate(report.blocks)}
    for name, block in blocks.items():
        if name not in known:
            report.blocks.append(block)
        elif block.verdict in (WRONG, MISSING) or (
            report.blocks[known[name]].verdict == VACUOUS and block.verdict == RIGHT
        ):
            if block.verdict == WRONG:
                block.notes += (Note(f"running {setting}", level=1),)
            report.blocks[known[name]] = block


def measure_entries(run, oracle, blocks: dict, checker) -> None:
    """Every entry of the small blocks, as long as the time for that lasts."""
    start = time.perf_counter()
    oracle.terms(oracle.blocks)
    affordable = int(ENTRIES_SECONDS / (3 * (time.perf_counter() - start)))  # entries, at a complex pass each
    sizes = {name: g.size for name, g in run.gradients.items()}
    for name in sorted(sizes, key=lambda n: (blocks[n].verdict == RIGHT, sizes[n])):
        if 0 < sizes[name] <= min(LARGEST_BLOCK, affordable):
            affordable -= sizes[name]
            measured = judge_entries(name, run, oracle, checker.rng(12))
            if blocks[name].verdict != WRONG or measured.verdict == WRONG:
                blocks[name] = measured


def shrunk(model):
    """A large Seq2Seq in small: the same configuration and operations with few units; else the model itself.

    A mistake of calculus does not depend on the size, and small sizes show it faster and better. A model
    with layers of other classes than the engine's, or with methods put onto an object, is left as it is.
    """
    if type(model) is not Seq2Seq or model.count() <= LARGEST_MODEL:
        return model
    config = dataclasses.replace(model.config, embed=3, hidden=4)
    small = Seq2Seq(config, 8, 9, rng=np.random.default_rng(DROPOUT_SEED))
    pairs = list(zip(walk(small, ""), walk(model, ""), strict=False))
    if len(pairs) != len(list(walk(model, ""))):
        return model
    for (path, mine), (other_path, theirs) in pairs:
        own = {
            name: value
            for name, value in vars(theirs).items()
            if callable(value) and not isinstance(value, Layer)
        }
        if path != other_path or type(mine) is not type(theirs) or own:
            return model
        for name, value in vars(theirs).items():
            if isinstance(value, Op):
                setattr(mine, name, value)
    return small


def prepared(subject, rng: np.random.Generator):
    """A copy of a layer or model in float64 on the host, with weights that hide nothing."""
    try:
        layer = copy.deepcopy(shrunk(subject))
    except TypeError as error:
        raise UserError(
            f"a {type(subject).__name__} that cannot be copied ({error}) cannot be checked: leave out what holds locks or files"
        ) from error
    if not isinstance(layer, Layer):
        raise UserError(
            f"a {type(subject).__name__} is neither a minis2s Layer nor a pair: hand in (forward, backward), or derive it from Layer"
        )
    layer.to(np, np.float64)
    for parameter in layer.parameters().values():
        shape = parameter.data.shape
        # wide layers would saturate: there the weights shrink with the root of the number of inputs
        width = min(1.0, 2.0 / shape[0] ** 0.5) if len(shape) == 2 else 1.0
        parameter.data = 0.7 * width * rng.standard_normal(shape)
        parameter.grad = np.zeros(shape)
    return layer


def model_problem(name: str, model, options: dict) -> Problem:
    """The mean cross-entropy of a small batch, as a function of all weights."""
    batch = batch_for(model)
    parameters = model.parameters()
    if "coins" in options:
        coins = np.random.default_rng(DROPOUT_SEED).random(batch.tgt_in.shape) < 0.5
        options = options | {"coins": coins}
    takes_rng = "rng" in inspect.signature(model.loss).parameters

    def forward(given: dict):
        for key, parameter in parameters.items():
            parameter.data = given[key]
        # the same masks at every call
        more = {"rng": np.random.default_rng(DROPOUT_SEED)} if takes_rng else {}
        loss, cache = model.loss(batch, **more, **options)
        return [as_number(loss)], cache

    def backward(douts: list, cache):
        clear(model, parameters)
        model.backward(douts[0][()], cache)
        return {key: parameter.grad for key, parameter in parameters.items()}, ""

    blocks = {key: parameter.data for key, parameter in parameters.items()}
    return Problem(name, blocks, forward, backward, ["loss"], put=lambda given: put(parameters, given))


def put(parameters: dict, given: dict) -> None:
    """The weights are those of `given` again."""
    for key, parameter in parameters.items():
        parameter.data = given[key]


def clear(layer, parameters: dict) -> None:
    """Gradients back to zero, by the layer's own zero_grad; new arrays, for the old ones were handed out."""
    for parameter in parameters.values():
        parameter.grad = np.array(np.real(parameter.grad))
    layer.zero_grad()


def accumulates(problem: Problem, layer, run) -> list[Finding]:
    """backward must ADD to the gradients: called twice without zero_grad, it doubles them."""
    parameters = layer.parameters()
    if not parameters:
        return []
    layer.zero_grad = lambda: None  # on this object only, over the method of its class
    try:
        before = {name: np.array(p.grad) for name, p in parameters.items()}
        _, cache = problem.forward({name: x.copy() for name, x in problem.blocks.items()})
        problem.backward(copied(run.douts), cache)
        after = {name: np.array(p.grad) for name, p in parameters.items()}
    finally:
        del layer.zero_grad
    once = {name: after[name] - before[name] for name in parameters}
    replaced = [
        name
        for name in parameters
        if before[name].any() and not np.allclose(once[name], run.gradients[name], rtol=1e-9, atol=1e-12)
    ]
    if not replaced:
        return []
    seen = f"backward does not add to the gradient of {', '.join(replaced)}"
    more = ": a second call without zero_grad must double it (grad += ..., not grad = ...)"
    return [fault(seen, "overwritten", f"d{replaced[0].rpartition('.')[2]}", more=more)]


def batch_for(model):
    """Three ragged sentences with repeated ids, for the vocabularies that the model has."""
    source, target = model.encoder.embedding.W.data.shape[0], model.decoder.output.W.data.shape[1]

    def ids(numbers: list[int], size: int) -> list[int]:
        first = 4 if size > 5 else 2  # the special symbols come first
        return [first + (n - 4) % max(size - first, 1) for n in numbers]

    examples = [([5, 4, 4], [4, 5, 4]), ([6, 5], [7]), ([5], [4, 6])]
    return make_batch([Example(ids(s, source), ids(t, target)) for s, t in examples])


def layer_problem(name: str, layer: Layer, inputs: list) -> Problem:
    """layer.forward(*inputs) as a function of its weights and of the arrays among its inputs."""
    parameters = layer.parameters()
    flat = leaves(inputs)
    places = {
        n: f"input {n}" for n, x in enumerate(flat) if isinstance(x, np.ndarray) and x.dtype.kind == "f"
    }
    signature = [p for p in inspect.signature(layer.forward).parameters if p != "self"]
    owner = [
        signature[k] if k < len(signature) else f"input {k}" for k, x in enumerate(inputs) for _ in leaves(x)
    ]
    for n in places:
        places[n] = owner[n] if owner.count(owner[n]) == 1 else f"{owner[n]}[{n - owner.index(owner[n])}]"
    takes_rng = "rng" in inspect.signature(layer.forward).parameters
    blocks = {places[n]: flat[n] for n in places} | {key: p.data for key, p in parameters.items()}

    def forward(given: dict):
        for key, parameter in parameters.items():
            parameter.data = given[key]
        items = [given[places[n]] if n in places else x for n, x in enumerate(flat)]
        more = {"rng": np.random.default_rng(DROPOUT_SEED)} if takes_rng else {}
        result = layer.forward(*like(inputs, items), **more)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Misbehaved("forward of a layer must return two things, (out, cache)")
        out, cache = result
        return [as_number(part) for part in leaves(out)], (out, cache)

    def backward(douts: list, kept):
        out, cache = kept
        clear(layer, parameters)
        result = layer.backward(like(out, douts), cache)
        returned = [] if result is None else leaves(result)
        gradients = dict(zip(places.values(), returned, strict=False)) if len(returned) >= len(places) else {}
        return gradients | {key: parameter.grad for key, parameter in parameters.items()}, ""

    return Problem(name, blocks, forward, backward, put=lambda given: put(parameters, given))
