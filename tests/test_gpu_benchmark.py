"""The GPU benchmark compares like with like, and says so where it cannot run. No times are tested.

Our side runs on the stand-in for CuPy, torch's on the processor.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minis2s.backend
from minis2s.errors import UserError
from minis2s.models import ModelConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu_benchmark(load):
    return load("gpu")


def small_case(gpu_benchmark, **options):
    rng = np.random.default_rng(0)
    batches = [gpu_benchmark.random_batch(rng, 9, 4, 3, 7) for _ in range(2)]
    return gpu_benchmark.Case("tiny", ModelConfig(**{"embed": 5, "hidden": 6, **options}), 9, 9, batches)


@pytest.mark.parametrize(
    "options",
    [{"bidirectional": False}, {"cell": "gru", "bidirectional": False}, {"layers": 2, "dropout": 0.3}],
    ids=str,
)
def test_both_sides_compute_the_same(gpu_benchmark, strict_xp, monkeypatch, options):
    pytest.importorskip("torch")
    waits = []
    monkeypatch.setattr(gpu_benchmark, "array_module", lambda name: strict_xp)
    monkeypatch.setattr(gpu_benchmark, "wait", waits.append)
    case = small_case(gpu_benchmark, **options)
    ours = gpu_benchmark.Ours(case)
    weights, loss, gradients = ours.reference()
    theirs = gpu_benchmark.torch_side(case, weights, False, device="cpu")
    errors = theirs.compare(loss, gradients)
    assert max(errors.values()) < gpu_benchmark.TOLERANCE
    first = next(name for name in gradients if name.endswith("Wx"))
    wrong = gradients | {first: 1.001 * gradients[first]}
    assert max(theirs.compare(loss, wrong).values()) > 1e-4
    strict_xp.transfers.reset()
    for batch in ours.batches:
        ours.step(batch)
    kinds = [kind for kind, _, _ in strict_xp.transfers.events]
    assert (kinds.count("to_host"), kinds.count("sync")) == (len(ours.batches), 0)
    assert waits == [strict_xp]  # once a pass
    for batch in theirs.batches:
        theirs.step(batch)
    if (
        not case.config.dropout
    ):  # the same two steps of Adam, nearly: torch adds up two biases of an LSTM, and moves both
        start = weights["decoder.output.W"]
        mine, other = ours.model.state()["decoder.output.W"], theirs.model.output.weight.detach().numpy().T
        assert np.abs(mine - other).mean() < 1e-4 < 1e-3 < np.abs(mine - start).mean()


def test_the_larger_cases_are_as_large_as_they_are_called(gpu_benchmark):
    case = gpu_benchmark.gpu_case("wide")
    assert case.config.hidden == 1024 and not case.config.bidirectional
    assert [batch.src.shape for batch in case.batches] == [(30, 256)] * 2
    assert gpu_benchmark.gpu_case("deep").config.layers == 2


def test_without_a_gpu_it_says_so_in_one_sentence():
    try:
        minis2s.backend.array_module("cupy")
    except UserError:
        done = subprocess.run([sys.executable, BENCHMARKS / "gpu.py"], capture_output=True, text=True)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("gpu: nothing is measured: ")
        assert done.stderr.count("\n") == 1 and "--backend" not in done.stderr
    else:
        pytest.skip("there is a GPU here")


def test_without_torch_on_a_gpu_it_says_so_in_one_sentence(gpu_benchmark, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_benchmark.why_no_torch().endswith("no GPU with cuDNN, so minis2s is measured alone.")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu_benchmark.why_no_torch().startswith("torch is not installed")


@pytest.mark.gpu
def test_it_runs_on_a_gpu(gpu, tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, BENCHMARKS / "gpu.py", "--cases", "small", "--rounds", "1", "--json", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| small |" in done.stdout and out.stat().st_size > 0
