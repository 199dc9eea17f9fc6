"""Padding, batch-mates and their order change no number; nor does anything else that should not."""

import numpy as np
import pytest

from minis2s.data import Batch, make_batch
from minis2s.data.vocabulary import PAD
from minis2s.decode import beam_search, greedy

KINDS = {
    "lstm, luong": {},
    "gru, two layers, additive": {"cell": "gru", "layers": 2, "attention": "additive"},
    "rnn, one direction": {"cell": "rnn", "bidirectional": False},
    "bahdanau": {"decoder": "bahdanau"},
    "input feeding": {"input_feeding": True},
    "plain": {"attention": "none"},
}


@pytest.fixture(params=KINDS)
def model(tools, request):
    return tools.model(**KINDS[request.param])


def decodes(model, batch: Batch) -> dict[int, list]:
    """Greedy and beam results of every example, by its number."""
    found = greedy(model, batch.src, batch.src_mask, max_length=6)
    beams = beam_search(model, batch.src, batch.src_mask, beam=3, nbest=3, max_length=6)
    return {
        i: [(h.tokens, h.finished, round(h.log_prob, 9)) for h in [best, *several]]
        for i, best, several in zip(batch.index.tolist(), found, beams, strict=True)
    }


def with_rubbish(batch: Batch, rng: np.random.Generator, tools) -> Batch:
    """The batch with random ids wherever there is padding."""

    def fill(ids, mask, size):
        return np.where(mask, ids, rng.integers(0, size, ids.shape))

    return batch._replace(
        src=fill(batch.src, batch.src_mask, tools.SOURCE_SIZE),
        tgt_in=fill(batch.tgt_in, batch.tgt_mask, tools.TARGET_SIZE),
        tgt_out=fill(batch.tgt_out, batch.tgt_mask, tools.TARGET_SIZE),
    )


def with_more_padding(batch: Batch, steps: int) -> Batch:
    """The batch with some more steps of padding on both sides."""

    def longer(a):
        fill = False if a.dtype == bool else PAD
        return np.concatenate([a, np.full((steps, a.shape[1]), fill, a.dtype)])

    return Batch(*map(longer, batch[:5]), batch.index)


def test_what_stands_in_the_padding(tools, model):
    batch = tools.batch()
    other = with_rubbish(batch, np.random.default_rng(0), tools)
    assert (other.src != batch.src).any() and (other.tgt_in != batch.tgt_in).any()
    loss, gradients = tools.run(model, batch, smoothing=0.1)
    same, same_gradients = tools.run(model, other, smoothing=0.1)
    assert loss == same
    tools.close_gradients(same_gradients, gradients, 1e-13)
    assert decodes(model, batch) == decodes(model, other)


def test_how_much_padding_there_is(tools, model):
    batch = tools.batch()
    longer = with_more_padding(batch, 3)
    loss, gradients = tools.run(model, batch, smoothing=0.1)
    same, same_gradients = tools.run(model, longer, smoothing=0.1)
    tools.close(same, loss, 1e-13)
    tools.close_gradients(same_gradients, gradients, 1e-11)
    assert decodes(model, batch) == decodes(model, longer)


def test_order_of_the_batch(tools, model):
    batch = tools.batch()
    order = np.array([2, 0, 3, 1])
    shuffled = Batch(*(a[:, order] for a in batch[:5]), batch.index[order])
    loss, gradients = tools.run(model, batch)
    same, same_gradients = tools.run(model, shuffled)
    tools.close(same, loss, 1e-13)
    tools.close_gradients(same_gradients, gradients, 1e-11)
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    permuted, _ = model.forward(shuffled.src, shuffled.src_mask, shuffled.tgt_in)
    tools.close(permuted, logits[:, order], 1e-12)
    assert decodes(model, batch) == decodes(model, shuffled)


