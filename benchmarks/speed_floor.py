"""The floor of speed.py: the matrix products of a training step, and nothing else.

No engine that multiplies matrices with this BLAS can be faster. The products are those that the
model truly needs, forward and backward: for each recurrent layer the projection of its inputs as
one product (of few symbols, that of each symbol, and the sum of the gradients by symbol), the recurrent ones step by step, the gradients of weights and inputs as one product
each; attention by sentence; the tanh and the output layer. They work on the real tokens alone: of
a ragged batch, a step multiplies only the sentences that have not ended (attention alone takes the
padded rectangle). Where a product can be laid out in several ways, the fastest here is taken. All
arrays are made beforehand, the results go where they were before: nothing is allocated, but for products in blocks.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from speed_cases import Case

from minis2s.backend import keep_freed_memory
from minis2s.data import Batch
from minis2s.data.batching import split_batch
from minis2s.functional.attention import by_row
from minis2s.functional.blocks import Blocks, for_loop
from minis2s.train.processes import Helper

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


class Product(NamedTuple):
    """Products of one kind in one layer."""

    group: str  # encoder, decoder, attention, combine or output
    way: str  # which layout was the fastest
    run: Callable[[], None]


class Arena:
    """Arrays by name, shared by all batches: what matters of them is their size alone."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.flat: dict[str, np.ndarray] = {}

    def __call__(self, name: str, *shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        if name not in self.flat or self.flat[name].size < size:
            self.flat[name] = self.rng.normal(0, 0.1, size).astype(np.float32)
        return self.flat[name][:size].reshape(shape)


def seconds_of(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fastest(group: str, **ways: Callable[[], None]) -> Product:
    """The product in that one of several layouts which is fastest, by the best of three runs in turns."""
    if len(ways) == 1:
        return Product(group, *next(iter(ways.items())))
    spent = {name: np.inf for name in ways}
    for _ in range(3):
        for name, run in ways.items():
            spent[name] = min(spent[name], seconds_of(run))
    best = min(ways, key=spent.get)
    return Product(group, best, ways[best])


def times(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], None]:
    return lambda: np.matmul(a, b, out=out)


def affine(new: Arena, group: str, N: int, D: int, K: int) -> list[Product]:
    """out = x W, dx = dout W^T, dW = x^T dout, for N rows."""
    x, W, out = new("x", N, D), new(f"W {group}", D, K), new("out", N, K)
    dW, dx = new(f"dW {group}", D, K), new("dx", N, D)
    return [
        fastest(group, plain=times(x, W, out)),
        fastest(group, plain=times(out, W.T, dx)),
        fastest(group, plain=times(x.T, out, dW), transposed=times(out.T, x, dW.reshape(K, D))),
    ]


def looked_up(new: Arena, group: str, N: int, V: int, D: int, K: int) -> list[Product]:
    """x W for N rows x, each one of V in a table: of the table alone, and the sum of dout by rows of it."""
    dout, one_hot, dproduct = new("out", N, K), new("one hot", N, V), new("dproduct", V, K)
    return [*affine(new, group, V, D, K), fastest(group, plain=times(one_hot.T, dout, dproduct))]


def recurrent(
    new: Arena, group: str, live: np.ndarray, D: int, H: int, gates: int, symbols: int | None = None
) -> list[Product]:
    """A layer of size H over inputs of size D; live (T,) is how many sentences have a step t.

    symbols: the inputs are embeddings of so many, each multiplied once; None: every input is.
    """
    T, B, N, K = len(live), int(live.max()), int(live.sum()), gates * H
    hs, z = new("hs", T, B, H), new("z", T, B, K)
    Wh = new(f"Wh {group}", H, K)
    by_gates = np.ascontiguousarray(Wh.reshape(H, gates, H).transpose(1, 0, 2))
    z_by_gates = z.reshape(T, gates, B, H)
    WhT, dh = np.ascontiguousarray(Wh.T), new("dh", B, H)
    steps = [(t, int(n)) for t, n in enumerate(live)]

    def wide() -> None:
        for t, n in steps:
            np.matmul(hs[t, :n], Wh, out=z[t, :n])

    def gate_by_gate() -> None:
        for t, n in steps:
            np.matmul(hs[t, :n], by_gates, out=z_by_gates[t, :, :n])

    def backward_copied() -> None:
        for t, n in reversed(steps):
            np.matmul(z[t, :n], WhT, out=dh[:n])

    def backward_view() -> None:
        for t, n in reversed(steps):
            np.matmul(z[t, :n], Wh.T, out=dh[:n])

    # as the engine cuts them, for each number of sentences; the results are new arrays
    in_blocks = {n: for_loop(by_gates, n) for _, n in steps}
    transposed_blocks = {n: for_loop(WhT, n) for _, n in steps}

    def blocks() -> None:
        for t, n in steps:
            hs[t, :n] @ in_blocks[n]

    def backward_blocks() -> None:
        for t, n in reversed(steps):
            z[t, :n] @ transposed_blocks[n]

    are_cut = any(isinstance(W, Blocks) for W in in_blocks.values())
    forward, backward = ({"blocks": blocks}, {"blocks": backward_blocks}) if are_cut else ({}, {})
    h_prev, dz, dWh = hs.reshape(T * B, H)[:N], z.reshape(T * B, K)[:N], new(f"dWh {group}", H, K)
    return [
        *(affine(new, group, N, D, K) if symbols is None else looked_up(new, group, N, symbols, D, K)),
        fastest(group, wide=wide, gate_by_gate=gate_by_gate, **forward),
        fastest(group, copied=backward_copied, view=backward_view, **backward),
        fastest(group, plain=times(h_prev.T, dz, dWh), transposed=times(dz.T, h_prev, dWh.reshape(K, H))),
    ]


def by_sentence(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Product:
    """A matrix for each sentence, a (B, X, Y) by b (B, Y, Z): as they lie in memory, or copied beforehand."""
    copied = times(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return fastest("attention", views=times(a, b, out), copied=copied)


def attention(new: Arena, T: int, S: int, B: int, N: int, H: int) -> list[Product]:
    """General attention: query W, scores, contexts, and backward; N real target tokens."""
    q, memory = by_row(new("query", T, B, H)), by_row(new("memory", S, B, H))  # (B, T, H), (B, S, H)
    weights = new("weights", B, T, S)
    context, dmemory = new("context", B, T, H), new("dmemory", B, S, H)
    return [
        *affine(new, "attention", N, H, H),
        by_sentence(q, memory.transpose(0, 2, 1), weights),  # scores
        by_sentence(weights, memory, context),
        by_sentence(q, memory.transpose(0, 2, 1), weights),  # dweights = dcontext memory^T
        by_sentence(weights.transpose(0, 2, 1), q, dmemory),  # dmemory = weights^T dcontext
        by_sentence(weights, memory, context),  # dquery = dscores memory
        by_sentence(weights.transpose(0, 2, 1), q, dmemory),  # dkeys = dscores^T query
    ]


def symbols(case: Case, batch: Batch) -> tuple[int | None, int | None]:
    """How many symbols of source and target are multiplied in place of all tokens; None where that is no gain."""
    if case.config.dropout:  # then two equal tokens have two embeddings
        return None, None
    sides = ((case.V_source, batch.src_mask), (case.V_target, batch.tgt_mask))
    return tuple(V if cheaper(V, int(mask.sum()), case.config.embed) else None for V, mask in sides)


def cheaper(V: int, N: int, D: int) -> bool:
    """Whether `looked_up` has fewer multiplications than `affine`."""
    return 3 * V * D + N * V < 3 * N * D


def products(case: Case, batch: Batch, new: Arena) -> list[Product]:
    """All matrix products of a training step on this batch."""
    c = case.config
    gates = GATES[c.cell]
    source, target = batch.src_mask.sum(axis=1), batch.tgt_mask.sum(axis=1)  # live sentences of each step
    (S, B), T, N = batch.src.shape, len(target), int(target.sum())
    found: list[Product] = []
    for n in range(c.layers):
        D = c.embed if n == 0 else c.hidden
        of_source, of_target = (None, None) if n else symbols(case, batch)
        for _ in range(1 + c.bidirectional):
            found += recurrent(new, "encoder", source, D, c.hidden // (1 + c.bidirectional), gates, of_source)
        found += recurrent(new, "decoder", target, D, c.hidden, gates, of_target)
    found += attention(new, T, S, B, N, c.hidden)
    found += affine(new, "combine", N, 2 * c.hidden, c.hidden)
    found += affine(new, "output", N, c.hidden, case.V_target)
    return found


class Floor:
    """The side of speed.py: as many workers as ours has, each with its share of the sentences."""

    def __init__(self, case: Case, threads: int = 1):
        keep_freed_memory()
        arenas = [Arena() for _ in range(threads)]
        largest_first = sorted(case.batches, key=lambda batch: -batch.tgt_in.size)
        self.batches = [
            [products(case, part, new) for part, new in zip(split_batch(batch, threads), arenas)]
            for batch in largest_first
        ]
        others = range(1, threads)
        apart = sys.platform == "linux"
        self.helpers = [Helper(partial(self.run_part, n)) for n in others] if apart else []
        self.pool = ThreadPoolExecutor(threads) if others and not apart else None

    def run_part(self, n: int, batch: int) -> None:
        """What worker n has to do of a batch; a batch may have fewer sentences than there are workers."""
        for part in self.batches[batch][n : n + 1]:
            run_all(part)

    def step(self, parts: list[list[Product]]) -> None:
        if self.pool is not None:
            list(self.pool.map(run_all, parts))
            return
        for helper in self.helpers:
            helper.ask(self.batches.index(parts))
        run_all(parts[0])
        for helper in self.helpers:
            helper.answer()

    def groups(self, passes: int) -> dict[str, float]:
        """Seconds of a pass over the batches, by group; one thread."""
        spent: dict[str, float] = {}
        for _ in range(passes):
            for (part,) in self.batches:
                for product in part:
                    spent[product.group] = spent.get(product.group, 0.0) + seconds_of(product.run) / passes
        return spent


def run_all(part: list[Product]) -> None:
    for product in part:
        product.run()
