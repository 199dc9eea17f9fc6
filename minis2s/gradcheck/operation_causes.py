"""Why an operation inside a model is wrong: `causes_inside` searches as for a pair of its kind.

The numbers are those of its call in the model, and those of the operation checked on its own, which shows more.
"""

import numpy as np

from minis2s.gradcheck.causes import Note, Place
from minis2s.gradcheck.diagnose import causes_of, search
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kind_causes import causes_without_a_match
from minis2s.gradcheck.kind_trials import as_trials
from minis2s.gradcheck.numeric import Oracle
from minis2s.gradcheck.places import observe_gates
from minis2s.gradcheck.run import Run
from minis2s.gradcheck.subject import pair_problem
from minis2s.gradcheck.trial import Cause, Form, Pair, Trial, arguments_of, find_form, gradients_of, standard
from minis2s.gradcheck.verdict import MISSING, RIGHT, WRONG, Block
from minis2s.gradcheck.watch import Call


def pair_of(call: Call, kind: Kind, values: dict) -> Pair:
    """The operation of a recorded call. values: by the names of its kind."""
    options = {"reset_after": values["reset_after"]} if "reset_after" in values else {}
    return Pair(call.op.name, call.op.forward, call.op.backward, kind, Form(kind.gates, options))


def trial_in_the_model(call: Call, kind: Kind, oracle: Oracle, bad: set[str]) -> Trial:
    """A recorded call as a trial of its kind. bad: the inputs whose gradients are wrong."""
    names = [*kind.arguments, *kind.extras]
    values = dict(zip(names, call.inputs, strict=False))
    problem = pair_problem(pair_of(call, kind, values), values)
    shown = [name for name in kind.arguments if values.get(name) is not None]
    gradients, misshapen, missing = {}, {}, {}
    for name, din in zip(shown, call.dins, strict=False):
        if din is not None and din.shape == values[name].shape:
            gradients[name] = din
        else:
            missing[name] = Note("missing")
            if din is not None:
                misshapen[name] = din
    douts = [np.asarray(d, dtype=float) if d is not None else None for d in call.douts]
    run = Run(list(call.outs), douts, gradients, missing, misshapen, [], {}, np.dtype(np.float64))
    blocks = {
        name: Block(name, MISSING if name in missing else WRONG if name in bad else RIGHT) for name in shown
    }
    return Trial("in the model", values, problem, run, oracle, blocks)


def causes_inside(checker, call: Call, kind: Kind, trial: Trial) -> tuple[list[Cause], Place | None]:
    """Causes, from the operation checked on its own and in the model; the place is that in the model."""
    pair = pair_of(call, kind, trial.values)
    form = find_form(kind, trial, pair.form)
    if form is None:
        return [], None
    reference = kind.reference(standard(kind, form, trial.values))
    own = as_trials(checker, pair)
    wrong = [t for t in own if t.wrong]
    has_gates = "Wx" in trial.values
    seen = observe_gates(pair._replace(form=form), trial, checker.guard) if has_gates else None
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
    return causes_without_a_match(checker, kind, form, own if wrong else [trial]), seen