def test_a_batch_is_the_token_weighted_mean_of_its_sentences(tools, model):
    batch = tools.batch()
    loss, gradients = tools.run(model, batch, smoothing=0.1)
    tokens = int(batch.tgt_mask.sum())
    mean, mean_gradients, alone_decodes = 0.0, {name: 0.0 for name in gradients}, {}
    for i in range(len(tools.EXAMPLES)):
        single = tools.batch(i)
        share = int(single.tgt_mask.sum()) / tokens
        single_loss, single_gradients = tools.run(model, single, smoothing=0.1)
        mean += share * float(single_loss)
        for name, g in single_gradients.items():
            mean_gradients[name] = mean_gradients[name] + share * g
        alone_decodes |= decodes(model, single)
    tools.close(loss, mean, 1e-13)
    tools.close_gradients(gradients, mean_gradients, 1e-11)
    assert decodes(model, batch) == alone_decodes
    # the sum is N times the mean
    total, total_gradients = tools.run(model, batch, smoothing=0.1, reduction="sum")
    tools.close(total, tokens * loss, 1e-13)
    tools.close_gradients(total_gradients, {n: tokens * g for n, g in gradients.items()}, 1e-11)


def test_batch_mates_do_not_matter(tools, model):
    batch = tools.batch()
    for rows in ((0, 2), (3, 1), (2, 2, 0)):
        part = tools.batch(*rows)
        logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
        part_logits, _ = model.forward(part.src, part.src_mask, part.tgt_in)
        for column, i in enumerate(part.index):
            (whole_column,) = np.flatnonzero(batch.index == i)
            T = int(part.tgt_mask[:, column].sum())
            tools.close(part_logits[:T, column], logits[:T, whole_column], 1e-12)


def test_no_mask_is_a_mask_of_true(tools, model):
    batch = make_batch([tools.EXAMPLES[0]] * 2)
    assert batch.src_mask.all()
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    unmasked, _ = model.forward(batch.src, None, batch.tgt_in)
    np.testing.assert_array_equal(unmasked, logits)
    log_probs, state = model.step(model.start(batch.src, batch.src_mask), batch.tgt_in[0])
    unmasked_log_probs, _ = model.step(model.start(batch.src, None), batch.tgt_in[0])
    np.testing.assert_array_equal(unmasked_log_probs, log_probs)


def test_the_past_does_not_know_the_future(tools, model):
    """A change of tgt_in at t leaves all logits before t alone, and moves those from t on."""
    batch = tools.batch()
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    for t in range(1, len(batch.tgt_in)):
        tgt_in = batch.tgt_in.copy()
        tgt_in[t] = (tgt_in[t] + 1) % tools.TARGET_SIZE
        changed, _ = model.forward(batch.src, batch.src_mask, tgt_in)
        np.testing.assert_array_equal(changed[:t], logits[:t])
        for later in range(t, len(batch.tgt_in)):
            moved = np.abs(changed[later] - logits[later]).max(axis=-1)
            assert (moved > 1e-8).all()


def test_the_source_reaches_the_first_decoder_state(tools, model):
    """Every real source token counts, the last one and the first one."""
    batch = tools.batch()
    before = model.start(batch.src, batch.src_mask).decoder.cells
    for s in range(len(batch.src)):
        src = batch.src.copy()
        src[s] = (src[s] + 1) % tools.SOURCE_SIZE
        after = model.start(src, batch.src_mask).decoder.cells
        for old, new in zip(tools.arrays(before), tools.arrays(after), strict=True):
            moved = np.abs(old - new).max(axis=-1) > 1e-9
            np.testing.assert_array_equal(moved, batch.src_mask[s])


def test_a_zero_bridge_starts_from_nothing(tools):
    batch = tools.batch()
    state = tools.model(bridge="zero").start(batch.src, batch.src_mask)
    assert not any(part.any() for part in tools.arrays(state.decoder.cells))


def test_without_weights_every_token_is_as_likely(tools, model):
    for parameter in model.parameters().values():
        parameter.data[...] = 0
    loss, _ = model.loss(tools.batch())
    tools.close(loss, np.log(tools.TARGET_SIZE), 1e-14)
    loss, _ = model.loss(tools.batch(), smoothing=0.3)
    tools.close(loss, np.log(tools.TARGET_SIZE), 1e-14)
