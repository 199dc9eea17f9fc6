"""The end of a training run: figures, samples and pictures, printed and kept in the run folder.

Everything that is printed is also in results.json.
"""

import platform
from pathlib import Path
from typing import Any

import numpy as np

import minis2s
from minis2s.cli.machine import blas_settings, program, usable_cores
from minis2s.data import Pair
from minis2s.files import write_json
from minis2s.plots import plot_attention, plot_history, png
from minis2s.train.loop import Trainer
from minis2s.train.run import RESULTS, RunConfig, Splits, measure, translate_all, write_picture
from minis2s.train.translator import Translator

BEAM = 5


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
    }
    write_json(folder / RESULTS, results)
    if quiet:
        print(folder)
        return

    done = results["training"]
    print(
        f"\ntrained {done['steps']:,} steps in {done['seconds'] / 60:.1f} minutes "
        f"({done['tokens_per_second']:,.0f} target tokens/s); best dev error {100 * trainer.best['dev_error_rate']:.1f} % "
        f"at epoch {trainer.best['epoch']:.1f}"
    )
    held_out = "held-out" if splits.test else "dev (no --test was given)"
    print(f"\non {len(pairs):,} {held_out} inputs, beam {BEAM}:")
    for metric in scores.values():
        print(f"  {metric}")
    print("\nsamples:")
    width = min(max(len(pair.source) for pair, _ in samples), 40)
    for pair, text in samples:
        wrong = pair.targets and text not in pair.targets
        print(f"  {pair.source:{width}}  {text}" + (f"   (right: {pair.targets[0]})" if wrong else ""))
    print()
    for file, sentence in pictures.items():
        print(f"{folder / file}: {sentence}")
    print(f"\nThe model is in {folder}. Use it:")
    print(f'  {program()} translate {folder} "{samples[0][0].source}"')
    print(f"  {program()} evaluate {folder} --data FILE.tsv")
    print(f"  {program()} info {folder}")


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
