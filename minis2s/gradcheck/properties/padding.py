"""Properties of a model: padding, batch-mates and their order change no number, and if so, through what.

All of these compare two runs that must agree. Where they do not, `through` names the path: the first
quantity on the way from the source to the loss that moved.
"""

import numpy as np

from minis2s.data.batching import Batch
from minis2s.gradcheck.properties.finding import Finding, differ, failed, gap, number, passed, unjudged
from minis2s.gradcheck.properties.inside import Case, Look, first_moved, look


def weight_on_padding(seen: Look, batch: Batch) -> float:
    """The largest share of attention that a real target step gives to padded source positions."""
    if seen.weights is None:
        return 0.0
    share = np.where(batch.src_mask.T[None], 0, seen.weights).sum(axis=-1)  # (T, B)
    return float(np.abs(share[batch.tgt_mask]).max())


def through(case: Case, batch: Batch, other: Batch, rows=None, padding: bool = True) -> tuple[str, str, str]:
    """(words for what moves between two batches that should agree, its place, its cause)."""
    before, after = look(case, batch), look(case, other)
    moved, by = first_moved(before, after, batch, rows)
    leak = max(weight_on_padding(before, batch), weight_on_padding(after, other)) if padding else 0.0
    name = "" if moved is None else moved.name
    cause = "mask ignored" if padding else "axis"
    if leak > 1e-9 and not name.startswith(("encoder", "last", "first")):
        return (
            f"the attention gives {number(leak)} of its weight to padded positions (source mask)",
            "attention weights",
            cause,
        )
    if name == "":
        return "no logit of a real step moves, only the loss (loss mask)", "loss", cause
    if name == "logits":
        return f"the logits of real steps move by {number(by)}, nothing before them does", "decoder", cause
    first = f"output of {name} at real positions" if moved.axes == "SB" else name
    words = f"the first to move is the {first}, by {number(by)}"
    if padding and moved.masked is False:
        words += ": this layer is given no mask"
    elif padding and moved.axes == "B" and moved.masked:
        words += ": a padded step does not hand the state on"
    return words, name, cause


def compare(case: Case, other: Batch, what: str, *, padding: bool = True) -> Finding:
    """Loss, gradients and logits of real steps must be the same for `other` as for the batch of the case."""
    batch = case.batch
    loss, same = case.loss(batch), case.loss(other)
    T = len(batch.tgt_in)
    logits, same_logits = case.logits(batch)[batch.tgt_mask], case.logits(other)[:T][batch.tgt_mask]
    if differ(same, loss) or differ(same_logits, logits):
        words, place, cause = through(case, batch, other, padding=padding)
        N, area, longer = batch.tgt_mask.sum(), batch.tgt_mask.size, other.tgt_mask.size
        if place == "loss" and area != longer and not differ(same * longer, loss * area):
            words, cause = f"it is divided by all T x B steps, not by the {N} real ones", "normalization"
        by = gap(same, loss)
        size = (
            f"the loss by {number(by)}"
            if differ(same, loss)
            else f"logits by {number(gap(same_logits, logits))}"
        )
        return failed(f"{what} moves {size}: {words}", cause, place)
    if case.parameters:
        gradients, others = case.gradients(batch), case.gradients(other)
        for name, g in gradients.items():
            if differ(others[name], g, 1e-8):
                words = f"the loss stays, but the gradient of {name} moves by {number(gap(others[name], g))}"
                return failed(f"{what}: {words}", "mask ignored" if padding else "axis", name)
    return passed(f"{what} moves neither loss nor gradients nor the logits of real steps")


def source_content(case: Case) -> Finding:
    batch = case.batch
    other = batch._replace(src=case.other_ids(batch.src, ~batch.src_mask, case.V_source))
    return compare(case, other, "what stands in the padding of the source")


def target_content(case: Case) -> Finding:
    batch, padded = case.batch, ~case.batch.tgt_mask
    other = batch._replace(
        tgt_in=case.other_ids(batch.tgt_in, padded, case.V),
        tgt_out=case.other_ids(batch.tgt_out, padded, case.V),
    )
    return compare(case, other, "what stands in the padding of the target")


def source_length(case: Case) -> Finding:
    return compare(case, case.longer(case.batch, 2, 0), "more padding behind the source")


def target_length(case: Case) -> Finding:
    return compare(case, case.longer(case.batch, 0, 3), "more padding behind the target")


