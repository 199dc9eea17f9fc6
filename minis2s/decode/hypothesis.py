"""What all decoders share: what a model must offer, what a result looks like, how it is ranked.

`Decodable` is everything that a decoder knows of a model. A `Hypothesis` is one text that it
wrote. `gnmt_penalty` makes long and short ones comparable; `best_tokens` picks the tokens worth
following, and is the only place that looks at a whole row of log-probabilities.
"""

import operator
from typing import Any, NamedTuple, Protocol

import numpy as np

from minis2s.backend import Array, row_blocks, to_numpy, xp_of
from minis2s.data.vocabulary import BOS, EOS, PAD

assert max(PAD, BOS) < EOS  # so that `log_probs[:, EOS:]` is every token that a text may contain, and its end


class Decodable(Protocol):
    """A model that can be decoded. A state is the model's own affair; it has one row per hypothesis.

    A model may also have `on_search_step`; then it is told of every step of a search as a SearchStep.
    """

    def start(self, src: Array, src_mask: Array) -> Any:
        """The state before the first token. Shapes: src (S, B) of ids, src_mask (S, B); B rows."""

    def step(self, state: Any, tokens: Array) -> tuple[Array, Any]:
        """Read one token per row, tokens (N,); return log P(next token) (N, V) and the new state."""

    def take(self, state: Any, index: Array) -> Any:
        """The state whose row n is row ``index[n]`` of `state`; index (M,), rows may repeat or be missing."""


class Hypothesis(NamedTuple):
    """One text that a decoder wrote."""

    tokens: list[int]  # without BOS and EOS
    score: float  # log_prob / length penalty: what hypotheses are ranked by, higher is better
    log_prob: float  # sum of the log-probabilities of the tokens, and of EOS where it is finished
    finished: bool  # True: the model ended the text; False: it was cut at max_length


class SearchStep(NamedTuple):
    """One step of a search, for those who look on: b sentences, each with k rows and m continuations of each row."""

    number: int  # 0 for the first
    sentences: np.ndarray  # (b,)      which sentences are not done; their rows lie side by side
    read: np.ndarray  # (b * k,)  the token that each row has just read
    rows: np.ndarray  # (b * k,)  which row of the step before each row goes on from
    ids: np.ndarray  # (b, k * m)  the continuations, those of a row side by side
    totals: np.ndarray  # (b, k * m)  log-probabilities of the texts so far; -inf: none
    choice: np.ndarray  # (b, n)  which of the k * m were kept, best first
    penalty: float  # what totals are divided by for the score


def gnmt_penalty(length, alpha: float):
    """((5 + length) / 6) ** alpha: what the log-probability of `length` tokens is divided by.

    EOS counts as a token; `length` may be a number or an array. Every token makes a text less
    probable, so with alpha = 0 short texts win; 0.6 to 1 makes up for it.

    Source: Wu et al. 2016 (GNMT), eq. 14.
    """
    return ((5.0 + length) / 6.0) ** alpha


def best_tokens(log_probs: Array, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best next tokens of every row, best first; of equal ones the lower id first. PAD and BOS never.

    Shapes: log_probs (N, V). Returns (values (N, m) float64, ids (N, m)) as NumPy arrays, m at most k.
    A token of probability 0 has the value -inf; an id of such value may occur more than once, but
    the first id of a row that holds nothing else is EOS. `log_probs` is left as it is.

    k times the maximum of a few rows is k passes within the cache: for V = 10,000 and k = 5 that is a
    tenth of the time of argpartition, which would not settle ties either.

    Raises ValueError when a model gives NaN.
    """
    xp = xp_of(log_probs)
    allowed = log_probs[:, EOS:]
    N, V = allowed.shape
    m = min(k, V)
    values, columns = xp.empty((N, m), dtype=allowed.dtype), xp.empty((N, m), dtype=xp.int64)
    for rows in row_blocks(allowed):
        rest = allowed[rows] if m == 1 else allowed[rows].copy()
        each = xp.arange(len(rest))
        for j in range(m):
            best = rest.argmax(axis=1)
            columns[rows, j] = best
            values[rows, j] = rest[each, best]  # -inf where a row has no more tokens: not that of its first one
            if j < m - 1:
                rest[each, best] = -xp.inf
    values = to_numpy(values).astype(np.float64)
    reject_nan(values[:, :1])  # to argmax a NaN is larger than any number
    return values, to_numpy(columns) + EOS


def start_rows(model: Decodable, src: Array, src_mask: Array, sentences: np.ndarray) -> Any:
    """The start state of some of the sentences only; src, src_mask (S, B), sentences (M,), M at most B."""
    if sentences.size < src.shape[1]:
        index = xp_of(src).asarray(sentences)
        src, src_mask = src[:, index], src_mask[:, index]
    return model.start(src, src_mask)


def length_limits(src: Array, src_mask: Array, max_length) -> np.ndarray:
    """`max_length` as one number per sentence, (B,), after a check of the three arguments.

    Raises ValueError with names and shapes when they do not fit each other.
    """
    if src.ndim != 2 or src_mask.shape != src.shape:
        raise ValueError(f"src and src_mask must both be (S, B), got {src.shape} and {src_mask.shape}")
    limits = np.asarray(max_length)
    B = src.shape[1]
    if limits.shape not in ((), (B,)):
        raise ValueError(f"max_length must be one number or have shape ({B},), got shape {limits.shape}")
    if limits.size and (not np.issubdtype(limits.dtype, np.integer) or limits.min() < 0):
        raise ValueError(f"max_length must be made of integers of at least 0, got {max_length!r}")
    return np.broadcast_to(limits, (B,))


def reject_nan(log_probs: Array) -> None:
    """Raises ValueError when there is a NaN among the log-probabilities (N, V)."""
    if xp_of(log_probs).isnan(log_probs.max(axis=1)).any():  # the maximum of a row with a NaN is NaN
        raise ValueError("the model's step gave NaN log-probabilities, which no search can rank")


def whole_number(name: str, value, low: int, high: int | None = None) -> int:
    """`value` as an int. Raises ValueError when it is none, or outside [low, high]."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
    if number < low or (high is not None and number > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {bounds}, got {number}")
    return number


def penalty_exponent(alpha: float) -> float:
    """`alpha` as a float. Raises ValueError when it is negative or not finite."""
    if not 0 <= alpha < np.inf:
        raise ValueError(f"length_penalty must be a finite number of at least 0, got {alpha!r}")
    return float(alpha)
