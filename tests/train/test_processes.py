"""Workers that are processes: the same numbers as threads, and nothing of them left, whatever happens."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from minis2s.data import Example, make_batch
from minis2s.errors import UserError
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.optim import Adam
from minis2s.train import processes
from minis2s.train.parallel import Workers
from minis2s.train.processes import Helper, in_shared_memory

pytestmark = pytest.mark.skipif(
    not processes.POSSIBLE, reason="SKIPPED: workers are processes on Linux only; elsewhere they are threads"
)

BATCH = make_batch([Example([5, 4, 7], [4, 5]), Example([6], []), Example([], [7, 4, 5]), Example([4, 7], [6])])


def make_model(**config) -> Seq2Seq:
    options = {"embed": 3, "hidden": 4} | config
    return Seq2Seq(ModelConfig(**options), 8, 8, rng=np.random.default_rng(0))


@pytest.fixture
def workers():
    """Makes Workers, and ends them after the test."""
    made = []

    def make(*args) -> Workers:
        made.append(Workers(*args))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def helper():
    """Makes Helpers, and ends them after the test."""
    made = []

    def make(function) -> Helper:
        made.append(Helper(function))
        return made[-1]

    yield make
    for each in made:
        each.close()


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(true, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


@pytest.mark.parametrize("count", [2, 3, 9])
def test_processes_compute_what_threads_do_bit_for_bit(monkeypatch, workers, count):
    """Over several steps, with everything that is drawn."""

    def run(possible: bool) -> tuple[dict, list, list]:
        monkeypatch.setattr(processes, "POSSIBLE", possible)
        model = make_model(dropout=0.3, layers=2)
        team = workers(model, count)
        optimizer = Adam(model.parameters(), 0.01)
        losses = []
        for _ in range(3):
            losses.append(float(team.gradient(BATCH, teacher_forcing=0.5, smoothing=0.1)[0]))
            optimizer.step(team.spread)
        assert bool(team.helpers) == possible
        return model.state(), losses, [each.rng.random() for each in team.models]

    (state, losses, draws), (expected, its_losses, its_draws) = run(True), run(False)
    assert losses == its_losses and len(set(losses)) == 3 and draws == its_draws
    assert all(state[name].tobytes() == expected[name].tobytes() for name in expected)


def test_the_work_is_done_in_other_processes(monkeypatch, workers):
    loss = Seq2Seq.loss
    monkeypatch.setattr(Seq2Seq, "loss", lambda *a, **k: (np.float64(os.getpid()), loss(*a, **k)[1]))
    team = workers(make_model(), 3)
    tokens = BATCH.tgt_mask.sum()
    total = team.gradient(BATCH)[0] * tokens
    assert round(float(total)) == os.getpid() + sum(helper.pid for helper in team.helpers)
    assert len({os.getpid(), *(helper.pid for helper in team.helpers)}) == 3


def test_weights_that_change_in_place_are_seen(workers):
    """By the optimizer, and by load_state, as a run that is resumed does it."""
    model, other = make_model(), make_model()
    for p in other.parameters().values():
        p.data += 0.1
    team = workers(model, 2)
    before, _ = team.gradient(BATCH)
    model.load_state(other.state())
    after, _ = team.gradient(BATCH)
    np.testing.assert_allclose(after, other.loss(BATCH)[0], rtol=1e-6)
    assert abs(after - before) > 1e-3


@pytest.mark.parametrize("possible", [True, False])
def test_weights_that_were_replaced_are_refused(monkeypatch, workers, possible):
    monkeypatch.setattr(processes, "POSSIBLE", possible)
    model = make_model()
    team = workers(model, 2)
    team.gradient(BATCH)
    model.to(dtype=np.float64)
    with pytest.raises(RuntimeError, match="moved or cast"):
        team.gradient(BATCH)


def test_an_error_in_a_worker_is_raised_and_the_next_step_is_right(monkeypatch, workers):
    team, loss, here = workers(make_model(), 2), Seq2Seq.loss, os.getpid()
    expected, _ = team.gradient(BATCH)
    team.end_helpers()

    def fails(*args, **kwargs):
        if os.getpid() != here:
            raise KeyError("only there")
        return loss(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Seq2Seq, "loss", fails)
        with pytest.raises(KeyError, match="only there"):
            team.gradient(BATCH)
    assert not team.helpers
    assert team.gradient(BATCH)[0] == expected


def test_an_interruption_leaves_no_answer_for_the_next_question(monkeypatch, workers):
    team, loss, here = workers(make_model(), 2), Seq2Seq.loss, os.getpid()
    expected, _ = team.gradient(BATCH, smoothing=0.2)

    def interrupted(*args, **kwargs):
        if os.getpid() == here:
            raise KeyboardInterrupt
        return loss(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Seq2Seq, "loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            team.gradient(BATCH)
    assert team.gradient(BATCH, smoothing=0.2)[0] == expected


def test_a_worker_that_the_system_has_ended_is_told_of(workers):
    team = workers(make_model(), 2)
    expected, _ = team.gradient(BATCH)
    (killed,) = (helper.pid for helper in team.helpers)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(UserError, match="signal 9.*memory.*--threads"):
        team.gradient(BATCH)
    assert team.gradient(BATCH)[0] == expected


def test_what_cannot_be_sent_is_said(helper):
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__("an odd one")

    def odd(question):
        raise Odd(1, 2)

    asked = helper(odd)
    asked.ask(None)
    with pytest.raises(RuntimeError, match="Odd: an odd one"):
        asked.answer()


def test_ctrl_c_does_not_reach_a_helper(helper):
    asked = helper(lambda question: question + 1)
    os.kill(asked.pid, signal.SIGINT)
    asked.ask(1)
    assert asked.answer() == 2


def test_closed_workers_and_forgotten_ones_end(workers):
    team = workers(make_model(), 3)
    team.gradient(BATCH)
    pids = [helper.pid for helper in team.helpers]
    assert all(map(is_alive, pids))
    team.close()
    assert not any(map(is_alive, pids)) and not team.helpers
    forgotten = Helper(abs)
    pid = forgotten.pid
    assert is_alive(pid)
    del forgotten
    assert not is_alive(pid)


@pytest.mark.parametrize("how", ["exit", "SIGKILL", "SIGTERM"])
def test_helpers_end_with_their_parent(how):
    """However it ends, and with two teams of them alive; none is told."""
    program = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, "tests/train")
        from test_processes import BATCH, Workers, make_model
        teams = [Workers(make_model(), 3) for _ in range(2)]
        for team in teams:
            team.gradient(BATCH)
        print(*(helper.pid for team in teams for helper in team.helpers), flush=True)
        """
    )
    program += "" if how == "exit" else f"os.kill(os.getpid(), signal.{how})\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 4, done.stderr
    assert wait_until(lambda: not any(map(is_alive, pids)))
    assert done.returncode == (0 if how == "exit" else -signal.Signals[how])


def test_shared_memory_has_the_numbers_and_the_type():
    for array in (np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.float32), np.float64(2.5).reshape(())):
        shared = in_shared_memory(array)
        assert shared.dtype == array.dtype and np.array_equal(shared, array) and shared.flags.writeable
        assert not np.shares_memory(shared, array)
