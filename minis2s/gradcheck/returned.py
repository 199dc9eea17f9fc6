"""What a backward function returned, as gradients by name: in the order of the arguments, or by keys that name them.

A dictionary is never read by its order: its keys say whose gradient each one is, "x" or "dx" for x.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from minis2s.gradcheck.problem import Misbehaved, leaves

ABSENT = object()  # stands for a gradient whose key is not there
NO_RETURN = "backward returned None"


def named_gradients(result, names: list[str], own_names: Sequence[str] = ()) -> tuple[dict, str]:
    """Gradients by block name, and a note where the count is wrong. Raises Misbehaved for unknown keys.

    own_names: what the forward function calls these arguments, in order; its keys may be these.
    """
    if result is None:
        return dict.fromkeys(names), NO_RETURN
    if isinstance(result, dict):
        found = by_key(result, names, own_names)
        return {name: g for name, g in found.items() if g is not ABSENT}, ""
    if len(names) == 1 and not isinstance(result, tuple):
        return {names[0]: result}, ""  # perhaps a list of numbers: one gradient
    parts = list(result) if isinstance(result, tuple | list) else [result]
    if any(isinstance(part, tuple | list) and part and isinstance(part[0], np.ndarray) for part in parts):
        parts = leaves(parts)
    while len(parts) > len(names) and parts[-1] is None:
        parts.pop()  # of an argument that was left out, as a bias
    gradients = dict(zip(names, parts, strict=False))
    note = ""
    if len(parts) != len(names):
        note = (
            f"backward returned {len(parts)} gradient{'s' * (len(parts) != 1)}, expected {len(names)}, in this order: "
            f"{', '.join(names)}"
        )
    return gradients, note


def by_key(result: dict, names: Iterable, own_names: Sequence[str] = ()) -> dict:
    """The gradients of `names` in that order, ABSENT where none is there: from the keys x or dx for x.

    Keys that name nothing are left alone where every gradient is there. Raises Misbehaved otherwise.
    """
    names = list(names)
    own = dict(zip(names, own_names, strict=False))
    found, used = {}, set()
    for name in names:
        other = own.get(name, name)
        keys = [name, *(key for key in (f"d{name}", other, f"d{other}") if key not in names)]
        key = next((key for key in keys if key in result), None)
        found[name] = ABSENT if key is None else result[key]
        used.add(key)
    unknown = [key for key in result if key not in used]
    if unknown and any(g is ABSENT for g in found.values()):
        s = "" if len(unknown) == 1 else "s"
        known = f"the keys {', '.join(map(repr, names))}, or {', '.join(repr(f'd{n}') for n in names)}"
        if any(str(name).startswith("input ") for name in names):  # as subject.py calls what has no name
            known = "a tuple in the order of the inputs, since forward does not name them"
        raise Misbehaved(
            f"backward returned a dictionary with the unknown key{s} {', '.join(map(repr, unknown))}: expected {known}"
        )
    return found


def nested_gradients(result, inputs: list, names: list[str], places: dict[str, int]) -> tuple[dict, str]:
    """Gradients by path from what the backward of a plain function returned, and a note as above.

    The result has a gradient for every input in the inputs' own nesting, or for the differentiated ones
    alone, or it is a dictionary by the names of the inputs. places: path -> number of the leaf.
    """
    paths = list(places)
    if result is None:
        return named_gradients(None, paths)
    count = len(leaves(inputs))
    if isinstance(result, dict) and not are_keys_of_the_only_input(result, inputs):
        whole = by_key(result, names)
        parts = [leaf for x, g in zip(inputs, whole.values(), strict=True) for leaf in leaves_beside(x, g)]
        if len(parts) == count:
            return {path: parts[n] for path, n in places.items() if parts[n] is not ABSENT}, ""
        return named_gradients(tuple(part for part in parts if part is not ABSENT), paths)
    several = len(inputs) > 1
    beside = inputs if isinstance(result, tuple | list) and several else inputs[0]
    result = in_the_order_of(beside, result)
    one_for_each = isinstance(result, tuple) or (isinstance(result, list) and several)
    parts = [leaf for item in (result if one_for_each else [result]) for leaf in leaves(item)]
    if len(parts) == count:
        return {path: parts[n] for path, n in places.items() if parts[n] is not ABSENT}, ""
    return named_gradients(tuple(parts), paths)


def are_keys_of_the_only_input(result: dict, inputs: list) -> bool:
    """Is there one input, a dictionary, whose own keys these are, with or without a d?"""
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        return False
    return any(key in result or f"d{key}" in result for key in inputs[0])


def leaves_beside(x, gradient) -> list:
    """The leaves of the gradient of x, in the order of those of x."""
    if gradient is ABSENT:
        return [ABSENT] * len(leaves(x))
    return leaves(in_the_order_of(x, gradient))


def in_the_order_of(x, result):
    """`result` with its dictionaries in the order of those in x: a gradient belongs to a key, not to a place."""
    if isinstance(x, dict) and isinstance(result, dict):
        found = by_key(result, x)
        return {
            key: [ABSENT] * len(leaves(x[key])) if g is ABSENT else in_the_order_of(x[key], g)
            for key, g in found.items()
        }
    if isinstance(x, tuple | list) and isinstance(result, tuple | list) and len(x) == len(result):
        return (
            type(result)([in_the_order_of(a, b) for a, b in zip(x, result, strict=True)])
            if not hasattr(result, "_fields")
            else result
        )
    return result


def describe(x) -> str:
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    return "None" if x is None else f"a {type(x).__name__}"
