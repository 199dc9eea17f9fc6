"""Properties of a model: decoding step by step says what training computed, and reads no right answer."""

import numpy as np

from minis2s.backend import to_numpy
from minis2s.data.vocabulary import BOS, EOS, PAD
from minis2s.decode import greedy
from minis2s.gradcheck.properties.behaviour import log_softmax
from minis2s.gradcheck.properties.finding import Finding, differ, failed, gap, number, passed
from minis2s.gradcheck.properties.inside import Case


def first_step_apart(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> int:
    """The first step at which two (T, B, V) arrays differ where mask (T, B) is true."""
    for t in range(len(a)):
        if differ(a[t][mask[t]], b[t][mask[t]], 1e-8):
            return t
    return -1


def stepwise(case: Case) -> Finding:
    batch = case.batch
    parallel, single = case.logits(batch), case.logits(batch, stepwise=True)
    t = first_step_apart(single, parallel, batch.tgt_mask)
    if t >= 0:
        return failed(
            f"all steps at once and one by one must give the same logits, they differ from step {t} on by "
            f"{number(gap(single[t], parallel[t]))}",
            "forward",
            "step of the decoder" if t == 0 else "state between steps of the decoder",
        )
    return passed("all steps at once and one by one give the same logits")


def start_and_step(case: Case) -> Finding:
    batch = case.batch
    decoded, forced = case.decoded_logits(batch), log_softmax(case.logits(batch))
    t = first_step_apart(decoded, forced, batch.tgt_mask)
    if t >= 0:
        row = decoded[t][batch.tgt_mask[t]]
        total = np.exp(row).sum(axis=-1)
        words = (
            f"start and step must give the log-probabilities of forward, they differ from step {t} on by "
            f"{number(gap(decoded[t], forced[t]))}"
        )
        if differ(total, np.ones_like(total), 1e-8):
            furthest = total[np.abs(total - 1).argmax()]
            words += f"; the probabilities of a step sum to {number(furthest)}, not to one"
        place = "start" if t == 0 else "state handed from step to step"
        return failed(words, "hand-over" if t else "forward", place)
    return passed("start and step give the log-probabilities that forward gives")


def reordering(case: Case) -> Finding:
    """After take(state, index) come the numbers of the rows taken: memory, mask and states go along."""
    batch = case.batch
    model, index = case.model, np.array([2, 0, 0, 3, 1]) % batch.src.shape[1]
    state = model.start(batch.src, batch.src_mask)
    for tokens in batch.tgt_in[:2]:
        _, state = model.step(state, tokens)
    tokens = batch.tgt_in[2] if len(batch.tgt_in) > 2 else batch.tgt_in[-1]
    expected = to_numpy(model.step(state, tokens)[0])[index]
    found = to_numpy(model.step(model.take(state, index), tokens[index])[0])
    if differ(found, expected, 1e-8):
        return failed(
            "take must bring memory, mask and states of the rows that it is told, but the next "
            "log-probabilities "
            f"are off by {number(gap(found, expected))}",
            "search",
            "take",
        )
    again = to_numpy(model.step(state, tokens)[0])
    if differ(again[index], expected, 1e-12):
        return failed(
            "step must leave the state that it is given alone, a second step differs", "aliased", "step"
        )
    return passed("take brings along all that belongs to a row")


def greedy_is_forced(case: Case) -> Finding:
    """The greedy text, fed back as if it were the target, is the argmax at each of its steps."""
    batch, limit = case.batch, 6
    hypotheses = greedy(case.model, batch.src, batch.src_mask, max_length=limit)
    B = len(hypotheses)
    tgt_in = np.full((limit, B), PAD)
    tgt_in[0] = BOS
    for b, h in enumerate(hypotheses):
        tgt_in[1 : len(h.tokens) + 1, b] = h.tokens[: limit - 1]
    log_probs = log_softmax(to_numpy(case.model.forward(batch.src, batch.src_mask, tgt_in)[0]))
    log_probs[:, :, [PAD, BOS]] = -np.inf
    for b, h in enumerate(hypotheses):
        text = [*h.tokens, EOS] if h.finished else h.tokens
        total = sum(log_probs[t, b, token] for t, token in enumerate(text))
        for t, token in enumerate(text):
            best = int(log_probs[t, b].argmax())
            if log_probs[t, b, best] > log_probs[t, b, token] + 1e-8:
                return failed(
                    f"greedy decoding took token {token} at step {t} of sentence {b}; teacher "
                    "forcing along the same "
                    f"text holds {best} more probable: decoding and training do not compute the same",
                    "search",
                    "start and step",
                )
        if differ(h.log_prob, total, 1e-8):
            return failed(
                f"the log-probability of the greedy text of sentence {b} is {number(total)} by "
                "teacher forcing, "
                f"greedy decoding says {number(h.log_prob)}",
                "search",
                "start and step",
            )
    return passed("greedy decoding takes the argmax of what teacher forcing along its own text gives")


def free_running(case: Case) -> Finding:
    """Where no coin falls for the right tokens they are never read; where all do, they always are."""
    batch = case.batch
    shape, model = batch.tgt_in.shape, case.model
    args = (batch.src, batch.src_mask)
    own, _ = model.forward(*args, batch.tgt_in, coins=np.zeros(shape, dtype=bool))
    where = np.ones(shape, dtype=bool)
    where[0] = False  # BOS is given
    other = case.other_ids(batch.tgt_in, where, case.V)
    same, _ = model.forward(*args, other, coins=np.zeros(shape, dtype=bool))
    t = first_step_apart(to_numpy(same), to_numpy(own), batch.tgt_mask)
    if t >= 0:
        return failed(
            "without teacher forcing the targets must not be read, but changing them moves the "
            f"logits from step {t} on",
            "forward",
            "decoder input",
        )
    forced, _ = model.forward(*args, batch.tgt_in, coins=np.ones(shape, dtype=bool))
    if differ(to_numpy(forced)[batch.tgt_mask], case.logits(batch)[batch.tgt_mask], 1e-8):
        return failed(
            "coins that all fall for the right token must be teacher forcing, the logits differ: "
            "the coins are "
            "read the wrong way round, or shifted by a step",
            "forward",
            "coins",
        )
    best = log_softmax(to_numpy(own))
    best[:, :, [PAD, BOS]] = -np.inf
    fed = np.concatenate([batch.tgt_in[:1], best.argmax(axis=-1)[:-1]])
    again = to_numpy(model.forward(*args, fed)[0])
    t = first_step_apart(again, to_numpy(own), batch.tgt_mask)
    if t >= 0:
        return failed(
            "without teacher forcing the best token of a step must go into the next, from step "
            f"{t} on something "
            "else does",
            "forward",
            "decoder input",
        )
    return passed("without teacher forcing the targets are never read, with all coins up always")


CHECKS = {
    "stepwise is parallel": stepwise,
    "step is forward": start_and_step,
    "take reorders": reordering,
    "greedy is forced": greedy_is_forced,
    "free running": free_running,
}
