"""Two mistakes at once, each of them a known one: tried where no single mistake gives the numbers.

Not every pair of mistakes is tried: the first must explain a part by itself. That is a gate, whose gradients at the
step that backward comes to first depend on its own lines alone, or most of the wrong blocks.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from minis2s.gradcheck.edits import Edit, edits, rewritten
from minis2s.gradcheck.hypotheses import Hypothesis, explains, run_hypothesis, sizes_for
from minis2s.gradcheck.kind import Kind, Reference
from minis2s.gradcheck.places import Gates
from minis2s.gradcheck.trial import Form, Trial, standard

TRIED = 400  # pairs, at most: about a second's work, and no clock, so that a busy machine finds the same
OF_A_GATE = 6  # mistakes, at most, that explain one gate by itself


def two_mistakes(
    kind: Kind, form: Form, trials: list[Trial], gates: Gates | None, parts: list[Hypothesis]
) -> list[Hypothesis]:
    """The first pair of mistakes that gives all numbers in every setting; empty where none of the first TRIED does.

    gates: what the function made of them in the first trial.
    parts: single mistakes that explain most blocks of that trial, and leave the right ones right.
    """
    references = [kind.reference(standard(kind, form, t.values)) for t in trials]
    function, trial = references[0].backward, trials[0]
    pairs: Iterator[tuple[Edit, Edit]] = iter(())
    if gates is not None and kind.gates:  # a plain RNN has none
        pairs = of_two_gates(kind, function, gates)
    for h in parts:
        if h.edit is not None:
            pairs = itertools.chain(pairs, with_the_rest(h, kind, form, trial, references[0]))
    for first, second in itertools.islice(pairs, TRIED):
        both = together(function, first, second)
        if both is not None and all(
            explains(run_hypothesis(both, kind, form, t, reference), t)
            for t, reference in zip(trials, references, strict=True)
        ):
            return [both]
    return []


def together(function, first: Edit, second: Edit) -> Hypothesis | None:
    """Both edits in one function; None where they change the same line, or no line alone."""
    source = inspect.getsource(function)
    lines = [(edit.line, edit.wrong or "pass") for edit in (first, second)]
    if lines[0][0] == lines[1][0] or any(source.count(f"{right}\n") != 1 for right, _ in lines):
        return None
    says = f"two mistakes: {first.says}; and {second.says}"
    edit = rewritten(source, lines, first.variable, first.cause, says)
    edit.variables = (first.variable, second.variable)
    return Hypothesis(edit, None, first.cause, says)


def of_two_gates(kind: Kind, function: Callable, gates: Gates) -> Iterator[tuple[Edit, Edit]]:
    """Pairs of mistakes in two gates, each of which gives its own gate's gradients at the first wrong step."""
    H = gates.got.shape[-1] // len(kind.gates)
    own = {letter: slice(k * H, (k + 1) * H) for k, letter in enumerate(kind.gates)}

    def agree(dz: np.ndarray, letter: str, t: int) -> bool:
        return np.allclose(dz[t][..., own[letter]], gates.got[t][..., own[letter]], rtol=1e-8, atol=1e-12)

    for t in reversed(range(len(gates.got))):
        wrong = [letter for letter in kind.gates if not agree(gates.right, letter, t)]
        if wrong:
            break
    if len(wrong) != 2:
        return
    fitting: list[list[Edit]] = []
    for letter in wrong:
        lines = (f"d{letter}", f"dz_{letter}")
        tried = [
            (edit, gates.of(edit.run)) for name in lines for edit in edits(function, sizes_for(kind), name)
        ]
        fitting.append([edit for edit, dz in tried if dz is not None and agree(dz, letter, t)])
    yield from itertools.product(*(some[:OF_A_GATE] for some in fitting))


def with_the_rest(
    h: Hypothesis, kind: Kind, form: Form, trial: Trial, reference: Reference
) -> Iterator[tuple[Edit, Edit]]:
    """A mistake that explains most blocks, with each of those in the lines of the others."""
    results = run_hypothesis(h, kind, form, trial, reference)
    left = [name for name in trial.run.gradients if not explains(results, trial, [name])]
    for name in left:
        for edit in edits(reference.backward, sizes_for(kind), f"d{name}"):
            yield h.edit, edit
