"""A training run as it lies on disk: what was asked for, on which data, and how to get both back.

    config.json    model, training, data and backend: all that `--resume` needs besides last.npz
    last.npz       the state of the training; best.npz: the translator with the best dev error rate
    history.csv    one row for each evaluation
    results.json   every figure of the final report; loss.png and attention.png: its two pictures

`RunConfig` is config.json as an object, `load_data` reads the data that it describes, `new_run_folder`
claims the folder, `load_translator` and `measure` use what was trained.
"""

import csv
import hashlib
import importlib.util
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from minis2s.backend import array_module
from minis2s.data import Pair, load_task, merge_sources, read_aligned, read_pairs
from minis2s.data.tasks import DATE_SAMPLES
from minis2s.errors import UserError
from minis2s.files import cannot, read_json, read_lines, replacing, write_json
from minis2s.models import ModelConfig
from minis2s.train.config import TrainConfig
from minis2s.train.metrics import Metric, score
from minis2s.train.translator import SENTENCES_AT_ONCE, Translation, Translator

MOST_KNOWN = 0.1  # of the held-out inputs may be in the training data before that is worth a warning
CONFIG, LAST, BEST, HISTORY, RESULTS = "config.json", "last.npz", "best.npz", "history.csv", "results.json"


@dataclass(frozen=True)
class DataConfig:
    """Where the data of a run come from: a ready-made task, or files.

    train, dev, test: each one table of pairs or two line-aligned files; test may be empty.
    checksums are those of the files when the run began. The vocabularies hold at most
    max_vocabulary tokens that occur at least min_count times.
    """

    task: str | None = None
    size: int | None = None
    seed: int = 0
    train: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    alternatives: bool = False
    checksums: tuple[str, ...] = ()
    source_tokenizer: str = "char"
    target_tokenizer: str = "char"
    max_vocabulary: int | None = None
    min_count: int = 1

    @property
    def name(self) -> str:
        """A short name: the task, or the training file without its ending."""
        return self.task or Path(self.train[0]).stem

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, *self.dev, *self.test)


class Splits(NamedTuple):
    """The data of a run.

    samples are sources to show at the end, with references where they have any; tokenizers are the
    two that suit the data, for the source and for the target.
    """

    description: str
    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    samples: list[Pair]
    tokenizers: tuple[str, str]


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


# -- data -----------------------------------------------------------------------------------------

# of the samples of ready-made tasks; those of g2p are words that no dictionary has
SAMPLE_ANSWERS: dict[str, Callable[[str], str]] = {
    "dates": dict(
        zip(
            DATE_SAMPLES,
            "1994-09-27 2021-05-03 1989-07-14 1976-04-01 1998-07-14 2024-02-29 1990-10-03 1961-04-12 2011-03-11 "
            "1999-12-31".split(),
            strict=True,
        )
    ).__getitem__,
    "addition": lambda source: str(sum(map(int, source.split("+")))),
    "reverse": lambda source: source[::-1],
}


