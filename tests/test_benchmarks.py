"""The benchmarks compare like with like: what is timed computes the same. No times are tested."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minis2s.data import Example, make_batch
from minis2s.models import ModelConfig, Seq2Seq

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """load(NAME): the module benchmarks/NAME.py; the scripts there import each other by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def module(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return module


def test_the_engine_of_step_objects_has_our_loss_and_gradients(load):
    rng = np.random.default_rng(0)
    config = ModelConfig(bidirectional=False, embed=5, hidden=6)
    model = Seq2Seq(config, 11, 13, rng=rng, dtype=np.float64)
    for p in model.parameters().values():  # no bias may be zero
        p.data += 0.3 * rng.normal(size=p.data.shape)

    def sentence(V: int, length: int) -> list[int]:
        return rng.integers(4, V, length).tolist()

    batch = make_batch([Example(sentence(11, 7), sentence(13, 5)) for _ in range(4)])
    loss, cache = model.loss(batch)
    model.backward(1.0, cache)

    book = load("speed_book").BookModel(model.state())
    found = book.forward(batch.src.T, batch.tgt_in.T, batch.tgt_out.T)
    book.backward()

    assert abs(found - loss) < 1e-9
    ours = {name: p.grad for name, p in model.parameters().items()}
    assert set(book.names) == set(ours)
    for name, grad in zip(book.names, book.grads, strict=True):
        assert grad.shape == ours[name].shape
        assert np.abs(grad - ours[name]).max() < 1e-9, name
        assert np.abs(ours[name]).max() > 1e-4, name  # not vacuous
