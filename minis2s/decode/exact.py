"""Every text that there is, scored: the best one for certain, at exponential cost.

The obvious search that beam search approximates. On a vocabulary of five tokens and texts of six
it takes a second; on a real vocabulary, longer than the universe has. It is the oracle for
`beam_search`: with a beam as wide as the tree of all texts, both must find the same.
"""

import numpy as np

from minis2s.backend import Array, to_numpy, xp_of
from minis2s.data.vocabulary import BOS, EOS
from minis2s.decode.hypothesis import (
    Decodable,
    Hypothesis,
    gnmt_penalty,
    length_limits,
    penalty_exponent,
    whole_number,
)

MOST_STEPS = 1_000_000  # beyond it, nobody wants to wait


def exact_search(
    model: Decodable,
    src: Array,
    src_mask: Array,
    *,
    max_length,
    length_penalty: float = 0.0,
    nbest: int = 1,
) -> list[list[Hypothesis]]:
    """The `nbest` best hypotheses of every sentence, found by trying all of them.

    Arguments and order of the result are those of `beam_search`, whose width it does not have:
    finished texts first, best first, then cut ones if there are too few. Texts of probability 0
    are left out.

    Raises ValueError for arguments that do not fit, or when the tree of texts has over a million nodes.
    """
    limits = length_limits(src, src_mask, max_length)
    alpha = penalty_exponent(length_penalty)
    whole_number("nbest", nbest, low=1)
    found = []
    for n, limit in enumerate(limits.tolist()):
        hypotheses = every_text(model, src[:, n : n + 1], src_mask[:, n : n + 1], limit, alpha)
        hypotheses.sort(key=lambda h: (not h.finished, -h.score, len(h.tokens), h.tokens))
        found.append(hypotheses[:nbest])
    return found


def every_text(model: Decodable, src: Array, src_mask: Array, limit: int, alpha: float) -> list[Hypothesis]:
    """All hypotheses of one sentence, src (S, 1), of at most `limit` steps: the tree walked depth first."""
    xp = xp_of(src)
    hypotheses = []

    def visit(state, text, log_prob):
        """`text` has been written, and `state` has yet to read its last token."""
        if len(text) == limit:
            score = log_prob / gnmt_penalty(limit, alpha)
            hypotheses.append(Hypothesis(text, score, log_prob, finished=False))
            return
        row, state = model.step(state, xp.asarray([text[-1] if text else BOS]))
        row = to_numpy(row)[0].astype(np.float64).tolist()
        choices = len(row) - EOS - 1
        if choices**limit > MOST_STEPS:
            raise ValueError(f"{choices} tokens and {limit} steps make too many texts to try them all")
        for token, value in enumerate(row[EOS:], start=EOS):
            total = log_prob + value
            if value == -np.inf:
                continue
            if token == EOS:
                score = total / gnmt_penalty(len(text) + 1, alpha)
                hypotheses.append(Hypothesis(text, score, total, finished=True))
            else:
                visit(state, [*text, token], total)

    visit(model.start(src, src_mask), [], 0.0)
    return hypotheses
