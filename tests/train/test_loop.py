"""The training loop: it learns, it stops when it should, and a resumed run is the unbroken one."""

import csv
import errno
import math
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from minis2s import optim
from minis2s.data import Pair, make_batch
from minis2s.decode import Hypothesis
from minis2s.errors import UserError
from minis2s.models import ModelConfig
from minis2s.train.checkpoint import load_checkpoint
from minis2s.train.config import TrainConfig, make_optimizer
from minis2s.train.loop import Diverged, Trainer
from minis2s.train.metrics import edits_to_closest
from minis2s.train.translator import Translator

WORDS = [a + b + c for a in "abcd" for b in "abcd" for c in "abcd"]
PAIRS = [Pair(word, (word[::-1],)) for word in WORDS]
# some shorter ones among them, so that batches are ragged; one with two right answers
RAGGED = [*PAIRS[:20], Pair("a", ("a",)), Pair("", ("",)), Pair("cb", ("bc", "b"))]
DEV = [Pair("abc", ("cba",)), Pair("dd", ("dd",)), Pair("bca", ("acb", "a"))]


def make_translator(pairs=RAGGED, **config) -> Translator:
    options = {"embed": 5, "hidden": 6} | config
    return Translator.for_pairs(pairs, ModelConfig(**options), seed=1)


def make_trainer(
    out=None, *, model: dict | None = None, train_pairs=RAGGED, dev_pairs=DEV, **config
) -> Trainer:
    options = {"epochs": 3, "batch_tokens": 30, "evaluations": 4, "warmup": 3} | config
    translator = make_translator(**(model or {}))
    return Trainer(translator, train_pairs, dev_pairs, TrainConfig(**options), out=out)


def weights_of(trainer: Trainer) -> dict[str, np.ndarray]:
    return trainer.model.state()


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def before_update(trainer: Trainer, monkeypatch, action) -> None:
    """Have `action` called at the start of every update."""
    update = trainer.update

    def wrapped(batch):
        action()
        update(batch)

    monkeypatch.setattr(trainer, "update", wrapped)


# -- learning -------------------------------------------------------------------------------------


def test_it_learns_to_reverse(tmp_path):
    translator = Translator.for_pairs(PAIRS, ModelConfig(embed=16, hidden=32), seed=0)
    config = TrainConfig(epochs=60, batch_tokens=64, lr=0.01, warmup=20, evaluations=6)
    trainer = Trainer(translator, PAIRS, PAIRS, config, out=tmp_path)
    trainer.run(quiet=True)
    assert trainer.best["dev_exact"] > 0.95
    right = [found[0].text == w[::-1] for w, found in zip(WORDS, translator.translate(WORDS), strict=True)]
    assert np.mean(right) == trainer.best["dev_exact"]
    losses = [row["train_loss"] for row in trainer.history]
    assert losses[-1] < 0.1 and losses[0] > 1
    assert same(weights_of(trainer), Translator.load(tmp_path).model.state())


def test_one_seed_one_run():
    runs = []
    for seed in (5, 5, 6):
        trainer = make_trainer(seed=seed, teacher_forcing=0.7, model={"dropout": 0.2})
        trainer.run(quiet=True)
        runs.append((without_seconds(trainer.history), weights_of(trainer)))
    assert runs[0][0] == runs[1][0] and same(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_every_example_once_an_epoch():
    trainer = make_trainer()
    n = sum(len(pair.targets) for pair in RAGGED)
    seen = []
    for _ in range(2):
        seen.append([i for _ in range(len(trainer.batches)) for i in trainer.next_batch().index.tolist()])
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(n))
    assert seen[0] != seen[1]
    assert trainer.epoch == 1
    assert trainer.total == 3 * len(trainer.batches)