def load_data(config: DataConfig) -> Splits:
    """The pairs that `config` describes.

    Raises UserError when a file cannot be read or has changed since the run began, or the package
    that carries a task's data is missing.
    """
    if config.task is not None:
        task = load_task(config.task, seed=config.seed, size=config.size)
        answer = SAMPLE_ANSWERS.get(config.task)
        samples = [Pair(source, (answer(source),) if answer else ()) for source in task.samples]
        tokenizers = task.source_tokenizer, task.target_tokenizer
        return Splits(task.description, task.train, task.dev, task.test, samples, tokenizers)

    train = read_files(config.train, alternatives=config.alternatives)
    dev = merge_sources(read_files(config.dev, alternatives=config.alternatives))
    test = merge_sources(read_files(config.test, alternatives=config.alternatives)) if config.test else []
    for path, before in zip(config.files, config.checksums):
        if checksum(path) != before:
            raise UserError(f"{path} has changed since this run began: start a new run with another --out")
    shown = test or dev
    samples = [shown[i * len(shown) // 10] for i in range(10)] if len(shown) > 10 else shown
    sources, targets = ([pair.source for pair in train], [pair.targets[0] for pair in train])
    tokenizers = likely_tokenizer(sources), likely_tokenizer(targets)
    return Splits(" and ".join(Path(p).name for p in config.train), train, dev, test, samples, tokenizers)


def read_files(paths: Sequence[str], *, alternatives: bool) -> list[Pair]:
    """Pairs from one table or two line-aligned files. Raises UserError as the readers of data/pairs.py do."""
    return read_aligned(*paths) if len(paths) == 2 else read_pairs(*paths, alternatives=alternatives)


def checksum(path: str) -> str:
    """SHA-256 of a file. Raises UserError when it cannot be read, or is a pipe."""
    try:
        with open(path, "rb") as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{path} is a pipe, which can be read only once: save it as a file first")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise cannot("read", path, error) from None


def likely_tokenizer(texts: Sequence[str]) -> str:
    """ "word" for texts of three words or more on average, else "char" (words, Chinese, codes)."""
    return "word" if sum(len(text.split()) for text in texts) >= 3 * len(texts) else "char"


def doubts(splits: Splits) -> list[str]:
    """What is wrong with held-out data that were seen in training; one sentence each."""
    found = []
    seen = {pair.source for pair in splits.train}
    for name, pairs in (("dev", splits.dev), ("test", splits.test)):
        known = sum(pair.source in seen for pair in pairs)
        if pairs and merge_sources(pairs) == merge_sources(splits.train):
            found.append(f"the {name} data are the training data: their figures say nothing about new input")
        elif pairs and known == len(pairs):
            found.append(
                f"every source of the {name} data is in the training data too: "
                "their figures say nothing about new input"
            )
        elif known > MOST_KNOWN * len(pairs):
            found.append(
                f"{known:,} of {len(pairs):,} {name} inputs are in the training data: "
                "their figures look better than those of new input would"
            )
    return found


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
    # the clock goes on after the last evaluation, while its results are saved
    return 1.0 if by_clock > 0.99 else min(max(by_epochs, by_clock), 1.0)


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


def translate_all(
    translator: Translator, texts: Sequence[str], *, threads: int = 1, progress: bool = False, **search
) -> list[list[Translation]]:
    """`Translator.translate` for many texts on several threads; `search` are its options.

    The threads share the weights and nothing else, so the results do not depend on their number.
    """
    # texts of similar length together: a batch takes as many steps as its longest text
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    size = min(SENTENCES_AT_ONCE, max(-(-len(texts) // threads), 1))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    found: list[list[Translation]] = [[] for _ in texts]
    pool = ThreadPoolExecutor(threads)
    try:
        results = pool.map(lambda chunk: translator.translate([texts[i] for i in chunk], **search), chunks)
        with tqdm(total=len(texts), unit="text", leave=False, disable=None if progress else True) as bar:
            for chunk, translations in zip(chunks, results, strict=True):
                for i, result in zip(chunk, translations, strict=True):
                    found[i] = result
                bar.update(len(chunk))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for the chunks that have not begun
    return found


def metrics_for(task: str | None, translator: Translator) -> str:
    """The kind of `metrics.score` that tells most about a run."""
    if task is not None:
        return "g2p" if task == "g2p" else "exact"
    by_word = translator.target.tokenizer.name == "word"
    return "bleu" if by_word and importlib.util.find_spec("sacrebleu") else "tokens"


def bleu_tokenizer_for(texts: Sequence[str]) -> str:
    """How sacrebleu should cut texts into words: "13a", or by character where they have no spaces.

    "zh" is its way with Chinese; Japanese is recognized by its kana, and cut into characters.
    """
    letters = [c for text in texts for c in text if c.isalpha()]
    kana = sum("\u3040" <= c <= "\u30ff" for c in letters)
    ideographs = sum("\u3400" <= c <= "\u9fff" for c in letters)
    if 2 * (kana + ideographs) <= len(letters):
        return "13a"
    return "char" if 10 * kana > len(letters) else "zh"


def measure(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    task: str | None = None,
    threads: int = 1,
    progress: bool = False,
    **search,
) -> dict[str, Metric]:
    """The metrics of a translator on `pairs`, each with a 95 % bootstrap interval; the main one first."""
    results = translate_all(
        translator, [pair.source for pair in pairs], threads=threads, progress=progress, **search
    )
    return score(
        [best.text for best, *_ in results],
        [pair.targets for pair in pairs],
        kind=metrics_for(task, translator),
        tokenize=translator.target.tokenizer.tokenize,
        bleu_tokenizer=bleu_tokenizer_for([pair.targets[0] for pair in pairs]),
        rng=np.random.default_rng(0),  # the same figures each time
    )
