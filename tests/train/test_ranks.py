"""Training in several processes: one run like that of a single process, ended by all or by none.

The processes are real ones, started by mpiexec; where there is no MPI those tests are skipped, with
a warning. No test waits for longer than LIMIT: a hang is a failure.
"""

import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from minis2s.cli import main
from minis2s.cli.report import resume_command
from minis2s.errors import UserError
from minis2s.train import ranks
from minis2s.train.checkpoint import load_checkpoint
from minis2s.train.parallel import Workers

WORK = Path(__file__).with_name("ranks_work.py")
LIMIT = 90  # seconds
BOUND = {"float64": 1e-12, "float32": 1e-6}
WORDS = ["ab", "ba", "abc", "cab", "bca", "acb", "a", "b", "c", "bb", "cc", "aa"]


def load_work():
    spec = importlib.util.spec_from_file_location("ranks_work", WORK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


work = load_work()


@functools.cache
def mpiexec() -> tuple[str, ...]:
    """The command that starts processes that see each other; empty where there is none."""
    beside = Path(sys.executable).with_name("mpiexec")  # of the package mpich or openmpi
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        return ()
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=LIMIT).stdout
    command = (found, *(("--oversubscribe",) if "Open MPI" in version or "prte" in version else ()))
    if len(command) > 1 and os.geteuid() == 0:
        command += ("--allow-run-as-root",)
    code = "from mpi4py.MPI import COMM_WORLD as c; n = c.allreduce(1); c.rank == 0 and print(n)"
    probe = [*command, "-n", "2", sys.executable, "-c", code]
    tried = subprocess.run(probe, capture_output=True, text=True, timeout=LIMIT)
    return command if tried.stdout == "2\n" else ()


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """The lines of ours among those of mpiexec."""
        return [line for line in self.err.splitlines() if line.startswith("minis2s:")]


class Processes:
    """R ranks at the work of ranks_work.py."""

    def __init__(self, size: int, name: str, folder: Path, **options):
        self.child = subprocess.Popen(
            [*mpiexec(), "-n", str(size), sys.executable, WORK, name, folder, json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(WORK.parents[2])},
            start_new_session=True,
        )

    def end(self) -> Ended:
        try:
            out, err = self.child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            raise
        return Ended(self.child.returncode, out, err)


@pytest.fixture
def start():
    """Starts Processes, or skips the test."""
    if not mpiexec():
        reason = "NO MPI: training in several processes is not tested (pip install mpi4py mpich)"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    return Processes


@pytest.fixture
def argv(tmp_path) -> list[str]:
    """The words of a small training run, in the folder tmp_path/run."""
    for name, words in (("train", WORDS * 3), ("dev", ["abb", "acc", "cba", "bbca"])):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    words = ["train", "--train", tmp_path / "train.tsv", "--dev", tmp_path / "dev.tsv", "--threads", "1"]
    words += ["--embed", "4", "--hidden", "8", "--epochs", "4", "--evaluations", "3", "--batch-tokens", "20"]
    return [*map(str, words), "--dropout", "0.2", "--out", str(tmp_path / "run")]


def in_one_process(argv: list[str], out: Path, *more: str) -> Path:
    assert main([*argv, "--out", str(out), "--quiet", *more]) == 0
    return out


def assert_same_run(left: Path, right: Path) -> None:
    """The same weights bit for bit, and the same history but for the time."""
    assert (left / "best.npz").read_bytes() == (right / "best.npz").read_bytes()
    states = [load_checkpoint(folder / "last.npz") for folder in (left, right)]
    for name, array in states[0][0].items():
        assert np.array_equal(array, states[1][0][name]), name
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in s[1]["history"]] for s in states]
    assert rows[0] == rows[1] and len(rows[0]) > 1


def assert_nothing_half_written(folder: Path) -> None:
    if folder.exists():
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        for path in folder.glob("*.npz"):
            load_checkpoint(path)


# -- the same training ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float64", "optimizer": "adam"},
        {"dtype": "float64", "optimizer": "sgd", "smoothing": 0.1},
        {"dtype": "float32", "optimizer": "adam", "ragged": False},
        {"dtype": "float32", "optimizer": "sgd", "threads": 2},
    ],
    ids=str,
)
def test_many_ranks_train_like_one_process(start, tmp_path, size, options):
    """Over ten steps; ragged, and with fewer sentences than ranks."""
    ended = start(size, "steps", tmp_path, **options).end()
    assert ended.code == 0, ended.err
    alone = work.steps(**options)
    first, *others = [dict(np.load(tmp_path / f"rank{rank}.npz")) for rank in range(size)]
    for name, array in alone.items():
        assert first[name].dtype == array.dtype
        assert np.abs(first[name] - array).max() <= BOUND[options["dtype"]], name
        assert all(np.array_equal(other[name], first[name]) for other in others), name
    untrained = work.Seq2Seq(work.ModelConfig(embed=5, hidden=6), 8, 8, rng=np.random.default_rng(0)).state()
    assert all(np.abs(untrained[name] - first[name]).max() > 1e-4 for name in untrained)


