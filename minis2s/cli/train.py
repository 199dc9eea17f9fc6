"""`minis2s train`: from a task or files to a run folder with a trained model and a report on it.

A run is a RunConfig: the preset of the task (`PRESETS`), changed by the options that were given
(train_options.py). `prepare` and `train` at the end of this file are the whole story; resuming differs
only in where the RunConfig comes from. Started by mpiexec, `train` runs in several processes at once.
"""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from minis2s.backend import array_module, keep_freed_memory
from minis2s.cli.machine import blas_settings, program
from minis2s.cli.report import has_ended, later_end, report, resume_command
from minis2s.cli.train_options import (
    add_arguments,  # noqa: F401 -- every command's file has it
    new_config,
    resumed_config,
    with_tokenizers,
)
from minis2s.cli.words import counted
from minis2s.data import encode_pairs, make_batches
from minis2s.data.vocabulary import SPECIAL_TOKENS
from minis2s.errors import UserError
from minis2s.files import read_json
from minis2s.train.loop import Trainer
from minis2s.train.ranks import Alone, together
from minis2s.train.run import BEST, LAST, RESULTS, RunConfig, check_free, new_run_folder
from minis2s.train.source import Splits, doubts, load_data
from minis2s.train.translator import Translator

ENOUGH_STEPS = 1000  # for a model to learn something from your own files, however small they are
SAMPLE = 5000  # pairs that are looked at to tell the number of steps in an epoch


class Run(NamedTuple):
    """A run that is ready to be trained."""

    config: RunConfig
    splits: Splits
    translator: Translator
    folder: Path
    more_epochs: bool  # a small file has got more of them than usual
    begun: bool  # and is to go on from its last.npz


def build(config: RunConfig, splits: Splits) -> Translator:
    """The untrained model of a run, on its backend.

    Raises UserError for options that do not go together, or leave no token in a vocabulary.
    """
    try:
        translator = Translator.for_pairs(
            splits.train,
            config.model,
            source_tokenizer=config.data.source_tokenizer,
            target_tokenizer=config.data.target_tokenizer,
            max_vocabulary=config.data.max_vocabulary,
            min_count=config.data.min_count,
            seed=config.training.seed,
        )
    except ValueError as error:  # options that do not go together
        raise UserError(str(error)) from None
    for side, codec in (("source", translator.source), ("target", translator.target)):
        if config.data.min_count > 1 and len(codec.vocabulary) == len(SPECIAL_TOKENS):
            raise UserError(
                f"no token of the {side} side occurs {config.data.min_count} times: choose a lower --min-count"
            )
    return translator.to(array_module(config.backend))


