"""One batch on several cores: each worker takes a share of the sentences, the gradients are added up.

With several processes of MPI (see ranks.py) each of them takes its share first and splits it further here.

Small matrix products gain little from threads inside BLAS. Whole halves of a batch gain nearly the full
factor. It needs layers that keep no activations, which ours are: the workers share the weights and nothing
else. On Linux they are processes (see processes.py). Elsewhere, on a GPU, under MPI, and where BLAS may use
threads of its own they are threads, which compute the same: NumPy lets other threads run while it computes, but they have to wait for each other between.
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from minis2s.backend import Array, xp_of
from minis2s.data.batching import Batch, split_batch
from minis2s.models import Seq2Seq
from minis2s.optim import pieces
from minis2s.train import processes
from minis2s.train.ranks import ALONE, Alone


def replica(model: Seq2Seq, rng: np.random.Generator) -> Seq2Seq:
    """A model with the same weight arrays, but gradients and a generator of its own."""
    weights = {id(p.data): p.data for p in model.parameters().values()}
    # deepcopy takes what the memo already holds as it is: the weights are shared, all else is new
    twin = copy.deepcopy(model, memo=weights)
    twin.rng = rng
    return twin


def add_up_(arrays: tuple[Array, ...]) -> None:
    """Add all further arrays to the first, in their order."""
    total, *others = arrays
    for other in others:
        total += other


class Share(NamedTuple):
    """What a worker is asked for: the gradient of the summed loss of a part of a batch, over `tokens`."""

    part: Batch
    tokens: int  # of the whole batch: a mean of means would count the tokens of a part with few of them for more
    teacher_forcing: float
    smoothing: float


def set_gradient(model: Seq2Seq, share: Share) -> Array:
    """Sets every ``Parameter.grad`` of the model; returns the summed loss."""
    xp = xp_of(next(iter(model.parameters().values())).data)
    model.zero_grad()
    loss, cache = model.loss(
        Batch(*map(xp.asarray, share.part)),  # on NumPy the very same arrays
        rng=model.rng,
        teacher_forcing=share.teacher_forcing,
        smoothing=share.smoothing,
        reduction="sum",
    )
    model.backward(1 / share.tokens, cache)
    return loss


def answer(model: Seq2Seq, question: tuple[np.random.Generator, Share]) -> tuple[Array, np.random.Generator]:
    """`set_gradient` in a process of its own, which remembers nothing: its generator comes and goes."""
    model.rng, share = question
    return set_gradient(model, share), model.rng


def results_of(function: Callable, items: Sequence, count: int, model: Seq2Seq) -> Iterator:
    """function(item) for each of the items, in their order, by `count` workers that use the weights of the model.

    What the function changes beside its result may be lost: a worker may be a process of its own.
    """
    if count == 1 or len(items) < 2:
        yield from map(function, items)
        return
    if processes.possible(model):
        yield from processes.in_processes(function, items, count)
        return
    pool = ThreadPoolExecutor(count)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for the items that have not begun


class Workers:
    """A model and its replicas, one for each worker of this process: a process, or a thread.

    Run BLAS with one thread (OPENBLAS_NUM_THREADS=1, set before NumPy is imported) when there is more than one
    worker: else they are threads, and fight with those of BLAS over the cores.

    With a given number of workers the results are reproducible bit for bit: the sentences are
    dealt out in a fixed way and the gradients summed in a fixed order. Another number of workers
    rounds differently.

    Every worker of every process has a generator of its own for dropout and teacher forcing: the
    first keeps the model's, the others are spawned from it. R processes with T threads each deal out
    the sentences and the generators as one process with R * T threads does: the same run, rounded
    differently where the sums are nested (R and T above 1). Any other number of workers draws other
    numbers.
    """

    def __init__(self, model: Seq2Seq, threads: int = 1, ranks: Alone = ALONE):
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.ranks = ranks
        others = ranks.size * threads - 1
        generators = [model.rng, *(model.rng.spawn(others) if others else ())]
        model.rng, *mine = generators[ranks.rank :: ranks.size]
        self.apart = threads > 1 and processes.possible(model)
        self.process = os.getpid()
        if self.apart:
            processes.share_weights(model)
        self.models = [model, *(replica(model, rng) for rng in mine)]
        if self.apart:
            for twin in self.models[1:]:
                processes.share_gradients(twin)
        self.parameters = [list(m.parameters().values()) for m in self.models]
        self.helpers: list[processes.Helper] = []  # begun when they are needed, one for each replica
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, function: Callable, *arguments: Iterable) -> list:
        """[function(a, b, ...) for each a, b, ... of the arguments], spread over the threads."""
        mapper = map if self.pool is None else self.pool.map
        return list(mapper(function, *arguments))

    def spread(self, function: Callable, items: Iterable) -> list:
        """`map` for many small pieces of work: each thread has a stretch of them."""
        items = list(items)
        bounds = [len(items) * n // len(self.models) for n in range(len(self.models) + 1)]
        stretches = [items[start:stop] for start, stop in pairwise(bounds)]
        return list(chain(*self.map(lambda stretch: [function(item) for item in stretch], stretches)))

    def gradient(
        self, batch: Batch, *, teacher_forcing: float = 1.0, smoothing: float = 0.0
    ) -> tuple[Array, int]:
        """Sets every ``Parameter.grad`` of the model to the gradient of the mean loss per token.

        batch: the whole one, the same on every rank; so are the results.

        Returns (the mean loss in nats per real token, the number of real tokens).

        Raises RuntimeError when the weights are others than when the workers were made (`Layer.to`), or this is
        a copy of the process that made them; UserError when the system has ended a worker.
        """
        if any(p.data is not first.data for first, *others in zip(*self.parameters, strict=True) for p in others):
            raise RuntimeError(
                "these workers are closed, or their model has been moved or cast since they were made: make new ones"
            )
        if self.apart and os.getpid() != self.process:
            raise RuntimeError("these workers belong to the process that made them: make new ones here")
        tokens = int(batch.tgt_mask.sum())  # of all ranks
        share = self.ranks.share(batch)
        parts = [] if share is None else split_batch(share, len(self.models))
        shares = [Share(part, tokens, teacher_forcing, smoothing) for part in parts]
        if not parts:  # more ranks than sentences
            self.models[0].zero_grad()
        if self.apart and len(parts) > 1:
            losses = self.set_gradients_apart(shares)
        else:
            losses = self.map(set_gradient, self.models[: len(parts)], shares)
        if len(parts) > 1:
            same = zip(*self.parameters[: len(parts)], strict=True)
            self.spread(add_up_, [piece for copies in same for piece in pieces(*(p.grad for p in copies))])
        loss = sum(losses[1:], losses[0]) if losses else 0
        return self.ranks.add_up(self.models[0].parameters(), loss) / tokens, tokens

    def set_gradients_apart(self, shares: list[Share]) -> list[Array]:
        """`set_gradient` for a share each, the first one here, the others in processes of their own."""
        if not self.helpers:
            self.helpers = [processes.Helper(partial(answer, twin)) for twin in self.models[1:]]
        helped = list(zip(self.helpers, self.models[1:], shares[1:], strict=False))  # there may be fewer shares
        try:
            for helper, twin, share in helped:
                helper.ask((twin.rng, share))
            losses = [set_gradient(self.models[0], shares[0])]
            for helper, twin, _ in helped:
                loss, twin.rng = helper.answer()
                losses.append(loss)
        except BaseException:
            self.end_helpers()  # an answer that is on its way must not be taken for one to the next question
            raise
        return losses

    def end_helpers(self) -> None:
        helpers, self.helpers = self.helpers, []  # first: none is asked again, even if this is interrupted
        for helper in helpers:
            helper.close()

    def close(self) -> None:
        """End the processes and threads; the model keeps its weights, in arrays of its own."""
        self.end_helpers()
        if self.apart:
            processes.unshare_weights(self.models[0])
        if self.pool is not None:
            self.pool.shutdown()
