"""Batches: every example once, nothing but the example, and little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minis2s.data import (
    BOS,
    EOS,
    PAD,
    CharTokenizer,
    Codec,
    Example,
    Pair,
    encode_pairs,
    make_batch,
    make_batches,
    split_batch,
)

ids = st.lists(st.integers(3, 9), max_size=7)  # UNK included
example_lists = st.lists(st.builds(Example, ids, ids), min_size=1, max_size=12)
bounds = st.fixed_dictionaries(
    {"batch_tokens": st.one_of(st.none(), st.integers(1, 40)), "batch_sentences": st.integers(1, 5)}
) | st.fixed_dictionaries({"batch_tokens": st.integers(1, 40)})
rngs = st.one_of(st.none(), st.integers(0, 99).map(np.random.default_rng))


def rows(batch):
    """The examples of a batch read back from its arrays, after a look at every cell of them."""
    S, B = batch.src.shape
    T = len(batch.tgt_in)
    assert batch.src_mask.shape == (S, B)
    assert batch.tgt_in.shape == batch.tgt_out.shape == batch.tgt_mask.shape == (T, B)
    for array in batch:
        assert array.flags.c_contiguous
        assert array.dtype == (bool if array is batch.src_mask or array is batch.tgt_mask else np.int64)
    # no step that is padding for all
    assert batch.src_mask.any(axis=1).all() and batch.tgt_mask.any(axis=1).all()
    found = []
    for b in range(B):
        s, t = batch.src_mask[:, b].sum(), batch.tgt_mask[:, b].sum()
        assert batch.src_mask[:s, b].all() and batch.tgt_mask[:t, b].all()  # real steps come first
        assert (batch.src[s:, b] == PAD).all()
        assert (batch.tgt_in[t:, b] == PAD).all() and (batch.tgt_out[t:, b] == PAD).all()
        assert batch.src[s - 1, b] == EOS and batch.tgt_in[0, b] == BOS and batch.tgt_out[t - 1, b] == EOS
        assert (batch.tgt_in[1:t, b] == batch.tgt_out[: t - 1, b]).all()
        found.append(Example(batch.src[: s - 1, b].tolist(), batch.tgt_out[: t - 1, b].tolist()))
    return found


@given(example_lists)
def test_a_batch_holds_its_examples_and_nothing_else(examples):
    batch = make_batch(examples)
    assert rows(batch) == [examples[i] for i in batch.index]
    assert sorted(batch.index) == list(range(len(examples)))


@given(example_lists, st.data())
def test_a_batch_of_some_examples(examples, data):
    index = data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, max_size=6))
    batch = make_batch(examples, index)
    assert rows(batch) == [examples[i] for i in batch.index]
    assert sorted(batch.index) == sorted(index)


@given(example_lists)
def test_the_longest_source_comes_first(examples):
    lengths = make_batch(examples).src_mask.sum(axis=0)
    assert (np.diff(lengths) <= 0).all()


@given(example_lists, bounds, rngs)
def test_every_example_is_in_one_batch_within_the_bounds(examples, bounds, rng):
    batches = make_batches(examples, **bounds, rng=rng)
    assert sorted(np.concatenate(batches)) == list(range(len(examples)))
    for index in batches:
        batch = make_batch(examples, index)
        if bounds.get("batch_sentences") is not None:
            assert len(index) <= bounds["batch_sentences"]
        if bounds["batch_tokens"] is not None and len(index) > 1:
            assert max(batch.src.size, batch.tgt_in.size) <= bounds["batch_tokens"]


@given(example_lists, bounds)
def test_without_rng_the_batches_are_always_the_same(examples, bounds):
    first, second = make_batches(examples, **bounds), make_batches(examples, **bounds)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def many(rng, count):
    lengths = rng.geometric(0.08, size=(count, 1)) + rng.integers(0, 6, size=(count, 2))
    return [Example([4] * s, [5] * t) for s, t in lengths.tolist()]


def test_the_same_rng_gives_the_same_batches_and_goes_on_to_others():
    examples = many(np.random.default_rng(1), 10_000)
    rng, again = np.random.default_rng(2), np.random.default_rng(2)
    first = make_batches(examples, batch_tokens=500, rng=rng)
    assert all(
        (a == b).all()
        for a, b in zip(first, make_batches(examples, batch_tokens=500, rng=again), strict=True)
    )
    second = make_batches(examples, batch_tokens=500, rng=rng)
    home = np.empty(len(examples), dtype=int)
    for number, index in enumerate(second):
        home[index] = number
    # most of those who were together are not together again, and batches are not in order of length
    kept = [np.mean(home[a][:, None] == home[a]) for a in first if len(a) > 9]
    assert np.mean(kept) < 0.4
    mean_lengths = [np.mean([len(examples[i].source) for i in index]) for index in first]
    assert abs(np.corrcoef(mean_lengths, np.arange(len(first)))[0, 1]) < 0.3


@pytest.mark.parametrize("seed", [None, 3])
def test_little_is_padding(seed):
    examples = many(np.random.default_rng(1), 20_000)
    rng = None if seed is None else np.random.default_rng(seed)
    batches = [make_batch(examples, i) for i in make_batches(examples, batch_tokens=2000, rng=rng)]
    real = sum(b.src_mask.sum() + b.tgt_mask.sum() for b in batches)
    cells = sum(b.src_mask.size + b.tgt_mask.size for b in batches)
    assert 1 - real / cells < 0.05


def test_a_sentence_beyond_the_bound_is_alone():
    examples = [Example([4] * n, [5]) for n in (2, 50, 3, 2)]
    batches = make_batches(examples, batch_tokens=12)
    assert [index.tolist() for index in batches] == [[0, 3, 2], [1]]


def test_no_examples_make_no_batches():
    assert make_batches([], batch_tokens=10) == []
    with pytest.raises(ValueError, match="at least one example"):
        make_batch([])
    with pytest.raises(ValueError, match="at least one example"):
        make_batch([Example([4], [4])], [])


@pytest.mark.parametrize("bounds", [{}, {"batch_tokens": 0}, {"batch_sentences": 0}, {"batch_tokens": -5}])
def test_senseless_bounds(bounds):
    with pytest.raises(ValueError, match="batch_"):
        make_batches([Example([4], [4])], **bounds)


@given(example_lists, st.integers(1, 6))
def test_split_batch_deals_out_every_column_once(examples, n):
    batch = make_batch(examples)
    before = [array.copy() for array in batch]
    parts = split_batch(batch, n)
    assert len(parts) == min(n, len(examples))
    sizes = [len(part.index) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate([part.index for part in parts])) == list(range(len(examples)))
    for part in parts:
        assert rows(part) == [examples[i] for i in part.index]
        assert (np.diff(part.src_mask.sum(axis=0)) <= 0).all()
    assert all((a == b).all() for a, b in zip(batch, before, strict=True))


def test_split_batch_needs_a_part():
    with pytest.raises(ValueError, match="n = 0"):
        split_batch(make_batch([Example([4], [4])]), 0)


def test_encode_pairs():
    pairs = [Pair("ab", ("x", "yx")), Pair("", ("",)), Pair("b?", ("y",))]
    source, target = Codec.fit(["ab"], CharTokenizer()), Codec.fit(["xy"], CharTokenizer())
    assert encode_pairs(pairs, source, target, all_targets=False) == [
        Example([4, 5], [4]),
        Example([], []),
        Example([5, 3], [5]),
    ]
    assert encode_pairs(pairs[:1], source, target, all_targets=True) == [
        Example([4, 5], [4]),
        Example([4, 5], [5, 4]),
    ]
