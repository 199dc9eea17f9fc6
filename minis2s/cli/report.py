"""The end of a training run: figures, samples and pictures, printed and kept in the run folder.

Everything that is printed is also in results.json.
"""

import math
import platform
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

import minis2s
from minis2s.cli.machine import blas_settings, program, usable_cores
from minis2s.cli.words import counted
from minis2s.data import Pair
from minis2s.files import write_json
from minis2s.plots import plot_attention, plot_history, png
from minis2s.train.loop import Trainer
from minis2s.train.measure import measure, translate_all
from minis2s.train.run import RESULTS, RunConfig, write_picture
from minis2s.train.source import Splits
from minis2s.train.translator import Translator

BEAM = 5
WIDEST = 40  # column of samples; longer ones push the rest of their line to the right
MUCH_WRONG = 0.5  # a dev error rate above that calls for more training
LEAST_STEPS = 1000  # that the advice to train on asks for


def report(config: RunConfig, splits: Splits, trainer: Trainer, folder: Path, *, quiet: bool) -> None:
    """Measure the trained model, show it at work, draw it; print all that and write results.json."""
    translator, threads = trainer.translator, config.training.threads
    name = "test" if splits.test else "dev"
    pairs = splits.test or splits.dev
    search: dict[str, Any] = {"beam": BEAM, "threads": threads}
    scores = measure(translator, pairs, task=config.data.task, progress=not quiet, **search)
    outputs = translate_all(translator, [pair.source for pair in splits.samples], **search)
    samples = [(pair, best.text) for pair, (best, *_) in zip(splits.samples, outputs, strict=True)]
    pictures = draw(translator, trainer.history, easiest_to_look_at(samples), folder)

    seconds = trainer.history[-1]["seconds"]
    results = {
        name: {"pairs": len(pairs), "beam": BEAM, "scores": {k: m.to_json() for k, m in scores.items()}},
        "samples": [
            {"source": pair.source, "output": text, "references": list(pair.targets)}
            for pair, text in samples
        ],
        "data": {
            **{split: len(getattr(splits, split)) for split in ("train", "dev", "test")},
            "source_tokens": len(translator.source.vocabulary),
            "target_tokens": len(translator.target.vocabulary),
        },
        "training": {
            "seconds": seconds,
            "steps": trainer.step,
            "tokens": trainer.losses.all_weight,
            "tokens_per_second": trainer.losses.all_weight / seconds,
            "seed": config.training.seed,
            "threads": config.training.threads,
            "best": trainer.best,
            "last": trainer.history[-1],
        },
        "history": trainer.history,
        "pictures": pictures,
        "weights": translator.model.count(),
        "machine": machine(config.backend),
        "advice": advice(trainer, folder),
    }
    write_json(folder / RESULTS, results)
    if quiet:
        print(folder)
        return

    done = results["training"]
    print(
        f"\ntrained {counted(done['steps'], 'step')} in {done['seconds'] / 60:.1f} minutes "
        f"({done['tokens_per_second']:,.0f} target tokens/s); best dev error {100 * trainer.best['dev_error_rate']:.1f} % "
        f"at epoch {trainer.best['epoch']:.1f}"
    )
    held_out = f"the {counted(len(pairs), 'held-out input' if splits.test else 'dev input')}"
    chosen = "" if splits.test else ", which also chose the model (no --test was given)"
    print(f"\non {held_out}{chosen}, beam {BEAM}:")
    for metric in scores.values():
        print(f"  {metric}")
    print("\nsamples:")
    for line in in_columns(samples):
        print(f"  {line}")
    print()
    for file, sentence in pictures.items():
        print(f"{folder / file}: {sentence}")
    print(f"\nThe model is in {folder}. Use it:")
    print(f'  {program()} translate {folder} "{samples[0][0].source}"')
    print(f"  {program()} evaluate {folder} --data FILE.tsv")
    print(f"  {program()} info {folder}")
    if results["advice"]:
        print(f"\n{results['advice']}")


def in_columns(samples: list[tuple[Pair, str]]) -> list[str]:
    """A line for each sample: the source, the output, and where known the right answer if it is another."""
    rows = []
    for pair, text in samples:
        wrong = pair.targets and text not in pair.targets
        rows.append((pair.source, text, f"(right: {pair.targets[0]})" if wrong else ""))
    first, second = (min(max(columns(row[i]) for row in rows), WIDEST) for i in range(2))
    return [
        f"{padded(source, first)}  {padded(text, second)}  {right}".rstrip() for source, text, right in rows
    ]


def padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: Chinese characters two, accents none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def has_ended(trainer: Trainer) -> bool:
    return trainer.progress() >= 1 or trainer.patience_exhausted()


def later_end(trainer: Trainer, folder: Path) -> str:
    """The command that trains on: twice as long, and for as many steps as a small model needs."""
    config = trainer.config
    options = ""
    if trainer.patience_exhausted():
        options += f" --patience {2 * config.patience}"
    if trainer.progress() >= 1:
        more = max(2, LEAST_STEPS / max(trainer.step, 1))
        if config.epochs is not None:
            options += f" --epochs {math.ceil(more * config.epochs)}"
        if config.minutes is not None:
            options += f" --minutes {more * config.minutes:.3g}"
    return f"{resume_command(trainer.ranks.size, folder)}{options}"


def resume_command(ranks: int, folder: Path) -> str:
    """The command that goes on with a run, in as many processes as it has."""
    mpiexec = f"mpiexec -n {ranks} " if ranks > 1 else ""
    return f"{mpiexec}{program()} train --resume --out {folder}"


def advice(trainer: Trainer, folder: Path) -> str | None:
    """What to do about a model that gets most tokens wrong."""
    if trainer.best["dev_error_rate"] <= MUCH_WRONG:
        return None
    return (
        f"It has learned little yet ({counted(trainer.step, 'step')}, dev error "
        f"{100 * trainer.best['dev_error_rate']:.1f} %): train on with {later_end(trainer, folder)}"
    )


def easiest_to_look_at(samples: list[tuple[Pair, str]]) -> tuple[Pair, str]:
    """The sample with the longest source of at most 40 characters, else the one with the shortest."""

    def length(sample: tuple[Pair, str]) -> int:
        return len(sample[0].source)

    short = [sample for sample in samples if length(sample) <= 40]
    return max(short, key=length) if short else min(samples, key=length)


def draw(translator: Translator, history: list[dict], sample: tuple, folder: Path) -> dict[str, str]:
    """Write loss.png and attention.png; returns a sentence about each."""
    figure, sentence = plot_history(history)
    write_picture(folder / "loss.png", png(figure, sentence))
    pictures = {"loss.png": sentence}
    if translator.model.decoder.attention is not None:
        pair, text = sample
        figure, sentence = plot_attention(*translator.attention(pair.source, text))
        write_picture(folder / "attention.png", png(figure, sentence))
        pictures["attention.png"] = sentence
    return pictures


def machine(backend: str) -> dict[str, Any]:
    """What the figures were made with: versions, processor, and how NumPy multiplies matrices."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "minis2s": minis2s.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": {"name": blas.get("name"), "version": blas.get("version"), "settings": blas_settings()},
        "backend": backend,
        "cores": usable_cores(),
        "system": platform.platform(),
        "processor": platform.machine(),
    }
