"""The state of a training run in its folder: last.npz, from which it is resumed, and what lies beside it.

It is a part of train/loop.py, in a file of its own for its length. All ranks of a run (ranks.py)
save and load together; the files are written and read by rank 0.
"""

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minis2s.data import make_batches
from minis2s.errors import UserError
from minis2s.files import write_text
from minis2s.train.checkpoint import load_checkpoint, restore_rng, rng_state, save_checkpoint

if TYPE_CHECKING:
    from minis2s.train.loop import Trainer

MAY_CHANGE = ("epochs", "minutes", "patience")  # when a run is resumed: all that says where it ends


@dataclass
class Sum:
    """A running weighted mean: of the loss, over tokens."""

    value: float = 0.0
    weight: float = 0
    all_weight: float = 0  # the weight since the start of the run; `clear` leaves it

    def add(self, value: float, weight: float) -> None:
        self.value += value
        self.weight += weight
        self.all_weight += weight

    def mean(self) -> float:
        return self.value / max(self.weight, 1)

    def clear(self) -> None:
        self.value, self.weight = 0.0, 0


def save_state(trainer: "Trainer") -> bool:
    """Write last.npz, best.npz and history.csv; returns False where there is no run folder."""
    if trainer.out is None:
        return False
    rngs = trainer.ranks.gather([rng_state(model.rng) for model in trainer.workers.models])
    trainer.ranks.from_first(lambda: write_files(trainer, rngs))
    return True


def write_files(trainer: "Trainer", rngs: list[list[dict]]) -> None:
    """What `save_state` writes; rngs: the random states of every thread of every rank."""
    arrays = {f"model/{name}": array for name, array in trainer.model.state().items()}
    arrays |= {f"optimizer/{name}": array for name, array in trainer.optimizer.state().items()}
    arrays |= {f"best/{name}": array for name, array in (trainer.best_weights or {}).items()}
    meta = {
        "kind": "training",
        "translator": trainer.translator.describe(),
        "config": asdict(trainer.config),
        "ranks": trainer.ranks.size,
        "data": trainer.fingerprint,
        "step": trainer.step,
        "epoch": trainer.epoch,
        "position": trainer.position,
        "epoch_start": trainer.epoch_start,
        "rngs": [state for rank in rngs for state in rank],
        "seconds": trainer.elapsed(),
        "losses": vars(trainer.losses),
        "plateau": None if trainer.plateau is None else trainer.plateau.state(),
        "history": trainer.history,
        "best": trainer.best,
    }
    save_checkpoint(trainer.out / "last.npz", arrays, meta)
    if trainer.best_weights is not None:
        meta = {"kind": "translator", **trainer.translator.describe()}
        save_checkpoint(trainer.out / "best.npz", trainer.best_weights, meta)
        write_text(trainer.out / "history.csv", table(trainer.history))


def load_state(trainer: "Trainer") -> None:
    """Go on from last.npz; see `Trainer.load`."""
    if trainer.out is None:
        raise UserError("resuming needs the run folder to resume from: give out")
    path = trainer.out / "last.npz"
    arrays, meta = trainer.ranks.from_first(lambda: load_checkpoint(path))
    if meta.get("kind") != "training":
        raise UserError(f"{path} is not the state of a training run: give the folder of one")
    try:
        restore(trainer, path, arrays, meta)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): resume from another checkpoint") from None


def restore(trainer: "Trainer", path: Path, arrays: dict[str, np.ndarray], meta: dict) -> None:
    """Take over the state that `write_files` wrote into `path`."""
    begun = meta["translator"]["model"] | meta["config"]
    for name, value in (asdict(trainer.model.config) | asdict(trainer.config)).items():
        value = list(value) if isinstance(value, tuple) else value  # as JSON has it
        if value != begun.get(name) and name not in MAY_CHANGE:
            raise UserError(
                f"{path} was made with {name} {begun.get(name)}, not {value}: resume with the same options"
            )
    rank, size = trainer.ranks.rank, trainer.ranks.size
    ranks = meta.get("ranks", 1)
    if ranks != size:  # its generators, and the rounding of its sums, would be others
        command = f"mpiexec -n {ranks} minis2s train" if ranks > 1 else "minis2s train, without mpiexec"
        made, now = (f"{n} process{'es' * (n != 1)}" for n in (ranks, size))
        raise UserError(f"{path} was made by {made}, not {now}: resume with as many ({command})")
    if meta["data"] != trainer.fingerprint:
        raise UserError(f"{path} was made with other training or dev data: resume with the same data")

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

    try:
        trainer.model.load_state(part("model/"))
        trainer.optimizer.load_state(part("optimizer/"))
    except ValueError as error:
        raise UserError(f"{path} belongs to another model or optimizer: {error}") from None
    trainer.best_weights = part("best/") or None
    trainer.step, trainer.epoch, trainer.seconds = meta["step"], meta["epoch"], meta["seconds"]
    trainer.history, trainer.best = meta["history"], meta["best"]
    trainer.losses = Sum(**meta["losses"])
    if trainer.plateau is not None:
        trainer.plateau.load_state(meta["plateau"])
    threads = trainer.config.threads
    states = meta["rngs"][rank * threads : (rank + 1) * threads]
    for model, state in zip(trainer.workers.models, states, strict=True):
        model.rng = restore_rng(state)
    trainer.epoch_start = meta["epoch_start"]
    trainer.order = restore_rng(trainer.epoch_start)
    batch_tokens = trainer.config.batch_tokens
    trainer.batches = make_batches(trainer.examples, batch_tokens=batch_tokens, rng=trainer.order)
    trainer.position = meta["position"]


def table(rows: list[dict]) -> str:
    """Rows with the same keys as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
