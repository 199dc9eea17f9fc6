"""`minis2s info RUN`: what a run folder holds, whether the run is finished or not."""

import argparse
import sys
from pathlib import Path
from textwrap import fill

from minis2s.cli.machine import program
from minis2s.cli.words import counted
from minis2s.errors import UserError
from minis2s.files import read_json, write_json
from minis2s.train.checkpoint import load_checkpoint
from minis2s.train.run import BEST, CONFIG, HISTORY, LAST, RESULTS, RunConfig, no_run, share_done
from minis2s.train.translator import Translator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a run folder")


def run(args: argparse.Namespace) -> int:
    """The command: model, data, history, results; of each what is there."""
    folder = Path(args.run_folder)
    if not folder.exists():
        raise no_run(folder)
    if not folder.is_dir():
        if folder.name not in (CONFIG, LAST, BEST, HISTORY, RESULTS):
            raise UserError(f"{folder} is a file: give the run folder that it belongs to")
        folder = folder.parent  # a file of a run stands for the run
    there = [name for name in (CONFIG, LAST, BEST) if (folder / name).exists()]
    if not there:
        raise UserError(
            f"{folder} is not the folder of a training run: it holds no {CONFIG}, {LAST} or {BEST}"
        )
    # everything is read before anything is printed: a damaged file gives one sentence and no more
    config = RunConfig.load(folder) if CONFIG in there else None
    _, training = load_checkpoint(folder / LAST) if LAST in there else ({}, {})
    translator = None
    if BEST in there:
        translator = Translator.load(folder)
    elif "translator" in training:
        translator = Translator.from_description(training["translator"])
    results = read_json(folder / RESULTS) if (folder / RESULTS).exists() else None

    if config is not None:
        show_config(config)
    if translator is not None:
        show_translator(translator)
    else:
        print("model    none saved yet")
    show_history(training)
    if config is not None:
        show_progress(config, training, folder, reported=results is not None)
    if results is not None:
        show_results(results)
    figures = {
        "weights": {}
        if translator is None
        else {name: list(p.data.shape) for name, p in translator.model.parameters().items()},
        "weight_count": None if translator is None else translator.model.count(),
        "history": training.get("history", []),
        "results": results,
    }
    try:
        write_json(folder / "info.json", figures)
    except UserError as error:  # a model that somebody else shares: the figures are on the screen
        print(f"minis2s: warning: {error}", file=sys.stderr)
    return 0


def show_config(config: RunConfig) -> None:
    data, training = config.data, config.training
    print("data     " + (f"the task {data.task}, seed {data.seed}" if data.task else "files"))
    for name in ("train", "dev", "test"):
        for path in getattr(data, name):
            print(f"  {name:5}  {path}")
    options = [f"{name} {value}" for name, value in vars(training).items() if value is not None]
    print(
        fill(f"training {', '.join([*options, f'backend {config.backend}'])}", 100, subsequent_indent=" " * 9)
    )


def show_translator(translator: Translator) -> None:
    for name, codec in (("source", translator.source), ("target", translator.target)):
        tokens = codec.vocabulary.tokens[4:]
        some = " ".join("␣" if token == " " else token for token in tokens[:10])
        more = " ..." if len(tokens) > 10 else ""
        print(
            f"{name}   {len(codec.vocabulary):,} tokens (by {codec.tokenizer.name}; 4 of them special): {some}{more}"
        )
    print(f"model    {translator.model}")


def show_history(training: dict) -> None:
    history = training.get("history")
    if not history:
        print("history  nothing evaluated yet")
        return
    best = training["best"]
    print(
        f"history  {counted(len(history), 'evaluation')}, {counted(training['step'], 'step')}, "
        f"{training['seconds'] / 60:.1f} minutes"
    )
    print("     epoch    step  train loss  dev loss  dev error  dev exact")
    for row in history:
        mark = "  best" if row["step"] == best["step"] else ""
        print(
            f"  {row['epoch']:8.2f} {row['step']:7,} {row['train_loss']:11.3f} {row['dev_loss']:9.3f} "
            f"{100 * row['dev_error_rate']:8.2f} % {100 * row['dev_exact']:8.2f} %{mark}"
        )


def show_progress(config: RunConfig, training: dict, folder: Path, *, reported: bool) -> None:
    """How much of the training is done, and what to do about the rest."""
    share = share_done(config.training, training.get("history", []))
    go_on = f"{program()} train --resume --out {folder}"
    if share < 1:  # rounded down: 99.9 % is not all of it
        print(f"progress {int(100 * share)} % of the training done; go on with: {go_on}")
    elif reported:
        print("progress the training has ended")
    else:
        print(f"progress the training has ended, but its report is missing; write it with: {go_on}")


def show_results(results: dict) -> None:
    for name in ("test", "dev"):
        if name in results:
            inputs = counted(results[name]["pairs"], f"{name} input")
            print(f"results  on {inputs}, beam {results[name]['beam']}")
            for metric in results[name]["scores"].values():
                print(f"  {metric['text']}")
