"""What a page holds: numbers of few digits, and tokens as their texts."""

from collections.abc import Sequence

import numpy as np

from minis2s.data.vocabulary import SPECIAL_TOKENS

DIGITS = 6


def rounded(a, digits: int = DIGITS) -> list | float:
    """Numbers as nested lists, to some significant digits."""
    a = np.asarray(a, dtype=np.float64)
    # through text: 0.1 is 0.1 again, and no tail of nines goes into the file
    return np.array([float(f"{x:.{digits}g}") for x in a.ravel()]).reshape(a.shape).tolist()


class Words:
    """Ids as the texts of their tokens."""

    def __init__(self, source, target):
        self._source, self._target = tokens_of(source), tokens_of(target)

    def source(self, token: int) -> str:
        return text_of(self._source, int(token))

    def target(self, token: int) -> str:
        return text_of(self._target, int(token))


def tokens_of(words) -> Sequence[str] | None:
    """The tokens of a Codec or Vocabulary; None for None. Raises TypeError for anything else."""
    if words is None:
        return None
    vocabulary = getattr(words, "vocabulary", words)
    tokens = getattr(vocabulary, "tokens", None)
    if not isinstance(tokens, list):
        raise TypeError(
            f"source and target must be a Codec, a Vocabulary or None, got {type(words).__name__}"
        )
    return tokens


def text_of(tokens: Sequence[str] | None, i: int) -> str:
    if tokens is None:
        return SPECIAL_TOKENS[i] if i < len(SPECIAL_TOKENS) else str(i)
    return tokens[i] if i < len(tokens) else str(i)
