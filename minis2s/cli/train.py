"""`minis2s train`: from a task or files to a run folder with a trained model and a report on it.

A run is a RunConfig: the preset of the task (`PRESETS`), changed by the options that were given.
`run` at the end of this file is the whole story; resuming differs only in where the RunConfig
comes from.
"""

import argparse
import math
import sys
from dataclasses import fields, replace
from pathlib import Path

from minis2s.backend import array_module, keep_freed_memory
from minis2s.cli.machine import blas_settings, default_threads, program
from minis2s.cli.options import add_machine_options, count, number, positive, share, share_below_one, whole
from minis2s.cli.report import has_ended, later_end, report
from minis2s.cli.words import counted
from minis2s.data import TASK_NAMES, encode_pairs, make_batches
from minis2s.data.tokenizers import TOKENIZERS
from minis2s.data.vocabulary import SPECIAL_TOKENS
from minis2s.errors import UserError
from minis2s.files import read_json
from minis2s.models import ModelConfig
from minis2s.models.decoder import KINDS
from minis2s.models.encoder import BRIDGES
from minis2s.nn import CELLS
from minis2s.nn.attention import SCORES
from minis2s.train.config import FORCING_DECAYS, OPTIMIZERS, SCHEDULES, TrainConfig
from minis2s.train.loop import MAY_CHANGE, Trainer
from minis2s.train.run import BEST, LAST, RESULTS, RunConfig, check_free, new_run_folder
from minis2s.train.source import DataConfig, Splits, checksum, doubts, load_data
from minis2s.train.translator import Translator

# what a run is made of where no option says otherwise
PRESETS: dict[str | None, tuple[ModelConfig, TrainConfig]] = {
    "g2p": (ModelConfig(hidden=256, embed=128), TrainConfig(epochs=4)),
    "dates": (ModelConfig(hidden=128, embed=64), TrainConfig(epochs=4, batch_tokens=1500)),
    "addition": (ModelConfig(hidden=128, embed=64), TrainConfig(epochs=12, batch_tokens=500)),
    "reverse": (ModelConfig(hidden=128, embed=64), TrainConfig(epochs=4)),
    None: (ModelConfig(hidden=256, embed=128, dropout=0.2), TrainConfig(epochs=10)),  # your own files
}

