"""Small matters of language in what a command says."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


def counted(number: int, thing: str) -> str:
    """A number with its noun: "1 step", "1,000 steps"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to end an error with, "; did you mean --epochs?", or nothing where no word is close."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def with_a_guess(message: str) -> str:
    """An error of argparse about a choice, with the choice that was probably meant."""
    found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)$", message)
    if not found:
        return message
    word, choices = found.groups()
    return message + did_you_mean(word, [choice.strip(" '") for choice in choices.split(",")])
