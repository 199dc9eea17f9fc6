"""Properties of a model: the value of its loss, extreme numbers, time, and the source."""

import numpy as np

from minis2s.gradcheck.properties.finding import Finding, differ, failed, gap, number, passed, unjudged
from minis2s.gradcheck.properties.inside import Case, look

# -- the loss --------------------------------------------------------------------------------------


def surprise(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-log p(target), (T, B), of logits (T, B, V): the obvious lines, nothing shared with the engine."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


def loss_value(case: Case) -> Finding:
    """The loss is the mean surprise of real tokens; where it is another well-known number, it is named."""
    batch, mask = case.batch, case.batch.tgt_mask
    loss, logits = case.loss(batch), case.logits(batch)
    s = surprise(logits, batch.tgt_out)
    N, expected = mask.sum(), s[mask].mean()
    if not differ(loss, expected):
        return passed("the loss is the mean of -log p(right token) over the real tokens, in nats")
    per_sentence = (s * mask).sum(axis=0) / mask.sum(axis=0)
    per_step = (s * mask).sum(axis=1) / mask.sum(axis=1)
    later = np.roll(batch.tgt_out, -1, axis=0)
    total = (s * mask).sum()
    guesses = [
        ("padding is counted like real tokens", s.mean(), "mask ignored"),
        ("the sum is divided by all T x B steps, padding included", total / mask.size, "normalization"),
        ("the sum is divided by the number of sentences", total / mask.shape[1], "normalization"),
        ("the sum is divided by the number of steps T", total / mask.shape[0], "normalization"),
        ("it is the sum, not the mean", total, "normalization"),
        ("it is the sum over everything, padding included", s.sum(), "mask ignored"),
        ("it is the mean of the sentences' means", per_sentence.mean(), "normalization"),
        ("it is the mean of the steps' means", per_step.mean(), "normalization"),
        ("it is in bits, a factor of 1/ln 2", expected / np.log(2), "scale"),
        ("the sign is wrong", -expected, "sign"),
        (
            "the target is what went in, not shifted by a step",
            surprise(logits, batch.tgt_in)[mask].mean(),
            "time shift",
        ),
        ("the target is shifted once too often", surprise(logits, later)[mask].mean(), "time shift"),
        ("it is 1 - p, the logarithm is missing", 1 - np.exp(-s[mask]).mean(), "forward"),
    ]
    words = (
        f"the loss must be the mean of -log p over the {N} real tokens, {number(expected)}, got "
        f"{number(loss)}"
    )
    for guess, value, cause in guesses:
        if not differ(loss, value):
            return failed(f"{words}: {guess}", cause, "loss")
    return failed(words, "forward", "loss")


def zero_weights(case: Case) -> Finding:
    with case.weights(lambda name, data: np.zeros_like(data)):
        loss, V = case.loss(case.batch), case.logits(case.batch).shape[-1]
    if differ(loss, np.log(V)):
        return failed(
            f"without weights every token is equally probable: the loss must be ln {V} = "
            f"{number(np.log(V))}, "
            f"got {number(loss)}",
            "forward",
            "loss",
        )
    return passed(f"without weights the loss is ln {V}")


def extreme_weights(case: Case) -> Finding:
    """Large logits, large attention scores, then everything large: nothing may become inf or nan."""
    batch = case.batch

    def larger(part: str):
        return lambda name, data: 1e5 * data if part in name else data

    for part, what in (
        ("decoder.output", "the softmax of the logits"),
        ("attention", "the softmax of the attention"),
        ("", "somewhere"),
    ):
        with case.weights(larger(part)):
            loss, logits, log_probs = case.loss(batch), case.logits(batch), case.decoded_logits(batch)
            if np.isfinite(loss) and np.isfinite(logits).all() and np.isfinite(log_probs).all():
                continue
        name, value = (
            ("the loss", loss) if not np.isfinite(loss) else ("a log-probability of step", log_probs.min())
        )
        if np.isfinite(loss) and not np.isfinite(logits).all():
            name, value = "a logit", np.nan
        why = "exp overflows: the largest logit is not subtracted before it"
        if np.isinf(value):
            why = "the logarithm of a softmax that has rounded to 0: take logits - max - log(sum)"
        elif part == "":
            why = "some number overflows"
        return failed(
            f"with weights 100,000 times as large in {part or 'all layers'} {name} must be finite, "
            f"got {value}: {why}",
            "forward",
            what,
        )
    return passed("weights 100,000 times as large give finite losses and log-probabilities")


# -- time and source -------------------------------------------------------------------------------


def causality(case: Case) -> Finding:
    """A change of tgt_in at step t leaves the logits before t alone and moves those from t on."""
    batch = case.batch
    logits, T = case.logits(batch), len(batch.tgt_in)
    moved = np.empty((T, *batch.tgt_in.shape))  # (t, T, B): by the change at t, each logit's largest move
    for t in range(T):
        where = np.zeros_like(batch.tgt_mask)
        where[t] = True
        other = case.logits(batch._replace(tgt_in=case.other_ids(batch.tgt_in, where, case.V)))
        moved[t] = np.abs(other - logits).max(axis=-1)
    for t in range(T):
        early = np.flatnonzero((moved[t, :t] > 1e-12).any(axis=1))
        if early.size:
            first = int(early[0])
            return failed(
                f"a change of the decoder's input at step {t} must not move earlier logits, it "
                "moves those of "
                f"step {first} by {number(moved[t, first].max())}: the decoder sees the future",
                "time shift",
                f"decoder, from step {t} to step {first}",
            )
    for t in range(T):
        if (moved[t, t] < 1e-12).any():
            why = "the input comes a step late" if moved.any() else "the decoder does not read its input"
            return failed(
                f"a change of the decoder's input at step {t} must move the logits of step {t}, "
                f"they stay: {why}",
                "time shift",
                f"decoder, input of step {t}",
            )
        still = np.flatnonzero((moved[t, t:] < 1e-14).all(axis=1))
        if still.size:
            return failed(
                f"a change of the decoder's input at step {t} must be remembered, step "
                f"{t + int(still[0])} does not "
                "know of it: the state is not handed on",
                "hand-over",
                "decoder state",
            )
    return passed("a change of the decoder's input moves the logits from its step on, and none before")


def source_is_used(case: Case) -> Finding:
    """Every real source token must reach the logits, and through the bridge the decoder's first state."""
    batch, config = case.batch, getattr(case.model, "config", None)
    zero_bridge = getattr(config, "bridge", "") == "zero"
    if zero_bridge and getattr(config, "attention", "") == "none":
        return unjudged("with bridge zero and no attention no source can reach the decoder: nothing to ask")
    before = look(case, batch)
    for s in range(len(batch.src)):
        real = batch.src_mask[s]
        where = np.zeros_like(batch.src_mask)
        where[s] = real
        other = batch._replace(src=case.other_ids(batch.src, where, case.V_source))
        after = look(case, other)
        moved = {}
        for old, new in zip(before.quantities, after.quantities, strict=True):
            distance = np.abs(old.array - new.array)
            rows = (
                distance.reshape(distance.shape[0], -1)
                if old.axes == "B"
                else distance[0].reshape(len(real), -1)
            )
            if old.axes == "SB":
                rows = distance.transpose(1, 0, 2).reshape(len(real), -1)
            moved[new.name] = moved.get(new.name, 0) + rows.max(axis=1)
        for name, by in moved.items():
            waits = name == "attention weights" or (zero_bridge and name.startswith("first state"))
            # a softmax over a single position is 1 whatever the source
            if waits or not (by[real] < 1e-13).any():
                continue
            what = "the logits of the first step" if name == "logits" else f"the {name}"
            return failed(
                f"a change of source token {s} must move {what}, they stay: the source does not get that far",
                "hand-over",
                name,
            )
    first = "the logits" if zero_bridge else "the decoder's first state and the logits"
    started = case.decoded_logits(batch)
    forced = case.logits(batch)
    if differ(started[0], log_softmax(forced[0]), 1e-8):
        return failed(
            "forward and start must begin from the same state, but their first log-probabilities differ by "
            f"{number(gap(started[0], log_softmax(forced[0])))}: encoder state or memory are not "
            "handed over alike",
            "hand-over",
            "decoder state",
        )
    return passed(f"every source token reaches {first}")


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


CHECKS = {
    "value of the loss": loss_value,
    "no weights, ln V": zero_weights,
    "causality": causality,
    "source is used": source_is_used,
    "extreme weights": extreme_weights,
}
