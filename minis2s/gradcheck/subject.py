"""From what a person hands in to a Problem: a pair of functions of a known kind, a pair with its inputs,
a plain function that returns its own backward.

Layers and whole models are turned into problems in model.py.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minis2s.errors import UserError
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kinds import ALIASES, KINDS
from minis2s.gradcheck.problem import Misbehaved, Problem, all_numbers, leaves, like
from minis2s.gradcheck.returned import describe, named_gradients, nested_gradients
from minis2s.gradcheck.trial import Pair

OPTIONAL = ("b", "mask", "reset_after", "smoothing", "reduction")  # arguments that may be left out
ANY_SHAPE = ("linear", "dropout", "tanh")  # kinds whose inputs may have any number of leading axes


class Signature(NamedTuple):
    """How many arguments a forward function takes, and what they are called."""

    names: list[str]  # of the positional parameters
    required: int  # how many have no default
    open_ended: bool  # whether it takes *args
    keywords: Sequence[str] = ()  # parameters that can be given by keyword only
    needed_keywords: Sequence[str] = ()  # those of them without a default


def signature_of(forward: Callable) -> Signature:
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # a builtin tells nothing about itself
        return Signature([], 0, True)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    only = [p for p in parameters if p.kind == p.KEYWORD_ONLY]
    return Signature(
        [p.name for p in positional],
        required,
        any(p.kind == p.VAR_POSITIONAL for p in parameters),
        [p.name for p in only],
        [p.name for p in only if p.default is p.empty],
    )


def refuse_keywords(function: Callable, which: str, call: str, known: Sequence[str] = ()) -> None:
    """Raises UserError where a function needs arguments by keyword only that nobody will hand it."""
    needed = [name for name in signature_of(function).needed_keywords if name not in known]
    if needed:
        raise UserError(
            f"{which} takes {', '.join(needed)} by keyword only (after the *), but it is called as {call}: "
            "take the * out of its signature, or give a default"
        )


def bind(forward: Callable, kind: Kind, values: dict) -> tuple[list[str], list[str], dict[str, str]] | None:
    """Which of a kind's values go to a forward function: (differentiated, further ones, by keyword).

    A function may take fewer of the trailing arguments (no mask, no bias). Returns None where it has no
    place for an argument that this setting needs; raises UserError where it cannot be of the kind at all.
    """
    call = f"forward({', '.join([*kind.arguments, *kind.extras])})"
    refuse_keywords(forward, "forward", call, kind.extras)
    signature = signature_of(forward)
    differentiable = [name for name in kind.arguments if values.get(name) is not None]
    extras = [name for name in kind.extras if name in values]
    by_keyword = {name: name for name in extras if name in signature.keywords}
    if signature.open_ended:
        return differentiable, [name for name in extras if name not in by_keyword], by_keyword
    room = len(signature.names)
    needed = [n for n in ("targets", "ids", "keep_mask", "p") if n in extras and n not in by_keyword]
    if room < len(differentiable) + len(needed):
        if differentiable[-1].startswith("b") and room == len(differentiable) - 1:
            differentiable = differentiable[:-1]  # without a bias
        else:
            wanted = ", ".join([*kind.arguments, *kind.extras])
            raise UserError(
                f"a forward function of kind {kind.name!r} takes ({wanted}), the trailing ones optional; "
                f"this one takes {room} argument{'s' * (room != 1)}: ({', '.join(signature.names)})"
            )
    rest = signature.names[len(differentiable) :]
    named = by_keyword | {name: name for name in extras if name in rest}
    positional = []
    for parameter in rest:
        if parameter in named:
            positional.append(parameter)
            continue
        free = [name for name in extras if name not in named and name not in positional]
        if not free or parameter in kind.extras:  # an option of its own that this setting leaves alone
            break
        positional.append(free[0])
    missed = [name for name in extras if name not in positional and name not in named]
    if any(values[name] is not None for name in missed if name != "reset_after"):
        return None  # (a GRU without that switch has one form, and the option says which)
    plain = [name for name in positional if name not in named]
    # once a gap occurs, the rest must go by keyword: those that bear the right name anyway
    return differentiable, plain, named


def pair_problem(pair: Pair, values: dict) -> Problem | None:
    """The Problem of a pair of a known kind with these values; None where the pair takes no such values."""
    name, forward, backward, kind, _ = pair
    refuse_keywords(backward, "backward", "backward(dout, cache)")
    bound = bind(forward, kind, values)
    if bound is None:
        return None
    differentiable, plain, named = bound
    arguments = [values[key] for key in plain]
    keywords = {parameter: values[key] for parameter, key in named.items()}

    def with_the_rest(*x):
        try:
            return forward(*x, *arguments, **keywords)
        except (ValueError, IndexError, TypeError) as error:  # of shapes, most likely
            error.add_note(handed_in(kind, values, differentiable))
            raise

    problem = call_problem(
        name,
        with_the_rest,
        backward,
        {key: values[key] for key in differentiable},
        list(kind.outs),
        signature_of(forward).names,
    )
    problem.axes = dict(kind.arguments)
    return problem


def handed_in(kind: Kind, values: dict, names: Sequence[str]) -> str:
    """What forward was called with, for an error that it raises: "kind 'rnn' hands in x (T, B, D) = ..."."""
    shown = []
    for name in [*names, "targets", "ids"]:
        if values.get(name) is not None:
            shape = np.shape(values[name])
            axes = kind.arguments.get(name, "TB"[: len(shape)])
            letters = f" ({', '.join(axes)}) =" if len(axes) == len(shape) else ""
            shown.append(f"{name}{letters} {shape}")
    first = kind.arguments[names[0]]
    order = (
        ", time first:" if first.startswith("TB") else ", the batch first:" if first.startswith("BT") else ""
    )
    return f"kind {kind.name!r} hands in{order} {', '.join(shown)}"


def call_problem(
    name: str,
    forward: Callable,
    backward: Callable,
    blocks: dict,
    out_names: list[str],
    own_names: Sequence[str] = (),
) -> Problem:
    """The Problem of forward(*blocks) -> (out, cache), backward(dout, cache) -> gradients in that order.

    own_names: what forward itself calls its arguments; a dictionary of gradients may have these keys, too.
    """

    def run_forward(given: dict):
        out, cache = out_and_cache(forward(*given.values()))
        parts = leaves(out)
        return [as_number(part) for part in parts], (out, cache)

    def run_backward(douts: list, kept):
        out, cache = kept
        parts = [None if d is None else d[()] if d.ndim == 0 else d for d in douts]
        return named_gradients(backward(like(out, parts), cache), list(blocks), own_names)

    return Problem(name, dict(blocks), run_forward, run_backward, out_names)


def out_and_cache(result) -> tuple:
    """What a forward function must return. Raises Misbehaved when it is something else."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Misbehaved(f"forward must return two things, (out, cache); it returned {describe(result)}")
    return result[0], result[1]