def test_what_a_row_of_the_history_says(monkeypatch):
    trainer = make_trainer()
    made = []
    gradient = trainer.workers.gradient

    def recording(batch, **options):
        loss, tokens = gradient(batch, **options)
        made.append((float(loss), tokens, optim.global_norm(trainer.parameters)))
        return loss, tokens

    monkeypatch.setattr(trainer.workers, "gradient", recording)
    trainer.run(quiet=True)
    total = trainer.total
    assert [row["step"] for row in trainer.history] == [math.ceil(total * k / 4) for k in (1, 2, 3, 4)]
    start = 0
    for row in trainer.history:
        part = made[start : row["step"]]
        start = row["step"]
        tokens = sum(n for _, n, _ in part)
        assert row["train_loss"] == pytest.approx(sum(loss * n for loss, n, _ in part) / tokens, rel=1e-12)
        assert row["tokens"] == sum(n for _, n, _ in made[:start])
        assert row["gradient_norm"] == part[-1][2]
        assert row["epoch"] == pytest.approx(start / len(trainer.batches), rel=1e-12)
        assert row["teacher_forcing"] == 1.0
    assert trainer.best == min(trainer.history, key=lambda row: row["dev_error_rate"])


def test_more_evaluations_than_steps():
    trainer = make_trainer(evaluations=1000)
    trainer.run(quiet=True)
    assert [row["step"] for row in trainer.history] == list(range(1, trainer.total + 1))


def test_score_of_the_dev_data():
    """Loss per token over all batches, edits to the closest right answer, share of exact ones."""
    for threads in (1, 2):
        trainer = make_trainer(threads=threads)
        translator = trainer.translator
        dev_loss, error_rate, exact = trainer.score_dev()
        loss, _ = trainer.model.loss(make_batch(trainer.dev))
        assert dev_loss == pytest.approx(float(loss), rel=1e-5)
        outputs = [found[0].text for found in translator.translate([pair.source for pair in DEV])]
        edits = [
            edits_to_closest(list(o), [list(t) for t in p.targets]) for o, p in zip(outputs, DEV, strict=True)
        ]
        assert error_rate == sum(e for e, _ in edits) / sum(n for _, n in edits)
        assert exact == np.mean([o in pair.targets for o, pair in zip(outputs, DEV, strict=True)])
        trainer.workers.close()


def test_score_of_outputs_known_beforehand(monkeypatch):
    """Right, one edit away, and right by the second answer."""
    trainer = make_trainer()
    outputs = {"abc": "cba", "dd": "d", "bca": "a"}
    encode = trainer.translator.target.encode

    def search(batch):
        return [[Hypothesis(encode(outputs[DEV[i].source]), 0.0, 0.0, True)] for i in batch.index]

    monkeypatch.setattr(trainer.translator, "search", search)
    _, error_rate, exact = trainer.score_dev()
    assert error_rate == 1 / (3 + 2 + 1) and exact == 2 / 3


def test_only_the_first_dev_sentences_count():
    trainer = make_trainer(dev_sentences=2)
    assert len(trainer.dev) == len(trainer.dev_references) == 2


