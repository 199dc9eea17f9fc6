"""Beam search: follow the few best hypotheses of every sentence at once, and keep those that end.

The steps of all sentences and all their hypotheses are one step of the model on one batch.
Read `beam_search` from its loop: step, the best continuations, those that ended, those that go on.
"""

from bisect import insort
from typing import NamedTuple

import numpy as np

from minis2s.backend import Array, xp_of
from minis2s.data.vocabulary import BOS, EOS
from minis2s.decode.hypothesis import (
    Decodable,
    Hypothesis,
    SearchStep,
    best_tokens,
    gnmt_penalty,
    length_limits,
    penalty_exponent,
    start_rows,
    whole_number,
)


class Ending(NamedTuple):
    """Where a hypothesis ended: its tokens are read out of the trace only if it is returned."""

    score: float
    log_prob: float
    step: int  # at which step it got its last token
    row: int  # which row of the batch of that step it continued
    token: int  # that last token; EOS when the hypothesis is finished


def beam_search(
    model: Decodable,
    src: Array,
    src_mask: Array,
    *,
    beam: int,
    max_length,
    length_penalty: float = 0.0,
    nbest: int = 1,
) -> list[list[Hypothesis]]:
    """The `nbest` best texts that a search of width `beam` finds, for every sentence, best first.

    Shapes: src (S, B) ids, src_mask (S, B) bool. `max_length`, an int or one per sentence (B,),
    bounds the number of steps; EOS takes one.

    At every step each live hypothesis is continued by each token, and the `beam` most probable
    continuations are kept. Those that end in EOS are set aside and never grow again; the others
    are the live hypotheses of the next step. Continuations that compete have equal length, so the
    length penalty does not matter between them. It decides between hypotheses set aside at
    different lengths, and when to stop: a sentence is done when no live hypothesis can still
    beat the worst of its `nbest` finished ones. A live hypothesis of log-probability p, which
    further tokens can only lower, can reach p / penalty(max_length) at most. So stopping loses
    nothing: the result is that of a search continued to max_length. A sentence that is done
    leaves the batch, so that one long straggler does not cost the time of all.

    Ties go to the better parent, then to the lower token id; between finished texts to the
    shorter. With beam=1 this is `greedy`. Hypotheses cut at max_length come after the finished
    ones, and only when those are fewer than `nbest`. The list is shorter than `nbest` only if the
    search met fewer texts of nonzero probability, and is never empty.

    Raises ValueError when beam < 1, nbest is not in [1, beam], length_penalty < 0, or shapes do not fit.

    Source: Sutskever et al. 2014, section 3.2; length penalty: Wu et al. 2016, eq. 14.
    """
    xp = xp_of(src)
    limits = length_limits(src, src_mask, max_length)
    beam = whole_number("beam", beam, low=1)
    nbest = whole_number("nbest", nbest, low=1, high=beam)
    alpha = penalty_exponent(length_penalty)

    finished: list[list[Ending]] = [[] for _ in limits]  # per sentence, best first, at most nbest
    cut: list[list[Ending]] = [[] for _ in limits]  # what was still alive at max_length, best first
    sentences = np.flatnonzero(limits > 0)  # (b,) the sentences that are not done
    live = np.zeros((sentences.size, 1))  # (b, k) log-probabilities of the hypotheses that go on; -inf: none
    tokens = np.full(sentences.size, BOS)  # (b * k,) their latest tokens: one row of the batch each
    trace = [(tokens, tokens)]  # per step, the tokens that the rows read, and the rows that they came from
    state = start_rows(model, src, src_mask, sentences) if sentences.size else None
    on_step = getattr(model, "on_search_step", None)

    while sentences.size:
        b, k = live.shape
        step = len(trace) - 1
        length = step + 1
        log_probs, state = model.step(state, xp.asarray(tokens))

        # the best continuations: of each hypothesis by itself, on the device, then of all of a sentence
        values, ids = best_tokens(log_probs, beam)
        m = values.shape[1]
        totals = (live[:, :, None] + values.reshape(b, k, m)).reshape(b, k * m)
        ids = ids.reshape(b, k * m)
        choice = np.argsort(-totals, axis=1, kind="stable")[:, :beam]  # (b, n), n at most beam
        if on_step is not None:
            on_step(SearchStep(step, sentences, *trace[-1], ids, totals, choice, gnmt_penalty(length, alpha)))
        totals = np.take_along_axis(totals, choice, axis=1)
        tokens = np.take_along_axis(ids, choice, axis=1)
        parents = choice // m + k * np.arange(b)[:, None]  # rows of this step's batch
        scores = totals / gnmt_penalty(length, alpha)

        # what ends is set aside, and so is what is cut
        possible = totals > -np.inf
        alive = possible & (tokens != EOS)
        at_limit = length == limits[sentences]
        for i, j in np.argwhere((tokens == EOS) | (alive & at_limit[:, None])).tolist():
            place = step, int(parents[i, j]), int(tokens[i, j])
            ending = Ending(float(scores[i, j]), float(totals[i, j]), *place)
            kept = finished[sentences[i]]
            if alive[i, j]:
                cut[sentences[i]].append(ending)
            # where nothing is possible, EOS comes first, and is kept all the same: there is always a result
            elif possible[i, j] or (j == 0 and not kept):
                insort(kept, ending, key=lambda other: -other.score)
                del kept[nbest:]

        # sentences that are done leave the batch
        live = np.where(alive, totals, -np.inf)
        attainable = live.max(axis=1) / gnmt_penalty(limits[sentences], alpha)
        worst = np.array([finished[n][-1].score if len(finished[n]) == nbest else -np.inf for n in sentences])
        on = np.flatnonzero(~at_limit & (attainable > worst))
        sentences, live, alive = sentences[on], live[on], alive[on]
        if not sentences.size:
            break

        # what goes on moves to the front; where a sentence has fewer than k, its first one fills the rows
        k = int(alive.sum(axis=1).max())
        front = np.argsort(~alive, axis=1, kind="stable")[:, :k]
        live = np.take_along_axis(live, front, axis=1)
        front = np.where(live > -np.inf, front, front[:, :1])
        tokens = np.take_along_axis(tokens[on], front, axis=1).ravel()
        rows = np.take_along_axis(parents[on], front, axis=1).ravel()
        trace.append((tokens, rows))
        if not np.array_equal(rows, np.arange(log_probs.shape[0])):
            state = model.take(state, xp.asarray(rows))

    return [
        [read_out(trace, ending) for ending in [*finished[n], *cut[n]][:nbest]]
        if limits[n]
        else [Hypothesis([], 0.0, 0.0, finished=False)]
        for n in range(limits.size)
    ]


def read_out(trace: list[tuple[np.ndarray, np.ndarray]], ending: Ending) -> Hypothesis:
    """The hypothesis that ended there; its tokens are read from the last to the first, row by parent row."""
    done = ending.token == EOS
    text = [] if done else [ending.token]
    row = ending.row
    for tokens, parents in reversed(trace[1 : ending.step + 1]):
        text.append(int(tokens[row]))
        row = parents[row]
    text.reverse()
    return Hypothesis(text, ending.score, ending.log_prob, finished=done)