def values_of(kind: Kind, inputs: Sequence) -> dict:
    """Inputs by the names of a kind's arguments. Raises UserError where they cannot be those."""
    names = [*kind.arguments, *kind.extras]
    wanted = ", ".join(f"{name} ({', '.join(axes)})" for name, axes in kind.arguments.items())
    whole = f"kind {kind.name!r} takes {wanted}" + (f", then {', '.join(kind.extras)}" if kind.extras else "")
    needed = [name for name in names if name not in OPTIONAL]
    if not len(needed) <= len(inputs) <= len(names):
        raise UserError(f"{whole}; got {len(inputs)} inputs")
    values = dict(zip(names, inputs, strict=False))
    for name, axes in kind.arguments.items():
        x = values.get(name)
        if x is None and name in OPTIONAL:
            continue
        if not isinstance(x, np.ndarray) or (x.ndim != len(axes) and kind.name not in ANY_SHAPE):
            raise UserError(f"{whole}; got {describe(x)} for {name}")
    try:
        kind.reference(values)  # do the sizes fit each other?
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise UserError(
            f"{whole}; these inputs do not fit together ({' '.join(str(error).split())})"
        ) from error
    return values


def as_number(part):
    """An output as an array that later calls cannot change; what is no number is left for the hygiene."""
    if isinstance(part, np.ndarray | np.generic | float | int | complex):
        return np.asarray(part)
    if isinstance(part, list):
        return np.asarray(part)
    return part


