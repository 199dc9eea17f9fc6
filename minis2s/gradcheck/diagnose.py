"""Where and why: looking for the mistake that reproduces a student's numbers.

Whether a gradient is wrong has been decided by then, by numeric derivatives alone. Here the textbook
backward pass of the same kind is run with one mistake after the other (hypotheses.py), on the same
inputs and the same upstream gradients, until the results are the student's in every block. Random inputs
of a dozen dimensions do not agree to nine digits by chance; where mistakes of several kinds agree, all of
them are named, and none is called certain.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from minis2s.gradcheck.causes import Place
from minis2s.gradcheck.glossary import in_the_plural, in_words_of_a_step
from minis2s.gradcheck.hypotheses import (
    Hypothesis,
    explains,
    hypotheses,
    run_hypothesis,
    substitutions,
    suspects,
)
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.places import place_of
from minis2s.gradcheck.rows import mistakes_with_rows
from minis2s.gradcheck.trial import Cause, Form, Trial, standard


def search(kind: Kind, form: Form, trials: list[Trial], place: Place | None = None) -> list[Hypothesis]:
    """Every mistake that gives the student's numbers in every setting: the usual ones, else the rare ones.

    place: where the gates show the first wrong gradient; the lines there are tried first.
    """
    references = [kind.reference(standard(kind, form, t.values)) for t in trials]
    order = sorted(
        range(len(trials)), key=lambda n: not trials[n].wrong
    )  # a wrong one first: it filters most
    function = references[0].backward
    wrong = {name for t in trials for name in t.wrong}
    near = suspects(function, kind, wrong, place)
    far = [v for v in suspects(function, kind, wrong, None) if v not in near]

    def fitting(candidates: Iterator[Hypothesis]) -> list[Hypothesis]:
        return [
            h
            for h in candidates
            if all(
                explains(run_hypothesis(h, kind, form, trials[n], references[n]), trials[n]) for n in order
            )
        ]

    usual = fitting(itertools.chain(substitutions(function, kind), hypotheses(function, kind, near)))
    if usual and len({h.cause for h in usual}) == 1:
        # a factor or a term too much elsewhere may give the same numbers
        around = {v for h in usual if h.edit is not None for v in near_lines(h.edit.variable, near)}
        added = hypotheses(function, kind, sorted(around), rare=True)
        usual += fitting(h for h in added if h.cause == "extra term")
    return (
        usual
        or fitting(mistakes_with_rows(function, kind))
        or fitting(hypotheses(function, kind, near, rare=True))
        or fitting(hypotheses(function, kind, far))
    )


def near_lines(variable: str, among: list[str]) -> list[str]:
    """The lines of the same gate: what is done in one of do and dz_o may as well be done in the other."""
    letter = variable.removeprefix("dz_").removeprefix("d")
    return [v for v in among if v in (variable, f"d{letter}", f"dz_{letter}")]


def causes_of(matches: list[Hypothesis], kind: Kind, form: Form, trial: Trial, reference) -> list[Cause]:
    """The mistakes that fit, in words; certain only if they are all the same one."""
    found: list[Cause] = []
    for h in matches:
        place = place_of(h, kind, form, trial, reference)
        edit = h.edit
        lines = (edit.line, edit.wrong, edit.equation) if edit is not None else ("", "", "")
        texts = [in_the_order_of(form.gates, text) for text in (h.says, *lines)]
        if kind.steps:
            texts, place = [in_words_of_a_step(text) for text in texts], place_in_a_step(place)
        says, *lines = texts
        found.append(Cause(h.cause, in_the_plural(says), "likely", *lines, place))
    found.sort(key=lambda c: plausibility(c))
    if found and len({c.cause for c in found}) == 1 and len({h.rare for h in matches}) == 1:
        found[0] = found[0]._replace(confidence="certain")
    return found


LETTERS = re.compile(r"(in the order |where |side by side: )((?:[a-z], )+[a-z])\b")
PARTS = re.compile(r"np\.concatenate\(\[((?:d\w+, )+d\w+)\]")


def in_the_order_of(gates: str, text: str) -> str:
    """A sentence or line on gates side by side, which the textbook has in its order, in the order `gates`.

    The lists in it are read by position: the first belongs where the textbook's first gate lies.
    """
    for usual in ("ifog", "run", "ru"):
        own = "".join(letter for letter in gates if letter in usual)
        if own == usual or sorted(own) != sorted(usual):
            continue

        def moved(items: str, own=own, usual=usual) -> str:
            parts = items.split(", ")
            return ", ".join(parts[usual.index(letter)] for letter in own)

        def fits(items: str, usual=usual) -> bool:
            parts = items.split(", ")
            return sorted(part[-1] for part in parts) == sorted(usual)

        text = LETTERS.sub(lambda m: m[1] + (moved(m[2]) if fits(m[2]) else m[2]), text)
        text = PARTS.sub(lambda m: f"np.concatenate([{moved(m[1]) if fits(m[1]) else m[1]}]", text)
    return text


def place_in_a_step(place: Place | None) -> Place | None:
    """The place in a single step, which has no first state but the one before: dh_prev for dh0."""
    if place is None or place.node not in ("dh0", "dc0"):
        return place
    return replace(place, node=f"{place.node[:2]}_prev")


PLAUSIBLE = (  # of several mistakes that give the same numbers, the more usual one first
    "sign", "softmax jacobian", "gate order", "transpose", "carry dropped", "carry doubled", "carry scaled", "overwritten",
    "repeated ids", "batch sum", "mask ignored", "dropout ignored", "normalization", "missing factor", "wrong derivative",
    "missing term", "doubled", "axis", "time shift", "wrong variable", "scale",
)  # fmt: skip


def plausibility(cause: Cause) -> tuple:
    """A key to sort by: the usual kind of mistake first, in a line that is no mere bookkeeping, small ones first."""
    rank = PLAUSIBLE.index(cause.cause) if cause.cause in PLAUSIBLE else len(PLAUSIBLE)
    bookkeeping = "real" in cause.line or "_kept" in cause.line
    return rank, bookkeeping, "np." in cause.wrong and "np." not in cause.line, len(cause.wrong)
