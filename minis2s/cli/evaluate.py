"""`minis2s evaluate RUN --data FILE`: the metrics of a trained model on pairs, each with its interval."""

import argparse
import sys
from pathlib import Path

from minis2s.cli.options import add_machine_options, add_search_options, threads_for
from minis2s.cli.words import counted
from minis2s.data import merge_sources
from minis2s.errors import UserError
from minis2s.files import write_json
from minis2s.train.measure import measure
from minis2s.train.run import CONFIG, RunConfig, load_translator, not_ended
from minis2s.train.source import read_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a run folder (or an .npz file from one)")
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar=("FILE", "TARGETS"),
        help="a table (source, tab, target on each line), or two files whose lines belong together",
    )
    parser.add_argument(
        "--alternatives", action="store_true", help="further columns are further right answers"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes")
    add_search_options(parser)
    add_machine_options(parser)


def run(args: argparse.Namespace) -> int:
    """The command. Lines with the same source count as one input with several right answers."""
    if len(args.data) > 2:
        raise UserError(f"--data takes one table or two aligned files, got {len(args.data)} files")
    files = [Path(path) for path in args.data]
    pairs = merge_sources(read_files(args.data, alternatives=args.alternatives))
    translator = load_translator(args.run_folder, args.backend or "numpy")
    folder = Path(args.run_folder)
    folder = folder if folder.is_dir() else folder.parent
    if not args.quiet and (note := not_ended(folder)):
        print(f"minis2s: note: {note}", file=sys.stderr)
    task = RunConfig.load(folder).data.task if (folder / CONFIG).exists() else None
    search = {"beam": args.beam, "length_penalty": args.length_penalty}
    scores = measure(
        translator, pairs, task=task, threads=threads_for(args), progress=not args.quiet, **search
    )

    data = " and ".join(map(str, files))
    print(f"{args.run_folder} on {data}: {counted(len(pairs), 'input')}, beam {args.beam}")
    for metric in scores.values():
        print(f"  {metric}")
    results = {
        "data": [str(path.absolute()) for path in files],
        "pairs": len(pairs),
        **search,
        "scores": {name: metric.to_json() for name, metric in scores.items()},
    }
    if args.json:
        write_json(args.json, results)
    try:
        write_json(folder / f"evaluate-{files[0].stem}-beam{args.beam}.json", results)
    except UserError as error:  # a model that somebody else shares: the figures are on the screen
        print(f"minis2s: warning: {error}", file=sys.stderr)
    return 0