ENOUGH_STEPS = 1000  # for a model to learn something from your own files, however small they are
SAMPLE = 5000  # pairs that are looked at to tell the number of steps in an epoch
DECODERS = tuple(kind for kind in KINDS if kind != "plain")  # that one is --attention none
ON_OFF = argparse.BooleanOptionalAction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", nargs="?", choices=TASK_NAMES, metavar="TASK", help=", ".join(TASK_NAMES))

    files = parser.add_argument_group(
        "your own data",
        "a table (source, tab, target on each line) or two files whose lines belong together; UTF-8",
    )
    two = {"nargs": "+", "metavar": ("FILE", "TARGETS")}
    files.add_argument("--train", **two, help="pairs to learn from: TABLE, or SOURCES TARGETS")
    files.add_argument("--dev", **two, help="pairs to choose the best model by")
    files.add_argument("--test", **two, help="pairs for the final report")
    files.add_argument(
        "--alternatives", action="store_const", const=True, help="further columns are further right answers"
    )
    files.add_argument(
        "--by", choices=TOKENIZERS, help="what a token is, on both sides (default: by the look of it)"
    )
    files.add_argument("--source-tokenizer", choices=TOKENIZERS, help="the same for the sources only")
    files.add_argument("--target-tokenizer", choices=TOKENIZERS, help="the same for the targets only")

    data = parser.add_argument_group("data")
    data.add_argument("--size", type=count, metavar="N", help="training pairs of a ready-made TASK")
    data.add_argument(
        "--vocabulary", type=count, metavar="N", help="keep the N most frequent tokens of each side"
    )
    data.add_argument("--min-count", type=count, metavar="N", help="keep tokens that occur N times or more")

    run = parser.add_argument_group("run")
    run.add_argument("--out", metavar="DIR", help="the run folder (default: runs/TASK, runs/TASK-2, ...)")
    run.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, with its own options"
    )
    run.add_argument("--epochs", type=count, metavar="N", help="end after N passes over the data")
    run.add_argument("--minutes", type=positive, metavar="M", help="end after M minutes of training")
    run.add_argument(
        "--patience", type=count, metavar="N", help="end after N evaluations without a better model"
    )
    run.add_argument("--evaluations", type=count, metavar="N", help="look at the dev data N times")
    run.add_argument("--seed", type=whole, metavar="N", help="of everything random (default 0)")
    run.add_argument("--quiet", action="store_true", help="print the run folder and nothing else")

    model = parser.add_argument_group("model")
    model.add_argument("--cell", choices=CELLS)
    model.add_argument("--layers", type=count, metavar="N", help="of the encoder, and as many of the decoder")
    model.add_argument("--bidirectional", action=ON_OFF, help="the encoder reads both ways")
    model.add_argument("--embed", type=count, metavar="N", help="size of a token's vector")
    model.add_argument("--hidden", type=count, metavar="N", help="size of the states")
    model.add_argument("--attention", choices=("none", *SCORES))
    model.add_argument("--decoder", choices=DECODERS, help="attention after the cell, or before it")
    model.add_argument(
        "--input-feeding", action=ON_OFF, help="the cell reads the last attentional state (luong)"
    )
    model.add_argument(
        "--bridge", choices=BRIDGES, help="from the encoder's last states to the decoder's first"
    )
    model.add_argument("--dropout", type=share_below_one, metavar="P")

    training = parser.add_argument_group("training")
    training.add_argument(
        "--batch-tokens", type=count, metavar="N", help="tokens of a batch, padding included"
    )
    training.add_argument("--optimizer", choices=OPTIMIZERS)
    training.add_argument("--lr", type=positive, metavar="X", help="the highest learning rate")
    training.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate, after --warmup")
    training.add_argument(
        "--warmup", type=whole, metavar="N", help="steps over which the learning rate rises"
    )
    training.add_argument("--clip", type=positive, metavar="X", help="the largest gradient norm")
    training.add_argument("--weight-decay", type=number, metavar="X", help="for sgd and adamw")
    training.add_argument("--smoothing", type=share, metavar="P", help="label smoothing")
    training.add_argument(
        "--teacher-forcing", type=share, metavar="P", help="chance of the right token as input"
    )
    training.add_argument("--forcing-decay", choices=FORCING_DECAYS, help="how that chance falls from 1 to P")

    add_machine_options(parser)


