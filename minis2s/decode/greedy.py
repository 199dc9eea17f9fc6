"""One hypothesis per sentence, one token at a time: greedy decoding, and the loop that sampling shares.

`greedy` always takes the most probable next token. It is fast and often good, but cannot take
back a choice: a first token that looked best may lead to a poor text. `beam_search` can.
"""

from collections.abc import Callable

import numpy as np

from minis2s.backend import Array, xp_of
from minis2s.data.vocabulary import BOS, EOS
from minis2s.decode.hypothesis import (
    Decodable,
    Hypothesis,
    SearchStep,
    best_tokens,
    length_limits,
    start_rows,
)


def greedy(model: Decodable, src: Array, src_mask: Array, *, max_length) -> list[Hypothesis]:
    """The most probable next token, again and again until it is EOS. One Hypothesis per sentence.

    Shapes: src (S, B) ids, src_mask (S, B) bool. `max_length`, an int or one per sentence (B,),
    bounds the number of steps (EOS takes one): a text that has not ended by then is cut, and its
    `finished` is False. Of equally probable tokens the lower id is taken. Equal to
    ``beam_search(..., beam=1)``.

    Raises ValueError for arguments that do not fit.
    """

    def best(log_probs, sentences):
        values, ids = best_tokens(log_probs, 1)
        return ids[:, 0], values[:, 0]

    return follow(model, src, src_mask, max_length, best)


def follow(
    model: Decodable,
    src: Array,
    src_mask: Array,
    max_length,
    choose: Callable[[Array, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> list[Hypothesis]:
    """Write one text per sentence, where `choose` says which token comes next.

    ``choose(log_probs (N, V), sentences (N,))`` returns NumPy arrays: tokens (N,) and their
    log-probabilities (N,). The N rows belong to the sentences that have not ended: a finished
    sentence leaves the batch at once and costs nothing any more.
    """
    xp = xp_of(src)
    limits = length_limits(src, src_mask, max_length)
    texts = [[] for _ in limits]
    log_prob = np.zeros(limits.size)
    finished = np.zeros(limits.size, dtype=bool)

    sentences = np.flatnonzero(limits > 0)  # (N,) which sentence a row belongs to
    tokens = np.full(sentences.size, BOS)  # (N,) the latest token of every row
    state = start_rows(model, src, src_mask, sentences) if sentences.size else None
    rows = np.arange(sentences.size)  # (N,) which row of the step before a row goes on from
    on_step = getattr(model, "on_search_step", None)
    length = 0
    while sentences.size:
        log_probs, state = model.step(state, xp.asarray(tokens))
        read = tokens
        tokens, values = choose(log_probs, sentences)
        if on_step is not None:
            totals = (log_prob[sentences] + values)[:, None]
            only = np.zeros_like(tokens)[:, None]
            on_step(SearchStep(length, sentences, read, rows, tokens[:, None], totals, only, 1.0))
        length += 1
        log_prob[sentences] += values
        ended = tokens == EOS
        finished[sentences] = ended
        for n, token in zip(sentences[~ended].tolist(), tokens[~ended].tolist()):
            texts[n].append(token)
        on = np.flatnonzero(~ended & (length < limits[sentences]))
        if 0 < on.size < sentences.size:
            state = model.take(state, xp.asarray(on))
        sentences, tokens, rows = sentences[on], tokens[on], on
    return [Hypothesis(text, p, p, end) for text, p, end in zip(texts, log_prob.tolist(), finished.tolist())]