def attention_on_padding(case: Case) -> Finding:
    seen = look(case, case.batch)
    if seen.weights is None:
        return unjudged("this model has no attention")
    leak = weight_on_padding(seen, case.batch)
    if leak > 1e-12:
        return failed(
            f"padded positions must get no attention, they get up to {number(leak)} of it",
            "mask ignored",
            "attention weights",
        )
    total = seen.weights.sum(axis=-1)[case.batch.tgt_mask]
    if differ(total, np.ones_like(total)):
        far = total[np.abs(total - 1).argmax()]
        words = f"the weights of a step must sum to one over the real positions, got {number(far)}"
        if not differ(seen.weights.sum(axis=0), np.ones(seen.weights.shape[1:])):
            words += ": they sum to one over the target steps"
        return failed(words, "axis", "attention weights")
    return passed("the attention weights sum to one over the real positions and are zero on padding")


def batch_mates(case: Case) -> Finding:
    """Another sentence of the batch is changed, in every column but one: that one must not notice."""
    batch = case.batch
    for own in range(batch.src.shape[1]):
        others = np.arange(batch.src.shape[1]) != own
        other = batch._replace(
            src=case.other_ids(batch.src, batch.src_mask & others, case.V_source),
            tgt_in=case.other_ids(batch.tgt_in, batch.tgt_mask & others, case.V),
        )
        real = batch.tgt_mask[:, own]
        mine, now = case.logits(batch)[real, own], case.logits(other)[real, own]
        if differ(now, mine):
            words, place, cause = through(case, batch, other, np.array([own]), padding=False)
            return failed(
                f"sentence {own} of the batch must not notice the others, but changing them moves its logits "
                f"by {number(gap(now, mine))}: {words}",
                cause,
                place,
            )
    return passed("changing the other sentences of the batch leaves a sentence's logits alone")


def batch_order(case: Case) -> Finding:
    batch = case.batch
    order = np.roll(np.arange(batch.src.shape[1]), 1)
    shuffled = Batch(*(a[:, order] for a in batch[:5]), batch.index[order])
    real = shuffled.tgt_mask
    logits, permuted = case.logits(batch)[:, order][real], case.logits(shuffled)[real]
    if differ(permuted, logits):
        return failed(
            f"another order of the sentences must only reorder the logits, but they move by "
            f"{number(gap(permuted, logits))}: rows of the batch are mixed (reshape in place of "
            "transpose?) or counted",
            "axis",
            "rows of the batch",
        )
    loss, same = case.loss(batch), case.loss(shuffled)
    if differ(same, loss):
        return failed(
            f"another order of the sentences moves the loss by {number(gap(same, loss))}", "axis", "loss"
        )
    return passed("another order of the sentences only reorders the logits; the loss stays")


def mean_of_singles(case: Case) -> Finding:
    batch = case.batch
    columns = range(batch.src.shape[1])
    singles = [case.part(batch, n) for n in columns]
    losses = np.array([case.loss(single) for single in singles])
    tokens = np.array([int(single.tgt_mask.sum()) for single in singles])
    loss, expected = case.loss(batch), float((tokens * losses).sum() / tokens.sum())
    for n, single in zip(columns, singles, strict=True):
        T = int(tokens[n])
        alone, within = case.logits(single)[:, 0], case.logits(batch)[:T, n]
        if differ(within, alone):
            return failed(
                f"a sentence must get the same logits alone and in a batch, they differ by "
                f"{number(gap(within, alone))} for sentence {n}",
                "mask ignored",
                "logits",
            )
    if not differ(loss, expected):
        return passed("the loss of a batch is the token-weighted mean of the losses of its sentences")
    words = (
        f"the loss of a batch must be the token-weighted mean of its sentences', {number(expected)}, "
        f"got {number(loss)}"
    )
    guesses = {
        "the mean of the sentences' means: short ones count too much": losses.mean(),
        "the sum of the sentences' means": losses.sum(),
        "the sum over tokens": (tokens * losses).sum(),
        "the sum over tokens divided by the number of sentences": (tokens * losses).sum() / len(tokens),
        "divided by padding as well": (tokens * losses).sum() / batch.tgt_mask.size,
    }
    for guess, value in guesses.items():
        if not differ(loss, value):
            return failed(f"{words}: it is {guess}", "normalization", "loss")
    return failed(words, "normalization", "loss")


CHECKS = {
    "padding content, source": source_content,
    "padding content, target": target_content,
    "padding length, source": source_length,
    "padding length, target": target_length,
    "attention on padding": attention_on_padding,
    "batch-mates": batch_mates,
    "batch order": batch_order,
    "batch is the mean of singles": mean_of_singles,
}
