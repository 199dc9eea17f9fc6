"""Types of option values, and the options that several commands share.

A value that cannot be right is refused while the options are read, with the option's name.
"""

import argparse
from collections.abc import Callable
from math import inf, nan

from minis2s.backend import NAMES
from minis2s.cli.machine import MOST_THREADS, default_threads

LARGEST = 10**9  # of anything that is counted: epochs, tokens, sizes


def count(text: str) -> int:
    """A whole number above 0, and not absurdly large."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    if value > LARGEST:
        raise argparse.ArgumentTypeError(f"must be at most {LARGEST:,}, got {text[:20]}")
    return value


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r}")
    return int(text)


def number(text: str) -> float:
    """Any finite number of 0 or more."""
    return checked(text, lambda value: 0 <= value < inf, "a number, 0 or more")


def positive(text: str) -> float:
    """A finite number above 0."""
    return checked(text, lambda value: 0 < value < inf, "a number above 0")


def share(text: str) -> float:
    """A number from 0 to 1."""
    return checked(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def share_below_one(text: str) -> float:
    """A number from 0 to below 1."""
    return checked(text, lambda value: 0 <= value < 1, "a number from 0 to below 1")


def checked(text: str, good: Callable[[float], bool], wanted: str) -> float:
    """The number that `text` spells; one message for whatever is wrong with it."""
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not good(value):
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")
    return value


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """--backend and --threads; both default to None; see `threads_for`."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--backend", choices=NAMES, help="compute with NumPy (default) or, on a GPU, with CuPy"
    )
    group.add_argument(
        "--threads",
        type=count,
        metavar="N",
        help=f"work on N shares of a batch at once (default: the cores, at most {MOST_THREADS}; 1 with cupy)",
    )


def add_search_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("search")
    group.add_argument(
        "--beam", type=count, default=5, metavar="K", help="width of the search; 1 is greedy (default 5)"
    )
    group.add_argument(
        "--length-penalty",
        type=number,
        default=0.0,
        metavar="A",
        help="favour longer outputs: exponent of Wu et al. 2016, 0 to about 1 (default 0)",
    )


def threads_for(args: argparse.Namespace) -> int:
    """--threads, or what suits the machine and the backend."""
    if args.threads is not None:
        return args.threads
    return 1 if args.backend == "cupy" else default_threads()
