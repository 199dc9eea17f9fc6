"""Attention as a layer: scores, masked softmax and weighted sum in a row.

The memory (the encoder's states) is turned into keys once per sentence with `project`; after
that, every decoder step, or all of them at once, asks with its query.
"""

from typing import NamedTuple

import numpy as np

from minis2s import functional as F
from minis2s.backend import Array
from minis2s.nn import init
from minis2s.nn.basic import Linear
from minis2s.nn.layer import Layer, Parameter
from minis2s.op import Op

SCORES: dict[str, Op] = {
    "dot": F.dot_scores,
    "scaled": F.scaled_dot_scores,
    "general": F.general_scores,
    "additive": F.additive_scores,
}


class AttentionCache(NamedTuple):
    scores: tuple  # cache of the score operation
    softmax: tuple  # cache of masked_softmax; its `weights` (T, B, S) are what a heat map shows
    weighted_sum: tuple  # cache of weighted_sum


class Attention(Layer):
    """context = sum_s softmax(score(query, key_s)) value_s.

    kind: "dot" and "scaled" need query_size == memory_size; "general" and "additive" learn to
    bring the two together (`attention_size` is the A of additive attention).
    """

    def __init__(
        self,
        kind: str,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        rng: np.random.Generator,
        op: Op | None = None,
        dtype=np.float32,
    ):
        if kind not in SCORES:
            raise ValueError(f"attention must be one of {', '.join(SCORES)}, got {kind!r}")
        if kind in ("dot", "scaled") and query_size != memory_size:
            raise ValueError(
                f"{kind} attention needs queries and memory of one size, got {query_size} and "
                f"{memory_size}: make them equal, or use general or additive attention"
            )
        self.kind = kind
        self.score_op = SCORES[kind] if op is None else op
        if kind == "general":
            self.W = Parameter(init.glorot_uniform(rng, query_size, memory_size).astype(dtype))
        if kind == "additive":
            size = query_size if attention_size is None else attention_size
            self.keys = Linear(memory_size, size, rng=rng, dtype=dtype)
            self.Wq = Parameter(init.glorot_uniform(rng, query_size, size).astype(dtype))
            self.v = Parameter(init.glorot_uniform(rng, size, 1)[:, 0].astype(dtype))

    def weights(self) -> list[Parameter]:
        """The Parameters of the score operation, in the order of its arguments."""
        if self.kind == "general":
            return [self.W]
        if self.kind == "additive":
            return [self.Wq, self.v]
        return []

    def project(self, memory: Array):
        """memory (S, B, M) -> (keys (S, B, A), cache). Only additive attention has a projection."""
        return self.keys.forward(memory) if self.kind == "additive" else (memory, None)

    def project_backward(self, dkeys: Array, cache) -> Array:
        """dkeys (S, B, A) -> what the keys contribute to dmemory (S, B, M)."""
        return self.keys.backward(dkeys, cache) if self.kind == "additive" else dkeys

    @property
    def folds(self) -> bool:
        """Whether `fold` can spare every query its product with the weights."""
        return self.score_op is F.general_scores

    def fold(self, keys: Array) -> Array:
        """keys (S, B, A) -> keys (S, B, Q) whose plain dot product with a query is its score.

        (query W) . key = query . (W key): one product for each source position, once, instead of one
        for each query. A search has several queries for each position.
        """
        return keys @ self.W.data.T

    def forward(
        self, query: Array, keys: Array, memory: Array, mask: Array | None = None, *, folded: bool = False
    ):
        """query (T, B, Q), keys (S, B, A), memory (S, B, M), mask (S, B) -> (context (T, B, M), cache).

        folded: whether the keys come from `fold`; then there is no way back through the cache.
        """
        if folded:
            scores, score_cache = F.dot_scores.forward(query, keys)
        else:
            scores, score_cache = self.score_op.forward(query, keys, *(w.data for w in self.weights()))
        weights, softmax_cache = F.masked_softmax.forward(scores, mask)
        context, sum_cache = F.weighted_sum.forward(weights, memory)
        return context, AttentionCache(score_cache, softmax_cache, sum_cache)

    def backward(self, dcontext: Array, cache: AttentionCache):
        """dcontext (T, B, M) -> (dquery (T, B, Q), dkeys (S, B, A), dmemory (S, B, M))."""
        dweights, dmemory = F.weighted_sum.backward(dcontext, cache.weighted_sum)
        dscores = F.masked_softmax.backward(dweights, cache.softmax)
        dquery, dkeys, *rest = self.score_op.backward(dscores, cache.scores)
        for weight, dweight in zip(self.weights(), rest, strict=True):
            weight.grad += dweight
        return dquery, dkeys, dmemory

    def describe(self) -> str:
        return self.kind
