"""The model of what a step costs counts what there is, and its rates are found again. No times are tested."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minis2s.models import ModelConfig, Seq2Seq

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scaling(load):
    return load("scaling")


@pytest.mark.parametrize("V", [5, 11], ids=["few symbols", "many symbols"])
def test_it_counts_the_multiplications_of_the_floor(scaling, load, counted, V):
    """speed_floor.py makes the matrix products of a step; they are counted at np.matmul."""
    size = scaling.Size(T=6, H=8, V=V, B=3, E=5)
    side = load("speed_floor").Floor(scaling.case_of(size))
    assert counted(lambda: side.step(side.batches[0])) == scaling.multiplications(size)


def test_it_counts_the_weights_of_the_model(scaling):
    size = scaling.Size(T=6, H=8, V=11, B=3, E=5)
    config = ModelConfig(bidirectional=False, embed=5, hidden=8)
    assert scaling.weights(size) == Seq2Seq(config, 11, 11, rng=np.random.default_rng(0)).count()


def test_rates_are_found_again(scaling):
    """All of them, and none below zero where the times are not those of the model."""
    work = [scaling.work_of_step(s) for s in scaling.CORNERS]
    costs = {"flops": 2e-11, "bytes": 3e-10, "weight bytes": 1e-10, "loop steps": 5e-5}
    found = scaling.fit(work, [scaling.predict(w, costs) for w in work])
    assert all(abs(found[kind] / costs[kind] - 1) < 1e-6 for kind in costs)
    wrong = costs | {"loop steps": -1e-6}
    found = scaling.fit(work, [scaling.predict(w, wrong) for w in work])
    assert found["loop steps"] == 0 and min(found.values()) >= 0


def test_the_sum_moves_less_than_twice_the_gradients_however_many_ranks(scaling):
    bytes_of = [scaling.work_of_sum(scaling.BASE, ranks)["summed bytes"] for ranks in (1, 2, 1000)]
    gradients = 4 * scaling.weights(scaling.BASE)
    assert bytes_of[:2] == [0, 4 * gradients] and bytes_of[2] < 5 * gradients


def test_a_process_of_the_benchmark_prints_its_figures():
    sizes = json.dumps([[3, 4, 9, 2, 5], [3, 6, 9, 2, 5]])
    command = [sys.executable, BENCHMARKS / "scaling.py", "--rank", sizes, "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert all(row["step"] > row["sum"] >= 0 < row["processor"] for row in json.loads(done.stdout))
