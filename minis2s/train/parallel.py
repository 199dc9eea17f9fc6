"""One batch on several threads: each takes a share of the sentences, the gradients are added up.

With several processes (see ranks.py) each of them takes its share first and splits it further here.

Small matrix products gain little from threads inside BLAS. Whole halves of a batch gain nearly
the full factor, since NumPy lets other Python threads run while it computes. It needs layers
that keep no activations, which ours are: the threads share the weights and nothing else.
"""

import copy
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise

import numpy as np

from minis2s.backend import Array, xp_of
from minis2s.data.batching import Batch, split_batch
from minis2s.models import Seq2Seq
from minis2s.optim import pieces
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


class Workers:
    """A model and its replicas, one for each thread of this process.

    Run BLAS with one thread (OPENBLAS_NUM_THREADS=1, set before NumPy is imported) when there is
    more than one worker, or the two kinds of threads fight over the cores.

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
        self.models = [model, *(replica(model, rng) for rng in mine)]
        self.parameters = [list(m.parameters().values()) for m in self.models]
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
        """
        tokens = int(batch.tgt_mask.sum())  # of all ranks
        share = self.ranks.share(batch)
        parts = [] if share is None else split_batch(share, len(self.models))

        xp = xp_of(self.parameters[0][0].data)

        def work(model: Seq2Seq, part: Batch) -> Array:
            model.zero_grad()
            # every part sums, and is scaled by all tokens of the whole batch: a mean of means
            # would count the tokens of a part with few of them for more
            loss, cache = model.loss(
                Batch(*map(xp.asarray, part)),  # on NumPy the very same arrays
                rng=model.rng,
                teacher_forcing=teacher_forcing,
                smoothing=smoothing,
                reduction="sum",
            )
            model.backward(1 / tokens, cache)
            return loss

        if not parts:  # more ranks than sentences
            self.models[0].zero_grad()
        losses = self.map(work, self.models[: len(parts)], parts)
        if len(parts) > 1:
            same = zip(*self.parameters[: len(parts)], strict=True)
            self.spread(add_up_, [piece for copies in same for piece in pieces(*(p.grad for p in copies))])
        loss = sum(losses[1:], losses[0]) if losses else 0
        return self.ranks.add_up(self.models[0].parameters(), loss) / tokens, tokens

    def close(self) -> None:
        """End the threads."""
        if self.pool is not None:
            self.pool.shutdown()
