"""What the tests of test_ranks.py have each rank do: `mpiexec -n R python ranks_work.py NAME FOLDER [JSON]`.

Also imported by those tests, which do the same in one process. Every rank leaves rankN.npz (weights,
and the losses of the steps) in the folder.
"""

import errno
import json
import os
import signal
import sys
import time
import types
from pathlib import Path

import numpy as np

import minis2s.cli.train
import minis2s.train.ranks
from minis2s import optim
from minis2s.data import Example, make_batch
from minis2s.errors import UserError
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.nn import Parameter
from minis2s.train.loop import Trainer
from minis2s.train.parallel import Workers
from minis2s.train.ranks import ALONE, Alone, launched, together

OPTIMIZERS = {"sgd": lambda p: optim.SGD(p, 0.5, 0.9), "adam": lambda p: optim.Adam(p, 0.01)}


def batches(ragged: bool) -> list:
    """Some batches; where ragged, one has two sentences, one a single one, and some are empty."""
    rng = np.random.default_rng(5)
    made = []
    for sentences in (9, 2, 6, 1, 7) if ragged else (8, 8, 8, 8, 8):
        lengths = rng.integers(0 if ragged else 4, 9 if ragged else 5, (sentences, 2))
        examples = [
            Example(rng.integers(4, 8, s).tolist(), rng.integers(4, 8, t).tolist()) for s, t in lengths
        ]
        made.append(make_batch(examples))
    return made


def steps(
    ranks: Alone = ALONE,
    *,
    dtype: str = "float64",
    optimizer: str = "adam",
    threads: int = 1,
    ragged: bool = True,
    dropout: float = 0.0,
    forcing: float = 1.0,
    smoothing: float = 0.0,
) -> dict[str, np.ndarray]:
    """Two passes over the batches; returns the weights, and under "losses" the loss of each step."""
    config = ModelConfig(embed=5, hidden=6, dropout=dropout)
    model = Seq2Seq(config, 8, 8, rng=np.random.default_rng(0), dtype=dtype)
    workers = Workers(model, threads, ranks)
    parameters = model.parameters()
    change = OPTIMIZERS[optimizer](parameters)
    losses = []
    for batch in 2 * batches(ragged):
        loss, _ = workers.gradient(batch, teacher_forcing=forcing, smoothing=smoothing)
        optim.clip_global_norm(parameters, 1.0)
        change.step()
        losses.append(float(loss))
    workers.close()
    ranks.check_equal(parameters)
    return model.state() | {"losses": np.array(losses)}


def save_steps(ranks: Alone, folder: Path, options: dict) -> int:
    other = Parameter(np.zeros((2, 3), np.float32))  # the same ranks may train another model before
    other.grad[...] = ranks.rank + np.arange(6).reshape(2, 3)
    loss = ranks.add_up({"W": other}, 0.5)
    assert loss == 0.5 * ranks.size
    assert np.array_equal(other.grad, sum(r + np.arange(6).reshape(2, 3) for r in range(ranks.size)))
    np.savez(folder / f"rank{ranks.rank}.npz", **steps(ranks, **options))
    return 0


def drift(ranks: Alone, folder: Path, options: dict) -> int:
    """Weights that are no longer the same on all ranks."""
    model = Seq2Seq(ModelConfig(embed=5, hidden=6), 8, 8, rng=np.random.default_rng(ranks.rank))
    ranks.check_equal(model.parameters())
    return 0


def torn(ranks: Alone, folder: Path, options: dict) -> int:
    """A rank that fails in the middle of a message, for which the others wait."""
    with ranks.exchange():
        if ranks.rank == 1:
            raise MemoryError("no room for a message")
        ranks.comm.bcast(None, root=1)
    return 0


def train(folder: Path, options: dict) -> int:
    """`minis2s train` with the words of `argv`; `trouble` befalls rank `rank` at step `step`."""
    trouble, rank, step = options.get("trouble", ""), options.get("rank", 0), options.get("step", 7)
    update, fsync = Trainer.update, os.fsync

    def update_with_trouble(trainer, batch):
        update(trainer, batch)
        if trainer.step != step or trainer.ranks.rank != rank:
            return
        if not trouble.startswith("slow"):
            (folder / "here").touch()
        if trouble == "ctrl-c":
            signal.raise_signal(signal.SIGINT)
        if trouble == "fault":
            raise IndexError("a fault of ours")
        if trouble == "user":
            raise UserError("the moon is full: wait a day")
        if trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "nan":  # the other ranks have no share in it
            trainer.model.loss = lambda *a, **b: (np.float32(np.nan), None)
            trainer.model.backward = lambda *a, **b: None

    def full_disk(file):
        if launched()[1] == rank and (folder / "here").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    Trainer.update = update_with_trouble
    if trouble == "full disk":
        os.fsync = full_disk
    if trouble == "slow data":
        load_data = minis2s.cli.train.load_data

        def slow_data(config):
            (folder / "here").touch()
            time.sleep(20)
            return load_data(config)

        minis2s.cli.train.load_data = slow_data
    if trouble == "slow report" or trouble == "no report":

        def slow_report(*args, **kwargs):
            (folder / "here").touch()
            if trouble == "no report":
                raise UserError("no words for it")
            time.sleep(20)

        minis2s.cli.train.report = slow_report
    if trouble == "another clock" and launched()[1] == rank:
        clock = types.SimpleNamespace(perf_counter=lambda: 60 * time.perf_counter(), sleep=time.sleep)
        minis2s.train.ranks.time = clock
    return minis2s.cli.main(options["argv"])


if __name__ == "__main__":
    name, folder, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    if name == "train":
        sys.exit(train(folder, options))
    work = {"steps": save_steps, "drift": drift, "torn": torn}[name]
    try:
        code = together(lambda ranks: work(ranks, folder, options))
    except UserError as error:
        code = minis2s.cli.fail(error, 2, False)
    sys.exit(code)