def test_with_chance_in_it_ranks_are_like_threads(start, tmp_path):
    """Dropout and teacher forcing: every rank draws what a thread of one process would draw."""
    options = {"dropout": 0.3, "forcing": 0.5, "dtype": "float32"}
    runs = []
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        ended = start(3, "steps", tmp_path / name, **options).end()
        assert ended.code == 0, ended.err
        runs.append(dict(np.load(tmp_path / name / "rank2.npz")))
    threads = work.steps(**options, threads=3)
    one = work.steps(**options)
    for name, array in threads.items():
        assert np.array_equal(runs[0][name], runs[1][name])  # reproducible
        assert np.array_equal(runs[0][name], array)
    assert np.abs(one["losses"] - threads["losses"]).max() > 1e-3  # chance was in it


def test_generators_are_dealt_out_like_sentences():
    """Two ranks of two threads have the generators of four threads, and none twice."""

    class Rank(ranks.Alone):
        size = 2

    def model():
        return work.Seq2Seq(work.ModelConfig(embed=2, hidden=2), 8, 8, rng=np.random.default_rng(0))

    def draws(workers):
        workers.close()
        return [model.rng.random() for model in workers.models]

    four = draws(Workers(model(), 4))
    assert len(set(four)) == 4
    for rank in range(2):
        one = Rank()
        one.rank = rank
        assert draws(Workers(model(), 2, one)) == four[rank::2]


def test_the_command_makes_the_run_of_one_process(start, tmp_path, argv):
    ended = start(2, "train", tmp_path, argv=argv).end()
    assert ended.code == 0, ended.err
    assert ended.out.count("2 processes of 1 thread") == 1 and ended.out.count("\nsamples:") == 1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "last.npz", "best.npz", "history.csv", "results.json", "loss.png"} <= names
    assert_same_run(tmp_path / "run", in_one_process(argv, tmp_path / "threads", "--threads", "2"))


@pytest.mark.parametrize("end", [["--patience", "1", "--lr", "0.2"], ["--minutes", "0.02"]], ids=str)
def test_ranks_agree_on_the_end(start, tmp_path, argv, end):
    """By patience, or by rank 0's clock, though that of rank 1 is sixty times as fast."""
    argv = [*argv, "--epochs", "100000", "--evaluations", "4000", *end]
    ended = start(2, "train", tmp_path, argv=argv, trouble="another clock", rank=1).end()
    assert ended.code == 0, ended.err
    _, meta = load_checkpoint(tmp_path / "run" / "last.npz")
    if "--minutes" in end:
        assert 0.8 <= meta["history"][-1]["seconds"] < 5  # an evaluation may come after it
    else:
        assert meta["step"] < 1000


# -- resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1])
def test_interrupted_on_any_rank_and_resumed_it_is_the_unbroken_run(start, tmp_path, argv, rank):
    argv = [*argv, "--teacher-forcing", "0.7"]
    stopped = start(2, "train", tmp_path, argv=argv, trouble="ctrl-c", rank=rank).end()
    assert stopped.code == 130
    (said,) = stopped.said
    assert said.startswith("minis2s: stopped and saved after step 7; go on with: mpiexec -n 2 ")
    assert said.endswith(f" train --resume --out {tmp_path / 'run'}")
    assert_nothing_half_written(tmp_path / "run")
    resume = ["train", "--resume", "--out", str(tmp_path / "run")]
    assert start(2, "train", tmp_path, argv=resume).end().code == 0
    assert_same_run(tmp_path / "run", in_one_process(argv, tmp_path / "whole", "--threads", "2"))
    ended = start(2, "train", tmp_path, argv=resume).end()
    assert ended.code == 0 and ended.out.count("is complete") == 1


def test_another_number_of_ranks_or_threads_is_refused(start, tmp_path, argv):
    assert start(2, "train", tmp_path, argv=argv).end().code == 0
    in_one_process(argv, tmp_path / "one")
    before = (tmp_path / "run" / "last.npz").read_bytes()
    for size, run, more, said in (
        (1, "run", [], "by 2 processes, not 1 process: resume with as many (mpiexec -n 2 minis2s train)"),
        (3, "run", [], "by 2 processes, not 3 processes: resume with as many (mpiexec -n 2 minis2s train)"),
        (2, "one", [], "by 1 process, not 2 processes: resume with as many (minis2s train, without mpiexec)"),
        (2, "run", ["--threads", "2"], "was begun with --threads 1, which cannot become 2"),
    ):
        words = ["train", "--resume", "--out", str(tmp_path / run), *more]
        refused = start(size, "train", tmp_path, argv=words).end()
        assert refused.code == 2 and len(refused.said) == 1 and said in refused.said[0]
    assert (tmp_path / "run" / "last.npz").read_bytes() == before