def steps_of_an_epoch(config: RunConfig, splits: Splits, translator: Translator) -> float:
    """The number of batches in the training data, about; of many pairs only some are looked at."""
    some = splits.train[:: max(1, len(splits.train) // SAMPLE)]
    examples = encode_pairs(some, translator.source, translator.target, all_targets=True)
    batches = len(make_batches(examples, batch_tokens=config.training.batch_tokens))
    return batches * len(splits.train) / len(some)


def introduce(run: Run, ranks: int) -> None:
    """Say what is about to happen."""
    config, splits, translator, folder, more_epochs, _ = run
    model, training = config.model, config.training
    source, target = translator.source, translator.target
    end = [counted(training.epochs, "epoch")] if training.epochs else []
    end += [f"{training.minutes:g} minute{'s' * (training.minutes != 1)}"] if training.minutes else []
    if more_epochs:
        end[0] += f" (so many for about {ENOUGH_STEPS:,} steps; --epochs sets another number)"
    directions = "bidirectional " if model.bidirectional else ""
    print(f"{config.data.name}: {splits.description}")
    print(
        f"  data      {counted(len(splits.train), 'training pair')}, {len(splits.dev):,} dev, {len(splits.test):,} test"
    )
    print(
        f"  tokens    {len(source.vocabulary):,} in the source (by {source.tokenizer.name}), "
        f"{len(target.vocabulary):,} in the target (by {target.tokenizer.name})"
    )
    print(
        f"  model     {directions}{model.cell}, {counted(model.layers, 'layer')}, embed {model.embed}, "
        f"hidden {model.hidden}, attention {model.attention}: {translator.model.count():,} weights"
    )
    print(
        f"  training  {' or '.join(end)}, {training.batch_tokens:,} tokens a batch, {training.optimizer}, "
        f"lr {training.lr:g} ({training.schedule}), seed {training.seed}"
    )
    settings = ", ".join(f"{name}={value}" for name, value in blas_settings().items())
    threads = counted(training.threads, "thread")
    if ranks > 1:
        threads = f"{ranks} processes of {threads}"
    print(f"  machine   {config.backend}, {threads}; matrix products: {settings}")
    print(f"  folder    {folder}", flush=True)


def is_complete(trainer: Trainer, folder: Path) -> bool:
    """Whether a resumed run is at its end, with its model and its report in the folder."""
    if not trainer.history or not (has_ended(trainer) and (folder / BEST).exists()):
        return False
    try:
        reported = read_json(folder / RESULTS)["training"]["steps"]
    except (UserError, KeyError, TypeError):  # no report, or half of one: it is written again
        return False
    return reported == trainer.step


def about_complete(trainer: Trainer, folder: Path) -> str:
    done = f"{counted(trainer.step, 'step')}, {trainer.history[-1]['epoch']:.1f} epochs"
    return (
        f"The run in {folder} is complete ({done}); {program()} info {folder} shows its results. "
        f"To train on, give it a later end: {later_end(trainer, folder)}"
    )


def prepare(args: argparse.Namespace, ranks: Alone) -> Run:
    """Everything that comes before the training: data read, options settled, run folder made."""
    if args.resume:
        config = resumed_config(args)
    else:
        if args.out is not None:
            check_free(args.out)
        config = new_config(args, ranks.local_size)
    if ranks.size > 1 and config.backend != "numpy":
        raise UserError(f"--backend {config.backend} trains in one process: start it without mpiexec")
    array_module(config.backend)  # a missing GPU is said before any data are read
    splits = load_data(config.data)
    for doubt in doubts(splits):
        print(f"minis2s: warning: {doubt}", file=sys.stderr)
    if not args.resume:
        config = with_tokenizers(config, args, splits)
    translator = build(config, splits)
    more_epochs = False
    if not args.resume and args.task is None and args.epochs is None and args.minutes is None:
        epochs = math.ceil(ENOUGH_STEPS / steps_of_an_epoch(config, splits, translator))
        more_epochs = epochs > config.training.epochs
        if more_epochs:
            config = replace(config, training=replace(config.training, epochs=epochs))
    folder = Path(args.out) if args.resume else new_run_folder(args.out, config.data.name, config)
    return Run(config, splits, translator, folder, more_epochs, args.resume and (folder / LAST).exists())


def run(args: argparse.Namespace) -> int:
    """The command. Exit code 0; 130 when Ctrl-C ended the training early."""
    return together(lambda ranks: train(args, ranks))


def train(args: argparse.Namespace, ranks: Alone) -> int:
    """The command in one process, or in one of several; only rank 0 reads, writes and prints."""
    run = ranks.from_first(lambda: prepare(args, ranks))
    config, splits, folder = run.config, run.splits, run.folder
    first = ranks.rank == 0
    keep_freed_memory()
    trainer = Trainer(run.translator, splits.train, splits.dev, config.training, out=folder, ranks=ranks)
    if run.begun:
        trainer.load()
    if args.resume:
        if first:
            config.save(folder)
        if ranks.from_first(lambda: is_complete(trainer, folder)):
            if first:
                print(folder if args.quiet else about_complete(trainer, folder))
            return 0
    if first and not args.quiet:
        introduce(run, ranks.size)
    go_on = f"go on with: {resume_command(ranks.size, folder)}"
    try:
        trainer.run(quiet=args.quiet)
        if trainer.interrupted:
            if first:
                print(f"minis2s: stopped and saved after step {trainer.step:,}; {go_on}", file=sys.stderr)
            return 130
        if first:
            report(config, splits, trainer, folder, quiet=args.quiet)
    except KeyboardInterrupt:  # during the report; or twice, while the first was being obeyed
        print(f"minis2s: interrupted; {go_on}", file=sys.stderr)
        return 130
    return 0
