"""What there is to check in a student's file: pairs of functions by their names, Ops, Layers.

`subjects` chooses; what it cannot choose, or does not find, is said in one sentence with a guess.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from minis2s.cli.words import did_you_mean
from minis2s.errors import UserError
from minis2s.gradcheck.kinds import ALIASES, KINDS
from minis2s.op import Op


def known_kind(word: str) -> str:
    """The kind of that name. Raises UserError, with a guess, where there is none."""
    kind = kind_named(word)
    if kind is None:
        raise UserError(
            f"unknown kind {word!r}{did_you_mean(word, [*KINDS, *ALIASES])} (see minis2s gradcheck --list)"
        )
    return kind


def kind_named(word: str) -> str | None:
    word = ALIASES.get(word.lower(), word.lower())
    return word if word in KINDS else None


class Subject(NamedTuple):
    """Something to check: what gradcheck takes, and its kind (None for a layer)."""

    name: str
    thing: Any
    kind: str | None


class Found(NamedTuple):
    """The pairs of a file by name ("" for plain forward and backward), and functions that are alone."""

    pairs: dict[str, tuple[Callable, Callable]]
    halves: dict[str, str]  # name -> the function that is there


def subjects(module: ModuleType, path: Path, name: str | None, kind: str | None) -> list[Subject]:
    """What is to be checked. Raises UserError when there is nothing, or one of several must be chosen."""
    if name is not None:
        return [named_subject(module, path, name, kind)]
    found = pairs_in(module)
    known = [Subject(n, (n, *pair), kind_named(n)) for n, pair in found.pairs.items() if kind_named(n)]
    unknown = [n for n in found.pairs if not kind_named(n)]
    if kind is not None:
        of_kind = [s for s in known if s.kind == kind]
        others = (
            [""] if "" in unknown else [] if known else unknown
        )  # beside pairs of known kinds it is a helper
        if of_kind or len(others) == 1:
            others = (
                [] if of_kind else [Subject(n or kind, (n or kind, *found.pairs[n]), kind) for n in others]
            )
            return [*of_kind, *others]
        if len(others) > 1:
            raise UserError(f"{path} has several pairs: {', '.join(others)}; choose one with --name")
        known = []
    for function in found.halves.values() if known else ():
        print(f"minis2s: note: {function} is not checked: its other half is not there", file=sys.stderr)
    for n in unknown if known else ():
        print(
            f"minis2s: note: {n or 'forward'} is not checked: no kind has this name; see --kind",
            file=sys.stderr,
        )
    if known:
        return known
    if unknown and kind is None:
        raise UserError(f"{path}: {which_kind(unknown[0])}")
    raise UserError(f"{path}: {nothing_there(module, found, kind)}")


def pairs_in(module: ModuleType) -> Found:
    """Functions NAME_forward and NAME_backward, and Ops, that are not all taken from minis2s itself."""
    halves: dict[str, dict[str, Callable]] = {}
    for name, value in vars(module).items():
        stem, _, half = name.rpartition("_")
        if (
            half in ("forward", "backward")
            and callable(value)
            and not name.startswith("_")
            and not isinstance(value, type)
        ):
            halves.setdefault(stem, {})[half] = value
    pairs = {stem: (h["forward"], h["backward"]) for stem, h in halves.items() if len(h) == 2}
    for op in [value for value in vars(module).values() if isinstance(value, Op)]:
        functions = (op.forward, op.backward)
        same = next((stem for stem, pair in pairs.items() if pair == functions), None)
        if same is not None and kind_named(op.name) and not kind_named(same):
            del pairs[same]  # one pair under two names: the one that says its kind is kept
            same = None
        if same is None:
            pairs.setdefault(op.name, functions)
    alone = {stem: next(iter(h)) for stem, h in halves.items() if len(h) == 1 and not ours(*h.values())}
    return Found(
        {stem: pair for stem, pair in pairs.items() if not ours(*pair)},
        {stem: f"{stem}_{half}".lstrip("_") for stem, half in alone.items()},
    )


def ours(*functions: Callable) -> bool:
    return all(str(getattr(f, "__module__", "")).split(".")[0] == "minis2s" for f in functions)


def named_subject(module: ModuleType, path: Path, name: str, kind: str | None) -> Subject:
    value = getattr(module, name, None)
    if isinstance(value, Op):
        thing = (value.name, value.forward, value.backward)
        return Subject(name, thing, kind or kind_named(value.name) or asked(path, value.name))
    if isinstance(value, tuple | list) and len(value) == 2 and all(map(callable, value)):
        return Subject(name, (name, *value), kind or kind_named(name) or asked(path, name))
    if not isinstance(value, type) and hasattr(value, "parameters") and hasattr(value, "backward"):
        return Subject(name, value, None)
    stem = name.removesuffix("forward").removesuffix("backward").rstrip("_") if callable(value) else name
    halves = {
        half: getattr(module, f"{stem}_{half}" if stem else half, None) for half in ("forward", "backward")
    }
    if all(map(callable, halves.values())):
        shown = stem or kind or "pair"
        return Subject(shown, (shown, *halves.values()), kind or kind_named(stem) or asked(path, stem))
    if any(map(callable, halves.values())):
        there = next(half for half, f in halves.items() if callable(f))
        raise UserError(f"{path}: {half_there(module, f'{stem}_{there}'.lstrip('_'))}")
    if isinstance(value, type):
        raise UserError(f"{path}: {name} is a class: name an instance of it, a Layer, or a pair of functions")
    if value is not None:
        raise UserError(
            f"{path}: {name} is a {type(value).__name__}: expected an Op, a pair (forward, backward), "
            f"a Layer, or the functions {name}_forward and {name}_backward"
        )
    found = pairs_in(module)
    there = [n for n in [*found.pairs, *found.halves, *vars(module)] if n and not n.startswith("_")]
    raise UserError(
        f"{path} has neither {name} nor {name}_forward and {name}_backward{did_you_mean(name, there)}"
    )


# -- what to say when it does not fit ----------------------------------------------------------------------


def asked(path: Path, name: str) -> str:
    raise UserError(f"{path}: {which_kind(name)}")


def which_kind(name: str) -> str:
    """The question for the kind, with a guess from the name of the functions."""
    inside = max((k for k in [*KINDS, *ALIASES] if k in name.lower()), key=len, default=None)
    guess = f"; did you mean {inside}?" if inside else did_you_mean(name, [*KINDS, *ALIASES])
    what = f"{name}_forward and {name}_backward" if name else "forward and backward"
    return f"what kind of operation are {what}? Say --kind KIND{guess} (see minis2s gradcheck --list)"


def nothing_there(module: ModuleType, found: Found, kind: str | None) -> str:
    wanted = {
        stem: f for stem, f in found.halves.items() if kind is None or kind_named(stem) == kind or not stem
    }
    if wanted:
        return half_there(module, next(iter(wanted.values())))
    looked = f"{kind or 'KIND'}_forward and {kind or 'KIND'}_backward" + (
        "" if kind else " (as lstm_forward), or an Op"
    )
    classes = [
        name for name, value in vars(module).items()
        if isinstance(value, type) and callable(getattr(value, "forward", None)) and not ours(value)
    ]  # fmt: skip
    plain = [
        n for n, v in vars(module).items() if isinstance(v, FunctionType) and not ours(v) and n[:1] != "_"
    ]
    more = f"; it has {', '.join(n for n in found.pairs if n)}" if any(found.pairs) else ""
    if classes:
        more += f"; the methods of the class {classes[0]} are not functions: write functions that call them"
    elif plain and not any(found.pairs):
        more += f"; a function f(x, W) -> (y, backward) is checked in Python: gradcheck({plain[0]}, x, W)"
    return f"nothing to check was found; looked for functions {looked}{more}"


def half_there(module: ModuleType, function: str) -> str:
    """There is one half of a pair; perhaps the other one is misspelt."""
    stem, _, half = function.rpartition("_")
    other = f"{stem}_{'backward' if half == 'forward' else 'forward'}".lstrip("_")
    close = did_you_mean(
        other, [n for n, v in vars(module).items() if isinstance(v, FunctionType) and n != function]
    )
    guess = close.replace("; did you mean ", "; is it ").replace("?", ", misspelt?") if close else ""
    return f"there is {function} but no {other}{guess}"