def test_gradients_are_clipped_before_the_step(monkeypatch):
    trainer = make_trainer(clip=0.01)
    norms = []
    step = trainer.optimizer.step

    def recording(*spread):
        norms.append(optim.global_norm(trainer.parameters))
        step(*spread)

    monkeypatch.setattr(trainer.optimizer, "step", recording)
    trainer.run(quiet=True)
    assert len(norms) == trainer.total
    np.testing.assert_allclose(norms, 0.01, rtol=1e-5)
    assert min(row["gradient_norm"] for row in trainer.history) > 0.01  # the figure shown is that before


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = make_trainer()
    trainer.run(quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_the_model_ends_with_its_best_weights(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path)
    states, errors = [], iter([0.5, 0.2, 0.2, 0.4])

    def score():
        states.append(weights_of(trainer))
        return 1.0, next(errors), 0.0

    monkeypatch.setattr(trainer, "score_dev", score)
    trainer.run(quiet=True)
    assert trainer.best is trainer.history[1]  # the first of two equally good ones
    assert same(weights_of(trainer), states[1]) and not same(states[1], states[3])
    assert same(Translator.load(tmp_path).model.state(), states[1])
    last = load_checkpoint(tmp_path / "last.npz")[0]
    assert same({n.removeprefix("model/"): a for n, a in last.items() if n.startswith("model/")}, states[3])


def test_history_as_a_table(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.run(quiet=True)
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(trainer.history) == 4
    for row, expected in zip(rows, trainer.history, strict=True):
        assert list(row) == list(expected)
        assert {name: float(value) for name, value in row.items()} == pytest.approx(expected, rel=1e-5)


# -- the end of a run -----------------------------------------------------------------------------


def test_patience(monkeypatch):
    trainer = make_trainer(evaluations=9, epochs=10, patience=2)
    errors = iter([0.5, 0.4, 0.45, 0.3, 0.3, 0.3, 0.1])
    monkeypatch.setattr(trainer, "score_dev", lambda: (1.0, next(errors), 0.0))
    trainer.run(quiet=True)
    assert [row["dev_error_rate"] for row in trainer.history] == [0.5, 0.4, 0.45, 0.3, 0.3, 0.3]
    assert not trainer.interrupted and trainer.step < trainer.total


def test_minutes_end_the_run(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("minis2s.train.ranks.time", SimpleNamespace(perf_counter=lambda: clock.now))
    trainer = make_trainer(epochs=None, minutes=0.5, evaluations=3, warmup=1)
    rates = []

    def tick():
        clock.now += 1
        rates.append(trainer.optimizer.lr)  # of the step before

    before_update(trainer, monkeypatch, tick)
    trainer.run(quiet=True)
    assert trainer.step == 30
    assert [row["step"] for row in trainer.history] == [10, 20, 30]
    assert [row["seconds"] for row in trainer.history] == [10, 20, 30]
    # the planned end comes from the clock, and the learning rate falls in a straight line towards it
    np.testing.assert_allclose(rates[5:], [0.002 * (1 - s / 30) for s in range(4, 29)], atol=0.002 / 15)


@pytest.mark.parametrize("minutes", [1e308, 1e-300])
def test_planned_steps_when_the_clock_is_of_no_use(minutes):
    trainer = make_trainer(epochs=None, minutes=minutes)
    trainer.step = 1
    assert trainer.planned_steps() == (10**9 if minutes > 1 else 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_trainer_runs_once(threads):
    trainer = make_trainer(epochs=1, threads=threads)
    trainer.run(quiet=True)
    with pytest.raises(RuntimeError, match="a Trainer runs once: to go on, make a new one"):
        trainer.run(quiet=True)


def test_dev_batches_hold_few_sentences_where_they_are_long(monkeypatch):
    areas = []
    trainer = make_trainer(dev_pairs=[Pair("ab" * 30, ("ba" * 30,))] * 9, batch_tokens=50)
    search = trainer.translator.search
    monkeypatch.setattr(
        trainer.translator, "search", lambda batch: areas.append(batch.src.size) or search(batch)
    )
    trainer.score_dev()
    assert len(areas) == 3 and max(areas) <= 4 * 50


def test_a_budget_that_is_gone_at_once_still_gives_an_evaluation(tmp_path):
    trainer = make_trainer(tmp_path, epochs=None, minutes=1e-9)
    trainer.run(quiet=True)
    assert trainer.step == 0 and len(trainer.history) == 1
    assert (tmp_path / "best.npz").exists() and (tmp_path / "history.csv").exists()


def test_whichever_end_comes_first():
    trainer = make_trainer(epochs=1, minutes=1000)
    trainer.run(quiet=True)
    assert trainer.step == trainer.total == len(trainer.batches)


# -- Ctrl-C and resuming --------------------------------------------------------------------------

# not one token is ever right, so the error rate is always 1, and the plateau lowers the learning rate
HOPELESS = [Pair("abc", ("z" * 40,))]
HARD = {"teacher_forcing": 0.6, "forcing_decay": "linear", "smoothing": 0.1}
RUNS = {
    "adam, 2 threads": {"threads": 2, "model": {"dropout": 0.3}, **HARD},
    "sgd, plateau": {
        "optimizer": "sgd",
        "lr": 0.3,
        "schedule": "plateau",
        "evaluations": 12,
        "epochs": 8,
        "dev_pairs": HOPELESS,
    },
    "adamw, cosine": {
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "schedule": "cosine",
        "model": {"layers": 2},
    },
}


@pytest.fixture(scope="module", params=RUNS)
def unbroken(request, tmp_path_factory):
    """The options of a run, and that run from start to end."""
    options = RUNS[request.param]
    trainer = make_trainer(tmp_path_factory.mktemp("unbroken"), **options)
    trainer.run(quiet=True)
    if trainer.plateau is not None:  # its memory matters
        rates = [row["lr"] for row in trainer.history]
        assert rates[0] == 0.3 and rates[-1] == 0.3 / 8 and len(set(rates)) == 4
    return options, trainer


def assert_same_end(trainer: Trainer, unbroken: Trainer) -> None:
    """Equal histories but for the clock, equal weights, and equal files, bit for bit."""
    assert without_seconds(trainer.history) == without_seconds(unbroken.history)
    assert same(weights_of(trainer), weights_of(unbroken))
    (arrays, meta), (expected, expected_meta) = (
        load_checkpoint(t.out / "last.npz") for t in (trainer, unbroken)
    )
    assert same(arrays, expected)
    assert meta["rngs"] == expected_meta["rngs"] and meta["epoch_start"] == expected_meta["epoch_start"]
    assert meta["plateau"] == expected_meta["plateau"] and meta["losses"] == expected_meta["losses"]


def test_interrupted_twice_and_resumed_it_is_the_unbroken_run(tmp_path, unbroken):
    options, expected = unbroken
    per_epoch = len(expected.batches)
    # in the middle of the first epoch, then after the last but one; the first part starts anew, the rest resume
    for n, stop in enumerate((per_epoch // 2 + 1, expected.total - per_epoch, None)):
        trainer = make_trainer(tmp_path, **options)
        if n > 0:
            trainer.load()
        with pytest.MonkeyPatch.context() as monkeypatch:

            def ctrl_c(trainer=trainer, stop=stop):
                if trainer.step + 1 == stop:
                    signal.raise_signal(signal.SIGINT)

            before_update(trainer, monkeypatch, ctrl_c)
            trainer.run(quiet=True)
        assert trainer.interrupted == (stop is not None)
        if stop is not None:
            assert trainer.step == stop  # the step was finished
    assert_same_end(trainer, expected)


def test_killed_without_a_word_it_goes_on_from_the_last_evaluation(tmp_path, unbroken):
    options, expected = unbroken
    trainer = make_trainer(tmp_path, **options)
    first, second = (row["step"] for row in expected.history[1:3])
    kill_at = first + 1
    assert kill_at < second

    class Killed(BaseException):
        pass

    with pytest.MonkeyPatch.context() as monkeypatch:

        def kill():
            if trainer.step == kill_at:
                raise Killed

        before_update(trainer, monkeypatch, kill)
        with pytest.raises(Killed):
            trainer.run(quiet=True)
    resumed = make_trainer(tmp_path, **options)
    resumed.load()
    assert resumed.step == first
    resumed.run(quiet=True)
    assert_same_end(resumed, expected)


def test_a_finished_run_resumed_stays_as_it_is(tmp_path):
    make_trainer(tmp_path).run(quiet=True)
    before = load_checkpoint(tmp_path / "last.npz")[0]
    again = make_trainer(tmp_path)
    again.load()
    again.run(quiet=True)
    assert same(load_checkpoint(tmp_path / "last.npz")[0], before)
    assert same(weights_of(again), Translator.load(tmp_path).model.state())
    assert len(again.history) == 4


def test_a_run_may_be_given_a_later_end(tmp_path):
    make_trainer(tmp_path, schedule="constant", warmup=1).run(quiet=True)
    longer = make_trainer(tmp_path, schedule="constant", warmup=1, epochs=5)
    longer.load()
    longer.run(quiet=True)
    assert longer.step == longer.total == 5 * len(longer.batches)
    assert longer.history[-1]["step"] == longer.step and len(longer.history) > 4
    # the first three epochs were those of a run that was meant to have five
    straight = make_trainer(schedule="constant", warmup=1, epochs=5)
    straight.run(quiet=True)
    last = load_checkpoint(tmp_path / "last.npz")[0]
    for name, p in straight.optimizer.state().items():
        np.testing.assert_array_equal(last[f"optimizer/{name}"], p)


def test_seconds_go_on_counting(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("minis2s.train.ranks.time", SimpleNamespace(perf_counter=lambda: clock.now))

    def tick():
        clock.now += 2

    first = make_trainer(tmp_path)
    before_update(first, monkeypatch, tick)
    first.run(quiet=True)
    clock.now += 5000  # between the two runs, and while the data are read
    second = make_trainer(tmp_path, epochs=4)
    second.load()
    clock.now += 70
    before_update(second, monkeypatch, tick)
    second.run(quiet=True)
    assert second.history[-1]["seconds"] == 2 * second.step


def test_a_trainer_goes_on_where_another_was_stopped(tmp_path, monkeypatch):
    config = TrainConfig(epochs=3, batch_tokens=30, evaluations=4)
    whole = Trainer(make_translator(), RAGGED, DEV, config, out=tmp_path / "a")
    whole.run(quiet=True)
    update = Trainer.update

    def stopping(self, batch):
        update(self, batch)
        if self.step == 4:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "update", stopping)
    stopped = Trainer(make_translator(), RAGGED, DEV, config, out=tmp_path / "b")
    stopped.run(quiet=True)
    assert stopped.interrupted
    monkeypatch.undo()
    resumed = Trainer(make_translator(), RAGGED, DEV, config, out=tmp_path / "b")
    resumed.load()
    resumed.run(quiet=True)
    assert_same_end(resumed, whole)


def test_a_second_ctrl_c_does_not_wait(monkeypatch):
    trainer = make_trainer()

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    before_update(trainer, monkeypatch, twice)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(quiet=True)
    assert trainer.step == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_of_before_comes_back():
    before = signal.getsignal(signal.SIGINT)
    make_trainer(epochs=1).run(quiet=True)
    assert signal.getsignal(signal.SIGINT) is before


def test_it_runs_outside_the_main_thread():
    trainer = make_trainer(epochs=1)
    thread = threading.Thread(target=trainer.run, kwargs={"quiet": True})
    thread.start()
    thread.join(timeout=30)
    assert trainer.step == trainer.total and trainer.history


def test_no_thread_is_left_behind(monkeypatch):
    before = threading.active_count()
    make_trainer(epochs=1, threads=3).run(quiet=True)
    assert threading.active_count() == before
    broken = make_trainer(epochs=1, threads=3)
    monkeypatch.setattr(broken.optimizer, "step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.run(quiet=True)
    assert threading.active_count() == before


# -- what resuming refuses ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    make_trainer(folder).run(quiet=True)
    return folder


@pytest.mark.parametrize(
    "change, words",
    [
        ({"train_pairs": [*RAGGED, Pair("b", ("b",))]}, "other training or dev data"),
        ({"train_pairs": RAGGED[::-1]}, "other training or dev data"),
        ({"dev_pairs": DEV[:2]}, "other training or dev data"),
        ({"dev_pairs": [*DEV[:2], Pair("bca", ("acb", "b"))]}, "other training or dev data"),
        ({"threads": 2}, "made with threads 1, not 2"),
        ({"batch_tokens": 40}, "made with batch_tokens 30, not 40"),
        ({"seed": 1}, "made with seed 0, not 1"),
        ({"lr": 0.1}, "made with lr 0.002, not 0.1"),
        ({"betas": (0.8, 0.99)}, r"made with betas \[0.9, 0.99\], not \[0.8, 0.99\]"),
        ({"optimizer": "sgd"}, "made with optimizer adam, not sgd"),
        ({"schedule": "plateau"}, "made with schedule linear, not plateau"),
        ({"model": {"dropout": 0.1}}, "made with dropout 0.0, not 0.1"),
        ({"model": {"hidden": 8}}, "made with hidden 6, not 8"),
        ({"model": {"pairs": [*RAGGED, Pair("xyz", ("x",))]}}, "another model or optimizer: weight"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_resuming_another_run_is_refused(finished, change, words):
    trainer = make_trainer(finished, **change)
    before = weights_of(trainer)
    with pytest.raises(UserError, match=words):
        trainer.load()
    trainer.workers.close()
    assert same(weights_of(trainer), before) and trainer.step == 0


def test_resuming_from_nothing_is_refused(tmp_path, finished):
    with pytest.raises(UserError, match="give out"):
        make_trainer().load()
    with pytest.raises(UserError, match="last.npz: there is no such file"):
        make_trainer(tmp_path / "new").load()
    (tmp_path / "last.npz").write_bytes((finished / "best.npz").read_bytes())
    with pytest.raises(UserError, match="not the state of a training run"):
        make_trainer(tmp_path).load()
    (tmp_path / "last.npz").write_bytes((finished / "last.npz").read_bytes()[:-500])
    with pytest.raises(UserError, match="cut short or damaged"):
        make_trainer(tmp_path).load()


# -- things that go wrong -------------------------------------------------------------------------


def spoil_gradients_at(trainer: Trainer, monkeypatch, step: int, value: float) -> list[dict]:
    """From `step` on, one gradient is `value`; returns a list that gets the weights before each step."""
    gradient = trainer.workers.gradient
    states = []

    def spoilt(batch, **options):
        states.append(weights_of(trainer))
        result = gradient(batch, **options)
        if trainer.step + 1 >= step:
            trainer.parameters["decoder.output.W"].grad[0, 0] = value
        return result

    monkeypatch.setattr(trainer.workers, "gradient", spoilt)
    return states


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_no_number_stops_the_run(tmp_path, monkeypatch, value):
    trainer = make_trainer(tmp_path, evaluations=100)
    states = spoil_gradients_at(trainer, monkeypatch, 3, value)
    with pytest.raises(
        Diverged, match=r"stopped at step 3: the loss is \d.* gradient norm (nan|inf)"
    ) as caught:
        trainer.run(quiet=True)
    assert f"last good checkpoint is {tmp_path / 'last.npz'}" in str(caught.value)
    assert "smaller learning rate" in str(caught.value)
    assert trainer.step == 2 and len(trainer.history) == 2
    assert same(weights_of(trainer), states[2])  # untouched by the step that went wrong
    resumed = make_trainer(tmp_path, evaluations=100)
    resumed.load()
    assert resumed.step == 2 and same(weights_of(resumed), states[2])


def test_a_divergence_before_any_checkpoint_says_so(tmp_path, monkeypatch):
    (tmp_path / "last.npz").write_text("of an older run")
    for out in (None, tmp_path):
        trainer = make_trainer(out)
        spoil_gradients_at(trainer, monkeypatch, 1, math.nan)
        with pytest.raises(Diverged, match="stopped at step 1.*nothing was saved yet"):
            trainer.run(quiet=True)


def test_weights_that_an_update_spoilt_are_never_saved(tmp_path, monkeypatch):
    """The step looks fine, the weights after it are not, and then comes an evaluation."""
    trainer = make_trainer(tmp_path, evaluations=100, threads=2)
    step = trainer.optimizer.step

    def spoiling(*spread):
        step(*spread)
        if trainer.step == 2:
            trainer.parameters["decoder.output.W"].data[...] = math.nan

    monkeypatch.setattr(trainer.optimizer, "step", spoiling)
    # counted from 1: it was the third step that spoilt them
    with pytest.raises(Diverged, match=r"stopped at step 3: the loss on the dev data is nan and .* norm \d"):
        trainer.run(quiet=True)
    arrays, meta = load_checkpoint(tmp_path / "last.npz")
    assert meta["step"] == 2 and all(np.isfinite(a).all() for a in arrays.values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_far_too_large(tmp_path):
    trainer = make_trainer(
        tmp_path, optimizer="sgd", lr=1e38, warmup=1, clip=1e30, schedule="constant", evaluations=1000
    )
    with pytest.raises(Diverged, match="smaller learning rate .it was 1e.38"):
        trainer.run(quiet=True)
    if trainer.history:
        arrays, _ = load_checkpoint(tmp_path / "last.npz")
        assert all(np.isfinite(a).all() for a in arrays.values())


def fail_writing(monkeypatch, code: int) -> None:
    def refuse(*args):
        raise OSError(code, "refused")

    monkeypatch.setattr("minis2s.files.os.fsync", refuse)


@pytest.mark.parametrize("code, words", [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_a_disk_that_fails_leaves_the_checkpoint_of_before(tmp_path, monkeypatch, code, words):
    trainer = make_trainer(tmp_path, threads=2)
    evaluate = trainer.evaluate
    kept = {}

    def then_the_disk_fails():
        row = evaluate()
        if len(trainer.history) == 2:
            kept.update({path.name: path.read_bytes() for path in tmp_path.iterdir()})
            fail_writing(monkeypatch, code)
        return row

    monkeypatch.setattr(trainer, "evaluate", then_the_disk_fails)
    with pytest.raises(UserError, match=words):
        trainer.run(quiet=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert set(kept) == {"last.npz", "best.npz", "history.csv"}
    resumed = make_trainer(tmp_path, threads=2)
    resumed.load()
    assert len(resumed.history) == 1
    resumed.run(quiet=True)
    assert len(resumed.history) == 4


def test_a_folder_that_cannot_be_made_is_said_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="cannot make the folder"):
            make_trainer(out)
    make_trainer(tmp_path / "deep" / "run")
    assert (tmp_path / "deep" / "run").is_dir()


@pytest.mark.parametrize("data", [{"train_pairs": []}, {"dev_pairs": []}])
def test_no_data_no_training(data):
    with pytest.raises(UserError, match="at least one pair to learn from and one to evaluate on, got"):
        make_trainer(**data)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"epochs": None}, "needs an end"),
        ({"epochs": 0}, "epochs must be above 0, got 0"),
        ({"minutes": -1}, "minutes must be above 0, got -1"),
        ({"lr": math.nan}, "lr must be above 0, got nan"),
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"clip": 0}, "clip"),
        ({"evaluations": 0}, "evaluations"),
        ({"dev_sentences": 0}, "dev_sentences"),
        ({"patience": 0}, "patience must be above 0, got 0"),
        ({"threads": 0}, "threads"),
        ({"optimizer": "adamm"}, "one of sgd, adam, adamw, got 'adamm'"),
        ({"schedule": "cosin"}, "one of constant, linear, cosine, inverse-sqrt, plateau, got 'cosin'"),
        ({"forcing_decay": "x"}, "one of constant, linear, exponential, inverse-sigmoid, got 'x'"),
        ({"smoothing": 1.5}, "smoothing must be from 0 to 1, got 1.5"),
        ({"teacher_forcing": -0.1}, "teacher_forcing must be from 0 to 1, got -0.1"),
        ({"weight_decay": 0.1}, "adam has no weight_decay .got 0.1.: choose adamw or sgd"),
    ],
    ids=str,
)
def test_a_wrong_option_says_what_came(options, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(**options)


# -- the curves -----------------------------------------------------------------------------------


def test_plateau_lowers_the_rate_in_a_run(monkeypatch):
    trainer = make_trainer(schedule="plateau", lr=0.01, warmup=1, evaluations=6)
    monkeypatch.setattr(trainer, "score_dev", lambda: (1.0, 0.5, 0.0))
    trainer.run(quiet=True)
    rates = [row["lr"] for row in trainer.history]
    assert rates[0] == 0.01 and rates[-1] == 0.005 and sorted(set(rates)) == [0.005, 0.01]


def test_the_ratio_reaches_the_model_and_the_history(monkeypatch):
    trainer = make_trainer(teacher_forcing=0.2, forcing_decay="linear", smoothing=0.1)
    given = []
    gradient = trainer.workers.gradient

    def recording(batch, **options):
        given.append(options)
        return gradient(batch, **options)

    monkeypatch.setattr(trainer.workers, "gradient", recording)
    trainer.run(quiet=True)
    total = trainer.total
    np.testing.assert_allclose([g["teacher_forcing"] for g in given], 1 - 0.8 * np.arange(total) / total)
    assert {g["smoothing"] for g in given} == {0.1}
    assert [row["teacher_forcing"] for row in trainer.history] == [
        given[row["step"] - 1]["teacher_forcing"] for row in trainer.history
    ]


def test_the_optimizer_that_was_asked_for():
    parameters = make_translator().model.parameters()

    def made(**options):
        return make_optimizer(TrainConfig(lr=0.1, **options), parameters)

    sgd = made(optimizer="sgd", momentum=0.7, weight_decay=0.2)
    assert type(sgd) is optim.SGD and (sgd.momentum, sgd.weight_decay) == (0.7, 0.2)
    adam = made(optimizer="adam", betas=(0.8, 0.95))
    assert type(adam) is optim.Adam and adam.betas == (0.8, 0.95)
    adamw = made(optimizer="adamw", betas=(0.8, 0.95), weight_decay=0.2)
    assert type(adamw) is optim.AdamW and (adamw.betas, adamw.weight_decay) == ((0.8, 0.95), 0.2)
    assert sgd.lr == adam.lr == adamw.lr == 0.1


def test_the_progress_bar_goes_to_the_end(capsys):
    trainer = make_trainer()
    trainer.run()
    shown = capsys.readouterr().err
    assert f"{trainer.total}/{trainer.total}" in shown
    quiet = make_trainer()
    quiet.run(quiet=True)
    assert capsys.readouterr() == ("", "")
