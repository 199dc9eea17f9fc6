"""A training run as it lies on disk: what was asked for, on which data, and how to get both back.

    config.json    model, training, data and backend: all that `--resume` needs besides last.npz
    last.npz       the state of the training; best.npz: the translator with the best dev error rate
    history.csv    one row for each evaluation
    results.json   every figure of the final report; loss.png and attention.png: its two pictures

`RunConfig` is config.json as an object, `new_run_folder` claims the folder, `load_translator` reads
what was trained.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from minis2s.backend import array_module
from minis2s.errors import UserError
from minis2s.files import cannot, read_json, read_lines, replacing, write_json
from minis2s.models import ModelConfig
from minis2s.train.config import TrainConfig
from minis2s.train.source import DataConfig
from minis2s.train.translator import Translator

CONFIG, LAST, BEST, HISTORY, RESULTS = "config.json", "last.npz", "best.npz", "history.csv", "results.json"


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run computes; it is config.json."""

    data: DataConfig
    model: ModelConfig
    training: TrainConfig
    backend: str = "numpy"

    def save(self, folder: str | Path) -> None:
        """Write config.json. Raises UserError when it cannot be written."""
        write_json(Path(folder) / CONFIG, asdict(self))

    @classmethod
    def load(cls, folder: str | Path) -> "RunConfig":
        """Read config.json. Raises UserError when there is none, or it is not one of ours."""
        folder = Path(folder)
        if not folder.is_dir():
            raise no_run(folder)
        path = folder / CONFIG
        if not path.exists():
            raise UserError(f"{folder} is not the folder of a training run: it holds no {CONFIG}")
        try:
            content = read_json(path)
            return cls(
                data=from_json(DataConfig, content["data"]),
                model=from_json(ModelConfig, content["model"]),
                training=from_json(TrainConfig, content["training"]),
                backend=content["backend"],
            )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise UserError(f"{path} does not describe a run of this version of minis2s ({reason})") from None


def from_json(cls: type, content: dict):
    """The dataclass `cls` from what `asdict` and JSON made of it: lists become tuples again."""
    known = {field.name for field in fields(cls)}
    for name in content.keys() ^ known:
        raise ValueError(f"{name} is {'unknown' if name in content else 'missing'} in {cls.__name__}")
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in content.items()})


# -- folders --------------------------------------------------------------------------------------


def check_free(folder: str | Path) -> None:
    """Raises UserError when `folder` is there and not empty, or is a file."""
    folder = Path(folder)
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder} exists and is not empty: go on with that run with --resume, or choose another --out"
            )
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, but --out names a folder to be made")
    except OSError as error:
        raise cannot("use", folder, error) from None


def new_run_folder(folder: str | Path | None, name: str, config: RunConfig) -> Path:
    """Make the run folder and write its config.json; returns its path.

    folder None: runs/NAME, or runs/NAME-2 and so on, whichever is the first that is not there.

    Raises UserError, and leaves nothing behind, when it cannot be made or written to, or is in use.
    """
    if folder is not None:
        check_free(folder)
    number = 1
    while True:
        path = (
            Path(folder)
            if folder is not None
            else Path("runs") / (name if number == 1 else f"{name}-{number}")
        )
        made = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=folder is not None)
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            raise cannot("make the run folder", path, error) from None
        break
    try:
        config.save(path)
    except UserError:
        if made:
            os.rmdir(path)
        raise
    return path


def write_picture(path: str | Path, png: bytes) -> None:
    """Write a file, whole or not at all. Raises UserError when it cannot be written."""
    with replacing(path) as file:
        file.write(png)


def load_translator(run: str | Path, backend: str = "numpy") -> Translator:
    """The best translator of a run folder (or of an .npz file), moved to a backend.

    Raises UserError when there is none, saying why.
    """
    xp = array_module(backend)
    run = Path(run)
    if not run.exists():
        raise no_run(run)
    if run.is_dir() and not (run / BEST).exists():
        resume = f"minis2s train --resume --out {run}"
        if not (run / CONFIG).exists():
            raise UserError(f"{run} is not the folder of a training run: it holds no {BEST}")
        if not (run / HISTORY).exists():
            raise UserError(
                f"{run} holds no model yet, its training stopped before the first evaluation: "
                f"go on with {resume}"
            )
        if (run / LAST).exists():
            raise UserError(f"{BEST} is missing from {run}: {resume} writes it again")
        raise UserError(
            f"{BEST} and {LAST} are missing from {run}: {resume} trains the model again, from the start"
        )
    if run.name == LAST and run.is_file():
        raise UserError(
            f"{run} is a state of the training, to be resumed, and no model to use: "
            f"give the run folder {run.parent} or {run.parent / BEST}"
        )
    return Translator.load(run).to(xp)


def no_run(folder: Path) -> UserError:
    """The error about a run folder that is not there: where it was looked for, and what may be meant."""
    where = "" if folder.is_absolute() else f" (looked for {folder.absolute()})"
    meant = Path("runs") / folder
    guess = f"; did you mean {meant}?" if not folder.is_absolute() and meant.is_dir() else ""
    return UserError(f"{folder}: no such run folder{where}{guess}")


def share_done(training: TrainConfig, history: Sequence[Mapping]) -> float:
    """How much of its training a run had done at its last evaluation, from 0 to 1.

    history: rows of `Trainer.history` or of history.csv. Patience that is exhausted ends a run too.
    """
    if not history:
        return 0.0
    errors = [float(row["dev_error_rate"]) for row in history]
    if training.patience is not None and len(errors) - 1 - errors.index(min(errors)) >= training.patience:
        return 1.0
    last = history[-1]
    by_epochs = 0.0 if training.epochs is None else float(last["epoch"]) / training.epochs
    by_clock = 0.0 if training.minutes is None else float(last["seconds"]) / (60 * training.minutes)
    done = max(by_epochs, by_clock)
    # epochs differ by a few batches, and the run ends by the number of steps that the first one had;
    # the clock goes on after the last evaluation: a run at its end may look 1 or 2 % short of it
    return 1.0 if done > 0.98 else done


def not_ended(folder: Path) -> str | None:
    """A sentence on a run whose training has not ended, else None; also where that cannot be told."""
    try:
        rows = list(csv.DictReader(read_lines(folder / HISTORY)))
        share = share_done(RunConfig.load(folder).training, rows)
    except (UserError, KeyError, TypeError, ValueError):
        return None
    if share == 1:
        return None
    # rounded down: 99.9 % is not all of it
    return (
        f"the training of {folder} has not ended ({int(100 * share)} % done): "
        f"go on with minis2s train --resume --out {folder}"
    )


# -- using what was trained -----------------------------------------------------------------------
