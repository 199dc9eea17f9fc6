"""One batch on several threads: each takes a share of the sentences, the gradients are added up.

Small matrix products gain little from threads inside BLAS. Whole halves of a batch gain nearly
the full factor, since NumPy lets other Python threads run while it computes. It needs layers
that keep no activations, which ours are: the threads share the weights and nothing else.
"""

import copy
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minis2s.backend import Array
from minis2s.data.batching import Batch, split_batch
from minis2s.models import Seq2Seq


def replica(model: Seq2Seq, rng: np.random.Generator) -> Seq2Seq:
    """A model with the same weight arrays, but gradients and a generator of its own."""
    weights = {id(p.data): p.data for p in model.parameters().values()}
    # deepcopy takes what the memo already holds as it is: the weights are shared, all else is new
    twin = copy.deepcopy(model, memo=weights)
    twin.rng = rng
    return twin


class Workers:
    """A model and its replicas, one for each thread.

    Run BLAS with one thread (OPENBLAS_NUM_THREADS=1, set before NumPy is imported) when there is
    more than one worker, or the two kinds of threads fight over the cores.

    With a given number of workers the results are reproducible bit for bit: the sentences are
    dealt out in a fixed way and the gradients summed in a fixed order. Another number of workers
    rounds differently.
    """

    def __init__(self, model: Seq2Seq, threads: int = 1):
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.models = [model, *(replica(model, model.rng.spawn(1)[0]) for _ in range(threads - 1))]
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, function: Callable, *arguments: Iterable) -> list:
        """[function(a, b, ...) for each a, b, ... of the arguments], spread over the threads."""
        mapper = map if self.pool is None else self.pool.map
        return list(mapper(function, *arguments))

    def gradient(
        self, batch: Batch, *, teacher_forcing: float = 1.0, smoothing: float = 0.0
    ) -> tuple[Array, int]:
        """Sets every ``Parameter.grad`` of the model to the gradient of the mean loss per token.

        Returns (the mean loss in nats per real token, the number of real tokens).
        """
        tokens = int(batch.tgt_mask.sum())
        parts = split_batch(batch, len(self.models))

        def work(model: Seq2Seq, part: Batch) -> Array:
            model.zero_grad()
            # every part sums, and is scaled by all tokens of the whole batch: a mean of means
            # would count the tokens of a part with few of them for more
            loss, cache = model.loss(
                Batch(*map(model.on_device, part)),
                rng=model.rng,
                teacher_forcing=teacher_forcing,
                smoothing=smoothing,
                reduction="sum",
            )
            model.backward(1 / tokens, cache)
            return loss

        losses = self.map(work, self.models[: len(parts)], parts)
        total = self.models[0].parameters()
        for model in self.models[1 : len(parts)]:
            for name, parameter in model.parameters().items():
                total[name].grad += parameter.grad
        return sum(losses[1:], losses[0]) / tokens, tokens

    def close(self) -> None:
        """End the threads."""
        if self.pool is not None:
            self.pool.shutdown()
