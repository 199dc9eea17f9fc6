"""The operations that a layer or a model is made of, each checked on its own as well.

A model does not ask its operations for everything that they can do: a decoder steps without a mask, a loss
runs without smoothing, an upstream array that backward changes in place may be needed by nobody else. So
each operation is also checked as a pair, in all settings of its kind.
"""

import copy
import inspect
from collections.abc import Iterator
from dataclasses import replace

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kind_check import check_kind
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.problem import Problem
from minis2s.gradcheck.report import Report
from minis2s.gradcheck.trial import Form, Pair
from minis2s.gradcheck.verdict import RIGHT, WRONG
from minis2s.gradcheck.watch import Call, Watch, walk
from minis2s.op import Op


def check_operations(checker, report: Report, layer, problem: Problem) -> None:
    """Add what is wrong with an operation of the layer to a report that has found nothing wrong yet."""
    one_direction = copy.copy(checker)  # the same clock
    one_direction.fast = True
    watch = Watch(layer)
    with watch.watching(), checker.guard.watching("the model"):
        watch.start(recording=True)
        problem.forward(problem.blocks)
    for path, pair in operations_of(layer, watch.calls):
        own = check_kind(one_direction, pair)
        if own.verdict != WRONG:
            continue
        where = f"{pair.name} of {path}" if path else pair.name
        report.findings += [f.prefixed(f"{where}, on its own: ") for f in own.findings]
        report.blocks += [replace(b, name=f"{where}: {b.name}") for b in own.blocks if b.verdict != RIGHT]
        report.causes = own.causes
        place = own.place or Place(f"d{next(iter(pair.kind.arguments))}")
        report.place = replace(place, layer=path or pair.name)
        return


def operations_of(layer, called: list[Call]) -> Iterator[tuple[str, Pair]]:
    """(path of its layer, the pair) of every different operation of a known kind.

    Those nearer to the loss come first. called: one forward pass, for the operations that a layer takes
    from the engine and does not hold itself.
    """
    held = [
        (path, owner, name, op)
        for path, owner in walk(layer, "")
        for name, op in vars(owner).items()
        if isinstance(op, Op)
    ]
    seen = set()
    for path, owner, name, op in [*reversed(held), *((c.path, None, "", c.op) for c in reversed(called))]:
        kind = KINDS.get(op.name) or (kind_of_the_default(owner, name) if owner is not None else None)
        if kind is None:
            continue
        options = {"reset_after": owner.reset_after} if hasattr(owner, "reset_after") else {}
        key = (op.forward, op.backward, *options.items())
        if key not in seen:
            seen.add(key)
            yield path, Pair(op.name, op.forward, op.backward, kind, Form(kind.gates, options))


def kind_of_the_default(owner, name: str) -> Kind | None:
    """The kind of the operation that stands there by default: what a student hands in as op=... must be of it."""
    parameter = inspect.signature(type(owner)).parameters.get(name)
    return KINDS.get(parameter.default.name) if parameter and isinstance(parameter.default, Op) else None