def given(args: argparse.Namespace, cls: type) -> dict:
    """The options that were given and are fields of the dataclass `cls`."""
    values = {field.name: getattr(args, field.name, None) for field in fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


def new_config(args: argparse.Namespace) -> RunConfig:
    """The run that the options describe: a preset, and what was given on top of it."""
    model, training = PRESETS[args.task]
    backend = args.backend or "numpy"
    options = given(args, TrainConfig)
    options.setdefault("threads", default_threads() if backend == "numpy" else 1)
    if args.minutes is not None:
        options.setdefault("epochs", None)  # the preset's number of epochs is not in the way
    return RunConfig(
        data_config(args),
        with_options(model, given(args, ModelConfig)),
        with_options(training, options),
        backend,
    )


def with_options(config, options: dict):
    try:
        return replace(config, **options)
    except ValueError as error:
        raise UserError(str(error)) from None


def data_config(args: argparse.Namespace) -> DataConfig:
    """What the options say about the data."""
    files = {name: given_files(args, name) for name in ("train", "dev", "test")}
    if args.vocabulary is not None and args.vocabulary <= len(SPECIAL_TOKENS):
        raise UserError(
            f"--vocabulary must exceed the {len(SPECIAL_TOKENS)} special tokens, got {args.vocabulary}"
        )
    limits = {"max_vocabulary": args.vocabulary, "min_count": args.min_count or 1}
    if args.task is not None:
        for name in ("train", "dev", "test", "alternatives", "by", "source_tokenizer", "target_tokenizer"):
            if getattr(args, name):
                raise UserError(
                    f"{option(name)} is for your own files: leave it out, or leave out {args.task!r}"
                )
        return DataConfig(task=args.task, size=args.size, **limits)
    if not files["train"] and not files["dev"] and not files["test"]:
        raise UserError(
            f"there is nothing to learn from: name a task ({', '.join(TASK_NAMES)}) or give --train FILE --dev FILE"
        )
    for name in ("train", "dev"):
        if not files[name]:
            raise UserError(f"--{name} is missing: training on your own files needs both --train and --dev")
    if args.size is not None:
        raise UserError("--size is for ready-made tasks; of your own files all pairs are used")
    config = DataConfig(**files, alternatives=bool(args.alternatives), **limits)
    return replace(config, checksums=tuple(map(checksum, config.files)))


def given_files(args: argparse.Namespace, name: str) -> tuple[str, ...]:
    paths = getattr(args, name) or ()
    if len(paths) > 2:
        raise UserError(f"--{name} takes one table or two aligned files, got {len(paths)} files")
    # absolute: the run can then be resumed from another folder
    return tuple(str(Path(path).absolute()) for path in paths)


def with_tokenizers(config: RunConfig, args: argparse.Namespace, splits: Splits) -> RunConfig:
    """`config` with the tokenizers that the options name, or that suit the data."""
    source, target = splits.tokenizers
    tokenizers = {
        "source_tokenizer": args.source_tokenizer or args.by or source,
        "target_tokenizer": args.target_tokenizer or args.by or target,
    }
    return replace(config, data=replace(config.data, **tokenizers))


def resumed_config(args: argparse.Namespace) -> RunConfig:
    """The run in --out, with a new end if one is given.

    Raises UserError when an option says something else than that run.
    """
    if args.out is None:
        raise UserError("--resume needs the run folder to go on with: --out DIR")
    config = RunConfig.load(args.out)
    asked: dict = {name: given_files(args, name) or None for name in ("train", "dev", "test")}
    asked |= {
        "task": args.task,
        "size": args.size,
        "alternatives": args.alternatives,
        "max_vocabulary": args.vocabulary,
    }
    asked |= {"min_count": args.min_count, "backend": args.backend}
    asked |= {
        "source_tokenizer": args.source_tokenizer or args.by,
        "target_tokenizer": args.target_tokenizer or args.by,
    }
    asked |= given(args, ModelConfig) | given(args, TrainConfig)
    begun = {**vars(config.data), **vars(config.model), **vars(config.training), "backend": config.backend}
    for name, value in asked.items():
        if value is not None and value != begun[name] and name not in MAY_CHANGE:
            raise UserError(
                f"the run in {args.out} was begun with {option(name)} {begun[name]}, which cannot become {value}: "
                "leave the option out, or start a new run with another --out"
            )
    end = {} if args.patience is None else {"patience": args.patience}
    if args.epochs is not None or args.minutes is not None:  # the one replaces the other
        end |= {"epochs": args.epochs, "minutes": args.minutes}
    return replace(config, training=with_options(config.training, end))


def option(field: str) -> str:
    """How a field of the configuration is spelled on the command line."""
    if field == "task":
        return "the task"
    return "--vocabulary" if field == "max_vocabulary" else "--" + field.replace("_", "-")


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


def introduce(
    config: RunConfig, splits: Splits, translator: Translator, folder: Path, *, more_epochs: bool
) -> None:
    """Say what is about to happen; `more_epochs`: a small file has got more of them than usual."""
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


def run(args: argparse.Namespace) -> int:
    """The command. Exit code 0; 130 when Ctrl-C ended the training early."""
    if args.resume:
        config = resumed_config(args)
    else:
        if args.out is not None:
            check_free(args.out)
        config = new_config(args)
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

    keep_freed_memory()
    trainer = Trainer(translator, splits.train, splits.dev, config.training, out=folder)
    if args.resume:
        if (folder / LAST).exists():
            trainer.load()
        config.save(folder)
        if is_complete(trainer, folder):
            print(folder if args.quiet else about_complete(trainer, folder))
            return 0
    if not args.quiet:
        introduce(config, splits, translator, folder, more_epochs=more_epochs)
    go_on = f"go on with: {program()} train --resume --out {folder}"
    try:
        trainer.run(quiet=args.quiet)
        if trainer.interrupted:
            print(f"minis2s: stopped and saved after step {trainer.step:,}; {go_on}", file=sys.stderr)
            return 130
        report(config, splits, trainer, folder, quiet=args.quiet)
    except KeyboardInterrupt:  # during the report; or twice, while the first was being obeyed
        print(f"minis2s: interrupted; {go_on}", file=sys.stderr)
        return 130
    return 0
