"""The options of `minis2s train`, and the RunConfig that they describe: of a new run, or of a resumed one."""

import argparse
from dataclasses import fields, replace
from pathlib import Path

from minis2s.cli.machine import MOST_THREADS, usable_cores
from minis2s.cli.options import add_machine_options, count, number, positive, share, share_below_one, whole
from minis2s.data import TASK_NAMES
from minis2s.data.tokenizers import TOKENIZERS
from minis2s.data.vocabulary import SPECIAL_TOKENS
from minis2s.errors import UserError
from minis2s.models import ModelConfig
from minis2s.models.decoder import KINDS
from minis2s.models.encoder import BRIDGES
from minis2s.nn import CELLS
from minis2s.nn.attention import SCORES
from minis2s.train.config import FORCING_DECAYS, OPTIMIZERS, SCHEDULES, TrainConfig
from minis2s.train.run import RunConfig
from minis2s.train.source import DataConfig, Splits, checksum
from minis2s.train.state import MAY_CHANGE

# what a run is made of where no option says otherwise
PRESETS: dict[str | None, tuple[ModelConfig, TrainConfig]] = {
    "g2p": (ModelConfig(hidden=256, embed=128), TrainConfig(epochs=4)),
    "dates": (ModelConfig(hidden=128, embed=64), TrainConfig(epochs=4, batch_tokens=1500)),
    "addition": (ModelConfig(hidden=128, embed=64), TrainConfig(epochs=12, batch_tokens=500)),
    "reverse": (ModelConfig(hidden=128, embed=64), TrainConfig(epochs=4)),
    None: (ModelConfig(hidden=256, embed=128, dropout=0.2), TrainConfig(epochs=10)),  # your own files
}

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


def new_config(args: argparse.Namespace, ranks: int) -> RunConfig:
    """The run that the options describe: a preset, and what was given on top of it.

    ranks: the processes of the run on this machine, which share its cores.
    """
    model, training = PRESETS[args.task]
    backend = args.backend or "numpy"
    options = given(args, TrainConfig)
    options.setdefault("threads", default_threads(ranks) if backend == "numpy" else 1)
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


def default_threads(ranks: int) -> int:
    """The threads of each of `ranks` processes on this machine."""
    return max(1, min(usable_cores() // ranks, MOST_THREADS))


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
