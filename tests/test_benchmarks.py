"""The benchmarks compare like with like: what is timed computes the same. No times are tested."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minis2s.data import Example, make_batch
from minis2s.models import ModelConfig, Seq2Seq

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


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


def small_case(load, *, shortest: int = 3, **options):
    """A Case of two batches of 4 pairs, with lengths from `shortest` to 7."""
    cases = load("speed_cases")
    rng = np.random.default_rng(0)
    batches = [cases.random_batch(rng, 9, 4, shortest, 7) for _ in range(2)]
    config = ModelConfig(**{"embed": 5, "hidden": 6, **options})
    return cases.Case("tiny", config, 9, 9, batches)


MODELS = (
    {"bidirectional": False},
    {"bidirectional": True},
    {"cell": "gru", "bidirectional": True},
    {"layers": 2, "dropout": 0.3},
    {"layers": 2, "cell": "gru"},
)


@pytest.mark.parametrize("options", MODELS, ids=str)
def test_torch_has_our_loss_and_gradients(load, options):
    pytest.importorskip("torch")
    case = small_case(load, **options)
    weights, loss, gradients = load("speed_ours").Ours(case).reference()
    side = load("speed_torch").Torch(case, weights, 0.001, 5.0)
    errors = side.compare(loss, gradients)
    blind = {name for name in errors if not errors[name] < 1e-9}
    assert not blind, errors
    first = next(name for name in gradients if name.endswith("Wx"))
    wrong = gradients | {first: 1.001 * gradients[first]}
    assert max(side.compare(loss, wrong).values()) > 1e-4
    for batch in side.batches:
        side.step(batch)  # with dropout, clipping and Adam


@pytest.mark.parametrize("endless", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_torch_finds_our_texts(load, cell, endless):
    pytest.importorskip("torch")
    case = small_case(load, cell=cell)
    rng = np.random.default_rng(3)
    model = Seq2Seq(case.config, 9, 9, rng=rng, dtype=np.float64)
    weights = {name: a + 0.5 * rng.normal(size=a.shape) for name, a in model.state().items()}
    beam = load("speed_beam")
    if endless:
        weights["decoder.output.b"][beam.EOS] = -1000
    ours = beam.Beam(case, weights, endless, np.float64)
    theirs = load("speed_beam_torch").TorchBeam(case, weights, endless)
    lengths = set()
    for a, b in zip(ours.batches, theirs.batches, strict=True):
        for (text, score), (other, other_score) in zip(ours.step(a), theirs.step(b), strict=True):
            assert text == other
            assert abs(score - other_score) < 1e-9
            lengths.add(len(text))
    assert (len(lengths) == 1) == endless


@pytest.mark.parametrize("options", MODELS, ids=str)
def test_the_floor_multiplies_what_the_model_needs(load, options, counted):
    """Multiplications and additions, counted at np.matmul, against the sum on paper."""
    case = small_case(load, **options)
    side = load("speed_floor").Floor(case)
    found = counted(lambda: [side.step(batch) for batch in side.batches])

    c, H, V = case.config, case.config.hidden, case.V_target
    gates = {"lstm": 4, "gru": 3}[c.cell]
    expected = 0
    for batch in case.batches:
        N_source, N = int(batch.src_mask.sum()), int(batch.tgt_mask.sum())
        rectangle = batch.src.shape[0] * batch.tgt_in.size
        for n in range(c.layers):
            D = c.embed if n == 0 else H
            for tokens, size, layers in (
                (N_source, H // 2 if c.bidirectional else H, 2 if c.bidirectional else 1),
                (N, H, 1),
            ):
                inputs = 3 * tokens * D
                if n == 0 and not c.dropout:  # of 9 symbols, or of all tokens
                    inputs = min(inputs, 3 * V * D + tokens * V)
                expected += (inputs + 3 * tokens * size) * gates * size * layers
        expected += 3 * N * (H * H + 2 * H * H + H * V) + 6 * rectangle * H
    assert found == expected


def test_the_floor_looks_up_what_the_engine_looks_up(load):
    """Else it would be no floor: the engine would multiply less."""
    cases, floor = load("speed_cases"), load("speed_floor")
    for name in ("small", "medium", "words", "deep"):
        case = cases.make_case(name)
        model = load("speed_ours").Ours(case).model
        for batch in case.batches:
            for embedding, ids, symbols in zip(
                (model.encoder.embedding, model.decoder.embedding),
                (batch.src, batch.tgt_in),
                floor.symbols(case, batch),
                strict=True,
            ):
                looked_up = embedding.lookup_pays(ids) and not case.config.dropout
                assert symbols is not None or not looked_up, name


@pytest.mark.parametrize("options", MODELS, ids=str)
def test_what_the_caches_must_hold_is_not_more_than_they_hold(load, options):
    memory = load("speed_memory")
    case = small_case(load, shortest=7, **options)  # no padding
    side = memory.Memory(case)
    must = memory.needed(case.config, case.batches[0], case.V_target)
    assert 0.7 * side.held() < must <= side.held()
    assert side.peak() >= must


def test_absent_data_are_told(load, capsys, tmp_path):
    cases = load("speed_cases")
    assert cases.make_case("cmudict") is None
    assert cases.make_case("tatoeba", data=tmp_path) is None
    told = capsys.readouterr().out
    assert "SKIPPED: cmudict needs --data DIR" in told
    assert f"SKIPPED: tatoeba needs {tmp_path / 'tatoeba_fra' / 'train.tsv'}" in told


def test_batches_without_padding_have_about_as_many_tokens(load):
    case = small_case(load, shortest=1)
    flat = load("speed_step").without_padding(case)
    for ragged, full in zip(case.batches, flat.batches, strict=True):
        assert ragged.src.shape[1] == full.src.shape[1]
        for a, b in ((ragged.src_mask, full.src_mask), (ragged.tgt_mask, full.tgt_mask)):
            assert b.all() and abs(int(a.sum()) - b.size) <= b.shape[1] / 2


def run_speed(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, BENCHMARKS / "speed.py", *arguments], capture_output=True, text=True, timeout=300
    )


def test_a_step_is_measured_and_drawn(load, tmp_path):
    """The whole way with three processes, on a tiny model; the times themselves are nobody's business."""
    case = small_case(load, shortest=7, bidirectional=False)
    options = argparse.Namespace(rounds=2, rivals=["book"])
    result, spent = load("speed_step").measure_step(case, 1, options)
    assert set(spent) == {"ours", "floor", "book"}
    assert all(len(turns) == 2 and all(t.seconds > 0 for t in turns) for turns in spent.values())
    assert set(result["ratios"]) == {"floor", "book"}
    load("speed_plot").plot_step([result], tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 1000


def test_the_command_prints_and_writes(tmp_path):
    done = run_speed("start", "--rounds", "1", "--json", str(tmp_path / "speed.json"))
    assert done.returncode == 0, done.stderr
    assert "| import minis2s |" in done.stdout
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["machine"]["OPENBLAS_NUM_THREADS"] == "1"
    assert len(report["start"]) == 7


def test_an_unknown_part_is_refused():
    done = run_speed("stpe")
    assert done.returncode == 2
    assert "unknown part 'stpe': choose some of step, threads" in done.stderr
