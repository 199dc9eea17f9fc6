"""Where the data of a run come from: a ready-made task or files, read again in the same way on resuming.

`DataConfig` is the part of config.json that describes them, `load_data` reads them, and `doubts`
says what is wrong with data that were meant to be held out.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from minis2s.data import Pair, load_task, merge_sources, read_aligned, read_pairs
from minis2s.errors import UserError
from minis2s.files import cannot

MOST_KNOWN = 0.1  # of the held-out inputs may be in the training data before that is worth a warning


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


def load_data(config: DataConfig) -> Splits:
    """The pairs that `config` describes.

    Raises UserError when a file cannot be read or has changed since the run began, or the package
    that carries a task's data is missing.
    """
    if config.task is not None:
        task = load_task(config.task, seed=config.seed, size=config.size)
        tokenizers = task.source_tokenizer, task.target_tokenizer
        return Splits(task.description, task.train, task.dev, task.test, list(task.samples), tokenizers)

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