def function_problem(name: str, function: Callable, inputs: Sequence) -> Problem:
    """The Problem of a plain f(*inputs) -> (y, backward), with backward(dy) -> gradients of the inputs.

    An input may be an array, or nested tuples, lists and dictionaries of arrays. Arrays of floating-point
    numbers are differentiated, and a list of such numbers is taken as an array; whole numbers (ids),
    booleans, plain Python numbers (options) and None are handed over as they are.
    """
    refuse_keywords(function, "the function", "f(*inputs)")
    names = argument_names(function, len(inputs))
    inputs = [with_arrays(x, name) for x, name in zip(inputs, names, strict=True)]
    flat = leaves(inputs)
    paths = paths_of(inputs, names)
    blocks, places = {}, {}
    for n, (path, x) in enumerate(zip(paths, flat, strict=True)):
        if isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f":
            blocks[path], places[path] = np.asarray(x), n
    if not blocks:
        raise UserError(
            "none of the inputs is an array of floating-point numbers: there is nothing to differentiate"
        )

    def arguments(given: dict) -> list:
        items = list(flat)
        for path, n in places.items():
            x = given[path]
            items[n] = x[()] if x.ndim == 0 else x
        return like(inputs, items)

    def run_forward(given: dict):
        result = function(*arguments(given))
        if not isinstance(result, tuple | list) or len(result) != 2 or not callable(result[1]):
            raise Misbehaved(
                f"the function must return two things, (y, backward), backward being a function of dy; it returned {describe(result)}"
            )
        y, backward = result
        return [as_number(part) for part in leaves(y)], (y, backward)

    def run_backward(douts: list, kept):
        y, backward = kept
        parts = [None if d is None else d[()] if d.ndim == 0 else d for d in douts]
        result = backward(like(y, parts))
        return nested_gradients(result, inputs, names, places)

    return Problem(name, blocks, run_forward, run_backward)


def with_arrays(x, name: str):
    """x with an array for each list of floating-point numbers in it. Raises UserError where none can be made."""
    items = []
    for leaf in leaves(x):
        if isinstance(leaf, list) and any(isinstance(number, float) for number in flattened(leaf)):
            try:
                leaf = np.asarray(leaf, dtype=np.float64)
            except ValueError:
                raise UserError(
                    f"{name} is a list of lists of different lengths: hand in an array, or rows of one length"
                ) from None
        items.append(leaf)
    return like(x, items)


def flattened(numbers: list) -> list:
    return [n for item in numbers for n in (flattened(item) if isinstance(item, list) else [item])]


def argument_names(function: Callable, count: int) -> list[str]:
    names = signature_of(function).names
    return [names[n] if n < len(names) else f"input {n}" for n in range(count)]


def paths_of(x, names: list[str]) -> list[str]:
    """A name for every leaf: "x", "params['W']", "state[0]"."""

    def below(item, path: str) -> list[str]:
        if isinstance(item, tuple | list) and not all_numbers(item):
            return [p for k, part in enumerate(item) for p in below(part, f"{path}[{k}]")]
        if isinstance(item, dict):
            return [p for key, part in item.items() for p in below(part, f"{path}[{key!r}]")]
        return [path]

    return [path for item, name in zip(x, names, strict=True) for path in below(item, name)]


def kind_of(op_name: str, kind: str | None) -> Kind | None:
    """The Kind asked for, or the one that an Op's name says; None where there is none. Raises UserError."""
    if kind is None:
        return KINDS.get(op_name)
    if not isinstance(kind, str):
        raise UserError(f'kind must be the name of a kind, as kind="lstm", got a {type(kind).__name__}')
    name = ALIASES.get(kind.lower(), kind.lower())
    if name not in KINDS:
        raise UserError(f"unknown kind {kind!r}: known are {', '.join(sorted(KINDS))}")
    return KINDS[name]
