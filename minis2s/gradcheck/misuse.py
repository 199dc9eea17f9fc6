"""Calls that mean something else than they say, each refused with one sentence; and remedies for faults."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.hints import NONE_REMEDY
from minis2s.gradcheck.report import HINTS, Report
from minis2s.gradcheck.subject import Signature, signature_of
from minis2s.op import Op

LONGEST = 1e8  # seconds, three years; a timer cannot be set to much more


def as_pair(subject: Any) -> tuple[str, Callable, Callable] | None:
    """(name, forward, backward) of a pair, an Op or an object that is neither a layer nor a model."""
    if isinstance(subject, Op):
        return subject.name, subject.forward, in_its_order(subject.backward)
    if isinstance(subject, tuple | list) and len(subject) == 2 and all(map(callable, subject)):
        forward, backward = subject
        name = getattr(forward, "__name__", "pair").removesuffix("_forward").removesuffix("forward") or "pair"
        return name, forward, in_its_order(backward)
    if isinstance(subject, tuple | list) and len(subject) == 3 and isinstance(subject[0], str):
        if all(map(callable, subject[1:])):
            return subject[0], subject[1], in_its_order(subject[2])
    return None


def refuse_misuse(subject: Any, inputs: Sequence) -> None:
    """Raises UserError for a call that looks like another one, with that one in the sentence."""
    if isinstance(subject, type):
        raise UserError(
            f"{subject.__name__} is a class: hand in an instance of it, made with its sizes, "
            f"as {subject.__name__}(...)"
        )
    if len(inputs) == 1 and isinstance(inputs[0], str):
        raise UserError(
            f"the kind needs its keyword, gradcheck(pair, kind={inputs[0]!r}): what follows the pair are its inputs"
        )
    is_function = callable(subject) and as_pair(subject) is None and not hasattr(subject, "parameters")
    if is_function and inputs and callable(inputs[0]) and not isinstance(inputs[0], np.ndarray):
        raise UserError(
            "forward and backward go in as one pair, in parentheses: "
            'gradcheck((forward, backward), kind="lstm"), or with their inputs after the pair'
        )


def in_its_order(backward: Callable) -> Callable:
    """backward itself; where its parameters say that it is to be called in another way, its errors say so, too."""
    says = other_arguments(signature_of(backward))
    if not says:
        return backward

    @functools.wraps(backward)
    def called(dout, cache):
        try:
            return backward(dout, cache)
        except Exception as error:
            error.add_note(
                f"backward is called as backward(dout, cache), the upstream gradient first; {says}"
            )
            raise

    return called


def other_arguments(signature: Signature) -> str:
    """What to change in the parameters of a backward function; "" where they may be meant as they are called."""
    names = signature.names
    if signature.open_ended or signature.keywords:
        return ""
    if len(names) < 2 or signature.required > 2:
        given = f"takes ({', '.join(names)})" if names else "takes no argument"
        several = "; dout is a tuple where forward returns several outputs" if len(names) > 2 else ""
        return f"this one {given}: give it these two parameters{several}"
    if names[0] == "cache" or (names[0].endswith("cache") and names[1].startswith("d")):
        return f"this one takes ({names[0]}, {names[1]}): exchange the two"
    return ""


def refuse_settings(
    *, hint: Any = HINTS, seed: Any = 0, dtype: Any = np.float64, without: Any = (), seconds: Any = 1.0
) -> None:
    """Raises UserError for a setting of a check that cannot be meant."""
    if not is_whole(hint) or hint not in range(HINTS + 1):
        raise UserError(f"hint must be {', '.join(map(str, range(HINTS)))} or {HINTS}, got {hint!r}")
    if not is_whole(seed) or seed < 0:
        raise UserError(f"seed must be a whole number, 0 or more, got {seed!r}")
    try:
        known = np.dtype(dtype) in (np.float64, np.float32, np.float16)
    except TypeError:
        known = False
    if not known:
        raise UserError(f"dtype must be np.float64, np.float32 or np.float16, got {dtype!r}")
    numbers = list(without) if isinstance(without, Sequence | set | np.ndarray) else [None]
    if not all(is_whole(n) and n >= 0 for n in numbers):
        raise UserError(
            f"without must be a list of numbers of outputs, counted from 0, as without=[1], got {without!r}"
        )
    is_number = isinstance(seconds, int | float | np.number) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds < LONGEST:
        raise UserError(f"seconds must be a number above 0, as 60, got {seconds!r}")


def is_whole(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def refuse_ops_without_a_mask(layer: Any) -> None:
    """Raises UserError where a recurrent layer was given an Op that cannot take all that the layer hands it."""
    from minis2s.gradcheck.watch import walk  # these load the layers of the engine
    from minis2s.nn.layer import Layer
    from minis2s.nn.recurrent import Recurrent

    if not isinstance(layer, Layer):
        return
    for path, part in walk(layer, ""):
        if not isinstance(part, Recurrent):
            continue
        for which, op in (("op", getattr(part, "op", None)), ("step_op", getattr(part, "step_op", None))):
            if op is None:
                continue
            states = ["h", "c"][: part.state_parts]
            weights = [name for name, p in part.parameters().items() if any(p is w for w in part.weights())]
            wanted = ["x", *states, *weights, "mask", *(["reset_after"] if part.options() else [])]
            signature = signature_of(op.forward)
            if signature.open_ended or len(signature.names) >= len(wanted):
                continue
            raise UserError(
                f"{path or type(part).__name__}: forward of its {which} takes {len(signature.names)} arguments "
                f"({', '.join(signature.names)}), but a layer calls it with {len(wanted)}: ({', '.join(wanted)}); "
                f"add {', '.join(wanted[len(signature.names) :])} to it; where mask is False a step is padding "
                "and hands the state on"
            )


def with_remedies(report: Report, *, none_comes: bool) -> Report:
    """The report with what to do about faults that only look odd. none_comes: backward may have been handed None."""
    if none_comes:
        report.findings = [
            f.told(NONE_REMEDY) if f.ok is False and "backward raised" in f.says and "None" in f.says else f
            for f in report.findings
        ]
    return report


def signature_or_none(function: Callable):
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
