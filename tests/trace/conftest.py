"""What the tests of the trace share: small models with all weights at work, and one traced step of them.

make_model(config)               a Seq2Seq whose biases and embeddings are far from zero
traced(config, ...)              one training step inside a trace: (tape, model, batch, loss, cache)
"""

from typing import NamedTuple

import numpy as np
import pytest

import minis2s
from minis2s import Batch, Example, ModelConfig, Seq2Seq, Tape, make_batch

SOURCE, TARGET = 11, 9  # sizes of the vocabularies


class Step(NamedTuple):
    tape: Tape
    model: Seq2Seq
    batch: Batch
    loss: float
    cache: tuple


def _model(config: ModelConfig, dtype=np.float64, seed: int = 0) -> Seq2Seq:
    rng = np.random.default_rng(seed)
    model = Seq2Seq(config, SOURCE, TARGET, rng=rng, dtype=dtype)
    for p in model.parameters().values():
        p.data += 0.3 * rng.standard_normal(p.data.shape).astype(dtype)
    return model


def _batch(sentences: int = 4, longest: int = 6, seed: int = 1) -> Batch:
    rng = np.random.default_rng(seed)

    def side(size: int) -> list[int]:
        return rng.integers(4, size, rng.integers(1, longest)).tolist()

    return make_batch([Example(side(SOURCE), side(TARGET)) for _ in range(sentences)])


def _traced(
    config, *, dtype=np.float64, sentences=4, longest=6, dloss=0.7, reset_after=True, **options
) -> Step:
    model, batch = _model(config, dtype), _batch(sentences, longest)
    if not reset_after:
        for layer in [*model.encoder.rnn.layers, *model.decoder.cells.layers]:
            layer.reset_after = False
    with minis2s.trace(model) as tape:
        loss, cache = model.loss(batch, rng=np.random.default_rng(3), **options)
        model.backward(dloss, cache)
    return Step(tape, model, batch, loss, cache)


@pytest.fixture(scope="session")
def make_model():
    return _model


@pytest.fixture(scope="session")
def some_batch():
    return _batch


@pytest.fixture(scope="session")
def traced():
    return _traced
