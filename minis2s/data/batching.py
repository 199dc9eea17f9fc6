"""Batches: sentences of different length side by side in one rectangle of numbers.

The rectangle is time-major, (T, B), filled with PAD below each sentence, and a mask of the
same shape says what is real. Sentences of similar length share a batch, so that little of
the work is spent on padding.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from minis2s.data.codec import Codec
from minis2s.data.pairs import Pair
from minis2s.data.vocabulary import BOS, EOS, PAD


class Example(NamedTuple):
    """One sentence and its answer as numbers, without BOS and EOS; either may be empty."""

    source: list[int]
    target: list[int]


class Batch(NamedTuple):
    """B examples, longest source first. Row t of an array is step t of every sentence."""

    src: np.ndarray  # (S, B) int64  source, then EOS, then PAD: never an empty column
    src_mask: np.ndarray  # (S, B) bool   True where src is not PAD
    tgt_in: np.ndarray  # (T, B) int64  what the decoder reads: BOS, then the target
    tgt_out: np.ndarray  # (T, B) int64  what it should write: the target, then EOS
    tgt_mask: np.ndarray  # (T, B) bool   True where tgt_out is not PAD
    index: np.ndarray  # (B,)   int64  where in the list of examples each column comes from


def encode_pairs(
    pairs: Iterable[Pair], source_codec: Codec, target_codec: Codec, *, all_targets: bool
) -> list[Example]:
    """The pairs as numbers: one example a pair (its main answer), or one for each right answer."""
    examples = []
    for source, targets in pairs:
        ids = source_codec.encode(source)
        examples += [Example(ids, target_codec.encode(t)) for t in (targets if all_targets else targets[:1])]
    return examples


def make_batch(examples: Sequence[Example], index: np.ndarray | Sequence[int] | None = None) -> Batch:
    """The batch of ``examples[i] for i in index``, or of all of them, longest source first.

    Raises ValueError when that is none at all.
    """
    index = np.arange(len(examples)) if index is None else np.asarray(index, dtype=np.int64)
    if index.size == 0:
        raise ValueError("a batch needs at least one example, got none")
    source_lengths = np.array([len(examples[i].source) for i in index])
    index = index[np.argsort(-source_lengths, kind="stable")]
    sources = [examples[i].source for i in index]
    targets = [examples[i].target for i in index]
    src, src_mask = _rectangle(sources)
    tgt_out, tgt_mask = _rectangle(targets)
    tgt_in = np.full_like(tgt_out, BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return Batch(src, src_mask, tgt_in, tgt_out, tgt_mask, index)


def _rectangle(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The rows side by side as columns, each with EOS after its end: ids (T, B) and mask (T, B)."""
    lengths = np.array([len(row) for row in rows])
    # filled row by row as (B, T), where the ids of all rows lie one after the other
    steps = np.arange(lengths.max() + 1)
    ids = np.full((len(rows), len(steps)), PAD, dtype=np.int64)
    ids[steps < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    ids[np.arange(len(rows)), lengths] = EOS
    return np.ascontiguousarray(ids.T), steps[:, None] <= lengths


def make_batches(
    examples: Sequence[Example],
    *,
    batch_tokens: int | None = None,
    batch_sentences: int | None = None,
    rng: np.random.Generator | None = None,
) -> list[np.ndarray]:
    """Divide the examples into batches of similar length: index arrays for ``make_batch``.

    ``batch_tokens`` bounds the area of a batch, B * T for the target and B * S for the source, EOS
    and padding included; ``batch_sentences`` bounds B. Either or both must be given. A sentence
    that is longer than ``batch_tokens`` has a batch of its own. Every example is in one batch.

    With ``rng`` the order of the batches is random, and so is which of the sentences of similar
    length meet; without it the batches go from short to long and are always the same.

    Raises ValueError when no bound is given or a bound is not positive.
    """
    if batch_tokens is None and batch_sentences is None:
        raise ValueError("make_batches needs batch_tokens or batch_sentences, got neither")
    for name, bound in (("batch_tokens", batch_tokens), ("batch_sentences", batch_sentences)):
        if bound is not None and bound < 1:
            raise ValueError(f"{name} must be at least 1, got {bound}")
    n = len(examples)
    source = np.fromiter((len(e.source) for e in examples), np.int64, n) + 1  # with EOS
    target = np.fromiter((len(e.target) for e in examples), np.int64, n) + 1
    order = _by_length(source, target, rng)
    batches = _cut(order, np.maximum(source, target)[order], batch_tokens, batch_sentences)
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def _by_length(source: np.ndarray, target: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """An order in which neighbours are about equally long on both sides. All arrays are (N,)."""
    n = len(source)
    # Buckets of source length, within which the target length can be sorted: one length each
    # up to 9, then sqrt(length) / 3 lengths wide, since long sentences are rarer but more tolerant.
    bucket = np.where(source < 9, source, 6 * np.sqrt(source) - 9)
    if rng is None:
        bucket, wobble, ties = np.floor(bucket), target, np.arange(n)
    else:
        # Short sentences have many of their own lengths to meet; long ones meet others
        # because the limits of the buckets move and the target lengths wobble by 3 %.
        bucket = np.floor(bucket + rng.uniform())
        wobble = np.rint(target * rng.uniform(0.97, 1.03, n))
        ties = rng.permutation(n)
    # targets upwards in odd buckets and downwards in even ones: no jump from bucket to bucket
    return np.lexsort((ties, np.where(bucket % 2 == 1, wobble, -wobble), bucket))


def _cut(
    order: np.ndarray, longer: np.ndarray, batch_tokens: int | None, batch_sentences: int | None
) -> list[np.ndarray]:
    """Cut ``order`` into consecutive batches, each as large as the bounds allow.

    ``longer[k]`` is the length of the longer side of ``order[k]``.
    """
    batches = []
    start = 0
    while start < len(order):
        size = len(order) - start
        if batch_sentences is not None:
            size = min(size, batch_sentences)
        if batch_tokens is not None:
            # no more can fit than if all were as short as the first
            window = longer[start : start + min(size, max(1, batch_tokens // longer[start]))]
            area = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
            size = max(1, int(np.searchsorted(area, batch_tokens, side="right")))
        batches.append(order[start : start + size])
        start += size
    return batches


def split_batch(batch: Batch, n: int) -> list[Batch]:
    """Deal the columns of a batch out to ``n`` batches of nearly equal size and mix of lengths.

    Fewer than ``n`` when there are fewer columns. Steps that are padding in a whole part are
    dropped from it.
    """
    if n < 1:
        raise ValueError(f"a batch can be split into 1 part or more, got n = {n}")
    parts = []
    for k in range(min(n, len(batch.index))):
        # like cards: the columns are sorted by length, so every part gets long and short ones
        S = int(batch.src_mask[:, k::n].sum(axis=0).max())
        T = int(batch.tgt_mask[:, k::n].sum(axis=0).max())
        arrays = (batch.src[:S], batch.src_mask[:S], batch.tgt_in[:T], batch.tgt_out[:T], batch.tgt_mask[:T])
        parts.append(Batch(*(np.ascontiguousarray(a[:, k::n]) for a in arrays), batch.index[k::n].copy()))
    return parts