# -- one end for all ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "rank", "code", "said"),
    [
        ("fault", 0, 1, "(IndexError: a fault of ours)"),
        ("fault", 1, 1, "(RuntimeError: on rank 1: IndexError: a fault of ours)"),
        ("user", 1, 2, "minis2s: error: on rank 1: the moon is full: wait a day"),
        ("full disk", 0, 2, "last.npz: the disk is full; free some space and run again"),
        ("nan", 1, 2, "the loss is nan and the gradient norm"),
        ("no report", 0, 2, "minis2s: error: no words for it"),
    ],
)
def test_an_error_on_one_rank_ends_all_with_one_sentence(start, tmp_path, argv, trouble, rank, code, said):
    ended = start(2, "train", tmp_path, argv=argv, trouble=trouble, rank=rank).end()
    assert (tmp_path / "here").exists()
    assert ended.code == code
    assert len(ended.said) == 1 and said in ended.said[0] and "Traceback" not in ended.err
    assert_nothing_half_written(tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_bad_file_is_said_once(start, tmp_path, argv):
    (tmp_path / "dev.tsv").write_text("no tab\n")
    ended = start(3, "train", tmp_path, argv=argv).end()
    assert ended.code == 2 and len(ended.said) == 1 and "dev.tsv" in ended.said[0]
    assert not (tmp_path / "run").exists()


def test_a_rank_that_is_killed_ends_all(start, tmp_path, argv):
    ended = start(2, "train", tmp_path, argv=argv, trouble="kill", rank=1, step=12).end()
    assert ended.code != 0
    assert_nothing_half_written(tmp_path / "run")


def test_an_error_in_the_middle_of_a_message_ends_all(start, tmp_path):
    ended = start(2, "torn", tmp_path).end()
    assert ended.code != 0
    assert ended.said == ["minis2s: error: on rank 1: MemoryError('no room for a message')"]


def test_weights_that_drift_apart_are_noticed(start, tmp_path):
    ended = start(2, "drift", tmp_path).end()
    assert ended.code == 2
    (said,) = ended.said
    assert "the weights of rank 1 are no longer those of rank 0" in said


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("wait", "minis2s: stopped and saved after step "),
        ("slow data", "minis2s: interrupted"),
        ("slow report", "minis2s: interrupted; go on with: mpiexec -n 2 "),
    ],
)
def test_a_real_ctrl_c_ends_all(start, tmp_path, argv, trouble, said):
    """While the ranks train, while rank 0 reads the data, while it reports."""
    argv = [*argv, "--epochs", "100000"] if trouble == "wait" else argv
    processes = start(2, "train", tmp_path, argv=argv, trouble=trouble)
    deadline = time.monotonic() + LIMIT
    while not (tmp_path / "here").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    begun = time.monotonic()
    processes.child.send_signal(signal.SIGINT)
    ended = processes.end()
    assert ended.code != 0 and time.monotonic() - begun < 15
    assert_nothing_half_written(tmp_path / "run")
    if "--oversubscribe" not in mpiexec():  # Open MPI kills its processes before they can say anything
        assert ended.code == 130
        assert len(ended.said) == 1 and ended.said[0].startswith(said)


# -- without MPI ----------------------------------------------------------------------------------


def test_without_mpiexec_nothing_of_mpi_is_imported(tmp_path, argv):
    code = f"import sys; from minis2s.cli import main; main({argv!r}); assert 'mpi4py' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize("names", ranks.LAUNCHED, ids=str)
def test_mpiexec_without_mpi4py(monkeypatch, capsys, argv, tmp_path, names):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv(names[0], "2")
    for rank in range(2):
        monkeypatch.setenv(names[1], str(rank))
        assert main(list(argv)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1  # rank 1 leaves it to rank 0
    assert 'the package mpi4py is missing: pip install "minis2s[mpi]"' in said
    assert not (tmp_path / "run").exists()


def test_one_process_of_mpiexec_is_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "1")
    monkeypatch.setenv("PMI_RANK", "0")
    assert ranks.start() is ranks.ALONE


def test_the_mpiexec_of_another_mpi(monkeypatch):
    pytest.importorskip("mpi4py")
    if not mpiexec():
        pytest.skip("NO MPI")
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    code = (
        "import os; os.environ |= {'PMI_SIZE': '', 'PMI_RANK': ''}; del os.environ['PMI_SIZE'], os.environ['PMI_RANK']\n"
        "from mpi4py import MPI; os.environ |= {'PMI_SIZE': '2', 'PMI_RANK': '0'}\n"
        "from minis2s.train import ranks\n"
        "try: ranks.start()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout.startswith(
        "UserError mpiexec has started 2 processes, but mpi4py knows of 1: it uses "
    )


def test_a_gpu_is_for_one_process():
    two = ranks.Alone()
    two.size = 2
    args = work.minis2s.cli.parse(["train", "reverse", "--backend", "cupy"])
    with pytest.raises(UserError, match="--backend cupy trains in one process: start it without mpiexec"):
        work.minis2s.cli.train.prepare(args, two)


def test_the_command_that_goes_on_with_a_run_names_its_processes():
    assert resume_command(1, Path("run")).endswith(" train --resume --out run")
    assert "mpiexec" not in resume_command(1, Path("run"))
    assert resume_command(2, Path("run")) == f"mpiexec -n 2 {resume_command(1, Path('run'))}"
