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
from minis2s.train.processes import Helper, in_processes, in_shared_memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="SKIPPED: workers are processes on Linux only; elsewhere they are threads"
)


@pytest.fixture(autouse=True)
def one_thread_in_blas(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

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
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1" if possible else "2")
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
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1" if possible else "2")
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
        with pytest.raises(KeyError, match="only there") as raised:
            team.gradient(BATCH)
    assert 'raise KeyError("only there")' in raised.value.__notes__[0]  # the place is told, too
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


def test_tied_weights_stay_tied(workers):
    """By threads: in shared memory they would be two."""
    model = make_model(embed=4)
    model.decoder.output.W.data = model.decoder.embedding.W.data.T
    team = workers(model, 2)
    team.gradient(BATCH)
    assert np.shares_memory(model.decoder.output.W.data, model.decoder.embedding.W.data) and not team.helpers


def test_after_closing_the_weights_are_the_models_alone(workers):
    model = make_model()
    before = model.state()
    team = workers(model, 2)
    team.gradient(BATCH)
    team.close()
    pid = os.fork()
    if pid == 0:
        model.zero_grad()
        for p in model.parameters().values():
            p.data += 1
        os._exit(0)
    os.waitpid(pid, 0)
    assert all(np.array_equal(array, before[name]) for name, array in model.state().items())
    with pytest.raises(RuntimeError, match="closed"):
        team.gradient(BATCH)


def test_a_copy_of_the_process_cannot_use_its_workers(workers):
    team = workers(make_model(), 2)
    expected, _ = team.gradient(BATCH)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            team.gradient(BATCH)
        except RuntimeError as error:
            fresh = Workers(make_model(), 2)  # but it can have some of its own
            right = fresh.gradient(BATCH)[0] == expected
            fresh.close()
            code = 0 if "another" not in str(error) and "make new ones here" in str(error) and right else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert team.gradient(BATCH)[0] == expected


def test_no_room_for_a_further_process(monkeypatch, workers):
    def full():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    team = workers(make_model(), 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", full)
        with pytest.raises(UserError, match="temporarily unavailable.*--threads"):
            team.gradient(BATCH)
    assert np.isfinite(team.gradient(BATCH)[0])


def test_closing_that_is_interrupted_leaves_no_helper_to_ask(monkeypatch, workers):
    def interrupted(self):
        raise KeyboardInterrupt

    team = workers(make_model(), 3)
    expected, _ = team.gradient(BATCH)
    with monkeypatch.context() as patch:
        patch.setattr(Helper, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            team.end_helpers()
    assert not team.helpers
    assert team.gradient(BATCH)[0] == expected


@pytest.mark.parametrize(("name", "value", "possible"), [("1", "4", True), ("2", "1", False), (None, "1", True), (None, None, False)])
def test_only_where_blas_was_told_to_use_one_thread(monkeypatch, name, value, possible):
    """OPENBLAS_NUM_THREADS comes before OMP_NUM_THREADS; without either, BLAS takes all cores."""
    for variable, given in (("OPENBLAS_NUM_THREADS", name), ("OMP_NUM_THREADS", value), ("MKL_NUM_THREADS", None)):
        if given is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, given)
    assert processes.possible(make_model()) == possible


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 2, 9])
def test_results_come_in_the_order_of_the_items(count, items):
    """Though the first takes longest; from as many processes as there are, and are needed."""

    def slow_at_first(n: int) -> tuple[int, int]:
        time.sleep(0.1 * (n == 0))
        return -n, os.getpid()

    found = list(in_processes(slow_at_first, list(range(items)), count))
    assert [n for n, _ in found] == [-n for n in range(items)]
    pids = {pid for _, pid in found}
    assert os.getpid() not in pids and len(pids) <= min(count, items)
    assert not any(map(is_alive, pids)) and (len(pids) > 1 or min(count, items) < 2)


def test_an_error_or_no_further_interest_ends_the_processes():
    def odd(n: int) -> int:
        return os.getpid() if n < 3 else [][n]

    results = in_processes(odd, list(range(5)), 2)
    pids = {next(results)}
    with pytest.raises(IndexError):
        pids |= set(results)
    assert wait_until(lambda: not any(map(is_alive, pids)))
    results = in_processes(odd, [0] * 50, 2)
    pid = next(results)
    assert is_alive(pid)
    results.close()
    assert not is_alive(pid)


def test_not_in_a_process_that_uses_mpi(monkeypatch, workers):
    """Nor where its first rank decodes alone, after training."""
    assert processes.possible(make_model())
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", object())
    assert not processes.possible(make_model())
    team = workers(make_model(), 2)
    assert np.isfinite(team.gradient(BATCH)[0]) and not team.helpers


def test_shared_memory_has_the_numbers_and_the_type():
    for array in (np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.float32), np.float64(2.5).reshape(())):
        shared = in_shared_memory(array)
        assert shared.dtype == array.dtype and np.array_equal(shared, array) and shared.flags.writeable
        assert not np.shares_memory(shared, array)
